"""Updates from several calls, at some steps, of named parts, measured on their way, in another view."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim, tree
from fdl.checks import TreeError
from fdl.train import init_state, make_train_step

START = {"dense": {"kernel": np.linspace(-1, 2, 6).reshape(3, 2), "bias": np.zeros(2)}}
CURVATURE = {"dense": {"kernel": np.logspace(-1, 0.3, 6).reshape(3, 2), "bias": np.ones(2)}}
NOISE = np.random.default_rng(0).standard_normal((24, 8))


def fresh(dtype=float):
    return jax.tree.map(lambda p: jnp.asarray(p, dtype), START)


def gradient(params, noise):
    flat = {"kernel": noise[:6].reshape(3, 2), "bias": noise[6:]}
    return {"dense": jax.tree.map(lambda c, p, n: c * p + n, CURVATURE["dense"], params["dense"], flat)}


def path(optimizer, view=lambda params, state: params):
    """The parameters after each of 24 noisy gradients, in float64."""
    with jax.enable_x64(True):
        params = fresh()

        def step(carry, noise):
            params, state = carry
            updates, state = optimizer.update(gradient(params, noise), state, params)
            params = optim.apply_updates(params, updates)
            return (params, state), view(params, state)

        return jax.tree.map(np.asarray, jax.lax.scan(step, (params, optimizer.init(params)), jnp.asarray(NOISE))[1])


def theirs(optimizer):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return path(optimizer)


@pytest.mark.parametrize("every", [1, 4])
def test_many_calls_are_one_step_as_in_optax(agrees, every):
    optax = pytest.importorskip("optax")
    wanted = theirs(optax.MultiSteps(optax.adam(0.1), every))
    found = path(optim.multi_steps(optim.adam(0.1), every))
    agrees.values("optim.multi_steps", "optax.MultiSteps", found, wanted, most=1e-7)  # optax has 1 / n in float32
    summed = optim.chain(optim.sgd(0.1), optim.multi_steps(optim.chain(), every, average=False))
    wanted = theirs(optax.chain(optax.sgd(0.1), optax.apply_every(every)))
    agrees.values("optim.multi_steps, sums", "optax.apply_every", path(summed), wanted)


def test_many_calls_are_one_step_on_the_large_batch():
    """Batches of two calls at first and of three from the fourth update on: the parameters stand still in between."""
    found = path(optim.multi_steps(optim.sgd(0.1, 0.9), optim.piecewise([2, 3], [3])))["dense"]
    ends = [2, 4, 6, 9, 12, 15, 18, 21, 24]
    flat = {name: np.concatenate([START["dense"][name][None], found[name]]) for name in found}
    velocity = 0.0
    for first, last in zip([0, *ends], ends):
        before = {name: rows[first] for name, rows in flat.items()}
        grads = [gradient({"dense": before}, row)["dense"]["kernel"] for row in NOISE[first:last]]
        velocity = 0.9 * velocity + np.mean(grads, 0)
        np.testing.assert_array_equal(
            flat["kernel"][first + 1 : last], np.array([before["kernel"]] * (last - first - 1))
        )
        np.testing.assert_allclose(flat["kernel"][last], before["kernel"] - 0.1 * velocity, rtol=1e-12)


def test_the_inner_transform_sees_means_and_no_function_of_one_batch():
    def seen(updates, state, params=None, **extras):
        assert extras.keys() == {"value", "grad"}
        return jax.tree.map(lambda g: g * extras["value"].astype(g.dtype), extras["grad"]), state

    optimizer = optim.multi_steps(optim.Transform(lambda params: (), seen), 2)
    params = {"p": jnp.zeros(2)}
    state = optimizer.init(params)
    for value, grad in [(1.0, 4.0), (5.0, 2.0)]:
        grads = {"p": jnp.full(2, grad)}
        extras = {"value": jnp.asarray(value), "grad": grads, "value_fn": lambda p: 0.0}
        updates, state = optimizer.update(grads, state, params, **extras)
    np.testing.assert_array_equal(updates["p"], np.full(2, 3.0 * 3.0))
    sharp = optim.multi_steps(optim.sam(optim.sgd(0.1)), 2)
    with pytest.raises(TypeError, match="needs the parameters and the loss"):
        sharp.update(grads, sharp.init(params), params, **extras)


def test_sums_of_sixteen_bits_are_kept_in_thirty_two():
    optimizer = optim.multi_steps(optim.sgd(1.0), 300)
    params = {"p": jnp.zeros(1, jnp.bfloat16)}
    step = jax.jit(optimizer.update)
    state = optimizer.init(params)
    for _ in range(300):
        updates, state = step({"p": jnp.ones(1, jnp.bfloat16)}, state, params)
    assert updates["p"].dtype == jnp.bfloat16
    assert float(updates["p"][0]) == -1.0  # a sum in bfloat16 would stop at 256


def odd(step):
    return step % 2 == 1


@pytest.mark.parametrize(("kind", "stop"), [("conditionally_transform", False), ("conditionally_mask", True)])
def test_a_transform_that_works_at_some_steps_is_optaxs(agrees, kind, stop):
    optax = pytest.importorskip("optax")
    wanted = theirs(optax.chain(getattr(optax, kind)(optax.scale_by_adam(), odd), optax.sgd(0.1)))
    ours = path(optim.chain(optim.when(optim.scale_by_adam(), odd, stop=stop), optim.sgd(0.1)))
    agrees.values("optim.when", f"optax.{kind}", ours, wanted)


def test_a_named_chain_is_the_chain_and_its_state_has_names():
    parts = {"clip": optim.clip_by_global_norm(1.0), "adam": optim.scale_by_adam(), "rate": optim.sgd(0.1)}
    jax.tree.map(np.testing.assert_array_equal, path(optim.named_chain(**parts)), path(optim.chain(*parts.values())))
    state = optim.named_chain(**parts).init(fresh())
    assert "adam/mean/dense/kernel" in tree.flatten(state)
    zeroed = tree.map_where(jnp.ones_like, state, "adam/**/kernel")
    assert float(zeroed["adam"].square["dense"]["kernel"].sum()) == 6
    assert float(zeroed["adam"].square["dense"]["bias"].sum()) == 0
    with pytest.raises(TreeError, match="must be a dict of the parts clip, adam, rate, got adam"):
        optim.named_chain(**parts).update(fresh(), {"adam": state["adam"]}, fresh())


@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_what_passes_is_measured(agrees, decay):
    optimizer = optim.chain(
        optim.sgd(1.0), optim.monitor({"size": tree.norm, "bias": lambda u: u["dense"]["bias"]}, decay)
    )
    found = path(optimizer, lambda params, state: optim.monitored(state))
    ends = path(optimizer)["dense"]
    flat = np.concatenate(
        [np.concatenate([START["dense"][n][None], ends[n]]).reshape(25, -1) for n in ("kernel", "bias")], 1
    )
    moves = np.diff(flat, axis=0)
    sizes, mean, want = np.linalg.norm(moves, axis=1), 0.0, []
    for t, size in enumerate(sizes, 1):
        mean = decay * mean + (1 - decay) * size
        want.append(mean / (1 - decay**t))
    agrees.values(f"optim.monitor, decay {decay}", "NumPy", found["size"], np.array(want))
    assert found["bias"].shape == (24, 2)
    with pytest.raises(TreeError, match="holds size more than once"):
        optim.monitored([optim.monitor({"size": tree.norm}).init(fresh())] * 2)
    assert optim.monitored(optim.adam().init(fresh())) == {}


def test_one_vector_is_measured_as_one(agrees):
    optax = pytest.importorskip("optax")
    wanted = theirs(optax.flatten(optax.chain(optax.clip_by_block_rms(0.1), optax.adam(0.1))))
    ours = path(optim.flattened(optim.chain(optim.clip_by_block_rms(0.1), optim.adam(0.1))))
    agrees.values("optim.flattened", "optax.flatten", ours, wanted)
    assert optim.flattened(optim.sam(optim.adam())).init(fresh("float32"))[0].mean.shape == (8,)


TARGET = np.array([1 + 2j, -0.5 - 1j], "complex64")


def complex_run(optimizer, steps=200):
    def loss_fn(params, state, batch, key):
        return jnp.sum(jnp.abs(params["z"] - TARGET) ** 2) + jnp.sum(params["x"] ** 2), (state, {})

    step = make_train_step(loss_fn, optimizer)
    state = init_state(lambda key: ({"z": jnp.zeros(2, jnp.complex64), "x": jnp.ones(3)}, {}), optimizer)
    for _ in range(steps):
        state, metrics = step(state, jnp.zeros(()))
    return state.params, float(metrics["loss"])


@pytest.mark.parametrize("inner", [optim.adam(optim.cosine(0.1, 200)), optim.sam(optim.sgd(0.1), 1e-4)], ids=str)
def test_complex_parameters_are_trained_in_two_parts(inner):
    params, loss = complex_run(optim.split_complex(inner))
    assert loss < 1e-4
    assert params["z"].dtype == jnp.complex64


def test_complex_parameters_go_downhill_by_themselves():
    np.testing.assert_allclose(complex_run(optim.sgd(0.1))[0]["z"], TARGET, rtol=1e-4)


def test_parts_are_those_of_optax(agrees):
    optax = pytest.importorskip("optax")
    params = {"z": jnp.asarray(TARGET), "x": jnp.ones(3)}
    first = lambda optimizer: optimizer.update(params, optimizer.init(params), params)[0]
    found = first(optim.split_complex(optim.adam(0.1)))
    with jax.numpy_dtype_promotion("standard"):
        wanted = first(optax.contrib.split_real_and_imaginary(optax.adam(0.1)))
    for part in (jnp.real, jnp.imag):
        agrees.values("optim.split_complex", "optax", jax.tree.map(part, found), jax.tree.map(part, wanted))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="every must lie in"):
        optim.multi_steps(optim.sgd(0.1), 0)
    with pytest.raises(TypeError, match="condition must be a function of the step"):
        optim.when(optim.sgd(0.1), True)
    with pytest.raises(ValueError, match="decay must lie in"):
        optim.monitor({}, 1.0)
    with pytest.raises(TypeError, match="must be the MultiStepsState"):
        optim.multi_steps(optim.sgd(0.1), 2).update(fresh("float32"), (), fresh("float32"))
