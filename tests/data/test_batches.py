"""Batches: one answer on host and device, every example once, one shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import TreeError
from fdl.data import in_order, shuffled, to_device


def _examples(size=23):
    return {"image": np.arange(size * 4, dtype=np.uint8).reshape(size, 2, 2), "label": np.arange(size, dtype=np.int32)}


def test_host_device_jit_and_scan_give_equal_batches():
    host = shuffled(_examples(), batch=5, seed=9 + 2**40)
    device = to_device(to_device(host))
    want = [host(step) for step in range(12)]
    assert isinstance(want[0]["image"], np.ndarray)
    jitted = jax.jit(lambda batches, step: batches(step))
    _, scanned = jax.lax.scan(lambda carry, step: (carry, device(step)), 0, jnp.arange(12, dtype=jnp.int32))
    for step in range(12):
        for found in (device(step), jitted(device, jnp.int32(step)), jitted(host, step), host(jnp.int32(step))):
            jax.tree.map(np.testing.assert_array_equal, found, want[step])
        for name, stacked in scanned.items():
            np.testing.assert_array_equal(stacked[step], want[step][name])
    assert isinstance(host(jnp.int32(1))["image"], np.ndarray)


def test_rows_stay_together_and_an_epoch_has_no_repeats():
    batches = shuffled(_examples(), batch=5, seed=1)
    assert (batches.size, batches.steps_per_epoch) == (23, 4)
    for epoch in range(3):
        found = [batches(epoch * 4 + k) for k in range(4)]
        labels = np.concatenate([batch["label"] for batch in found])
        assert len(set(labels.tolist())) == 20
        np.testing.assert_array_equal(np.concatenate([b["image"][:, 0, 0] for b in found]), labels * 4)


def test_batches_are_a_pytree_with_static_batch_and_seed():
    batches = shuffled(_examples(), batch=5, seed=2)
    assert len(jax.tree.leaves(batches)) == 2
    doubled = jax.tree.map(lambda leaf: leaf * 2, batches)
    assert (doubled.batch, doubled.seed) == (5, 2)
    np.testing.assert_array_equal(doubled(3)["label"], batches(3)["label"] * 2)
    assert repr(batches) == "Batches(size=23, batch=5, seed=2)"


def test_bad_examples_are_named():
    with pytest.raises(TreeError, match=r"pair/image 3, pair/label 4"):
        shuffled({"pair": {"image": np.zeros((3, 2)), "label": np.zeros(4)}}, 1)
    with pytest.raises(TreeError, match=r"label must be an array .* got int"):
        shuffled({"image": np.zeros(3), "label": 3}, 1)
    with pytest.raises(TreeError, match="empty tree"):
        shuffled({}, 1)
    with pytest.raises(ValueError, match="at most the number of examples, 23, got 24"):
        shuffled(_examples(), 24)
    with pytest.raises(ValueError, match="at least one example"):
        shuffled(np.zeros((0, 3)), 1)
    with pytest.raises(ValueError, match="64 bits"):
        shuffled(_examples(), 5, seed=2**64)


@pytest.mark.parametrize("place", [lambda tree: tree, jax.device_put])
@pytest.mark.parametrize(("size", "batch", "count"), [(23, 5, 5), (20, 5, 4), (3, 100, 1), (1, 1, 1)])
def test_in_order_sees_every_example_once_in_one_shape(place, size, batch, count):
    found = list(in_order(place(_examples(size)), batch))
    assert len(found) == count
    assert {part["image"].shape for part, _ in found} == {(batch, 2, 2)}
    assert all(where.shape == (batch,) and where.dtype == bool for _, where in found)
    seen = np.concatenate([np.asarray(part["label"])[where] for part, where in found])
    np.testing.assert_array_equal(seen, np.arange(size))
    last, where = found[-1]
    assert (np.asarray(last["label"])[~where] == 0).all()


def test_in_order_fails_at_the_call_not_at_the_first_batch():
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        in_order(_examples(), 0)
    with pytest.raises(ValueError, match="at least one example"):
        in_order(np.zeros((0, 2)), 4)


def test_to_device_refuses_integers_that_jax_would_cut():
    with pytest.raises(ValueError, match=r"token must fit in int32, got int64 from 0 to 8589934592"):
        to_device(shuffled({"token": np.array([0, 2**33])}, 1))
    device = to_device(shuffled({"token": np.array([0, 2**31 - 1])}, 1))
    assert device.examples["token"].max() == 2**31 - 1
