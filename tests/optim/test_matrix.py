"""Optimizers that see matrices: singular values, what is refused, who goes where, and layers in a stack."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import ShapeError, TreeError

MATRIX = np.random.default_rng(0).standard_normal((5, 3))
PARAMS = {"blocks": {"kernel": jnp.ones((4, 5, 3)), "bias": jnp.ones((4, 3))}, "head": {"kernel": jnp.ones((3, 2))}}


def once(transform, updates, params=None):
    params = updates if params is None else params
    return transform.update(updates, transform.init(params), params)[0]


def random_like(tree, seed=0):
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda p: jnp.asarray(random.standard_normal(p.shape), p.dtype), tree)


def follow(transform, params, gradients, view=lambda updates, state: updates):
    """What view shows after each of the gradients, a tree with a leading axis of steps."""

    def step(state, gradient):
        updates, state = transform.update(gradient, state, params)
        return state, view(updates, state)

    return jax.jit(lambda state: jax.lax.scan(step, state, gradients)[1])(transform.init(params))


def polar(matrix):
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    return u @ v


def test_newton_schulz_is_its_polynomial_of_the_singular_values(agrees):
    def polynomial(matrix):
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        s = s / np.linalg.norm(s)
        for _ in range(5):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        return (u * s) @ v

    with jax.enable_x64(True):
        for matrix in (MATRIX, MATRIX.T):
            found = optim.newton_schulz(jnp.asarray(matrix), eps=0.0)
            agrees.values("optim.newton_schulz", "singular values", found, polynomial(matrix))


def test_newton_schulz_with_the_converging_coefficients_is_the_polar_factor(agrees):
    with jax.enable_x64(True):
        found = optim.newton_schulz(jnp.asarray(MATRIX), 40, (2.0, -1.5, 0.5))
        agrees.values("optim.newton_schulz, converged", "polar factor", found, polar(MATRIX))


def test_newton_schulz_takes_stacks_and_keeps_zeros_and_bfloat16():
    stack = jnp.asarray(np.random.default_rng(1).standard_normal((2, 3, 4, 6)), jnp.float32)
    alone = jnp.stack([jnp.stack([optim.newton_schulz(m) for m in row]) for row in stack])
    np.testing.assert_allclose(optim.newton_schulz(stack), alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(optim.newton_schulz(jnp.zeros((3, 2))), 0)
    assert optim.newton_schulz(stack.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("shape", [(8, 8), (40, 10), (10, 40)])
def test_muons_updates_have_singular_values_near_one(shape):
    matrix = np.random.default_rng(2).standard_normal(shape)
    update = once(optim.scale_by_muon(), {"kernel": jnp.asarray(matrix, jnp.float32)})["kernel"]
    values = np.linalg.svd(update, compute_uv=False) / max(1, shape[1] / shape[0]) ** 0.5
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_muon_reads_a_convolution_as_a_matrix():
    kernel = random_like({"kernel": jnp.zeros((3, 3, 2, 7))})
    flat = {"kernel": kernel["kernel"].reshape(18, 7)}
    found, wanted = once(optim.scale_by_muon(), kernel), once(optim.scale_by_muon(), flat)
    np.testing.assert_array_equal(found["kernel"].reshape(18, 7), wanted["kernel"])


@pytest.mark.parametrize(
    "make",
    [
        lambda **how: optim.scale_by_muon(**how),
        lambda **how: optim.scale_by_lmo({"**": optim.spectral_lmo()}, **how),
        lambda **how: optim.scale_by_shampoo(**how),
        lambda **how: optim.scale_by_soap(every=2, **how),
    ],
    ids=["muon", "lmo", "shampoo", "soap"],
)
def test_layers_in_a_stack_are_layers_alone(make):
    gradients = np.random.default_rng(3).standard_normal((4, 2, 5, 3)).astype("f")

    def run(transform, gradients):
        return follow(transform, {"kernel": jnp.zeros(gradients.shape[1:])}, {"kernel": jnp.asarray(gradients)})[
            "kernel"
        ]

    together = run(make(stacked="kernel"), gradients)
    for layer in range(2):
        np.testing.assert_allclose(together[:, layer], run(make(), gradients[:, layer]), rtol=2e-3, atol=2e-4)


def test_kron_learns_a_factor_for_each_layer_of_a_stack():
    state = optim.scale_by_kron(stacked="blocks/kernel", limit=4).init(PARAMS)
    assert [q.shape for q in state.factors["blocks"]["kernel"]] == [(4, 5), (4, 3, 3)]
    assert [q.shape for q in state.factors["head"]["kernel"]] == [(3, 3), (2, 2)]


def test_muon_refuses_vectors_by_name():
    with pytest.raises(ShapeError, match=r"'head/bias' is float32\[2\]; only an array of two axes"):
        optim.scale_by_muon().init({"head": {"bias": jnp.ones(2)}})
    with pytest.raises(ShapeError, match=r"'blocks/bias'.*beside its axis of layers"):
        optim.scale_by_muon(stacked="blocks/*").init(PARAMS)


def test_muon_says_who_goes_where():
    optimizer = optim.muon(0.1, where=["blocks/kernel"], stacked="**", rest=optim.adam(0.5))
    lines = optim.group_table(optimizer, PARAMS).splitlines()
    assert ["chain(scale_by_muon(" in line for line in lines] == [False, True, False]
    assert ["adam(learning_rate=0.5)" in line for line in lines] == [True, False, True]
    assert "'**': adam(learning_rate=0.5)" in repr(optimizer)
    with pytest.raises(TreeError, match="no pattern matches 'blocks/bias'"):
        optim.muon(rest=None).init(PARAMS)


def test_muon_is_torchs_up_to_its_bfloat16():
    """torch iterates in bfloat16, so the paths part slowly; the shape factors differ by far more than the tolerance."""
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    gradients = np.random.default_rng(4).standard_normal((20, 6, 24)).astype("f")  # kernels: (in, out)
    for adjust in ("original", "match_rms_adamw"):
        weight = torch.nn.Parameter(torch.ones(24, 6))
        theirs = torch.optim.Muon([weight], lr=0.02, weight_decay=0.1, adjust_lr_fn=adjust)
        optimizer = optim.muon(0.02, weight_decay=0.1, adjust=adjust, rest=None)
        params = {"kernel": jnp.ones((6, 24))}
        state = optimizer.init(params)
        for gradient in gradients:
            weight.grad = torch.tensor(gradient.T)
            theirs.step()
            updates, state = optimizer.update({"kernel": jnp.asarray(gradient)}, state, params)
            params = optim.apply_updates(params, updates)
        wanted = weight.detach().numpy().T
        moved = np.abs(wanted - 1).max()
        assert np.abs(np.asarray(params["kernel"]) - wanted).max() < 0.03 * moved


def test_shampoos_first_step_is_the_polar_factor(agrees):
    with jax.enable_x64(True):
        square = np.random.default_rng(5).standard_normal((4, 4))
        found = once(optim.scale_by_shampoo(eps=0.0), {"kernel": jnp.asarray(square)})["kernel"]
        agrees.values("optim.shampoo, first step", "polar factor", found, polar(square))


@pytest.mark.parametrize("root", [1, 2, 4, 3])
def test_an_inverse_root_is_that_of_scipy(root, agrees):
    linalg = pytest.importorskip("scipy.linalg")
    a = np.random.default_rng(0).standard_normal((5, 4))
    spd = a.T @ a + 0.1 * np.eye(4)
    with jax.enable_x64(True):
        found = np.asarray(optim.inverse_root(jnp.asarray(spd), root, 1e-3))
    wanted = linalg.fractional_matrix_power(spd + 1e-3 * np.eye(4), -1 / root)
    agrees.values("optim.inverse_root", "scipy.linalg.fractional_matrix_power", found, wanted)


def test_low_rank_takes_the_shorter_side_and_keeps_a_gradient_of_low_rank():
    """What has the rank that is kept passes through unchanged, whichever side is shorter, and as a convolution."""
    rng = np.random.default_rng(0)
    for shape in [(6, 4), (4, 6), (2, 3, 2, 5)]:
        rows, columns = np.prod(shape[:-1]), shape[-1]
        g = rng.standard_normal((rows, 2)) @ rng.standard_normal((2, columns))
        tree = {"kernel": jnp.asarray(g.reshape(shape), "float32"), "bias": jnp.ones(3)}
        kept = optim.low_rank(optim.chain(), 2, size=0.5)
        state = kept.init(tree)
        assert state.axes["kernel"].shape == (min(rows, columns), 2)
        found, _ = kept.update(tree, state, tree)
        np.testing.assert_allclose(found["kernel"], 0.5 * tree["kernel"], atol=1e-5)
        np.testing.assert_array_equal(found["bias"], tree["bias"])
    with pytest.raises(ShapeError, match="'bias'"):
        optim.low_rank(optim.chain(), 2, where="bias").init(tree)
    decay = optim.low_rank(optim.add_weight_decay(0.1), 2)
    with pytest.raises(TypeError, match="needs the parameters"):
        decay.update(tree, decay.init(tree), tree)


def test_shampoo_of_vectors_and_numbers_is_adagrad():
    params, gradients = ({"bias": jnp.ones((*n, 3)), "temperature": jnp.ones(n)} for n in ((), (5,)))
    gradients = random_like(gradients)
    found = follow(optim.scale_by_shampoo(eps=1e-12, every=3), params, gradients)
    wanted = follow(optim.scale_by_adagrad(eps=0.0), params, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, wanted)


def test_shampoo_renews_its_roots_as_rarely_as_told():
    gradients = random_like({"kernel": jnp.ones((7, 3, 2))})
    first_root = lambda updates, state: state.roots["kernel"][0]
    roots = follow(optim.scale_by_shampoo(every=3), {"kernel": jnp.ones((3, 2))}, gradients, first_root)
    assert [bool((a != b).any()) for a, b in pairwise(roots)] == [False, False, True, False, False, True]


def test_shampoo_has_a_factor_for_each_axis_of_a_tensor():
    """Three axes: the sixth root of each; on a diagonal tensor of one entry per index it is g / |g|."""
    tensor = np.zeros((3, 3, 3))
    tensor[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = [0.5, -2.0, 7.0]
    with jax.enable_x64(True):
        found = once(optim.scale_by_shampoo(eps=0.0), {"kernel": jnp.asarray(tensor)})["kernel"]
    np.testing.assert_allclose(found, np.sign(tensor), atol=1e-12)


def test_soap_without_matrices_is_adam():
    params, gradients = ({"kernel": jnp.ones((*n, 3, 2)), "bias": jnp.ones((*n, 4))} for n in ((), (6,)))
    gradients = random_like(gradients)
    found = follow(optim.scale_by_soap(0.9, 0.99, limit=1), params, gradients)
    wanted = follow(optim.scale_by_adam(0.9, 0.99), params, jax.tree.map(lambda g: g[1:], gradients))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1:], b, rtol=1e-5), found, wanted
    )  # the first sets the basis


def test_soap_skips_its_first_step_or_makes_it_adams():
    gradients = random_like({"kernel": jnp.ones((3, 2))})
    np.testing.assert_array_equal(once(optim.scale_by_soap(), gradients)["kernel"], 0)
    found = once(optim.scale_by_soap(skip_first=False), gradients)["kernel"]
    np.testing.assert_allclose(found, np.sign(gradients["kernel"]), rtol=1e-5)


def test_kron_makes_gradients_white():
    """E[P g g^T P] is near the identity once the factors have learnt a fixed covariance."""
    mix = jnp.asarray(np.diag([3.0, 0.3, 1.0]) @ np.linalg.qr(MATRIX[:3])[0], jnp.float32)
    kron = optim.scale_by_kron(0.0, probability=1.0, rate=0.05)
    gradients = {"kernel": jnp.einsum("ij,njk->nik", mix, jax.random.normal(jax.random.key(0), (3000, 3, 2)))}
    updates = follow(kron, {"kernel": jnp.zeros((3, 2))}, gradients)["kernel"]
    white = jnp.einsum("nij,nkj->ik", updates[1500:], updates[1500:]) / (1500 * 2)
    np.testing.assert_allclose(white, np.eye(3), atol=0.35)


def test_kron_learns_as_often_as_told_and_the_same_for_the_same_seed():
    params, gradients = {"kernel": jnp.ones((3, 2))}, random_like({"kernel": jnp.ones((6, 3, 2))})

    def factors(**how):
        view = lambda updates, state: state.factors["kernel"][0]
        return np.asarray(follow(optim.scale_by_kron(**how), params, gradients, view))

    np.testing.assert_array_equal(factors(probability=0.0), np.broadcast_to(np.eye(3), (6, 3, 3)))
    np.testing.assert_array_equal(factors(seed=1), factors(seed=1))
    assert (factors(seed=1) != factors(seed=2)).any()
    moved = (np.diff(factors(probability=0.5), axis=0) != 0).any((1, 2))
    assert moved.any()
    assert not moved.all()


def test_the_probability_of_kron_falls_from_its_flat_start():
    value = optim.falling_probability()
    found = [float(value(step)) for step in (0, 250, 1250, 10_000)]
    np.testing.assert_allclose(found, [1.0, 1.0, np.exp(-1), 0.03], rtol=1e-5)


def test_constrained_scion_stays_in_its_balls():
    """Started inside, the entries of a sign ball never exceed radius / in."""
    scion, params = optim.scion(0.3, {"**": optim.sign_lmo(6.0)}), {"kernel": jnp.zeros((3, 2))}
    state = scion.init(params)
    for _ in range(30):
        updates, state = scion.update({"kernel": jnp.full((3, 2), -9.0)}, state, params)
        params = optim.apply_updates(params, updates)
    np.testing.assert_allclose(params["kernel"], 2.0, rtol=1e-4)
    assert float(jnp.max(params["kernel"])) <= 2.0 * (1 + 1e-6)


def test_the_oracle_of_a_convolution_counts_its_window_and_channels():
    kernel = jnp.asarray(np.random.default_rng(6).standard_normal((2, 2, 5, 3)), jnp.float32)
    point = optim.spectral_lmo(7.0, steps=40, coefficients=(2.0, -1.5, 0.5))(kernel)
    wanted = polar(np.asarray(kernel, float).reshape(20, 3)) * 7.0 * (3 / 5) ** 0.5 / 4
    np.testing.assert_allclose(point.reshape(20, 3), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.orthogonalize(adjust="none"), "adjust must be"),
        (lambda: optim.orthogonalize(coefficients=(1.0, 2.0)), "three numbers"),
        (lambda: optim.orthogonalize(-1), "steps"),
        (lambda: optim.scale_by_shampoo(every=0), "every"),
        (lambda: optim.scale_by_shampoo(decay=1.0), "decay"),
        (lambda: optim.scale_by_soap(b2=1.0), "b2"),
        (lambda: optim.scale_by_kron(probability=1.5), "probability"),
        (lambda: optim.scale_by_kron(rate=2.0), "rate"),
        (lambda: optim.spectral_lmo(-1.0), "radius"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_pattern_of_stacked_that_means_nothing_is_an_error():
    for make in (optim.scale_by_muon, optim.scale_by_shampoo, optim.scale_by_soap, optim.scale_by_kron):
        with pytest.raises(TreeError, match="matches nothing"):
            make(stacked="layers/**").init({"kernel": jnp.ones((3, 2))})
    with pytest.raises(TreeError, match="no pattern matches 'bias'"):
        optim.scale_by_lmo({"kernel": optim.spectral_lmo()}).init({"bias": jnp.ones(2)})
