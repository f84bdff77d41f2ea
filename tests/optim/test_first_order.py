"""First-order optimizers against torch and optax, and where theory says what they do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import TreeError
from tests.optim.problem import START, STEPS, gradient, ours


def two_arrays(x):
    return {"kernel": x[:6].reshape(3, 2), "bias": x[6:]}


def torch_path(kind, read=lambda optimizer, parts: parts, **arguments):
    """The path of a torch optimizer on the two arrays, or of what read shows of its state."""
    torch = pytest.importorskip("torch")
    parts = [torch.tensor(part, requires_grad=True) for part in two_arrays(START).values()]
    optimizer = getattr(torch.optim, kind)(parts, **arguments)
    join = lambda tensors: np.concatenate([tensor.detach().numpy().ravel() for tensor in tensors])
    path = []
    for t in range(STEPS):
        for part, own in zip(parts, two_arrays(gradient(join(parts), t)).values()):
            part.grad = torch.tensor(own)
        optimizer.step()
        path.append(join(read(optimizer, parts)))
    return np.array(path)


def test_adafactor_is_torchs(agrees):
    path = torch_path("Adafactor", lr=0.05, eps=(1e-30, 1e-3))
    agrees.values("optim.adafactor", "torch", ours(optim.adafactor(optim.relative_step(0.05))), path)


@pytest.fixture
def double_torch():
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("double_torch")  # torch keeps the rate of ASGD in its default type
@pytest.mark.parametrize("part", ["parameters", "mean"])
def test_asgd_is_torchs(agrees, part):
    mean = lambda optimizer, parts: [optimizer.state[part]["ax"] for part in parts]
    read = (mean,) if part == "mean" else ()
    path = torch_path("ASGD", *read, lr=5e-3, lambd=0.1, alpha=0.6, t0=300)
    optimizer = optim.asgd(5e-3, weight_decay=0.1, power=0.6, start=300)
    view = (lambda params, opt_state: optim.averaged(opt_state, params),) if part == "mean" else ()
    agrees.values(f"optim.asgd, {part}", "torch", ours(optimizer, *view), path)


@pytest.mark.usefixtures("double_torch")  # torch keeps the product of the momenta in its default type
def test_nadam_is_torchs(agrees):
    agrees.values("optim.nadam", "torch", ours(optim.nadam(1e-2)), torch_path("NAdam", lr=1e-2))
    settings = {"weight_decay": 0.1, "momentum_decay": 0.1}
    path = torch_path("NAdam", lr=1e-2, decoupled_weight_decay=True, **settings)
    agrees.values("optim.nadamw", "torch", ours(optim.nadamw(1e-2, where="**", **settings)), path)


OPTAX = {
    "adam": lambda o: (optim.adam(1e-2), o.adam(1e-2)),
    "adam, lecture": lambda o: (optim.adam(1e-2, eps_in_root=True), o.adam(1e-2, eps=0.0, eps_root=1e-8)),
    "adamw": lambda o: (optim.adamw(1e-2, where="**"), o.adamw(1e-2, weight_decay=1e-2)),
    "rmsprop": lambda o: (optim.rmsprop(1e-2, eps=1e-4), o.rmsprop(1e-2, decay=0.9, eps=1e-4)),
    "rmsprop, outside": lambda o: (
        optim.rmsprop(1e-2, eps=1e-2, eps_in_root=False),
        o.rmsprop(1e-2, decay=0.9, eps=1e-2, eps_in_sqrt=False),
    ),
    "rmsprop_momentum, at the interim point": lambda o: (
        optim.rmsprop_momentum(1e-3),
        o.rmsprop(1e-3, decay=0.9, eps=0.0, momentum=0.9, nesterov=True),
    ),
    "adamax": lambda o: (optim.adamax(1e-2), o.adamax(1e-2)),
    "nadam": lambda o: (optim.nadam(1e-2, momentum_decay=None), o.nadam(1e-2)),
    "radam": lambda o: (optim.radam(1e-2, eps=0.0), o.radam(1e-2, eps=0.0)),
    "adabelief": lambda o: (optim.adabelief(1e-2, eps=1e-8), o.adabelief(1e-2, eps=1e-8, eps_root=1e-8)),
    "yogi": lambda o: (
        optim.yogi(1e-2, initial=0.0, correct_bias=True),
        o.chain(o.scale_by_yogi(initial_accumulator_value=0.0), o.scale(-1e-2)),
    ),
    "optimistic_adam": lambda o: (optim.optimistic_adam(1e-2), o.optimistic_adam_v2(1e-2, nesterov=False)),
    "scale_by_param_norm": lambda o: (
        optim.chain(optim.scale_by_param_norm(), optim.sgd(1e-3)),
        o.chain(o.scale_by_param_block_norm(), o.sgd(1e-3)),
    ),
    "running_mean": lambda o: (
        optim.chain(optim.running_mean(0.95), optim.sgd(1e-3)),
        o.chain(o.ema(0.95), o.sgd(1e-3)),
    ),
    "scale_by_squares": lambda o: (
        optim.chain(optim.scale_by_squares(0.99), optim.sgd(1e-3)),
        o.chain(o.scale_by_rms(0.99, eps_in_sqrt=False, bias_correction=True), o.sgd(1e-3)),
    ),
    "scale_by": lambda o: (
        optim.chain(optim.scale_by(optim.inverse_time(2.0, 50)), optim.sgd(1e-3)),
        o.chain(o.scale_by_schedule(lambda t: 2.0 / (1 + t / 50)), o.sgd(1e-3)),
    ),
    "adopt": lambda o: (optim.adopt(1e-2), o.contrib.adopt(1e-2)),
    "ademamix": lambda o: (optim.ademamix(1e-3, where="**"), o.contrib.ademamix(1e-3, weight_decay=1e-2)),
    "simplified_ademamix": lambda o: (
        optim.simplified_ademamix(1e-4, alpha=9.0, where="**"),
        o.contrib.simplified_ademamix(1e-4, alpha=9.0, weight_decay=1e-2),
    ),
    "lion": lambda o: (optim.lion(1e-3, where="**"), o.lion(1e-3, weight_decay=0.1)),
    "sign_sgd": lambda o: (optim.sign_sgd(1e-3), o.sign_sgd(1e-3)),
    "lamb": lambda o: (
        optim.lamb(1e-3, where="**"),
        o.lamb(1e-3, weight_decay=1e-2, eps_root=0.0),
    ),
    "lars, measured by the sum": lambda o: (
        optim.chain(
            optim.add_weight_decay(0.1, "**"),
            optim.scale_by_trust_ratio(0.3, where="**"),
            optim.scale_by_learning_rate(1e-3),
            optim.accumulate(0.9),
        ),
        o.lars(1e-3, weight_decay=0.1, trust_coefficient=0.3),
    ),
    "novograd": lambda o: (
        optim.novograd(1e-3, b1=0.9, b2=0.25, eps=1e-6, weight_decay=0.1, where="**"),
        o.novograd(1e-3, b1=0.9, b2=0.25, eps=1e-6, weight_decay=0.1),
    ),
    "madgrad": lambda o: (optim.madgrad(1e-2), o.contrib.madgrad(1e-2 - 1e-6)),
    "fromage": lambda o: (optim.fromage(1e-2), o.fromage(1e-2, min_norm=0.0)),
    "sm3": lambda o: (optim.sm3(0.1), o.chain(o.scale_by_sm3(eps=0.0), o.scale(-0.1))),
}


@pytest.mark.parametrize("name", OPTAX)
def test_follows_optax(agrees, name):
    own, theirs = OPTAX[name](pytest.importorskip("optax"))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        path = ours(theirs)
    # optax takes the root of the step in float32, and the value of the schedule.
    most = {"madgrad": 1e-6, "scale_by": 1e-7}.get(name)
    agrees.values(f"optim.{name}", "optax", ours(own), path, most=most)


def test_the_diagonal_is_exact_where_the_hessian_is_diagonal(agrees):
    f = lambda tree: sum(jnp.sum(c * jnp.cos(x)) for c, x in zip((2.0, 3.0), jax.tree.leaves(tree)))
    params = {"a": jnp.linspace(0, 1, 5), "b": jnp.ones((2, 3), jnp.bfloat16)}
    found = optim.hessian_diagonal(f, {"a": params["a"]}, jax.random.key(0))
    agrees.values("optim.hessian_diagonal", "closed form", found, {"a": -2 * np.cos(np.linspace(0, 1, 5))})
    g = lambda tree: jnp.sum(tree["a"] ** 2) + jnp.sum(tree["b"].astype("f") ** 2)
    mixed = optim.hessian_diagonal(g, params, jax.random.key(0))
    assert {name: leaf.dtype.name for name, leaf in mixed.items()} == {"a": "float32", "b": "float32"}
    np.testing.assert_array_equal(mixed["b"], np.full((2, 3), 2.0))


@pytest.mark.parametrize("normal", [False, True])
def test_the_diagonal_is_right_in_the_mean(normal):
    matrix = np.array([[2.0, 0.5, 0.3], [0.5, -1.0, 0.2], [0.3, 0.2, 0.5]], "f")
    f = lambda x: 0.5 * x @ jnp.asarray(matrix) @ x
    found = optim.hessian_diagonal(f, jnp.ones(3), jax.random.key(1), samples=20_000, normal=normal)
    np.testing.assert_allclose(found, np.diag(matrix), atol=0.06)
    one = lambda key: optim.hessian_diagonal(f, jnp.ones(3), key, samples=1, normal=normal)
    assert not np.array_equal(one(jax.random.key(2)), one(jax.random.key(3)))


def stepped(optimizer, params, grads, **extras):
    updates, state = optimizer.update(grads, optimizer.init(params), params, **extras)
    return updates, state


def test_sophia_steps_by_the_sign_where_the_loss_curves_down():
    f = lambda x: jnp.sum(jnp.asarray([-3.0, 4.0]) * x**2 / 2)
    params = jnp.asarray([1.0, 1.0])
    optimizer = optim.scale_by_sophia(gamma=1.0, normal=False)
    updates, state = stepped(optimizer, params, jax.grad(f)(params), value=f(params), grad=None, value_fn=f)
    np.testing.assert_allclose(state.curvature, [-0.03, 0.04], rtol=1e-5)
    np.testing.assert_allclose(updates, [-1.0, 1.0])


def test_sophia_draws_anew_and_by_its_seed():
    f = lambda x: jnp.sum(jnp.asarray([1.0, 2.0]) * x**2)
    params = jnp.ones(2)
    extras = {"value": f(params), "grad": None, "value_fn": f}

    def curvatures(seed):
        optimizer = optim.scale_by_sophia(every=2, seed=seed)
        state, seen = optimizer.init(params), []
        for _ in range(4):
            state = optimizer.update(jax.grad(f)(params), state, params, **extras)[1]
            seen.append(np.asarray(state.curvature))
        return seen

    first, held, fresh, _ = curvatures(0)
    np.testing.assert_array_equal(first, held)
    ratio = lambda now, before: (now - 0.99 * before) / 0.01
    assert not np.allclose(ratio(fresh, held), ratio(first, 0 * first))
    np.testing.assert_array_equal(first, curvatures(0)[0])
    assert not np.array_equal(first, curvatures(1)[0])


def test_adahessian_averages_over_the_window_of_a_kernel():
    curvature = np.arange(1.0, 25.0, dtype="f").reshape(2, 3, 2, 2)
    f = lambda tree: 0.5 * sum(jnp.sum(jnp.asarray(curvature) * leaf**2) for leaf in jax.tree.leaves(tree))
    params = {"conv": jnp.ones((2, 3, 2, 2)), "dense": jnp.ones((2, 3, 2, 2))}
    grads = jax.grad(f)(params)
    optimizer = optim.scale_by_adahessian(eps=0.0, spatial="conv")
    updates, _ = stepped(optimizer, params, grads, value=f(params), grad=grads, value_fn=f)
    wanted = np.broadcast_to(curvature.mean((0, 1)), curvature.shape)
    np.testing.assert_allclose(updates["conv"], curvature / wanted, rtol=1e-5)
    np.testing.assert_allclose(updates["dense"], np.ones_like(curvature), rtol=1e-5)


def test_radam_counts_squares_without_cancellation_in_float32():
    """With b2 = 0.9999 five squares count as 4.9996 in step 5: no rectified step yet."""
    optimizer = optim.scale_by_radam(b2=0.9999)
    params = jnp.zeros(1)
    state, seen = optimizer.init(params), []
    for _ in range(6):
        updates, state = optimizer.update(jnp.full(1, 3.0), state, params)
        seen.append(float(updates[0]))
    np.testing.assert_allclose(seen[:5], 3.0, rtol=1e-6)
    t, b2 = 6.0, np.float64(0.9999)
    far = 2 / (1 - b2) - 1
    rho = far - 2 * t * b2**t / (1 - b2**t)
    wanted = np.sqrt((rho - 4) * (rho - 2) * far / ((far - 4) * (far - 2) * rho))
    np.testing.assert_allclose(seen[5], wanted, rtol=1e-5)


def test_cautious_leaves_only_steps_downhill():
    gradient = jnp.asarray([1.0, -1.0, 2.0, 0.0, 3.0])
    inner = optim.chain(optim.stateless(lambda updates, params: jnp.asarray([1.0, 1.0, 1.0, 1.0, -1.0])))
    updates, _ = stepped(optim.cautious(inner, xi=0.5), jnp.zeros(5), gradient)
    np.testing.assert_allclose(updates, np.array([1.0, 0, 1.0, 0, 0]) * 5 / 2.5)
    nothing, _ = stepped(optim.cautious(inner, xi=0.0), jnp.zeros(5), jnp.zeros(5))
    np.testing.assert_array_equal(nothing, np.zeros(5))


def test_tangential_keeps_the_norm_to_first_order():
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(rng.standard_normal((4, 3)), "float32")}
    grads = {"kernel": jnp.asarray(rng.standard_normal((4, 3)), "float32")}
    updates, _ = stepped(optim.tangential(optim.scale_by_adam(), delta=2.0), params, grads)
    np.testing.assert_allclose(jnp.sum(updates["kernel"] * params["kernel"], 0), np.zeros(3), atol=1e-6)


def test_a_parameter_without_gradient_does_not_move():
    params = {"kernel": jnp.ones((2, 2))}
    still = {"kernel": jnp.zeros((2, 2))}
    optimizers = [
        optim.adamax(eps=0.0),
        optim.nadam(eps=0.0),
        optim.radam(eps=0.0),
        optim.amsgrad(eps=0.0),
        optim.adabelief(eps=0.0),
        optim.yogi(eps=0.0, initial=0.0),
        optim.adan(eps=0.0, weight_decay=0.0),
        optim.adopt(),
        optim.ademamix(eps=0.0, weight_decay=0.0),
        optim.lars(0.1, weight_decay=0.0),
        optim.lamb(weight_decay=0.0),
        optim.novograd(eps=0.0, weight_decay=0.0),
        optim.adafactor(),
        optim.sm3(),
        optim.adam_mini(eps=0.0, weight_decay=0.0),
        optim.madgrad(eps=0.0),
        optim.adamp(eps=0.0),
        optim.rmsprop(0.1, eps=0.0, centered=True),
        optim.laprop(eps=0.0),
        optim.acprop(eps=0.0),
        optim.larc(0.1, weight_decay=0.0),
        optim.adamuon(weight_decay=0.0, rest=None),
    ]
    for optimizer in optimizers:
        state = optimizer.init(params)
        for _ in range(7):
            updates, state = optimizer.update(still, state, params)
            np.testing.assert_array_equal(updates["kernel"], np.zeros((2, 2)), err_msg=repr(optimizer))


def test_zero_weights_move_as_plain_gradient_descent_under_a_trust_ratio():
    params, grads = {"kernel": jnp.zeros((2, 2))}, {"kernel": jnp.full((2, 2), 3.0)}
    for optimizer in (optim.scale_by_trust_ratio(0.5), optim.scale_by_lars(0.5)):
        np.testing.assert_array_equal(stepped(optimizer, params, grads)[0]["kernel"], grads["kernel"])


def test_half_life_grows_in_a_straight_line(agrees):
    decay = optim.half_life(0.9, 0.999, 8)
    lives = [np.log(0.5) / np.log(float(decay(step))) for step in range(10)]
    ends = np.log(0.5) / np.log(0.9), np.log(0.5) / np.log(0.999)
    wanted = [ends[0] + (ends[1] - ends[0]) * min((step + 1) / 8, 1) for step in range(10)]
    agrees.values("optim.half_life", "closed form", np.array(lives, "f"), np.array(wanted, "f"), most=1e-4)


def test_adafactor_factors_the_last_two_axes_of_a_stack():
    params = {"blocks": jnp.ones((5, 3, 2)), "scale": jnp.ones(4), "temperature": jnp.ones(())}
    state = optim.scale_by_adafactor().init(params)
    assert jax.tree.map(jnp.shape, state.rows) == {"blocks": (5, 3)}
    assert jax.tree.map(jnp.shape, state.columns) == {"blocks": (5, 2)}
    assert jax.tree.map(jnp.shape, state.square) == {"scale": (4,), "temperature": ()}
    grads = jax.tree.map(lambda p: jnp.arange(1.0, 1 + p.size).reshape(p.shape), params)
    together, _ = stepped(optim.scale_by_adafactor(), params, grads)
    alone, _ = stepped(optim.scale_by_adafactor(), params["blocks"][1], grads["blocks"][1])
    np.testing.assert_allclose(together["blocks"][1], alone, rtol=1e-6)


def test_sm3_takes_scalars_and_stacks():
    params = {"blocks": jnp.ones((2, 3, 4)), "temperature": jnp.ones(())}
    grads = jax.tree.map(lambda p: -2 * p, params)
    updates, state = stepped(optim.scale_by_sm3(), params, grads)
    assert [number.shape for number in state.square["blocks"]] == [(2,), (3,), (4,)]
    np.testing.assert_allclose(updates["blocks"], -np.ones((2, 3, 4)))
    np.testing.assert_allclose(updates["temperature"], -1.0)


WRONG = {
    "form": (lambda: optim.rprop(form="rprop"), "form must be one of"),
    "decay": (lambda: optim.scale_by_adamax(b1=1.0), "b1 must lie in"),
    "eps": (lambda: optim.scale_by_adopt(eps=0.0), "eps must lie in"),
    "too short for radam": (lambda: optim.scale_by_radam(b2=0.6), "b2 must lie in"),
    "learning rate of ftrl": (lambda: optim.ftrl(0.0), "learning_rate must lie in"),
    "every": (lambda: optim.scale_by_sophia(every=0), "every must be a whole number"),
    "warmup of schedules": (lambda: optim.ademamix(b3=optim.constant(0.9), warmup=9), "must be numbers"),
    "shrinking half-life": (lambda: optim.half_life(0.9, 0.5, 10), "end must lie in"),
    "high below low": (lambda: optim.scale_by_trust_ratio(low=2.0, high=1.0), "high must lie in"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    make, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        make()


NEED_PARAMETERS = [
    optim.scale_by_trust_ratio(where="**"),
    optim.scale_by_lars(where="**"),
    optim.madgrad(),
    optim.scale_by_param_rms(),
    optim.divide_weights(0.1, 0.1, "**"),
    optim.scale_by_param_norm(),
    optim.scale_by_larc(0.1, where="**"),
    optim.ftrl(),
    optim.tangential(optim.scale_by_adam(), where="**"),
]


@pytest.mark.parametrize("optimizer", NEED_PARAMETERS, ids=repr)
def test_says_that_it_needs_the_parameters(optimizer):
    params = {"kernel": jnp.ones(2)}
    with pytest.raises(TypeError, match="needs the parameters"):
        optimizer.update(params, optimizer.init(params))


def test_patterns_that_match_nothing_are_named():
    for optimizer in (optim.lars(0.1), optim.adamp(), optim.adan(), optim.adam_mini(axes={"**/gain": ()})):
        with pytest.raises(TreeError, match="match"):
            optimizer.init({"scale": jnp.ones(2)})
    with pytest.raises(ValueError, match="'scale', which has 1 axes"):
        optim.scale_by_adam_mini(axes={"**": (1,)}).init({"scale": jnp.ones(2)})


def test_complex_parameters_are_refused():
    for optimizer in (optim.nadam(), optim.lion(), optim.sm3(), optim.madgrad(), optim.adafactor(), optim.sign_sgd()):
        with pytest.raises(TypeError, match="complex"):
            optimizer.init({"kernel": jnp.ones((2, 2), jnp.complex64)})
