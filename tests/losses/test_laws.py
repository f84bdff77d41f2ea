"""Laws that every loss keeps.  A new loss is one line of the list."""

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import DtypeError, ShapeError

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(4, 3, 5))
SIGNS = np.sign(RNG.normal(size=(3, 5)))
POSITIVE = RNG.uniform(0.5, 2.0, (2, 3, 5))
PROBS = RNG.dirichlet(np.ones(5), (2, 3))
BINARY = (SIGNS + 1) / 2
LABELS = np.array([4, 0, 2])
IMAGES = RNG.uniform(size=(2, 3, 4, 5, 2))
CORNERS = np.concatenate([RNG.uniform(0, 2, (2, 3, 2)), RNG.uniform(2, 5, (2, 3, 2))], axis=-1)


@dataclass(frozen=True, eq=False)
class Case:
    """A loss, arrays of 3 examples, options; the shape of the result and, where it is another, of the mask."""

    loss: Any
    arrays: tuple
    shape: tuple = (3,)
    mask: tuple | None = None
    options: Any = None

    def __call__(self, *arrays, **where):
        return self.loss(*arrays, **(self.options or {}), **where)

    def typed(self, dtype):
        return [jnp.asarray(a, dtype) if a.dtype == np.float64 else jnp.asarray(a) for a in self.arrays]


def rows(loss, *arrays, **options):
    return Case(loss, arrays, options=options)


def elements(loss, *arrays, **options):
    return Case(loss, arrays, (3, 5), options=options)


def pixels(loss, shape, **options):
    return Case(loss, tuple(IMAGES), shape, (3, 4, 5), options)


