"""Output layers with their losses: the gradient p - t, the formulas composed, what is refused."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import DtypeError, ShapeError

RNG = np.random.default_rng(0)
LOGITS, TARGETS = RNG.normal(0, 3, (6, 5)), np.eye(5)[RNG.integers(0, 5, 6)]
PAIRS = {"linear": "squared_error", "sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}
OTHERS = [pair for pair in itertools.product(PAIRS, PAIRS.values()) if pair not in PAIRS.items()]
OUTPUTS = {
    "linear": lambda torch, z: z,
    "sigmoid": lambda torch, z: torch.sigmoid(z),
    "softmax": lambda torch, z: torch.softmax(z, -1),
}
FORMULAS = {
    "squared_error": lambda torch, p, t: ((p - t) ** 2).sum(-1) / 2,
    "binary_cross_entropy": lambda torch, p, t: -(t * torch.log(p) + (1 - t) * torch.log1p(-p)).sum(-1),
    "cross_entropy": lambda torch, p, t: -(t * torch.log(p)).sum(-1),
}


@pytest.mark.parametrize(("output", "loss"), [*PAIRS.items(), *(pair for pair in OTHERS if pair[0] != "linear")])
def test_it_is_the_composed_formula_in_float64(agrees, output, loss):
    torch = pytest.importorskip("torch")
    composed = lambda z, t: FORMULAS[loss](torch, OUTPUTS[output](torch, z), t)
    ours = losses.paired(output, loss, force=PAIRS[output] != loss)
    agrees.torch(
        f"losses.paired, {output} with {loss}",
        lambda z: ours(z, TARGETS.astype(z.dtype)),
        lambda z: composed(z, torch.tensor(TARGETS, dtype=z.dtype)),
        LOGITS,
        dtypes=("float64",),
    )


@pytest.mark.parametrize(("output", "loss"), PAIRS.items())
def test_the_gradient_at_the_logits_is_output_minus_target_over_the_batch(output, loss):
    of = losses.paired(output, loss)
    gradient = jax.grad(lambda z: of(z, TARGETS.astype("f")).mean())(jnp.asarray(LOGITS, jnp.float32))
    e = np.exp(LOGITS)
    p = {"linear": LOGITS, "sigmoid": e / (1 + e), "softmax": e / e.sum(-1, keepdims=True)}[output]
    np.testing.assert_allclose(gradient, (p - TARGETS) / 6, atol=1e-7)


def test_a_sigmoid_is_a_softmax_of_two_and_class_numbers_are_one_hot():
    with jax.enable_x64(True):
        x = jnp.linspace(-30.0, 30.0, 61)
        two = losses.paired("softmax", "cross_entropy")(jnp.stack([jnp.zeros_like(x), x], -1), jnp.ones(61, int))
        one = losses.paired("sigmoid", "binary_cross_entropy")(x[:, None], jnp.ones((61, 1)))
        np.testing.assert_allclose(one, two, atol=1e-13)
        of = losses.paired("softmax", "cross_entropy")
        np.testing.assert_allclose(of(LOGITS, TARGETS.argmax(-1)), of(LOGITS, TARGETS), rtol=1e-14)


def test_forced_pairs_are_finite_where_they_are_sure():
    logits, targets = jnp.array([[1e4, -1e4, 0.0]]), jnp.array([[0.0, 1.0, 0.0]])
    for output, loss in OTHERS:
        if output != "linear":
            value, slope = jax.value_and_grad(lambda z, of=losses.paired(output, loss, force=True): of(z, targets)[0])(
                logits
            )
            assert jnp.isfinite(value), (output, loss)
            assert jnp.isfinite(slope).all(), (output, loss)


@pytest.mark.parametrize(("output", "loss"), OTHERS)
def test_what_does_not_belong_together_is_refused(output, loss):
    if output == "linear":
        for force in (False, True):
            with pytest.raises(ValueError, match="a linear output is no probability"):
                losses.paired(output, loss, force=force)
    else:
        with pytest.raises(ValueError, match=f"{output} belongs with {PAIRS[output]}, not with {loss}.*force=True"):
            losses.paired(output, loss)


def test_unknown_names_and_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match="output must be one of linear, sigmoid, softmax, got 'relu'"):
        losses.paired("relu", "squared_error")
    with pytest.raises(ValueError, match="loss must be one of squared_error, binary_cross_entropy, cross_entropy"):
        losses.paired("linear", "mse")
    with pytest.raises(ShapeError, match=r"of two classes by one logit they are \(batch, 1\)"):
        losses.paired("sigmoid", "binary_cross_entropy")(jnp.zeros(()), jnp.zeros(()))
    with pytest.raises(ShapeError, match="the softmax of one logit is always 1"):
        losses.paired("softmax", "squared_error", force=True)(jnp.zeros((2, 1)), jnp.zeros((2, 1)))
    with pytest.raises(DtypeError, match="target must be floating point"):
        losses.paired("sigmoid", "binary_cross_entropy")(jnp.zeros((2, 1)), jnp.zeros((2, 1), int))
