"""The average of parameters: torch's AveragedModel, schedules, types, and where it is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import TreeError

START = np.linspace(-1, 1, 6).reshape(2, 3)


def swa(step):
    """All parameters count alike."""
    return jnp.asarray(step, float) / jnp.asarray(step + 1, float)


def run(decay, steps=7, dtype=jnp.float32):
    """(parameters, their average) of gradient descent on half the squares."""
    optimizer = optim.chain(optim.momentum(0.3), optim.average_params(decay))
    params = {"dense": {"kernel": jnp.asarray(START, dtype)}}
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = jax.jit(optimizer.update)(params, state, params)
        params = optim.apply_updates(params, updates)
    return params, state


def compare(agrees, name, source, decay, want):
    for dtype in ("float64", "float32"):
        with jax.enable_x64(dtype == "float64"):
            params, state = run(decay, dtype=dtype)
            got = optim.averaged(state, params)
            assert got["dense"]["kernel"].dtype == dtype
            agrees.values(f"optim.average_params, {name}", source, state[-1].average, {"dense": {"kernel": want}})
            agrees.values(f"optim.averaged, {name}", source, got, {"dense": {"kernel": want}})


def test_the_average_is_that_of_torch(agrees):
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    model = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(START))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    descent = torch.optim.SGD(model.parameters(), 0.3, 0.9)
    for _ in range(7):
        model.weight.grad = model.weight.detach().clone()
        descent.step()
        average.update_parameters(model)
    compare(agrees, "ema", "torch", 0.9, average.module.weight.detach().numpy())


def test_swa_is_that_of_torch(agrees):
    """Torch averages when it is told to: after step 3 and every third from there, counted from 0."""
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel

    model = torch.nn.Linear(3, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(START))
    average = AveragedModel(model)
    descent = torch.optim.SGD(model.parameters(), 0.3, 0.9)
    optimizer = optim.chain(optim.momentum(0.3), optim.swa(3, 3))
    with jax.enable_x64(True):
        params = {"kernel": jnp.asarray(START)}
        state = optimizer.init(params)
        for step in range(11):
            model.weight.grad = model.weight.detach().clone()
            descent.step()
            if step in (3, 6, 9):
                average.update_parameters(model)
            updates, state = optimizer.update(params, state, params)
            params = optim.apply_updates(params, updates)
            if step == 2:
                np.testing.assert_array_equal(optim.averaged(state, params)["kernel"], params["kernel"])
        want = average.module.weight.detach().numpy()
        agrees.values("optim.swa", "torch", optim.averaged(state, params)["kernel"], want, most=1e-7)  # float32 1 / n


def test_a_schedule_makes_it_the_mean_of_all_parameters(agrees):
    path, velocity = [START], np.zeros_like(START)
    for _ in range(7):
        velocity = 0.9 * velocity + path[-1]
        path.append(path[-1] - 0.3 * velocity)
    compare(agrees, "swa", "closed form", swa, np.mean(path[1:], 0))  # torch holds 1 / n in float32


def test_sixteen_bits_are_averaged_in_float32():
    params, state = run(0.999, steps=3, dtype=jnp.bfloat16)
    assert params["dense"]["kernel"].dtype == optim.averaged(state, params)["dense"]["kernel"].dtype == jnp.bfloat16
    assert state[-1].average["dense"]["kernel"].dtype == jnp.float32
    # One step of decay 0.999 is less than a bfloat16 can tell, and is there all the same.
    assert (state[-1].average["dense"]["kernel"] != run(0.999, 2, jnp.bfloat16)[1][-1].average["dense"]["kernel"]).all()


def test_the_first_average_is_the_first_parameters():
    params, state = run(0.9, steps=1)
    np.testing.assert_array_equal(optim.averaged(state, params)["dense"]["kernel"], params["dense"]["kernel"])


def test_what_holds_no_average_is_refused():
    params = {"p": jnp.ones(2)}
    with pytest.raises(TreeError, match="holds 0 averages, not one; put average_params in the chain"):
        optim.averaged(optim.adam(0.1).init(params), params)
    both = optim.chain(optim.average_params(0.9), optim.average_params(0.99))
    with pytest.raises(TreeError, match="holds 2 averages"):
        optim.averaged(both.init(params), params)
    with pytest.raises(TypeError, match="needs the parameters"):
        optim.average_params().update(params, optim.average_params().init(params))
    with pytest.raises(ValueError, match="decay must lie in"):
        optim.average_params(1.5)


def test_targets_follow_as_in_optax(agrees):
    optax = pytest.importorskip("optax")
    new, old = {"p": jnp.asarray([1.0, -2.0])}, {"p": jnp.asarray([0.0, 5.0])}
    agrees.values(
        "optim.incremental_update",
        "optax",
        optim.incremental_update(old, new, 0.1),
        optax.incremental_update(new, old, 0.1),
    )
    for step in range(5):
        found, wanted = optim.periodic_update(old, new, step, 3), optax.periodic_update(new, old, jnp.asarray(step), 3)
        agrees.values("optim.periodic_update", "optax", found, wanted)
    half = optim.incremental_update({"p": jnp.ones(2, jnp.bfloat16)}, new, jnp.asarray(0.5))
    assert half["p"].dtype == jnp.bfloat16
    with pytest.raises(TreeError, match="target"):
        optim.incremental_update(old, {"q": jnp.ones(2)}, 0.1)


def test_an_average_forgets_its_start(agrees):
    decay = optim.rising_decay(0.9)
    wanted = [min(0.9, (1 + k) / (10 + k)) for k in range(100)]
    agrees.values("optim.rising_decay", "closed form", jax.vmap(decay)(jnp.arange(100)), np.array(wanted, "f"))
