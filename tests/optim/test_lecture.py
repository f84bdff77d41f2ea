"""Where the lecture's formula differs from the paper's, line by line: both are here, and differ as predicted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from tests.optim.problem import ours, worst
from tests.optim.test_papers import rmsprop_momentum, settled


def first(optimizer, gradient, steps=1):
    """The updates that a constant gradient makes at the first few steps."""
    params = {"kernel": jnp.zeros_like(gradient)}
    state, updates = optimizer.init(params), []
    for _ in range(steps):
        update, state = optimizer.update({"kernel": gradient}, state, params)
        updates.append(np.asarray(update["kernel"]))
    return np.array(updates)


def cosine(a, b):
    return np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)


def test_adams_floor_is_the_root_of_delta_in_the_lecture_and_delta_in_the_paper():
    tiny = jnp.asarray([1e-13], jnp.float32)
    lecture = first(optim.scale_by_adam(eps=1e-8, eps_in_root=True), tiny)
    paper = first(optim.scale_by_adam(eps=1e-8), tiny)
    assert lecture == pytest.approx(1e-9, rel=1e-4)
    assert paper == pytest.approx(1e-5, rel=1e-4)
    assert paper / lecture == pytest.approx(1e4, rel=1e-4)


@pytest.mark.parametrize("size", [1e-4, 1e-7, 1e-10])
def test_the_ratio_of_adams_forms_is_what_delta_says(size):
    """paper / lecture = sqrt(g^2 + delta) / (g + delta): 1 at common gradients, 10^4 at vanishing ones."""
    gradient = jnp.asarray([size], jnp.float32)
    ratio = first(optim.scale_by_adam(), gradient) / first(optim.scale_by_adam(eps_in_root=True), gradient)
    assert ratio == pytest.approx(np.sqrt(size**2 + 1e-8) / (size + 1e-8), rel=1e-4)


def test_adams_two_forms_agree_at_common_gradients():
    common = jnp.asarray([0.3, -2.0])
    lecture = first(optim.scale_by_adam(eps_in_root=True), common, 10)
    np.testing.assert_allclose(lecture, first(optim.scale_by_adam(), common, 10), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
def test_adam_of_the_lecture_is_optax_with_eps_root(size):
    optax = pytest.importorskip("optax")
    gradient = size * jnp.asarray([0.3, -2.0])
    lecture = first(optim.adam(0.1, eps=1e-8, eps_in_root=True), gradient, 20)
    with jax.numpy_dtype_promotion("standard"):
        theirs = first(optax.adam(0.1, eps=0.0, eps_root=1e-8), gradient, 20)
    np.testing.assert_allclose(lecture, theirs, rtol=1e-4)


def test_accelerating_momentum_is_polyaks_at_a_constant_rate():
    gradient = jnp.asarray([1.0, -3.0])
    np.testing.assert_allclose(
        first(optim.sgd(0.1, 0.9), gradient, 20), first(optim.momentum(0.1, 0.9), gradient, 20), rtol=1e-6
    )


def test_accelerating_momentum_differs_from_polyaks_under_a_schedule():
    gradient, falling = jnp.asarray([1.0]), optim.step_decay(1.0, 0.1, 1)
    lecture = first(optim.sgd(falling, 0.5), gradient, 2)[:, 0]
    polyak = first(optim.momentum(falling, 0.5), gradient, 2)[:, 0]
    np.testing.assert_allclose(lecture, [-1.0, -0.1 * 1.5], rtol=1e-6)
    np.testing.assert_allclose(polyak, [-1.0, -0.5 - 0.1], rtol=1e-6)


def test_average_momentum_is_accelerating_momentum_at_a_smaller_rate():
    gradient = jnp.asarray([1.0, -3.0])
    average = first(optim.sgd(0.5, 0.9, average=True), gradient, 20)
    np.testing.assert_allclose(average, first(optim.sgd(0.5 * (1 - 0.9), 0.9), gradient, 20), rtol=1e-5)


def test_average_momentum_damps_the_first_gradient_and_torch_does_not():
    torch = pytest.importorskip("torch")
    theta = torch.zeros(1, requires_grad=True)
    theta.grad = torch.ones(1)
    torch.optim.SGD([theta], lr=1.0, momentum=0.9, dampening=0.9).step()
    assert theta.item() == -1.0
    assert first(optim.sgd(1.0, 0.9, average=True), jnp.ones(1)) == pytest.approx(-0.1)


def test_rmsprop_momentum_is_the_box_to_twelve_digits():
    wanted = np.array(list(rmsprop_momentum(1e-3, 0.9, 0.9)))
    assert worst(ours(optim.rmsprop_momentum(1e-3), settled(0.9)), wanted) < 1e-12


def test_optax_holds_the_interim_point_of_the_box_and_not_its_parameters():
    """What optax calls the parameters is theta + alpha v; the change of variable theta = p - alpha v leads back."""
    optax = pytest.importorskip("optax")
    theirs = optax.rmsprop(1e-3, decay=0.9, eps=0.0, momentum=0.9, nesterov=True)
    velocity = lambda state: optax.tree.get(state, "trace")
    with jax.numpy_dtype_promotion("standard"):
        held = ours(theirs)
        back = ours(theirs, lambda params, state: optim.base_point(params, velocity(state), 0.9))
    box = np.array(list(rmsprop_momentum(1e-3, 0.9, 0.9)))
    assert worst(held, box) > 1e-4
    assert worst(back, box) < 1e-10


def test_rmsprop_momentum_has_no_bias_correction():
    epsilon, rho, alpha = 1e-3, 0.9, 0.8
    params = {"kernel": jnp.zeros(2)}
    optimizer = optim.rmsprop_momentum(epsilon, alpha, rho)
    updates, state = optimizer.update({"kernel": jnp.asarray([7.0, -1e-4])}, optimizer.init(params), params)
    theta = optim.base_point(updates, state[-1].velocity, alpha)["kernel"]
    np.testing.assert_allclose(theta, [-epsilon / (1 - rho) ** 0.5, epsilon / (1 - rho) ** 0.5], rtol=1e-5)
    np.testing.assert_allclose(updates["kernel"], (1 + alpha) * theta, rtol=1e-5)


def test_rmsprop_momentum_stands_still_where_no_gradient_ever_came():
    moved = first(optim.rmsprop_momentum(1e-3), jnp.asarray([0.0, 1.0]), 5)
    assert np.all(moved[:, 0] == 0)
    assert np.all(moved[:, 1] < 0)


def test_rmsprop_momentum_with_unit_squares_is_nesterov():
    params = {"kernel": jnp.asarray([1.0, -2.0])}
    box = optim.rmsprop_momentum(0.1, 0.9, decay=1 - 2**-50)
    square, *rest = box.init(params)
    box_state = (square._replace(square={"kernel": jnp.ones(2)}), *rest)
    plain = optim.nesterov(0.1, 0.9)
    plain_state = plain.init(params)
    for k in range(10):
        grads = {"kernel": jnp.asarray([np.sin(k), 3.0 * np.cos(k)], jnp.float32)}
        box_updates, box_state = box.update(grads, box_state, params)
        plain_updates, plain_state = plain.update(grads, plain_state, params)
        np.testing.assert_allclose(box_updates["kernel"], plain_updates["kernel"], rtol=1e-6)


def test_rmsprop_momentum_is_not_rmsprop_with_plain_momentum():
    gradient = jnp.asarray([1.0])
    plain = optim.chain(optim.scale_by_rmsprop(eps=0.0), optim.scale_by_learning_rate(0.1), optim.accumulate(0.9))
    assert first(optim.rmsprop_momentum(0.1), gradient) == pytest.approx(1.9 * first(plain, gradient))


def test_clipping_by_value_turns_the_gradient_and_by_norm_does_not():
    gradient = jnp.asarray([3.0, 0.4])
    value, norm = first(optim.clip_by_value(), gradient)[0], first(optim.clip_by_global_norm(1.0), gradient)[0]
    np.testing.assert_allclose(value, [1.0, 0.4])
    assert cosine(value, gradient) == pytest.approx((3.0 + 0.16) / np.hypot(3, 0.4) / np.hypot(1, 0.4))
    assert cosine(norm, gradient) == pytest.approx(1.0)
    assert np.linalg.norm(norm) == pytest.approx(1.0)


@pytest.mark.parametrize("power", [0.5, 0.51, 1.0, 1.01])
def test_robbins_monro_wants_a_power_above_one_half_and_up_to_one(power):
    family = optim.inverse_time(0.1, 10.0, power)
    assert optim.satisfies_robbins_monro(family) == (0.5 < power <= 1)
    assert optim.satisfies_robbins_monro(optim.warmup(family, 5)) == (0.5 < power <= 1)


OTHERS = [
    0.1,
    optim.constant(0.1),
    optim.cosine(0.1, 10),
    optim.step_decay(1.0, 0.5, 10),
    optim.exponential(1.0, 0.9),
    optim.inverse_time(0.0),
    lambda step: 1 / (1 + step),
]


@pytest.mark.parametrize("other", OTHERS)
def test_robbins_monro_is_not_known_of_others(other):
    assert not optim.satisfies_robbins_monro(other)
