"""Learning-rate-free optimizers and wrappers against optax; what they promise, and what is said about bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.train import TrainState, make_train_step
from tests.optim.papers.learning_rate_free import PAPERS, result
from tests.optim.problem import ours


def theirs(optimizer, view=lambda params, opt_state: params):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return ours(optimizer, view)


def opaque(optax):
    """SAM takes the second gradient by an argument of its own."""
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
    inner = optax.contrib.sam(optax.sgd(1e-3, 0.9), ascent, opaque_mode=True)

    def update(updates, state, params, *, value_fn, **extras):
        return inner.update(updates, state, params, grad_fn=lambda params, step: jax.grad(value_fn)(params))

    return optim.Transform(inner.init, update)


def evaluated(optax):
    return lambda params, opt_state: optax.contrib.schedule_free_eval_params(opt_state, params)


# eps = 1e-30 for Prodigy: optax measures it by the new estimate, the paper by the old.  Weight decay of MoMo differs:
# optax leaves the step itself undivided.  Mechanic differs in its start, its clip and its reward.
OPTAX = {
    "dog": lambda o: (optim.dog(), o.contrib.dog()),
    "scale_by_dog": lambda o: (
        optim.chain(optim.scale_by_dog(0.1, relative=False), optim.sgd(1.0)),
        o.contrib.dog(init_step=("distance", 0.1)),
    ),
    "dowg": lambda o: (optim.dowg(eps=1e-4), o.contrib.dowg()),
    "scale_by_dowg": lambda o: (
        optim.chain(optim.scale_by_dowg(0.1, 1e-3), optim.sgd(1.0)),
        o.contrib.dowg(init_estim_sq_dist=0.01, eps=1e-3),
    ),
    "dadapt_adamw": lambda o: (
        optim.dadapt_adamw(weight_decay=0.1, where="**", correct_bias=True, last_unit=True),
        o.contrib.dadapt_adamw(weight_decay=0.1),
    ),
    "prodigy": lambda o: (
        optim.prodigy(weight_decay=0.1, where="**", eps=1e-30, coefficient=0.5, correct_bias=True),
        o.contrib.prodigy(weight_decay=0.1, eps=1e-30, estim_lr_coef=0.5),
    ),
    "momo": lambda o: (optim.momo(0.02, lower_bound=-3.0), o.contrib.momo(0.02, lower_bound=-3.0)),
    "momo, bound": lambda o: (
        optim.momo(0.02, lower_bound=-20.0, estimate_bound=True),
        o.contrib.momo(0.02, lower_bound=-20.0, adapt_lower_bound=True),
    ),
    "momo_adam": lambda o: (
        optim.momo_adam(0.05, lower_bound=-20.0, estimate_bound=True),
        o.contrib.momo_adam(0.05, lower_bound=-20.0, adapt_lower_bound=True),
    ),
    "polyak_sgd": lambda o: (optim.polyak_sgd(0.015, -3.0), o.polyak_sgd(0.015, f_min=-3.0, variant="sps+")),
    "cocob": lambda o: (optim.cocob(), o.contrib.cocob()),
    "schedule_free": lambda o: (
        optim.schedule_free(optim.sgd(5e-3), 2.0, 0.95),
        o.contrib.schedule_free(o.sgd(5e-3), 2.0, 0.95),
        (result, evaluated(o)),
    ),
    "schedule_free_sgd": lambda o: (
        optim.schedule_free_sgd(5e-3),
        o.contrib.schedule_free_sgd(5e-3),
        (result, evaluated(o)),
    ),
    "schedule_free_adamw": lambda o: (
        optim.schedule_free_adamw(5e-3, weight_decay=0.1),
        o.contrib.schedule_free_adamw(5e-3, weight_decay=0.1),
        (result, evaluated(o)),
    ),
    "sam": lambda o: (optim.sam(optim.sgd(1e-3, 0.9)), opaque(o)),
}


@pytest.mark.parametrize("name", OPTAX)
def test_follows_optax(agrees, name):
    optax = pytest.importorskip("optax")
    mine, other, *views = OPTAX[name](optax)
    view, other_view = views[0] if views else ((lambda params, state: params),) * 2
    agrees.values(f"optim.{name}", "optax", ours(mine, view), theirs(other, other_view))


@pytest.mark.parametrize("name", ["mechanic", "lookahead", "asam", "swa", "polynomial average"])
def test_follows_the_paper(agrees, name):
    optimizer, transcription, *view = PAPERS[name]()
    agrees.values(f"optim.{name.replace(' ', '_')}", "paper", ours(optimizer, *view), np.array(list(transcription)))


PARAMS = {"dense": {"kernel": jnp.asarray([[1.0, -2.0]]), "bias": jnp.asarray([0.5, 0.25])}}
AVERAGING = [
    optim.chain(optim.sgd(0.1), optim.average_params()),
    optim.schedule_free_sgd(),
    optim.chain(optim.schedule_free_adamw()),
    optim.lookahead(optim.adam()),
]


@pytest.mark.parametrize("optimizer", AVERAGING, ids=str)
def test_before_the_first_step_the_average_is_the_first_parameters(optimizer):
    found = optim.averaged(optimizer.init(PARAMS), PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=3e-7), found, PARAMS)


@pytest.mark.parametrize("make", [optim.schedule_free_sgd, optim.schedule_free_adamw])
def test_schedule_free_takes_its_rate_from_step_0_on(make):
    """The first z has the whole weight of the average; a rate of 0 moves nothing and makes no NaN."""
    rates = optim.piecewise([0.0, 0.25, 0.125], [1, 2])
    optimizer, params = make(rates), PARAMS
    state = optimizer.init(params)
    for step in range(3):
        grads = jax.tree.map(jnp.ones_like, params)
        updates, state = optimizer.update(grads, state, params)
        params = optim.apply_updates(params, updates)
        moved = [0.0, 0.25, 0.8 * 0.25 + 0.2 * 0.375][step]
        found = optim.averaged(state, params)
        jax.tree.map(lambda a, b, m=moved: np.testing.assert_allclose(a, b - m, atol=1e-5), found, PARAMS)


NEED_PARAMETERS = [optim.dog(), optim.dowg(), optim.dadapt_adamw(), optim.prodigy(), optim.mechanic(optim.sgd(1.0))]
NEED_PARAMETERS += [optim.cocob(), optim.momo(), optim.schedule_free_sgd(), optim.lookahead(optim.sgd(1.0))]
OTHERS = [optim.polyak_sgd(), optim.momo_adam(), optim.sam(optim.sgd(0.1)), optim.asam(optim.sgd(0.1))]


@pytest.mark.parametrize("optimizer", [*NEED_PARAMETERS, *OTHERS], ids=str)
def test_without_a_gradient_nothing_moves(optimizer):
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(3):
        zeros = jax.tree.map(jnp.zeros_like, params)
        nothing = {"value": jnp.ones(()), "value_fn": lambda params: jnp.ones(())}
        updates, state = optimizer.update(zeros, state, params, **nothing)
        params = optim.apply_updates(params, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, PARAMS)


@pytest.mark.parametrize("optimizer", [optim.momo(), optim.polyak_sgd(), optim.asam(optim.sgd(0.1))], ids=str)
def test_the_train_step_passes_what_they_read(optimizer):
    def loss_fn(params, state, batch, key):
        return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)), (state, {})

    params = jax.tree.map(jnp.array, PARAMS)
    step = make_train_step(loss_fn, optimizer)
    state = TrainState(jnp.zeros((), jnp.int32), jax.random.key(0), params, {}, optimizer.init(params))
    losses = []
    for _ in range(5):
        state, metrics = step(state, jnp.zeros(()))
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.5 * losses[0]


def test_the_inner_optimizer_sees_the_gradient_of_the_worse_point():
    square = lambda params: jnp.sum(jnp.square(params["p"])) / 2
    params = {"p": jnp.asarray([3.0, 4.0])}
    optimizer = optim.sam(optim.sgd(1.0), 5.0)
    updates, _ = optimizer.update(params, optimizer.init(params), params, value_fn=square)
    np.testing.assert_allclose(updates["p"], [-6.0, -8.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.dog(initial=-1.0), "initial must lie in"),
        (lambda: optim.dadapt_adamw(b2=1.0), "b2 must lie in"),
        (lambda: optim.prodigy(b3=1.0), "b3 must lie in"),
        (lambda: optim.mechanic(optim.sgd(1.0), (0.9, 1.0)), "betas must lie in"),
        (lambda: optim.cocob(eps=0.0), "eps must lie in"),
        (lambda: optim.momo(-1.0), "learning_rate must lie in"),
        (lambda: optim.schedule_free(optim.sgd(1.0), b1=0.0), "b1 must lie in"),
        (lambda: optim.lookahead(optim.sgd(1.0), 0), "every must be a whole number"),
        (lambda: optim.sam(optim.sgd(1.0), -1.0), "rho must lie in"),
        (lambda: optim.swa(-1), "start must be a whole number"),
        (lambda: optim.polynomial_average(-1.0), "power must lie in"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("optimizer", NEED_PARAMETERS, ids=str)
def test_missing_parameters_are_said(optimizer):
    with pytest.raises(TypeError, match="needs the parameters"):
        optimizer.update(PARAMS, optimizer.init(PARAMS), value=jnp.ones(()))


def test_a_missing_loss_is_said():
    for optimizer, wanted in [(optim.momo(), "value=loss"), (optim.sam(optim.sgd(0.1)), "value_fn=function")]:
        with pytest.raises(TypeError, match=wanted):
            optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