X, Y, Z, _ = NORMAL
CASES = {
    case.loss.__name__: case
    for case in [
        elements(losses.asymmetric_binary_cross_entropy, X, BINARY),
        elements(losses.binary_cross_entropy, X, BINARY),
        elements(losses.binary_focal_cross_entropy, X, BINARY, alpha=0.25),
        rows(losses.cross_entropy, X, LABELS, smoothing=0.1),
        rows(losses.focal_cross_entropy, X, LABELS),
        rows(losses.fused_linear_cross_entropy, X, NORMAL[3].T, LABELS % 3, chunk=2),
        rows(losses.generalized_cross_entropy, X, LABELS),
        rows(losses.negative_log_likelihood, X, LABELS),
        rows(losses.poly_cross_entropy, X, LABELS),
        rows(losses.sparsemax, X, LABELS),
        rows(losses.ctc, np.moveaxis(NORMAL, 1, 0), np.array([[1, 1], [2, 1], [3, 4]])),
        elements(losses.exponential, X, SIGNS),
        elements(losses.hinge, X, SIGNS),
        elements(losses.hinge_embedding, POSITIVE[0], SIGNS),
        elements(losses.margin_ranking, X, Y, SIGNS),
        rows(losses.multiclass_hinge, X, LABELS),
        rows(losses.multilabel_margin, X, SIGNS > 0),
        elements(losses.perceptron, X, SIGNS),
        replace(rows(losses.ranking_softmax, X, POSITIVE[0]), mask=(3, 5)),
        elements(losses.soft_margin, X, SIGNS),
        elements(losses.squared_hinge, X, SIGNS),
        elements(losses.absolute_error, X, Y),
        elements(losses.absolute_percentage_error, X, POSITIVE[0]),
        elements(losses.huber, X, Y),
        elements(losses.log_cosh, X, Y),
        elements(losses.quantile, X, Y, level=0.3),
        elements(losses.smooth_l1, X, Y),
        elements(losses.squared_error, X, Y),
        elements(losses.squared_log_error, *POSITIVE),
        elements(losses.gaussian_nll, X, Y, Z, full=True),
        elements(losses.poisson_nll, X, POSITIVE[0], full=True),
        rows(losses.gaussian_kl, X, Y),
        rows(losses.importance_weighted, X),
        rows(losses.negative_elbo, X[:, 0], Y, Z, beta=0.5),
        elements(losses.gan_discriminator, X, Y),
        elements(losses.gan_generator, X),
        rows(losses.distillation, X, Y, temperature=3.0),
        rows(losses.feature_distillation, X, Y),
        rows(losses.jensen_shannon, *PROBS),
        rows(losses.kl_divergence, np.log(PROBS[0]), PROBS[1]),
        rows(losses.circle, X, LABELS // 3),
        rows(losses.contrastive, X, Y, LABELS > 1, margin=4.0),
        rows(losses.cosine_distance, X, Y),
        rows(losses.cosine_similarity, X, Y),
        rows(losses.info_nce, X, Y),
        rows(losses.large_margin_cosine, X, NORMAL[3].T, LABELS % 3),
        rows(losses.nt_xent, X, Y),
        rows(losses.triplet, X, Y, Z),
        rows(losses.box_ciou, *CORNERS),
        rows(losses.box_diou, *CORNERS),
        rows(losses.box_giou, *CORNERS),
        rows(losses.box_iou, *CORNERS),
        pixels(losses.dice, (3, 2)),
        pixels(losses.generalized_dice, (3,)),
        pixels(losses.tversky, (3, 2), alpha=0.3, beta=0.7),
    ]
}
BAD = {
    "0": lambda x, *_: 0 * x,
    "1e3": lambda x, *_: 1e3 * jnp.sign(x),
    "right": lambda x, *rest: (
        rest[0] if rest and (rest[0].shape, rest[0].dtype) == (x.shape, x.dtype) else x[..., :1] + 0 * x
    ),
}
EXPONENTIAL = {"exponential", "poisson_nll"}  # of what they are given: infinite far off, and so are their gradients
OTHERS = {"gradient_penalty", "masked_mean", "orthogonal_penalty", "paired", "state_penalty", "weight_penalty"}
OTHERS |= {"zero_one"}  # which has no gradient
every_loss = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def free(arrays):
    """The numbers of the arrays that have gradients."""
    return tuple(i for i, a in enumerate(arrays) if jnp.issubdtype(a.dtype, jnp.floating))


def values_and_gradients(case, arrays, **where):
    def total(*arrays):
        values = case(*arrays, **where)
        return jnp.sum(values), values

    return jax.value_and_grad(total, free(arrays), has_aux=True)(*arrays)


def test_every_loss_is_here():
    assert CASES.keys() | OTHERS == set(losses.__all__)


@cache
def compiled(case):
    return jax.jit(partial(values_and_gradients, case))


@every_loss
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_values_and_gradients_are_finite_and_of_the_right_type(case, dtype):
    arrays = case.typed(dtype)
    (_, values), gradients = compiled(case)(arrays)
    assert (values.shape, values.dtype) == (case.shape, jnp.float32)
    assert jnp.isfinite(values).all()
    for number, gradient in zip(free(arrays), gradients):
        assert gradient.dtype == dtype
        assert jnp.isfinite(gradient).all()
        assert (number > 0) | bool(jnp.any(gradient != 0))  # the first argument is what the model says
    np.testing.assert_allclose(case(*arrays), values, rtol=1e-5, atol=1e-6)
    wide = case(*[a.astype(jnp.float32) if a.dtype == jnp.bfloat16 else a for a in arrays])
    np.testing.assert_allclose(values, wide, rtol=1e-5, atol=1e-6)


@every_loss
@pytest.mark.parametrize("point", BAD.values(), ids=BAD)
def test_gradients_at_bad_points_are_finite(case, point):
    """Where roots and norms are 0, predictions right or far off; the loss itself may be infinite far off."""
    arrays = case.typed("float32")
    (_, values), gradients = compiled(case)([point(*arrays), *arrays[1:]])
    sound = lambda x: jnp.isfinite(x) | (case.loss.__name__ in EXPONENTIAL) & jnp.isposinf(jnp.abs(x))
    assert not jnp.isnan(values).any()
    assert all(sound(gradient).all() for gradient in gradients)


@every_loss
def test_a_map_over_batches_is_a_batch_of_losses(case):
    arrays = case.typed("float32")
    stacked = [jnp.stack([a, a[::-1]]) for a in arrays]
    mapped = jax.jit(jax.vmap(case))(*stacked)
    for one, *batch in zip(mapped, *stacked):
        np.testing.assert_allclose(one, case(*batch), rtol=1e-5, atol=1e-6)


@every_loss
def test_what_the_mask_leaves_out_is_zero_whatever_it_holds(case):
    arrays = case.typed("float32")
    shape = case.mask or case.shape
    keep = jnp.broadcast_to(jnp.arange(3).reshape(3, *(1,) * (len(shape) - 1)) != 1, shape)
    spoil = lambda a: a.at[1].set(jnp.nan if jnp.issubdtype(a.dtype, jnp.floating) else jnp.ones((), a.dtype))
    shared = 1 if case.loss in (losses.fused_linear_cross_entropy, losses.large_margin_cosine) else None
    spoilt = [a if i == shared else spoil(a) for i, a in enumerate(arrays)]
    run = jax.jit(lambda arrays, keep: values_and_gradients(case, arrays, where=keep))
    (_, got), gradients = run(spoilt, keep)
    (_, want), wanted = run(arrays, keep)
    np.testing.assert_array_equal(got[1], 0)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    for gradient, other in zip(gradients, wanted):
        np.testing.assert_allclose(gradient, other, rtol=1e-5, atol=1e-6)
    (_, nothing), gradients = run(spoilt, jnp.zeros(shape, bool))
    np.testing.assert_array_equal(nothing, 0)
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0)


@every_loss
def test_wrong_shapes_and_types_are_refused(case):
    arrays = case.typed("float32")
    shape = case.mask or case.shape
    with pytest.raises(ShapeError, match="where must have shape"):
        case(*arrays, where=jnp.ones((*shape, 1), bool))
    with pytest.raises(DtypeError, match="where must be boolean"):
        case(*arrays, where=jnp.ones(shape))
    with pytest.raises(DtypeError, match="must be floating point"):
        case(arrays[0].astype(int), *arrays[1:])
    for number in range(1, len(arrays)):
        with pytest.raises(ShapeError, match="must have shape"):
            case(*arrays[:number], arrays[number][..., None], *arrays[number + 1 :])
