"""Labels that are no class numbers: refused by their type while tracing, by their value in the loss."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from fdl import losses, nn
from fdl.checks import DtypeError, ShapeError

CLASSES = 5
SCORES = np.random.default_rng(0).normal(size=(4, CLASSES)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(CLASSES, CLASSES)).astype(np.float32)
LOSSES = {
    loss.__name__: partial(loss, SCORES)
    for loss in (
        losses.cross_entropy,
        losses.focal_cross_entropy,
        losses.generalized_cross_entropy,
        losses.multiclass_hinge,
        losses.negative_log_likelihood,
        losses.poly_cross_entropy,
        losses.sparsemax,
    )
}
LOSSES |= {
    loss.__name__: partial(loss, SCORES, KERNEL)
    for loss in (losses.fused_linear_cross_entropy, losses.large_margin_cosine)
}
LOSSES["ctc"] = lambda labels: losses.ctc(np.repeat(SCORES[:, None], 3, axis=1), labels[..., None])
each = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
WRONG = {"-1": np.int32(-1), "C": np.int32(CLASSES), "255 of a byte": np.uint8(255)}


@each
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_label_that_is_no_class_makes_its_loss_nan_and_no_other(loss, wrong):
    labels = np.array([1, wrong, 2, CLASSES - 1], wrong.dtype)
    np.testing.assert_array_equal(jnp.isnan(jax.jit(loss)(labels)), [False, True, False, False])


@each
def test_labels_of_another_kind_are_refused(loss):
    with pytest.raises((DtypeError, ShapeError), match=r"^labels .*must (be|have)"):
        loss(np.array([1.0, 2.0, 3.0, 4.0], np.float32))
    with pytest.raises((DtypeError, ShapeError), match=r"^labels .*must (be|have)"):
        loss(np.eye(CLASSES, dtype=np.int32)[:4])


@pytest.mark.parametrize(
    ("program", "labels"),
    [
        (LOSSES["cross_entropy"], np.array([1, -1, 2, 4], np.int32)),
        (LOSSES["negative_log_likelihood"], np.array([1, 2, 2, 7], np.int32)),
        (lambda tokens: nn.embedding(CLASSES, 3).apply({"table": KERNEL[:, :3]}, {}, tokens)[0], np.array([[0, 9]])),
    ],
    ids=["cross_entropy", "negative_log_likelihood", "embedding"],
)
def test_to_debug_a_compiled_program_names_the_index_and_its_bounds(program, labels):
    checked = checkify.checkify(jax.jit(program), errors=checkify.index_checks)
    labels = labels.astype(np.int32)
    wrong = labels[(labels < 0) | (labels >= CLASSES)].item()
    with pytest.raises(
        checkify.JaxRuntimeError, match=f"index {wrong} is out of bounds for axis . with size {CLASSES}"
    ):
        checked(labels)[0].throw()
    assert checked(np.clip(labels, 0, CLASSES - 1))[0].get() is None
