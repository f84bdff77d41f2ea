"""Kronecker factors and K-FAC against NumPy by hand, and where both are exact: the Gauss-Newton matrix itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses, nn, optim, train
from fdl.checks import TreeError
from fdl.inspection import kronecker_factors

X = np.random.default_rng(0).standard_normal((7, 3))
LABEL = np.arange(7) % 2
MLP = nn.serial(nn.dense(3, 4), nn.tanh, nn.dense(4, 2))


def cross_entropy(y):
    return losses.cross_entropy(y, jnp.asarray(LABEL)).mean()


def model_in_64(model):
    params, state = model.init(jax.random.key(0))
    params = jax.tree.map(lambda p: jnp.asarray(np.asarray(p) + 0.1, float), params)
    return params, state


def with_one(x):
    return np.concatenate([x, np.ones((len(x), 1))], 1)


def factors_by_hand(params):
    """Martens & Grosse 2015: A = E[a a^T], G = E[g g^T], where E over targets is J^T H J of each example."""
    first, second = (jax.tree.map(np.asarray, params[name]) for name in ("dense_0", "dense_1"))
    h = np.tanh(X @ first["kernel"] + first["bias"])
    y = h @ second["kernel"] + second["bias"]
    p = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    H = [np.diag(row) - np.outer(row, row) for row in p]
    J = [np.diag(1 - row**2) @ second["kernel"] for row in h]
    G = [np.mean([j @ hessian @ j.T for j, hessian in zip(J, H)], 0), np.mean(H, 0)]
    A = [with_one(a).T @ with_one(a) / 7 for a in (X, h)]
    return {"dense_0": (A[0], G[0]), "dense_1": (A[1], G[1])}


def divided_by_hand(grad, factors, damping):
    """Section 6.3: the damping parted by pi."""
    A, G = factors
    pi = np.sqrt(np.trace(A) / len(A) / (np.trace(G) / len(G)))
    W = np.concatenate([grad["kernel"].reshape(-1, len(G)), grad["bias"][None]])
    left = np.linalg.inv(A + pi * damping**0.5 * np.eye(len(A)))
    W = left @ W @ np.linalg.inv(G + damping**0.5 / pi * np.eye(len(G)))
    return {"kernel": W[:-1].reshape(grad["kernel"].shape), "bias": W[-1]}


def test_factors_and_updates_of_a_network_are_those_by_hand(agrees):
    with jax.enable_x64(True):
        params, state = model_in_64(MLP)
        find = lambda params: kronecker_factors(MLP, params, state, jnp.asarray(X), loss=cross_entropy)
        wanted = factors_by_hand(params)
        agrees.values("inspection.kronecker_factors", "NumPy, K-FAC by hand", jax.jit(find)(params), wanted)

        transform = optim.scale_by_kfac(0.01, decay=0.6, every=2)
        opt_state, update = transform.init(params), jax.jit(lambda *given: transform.update(*given, factors_fn=find))
        running = used = None
        for step in range(4):
            grads = jax.tree.map(lambda p, step=step: jnp.cos(p + step), params)
            updates, opt_state = update(grads, opt_state, params)
            keep, now = min(1 - 1 / (step + 1), 0.6), factors_by_hand(params)
            running = now if running is None else jax.tree.map(lambda a, b, k=keep: k * a + (1 - k) * b, running, now)
            used = running if step % 2 == 0 else used
            hand = {n: divided_by_hand(jax.tree.map(np.asarray, grads[n]), used[n], 0.01) for n in grads}
            agrees.values("optim.scale_by_kfac", "NumPy, K-FAC by hand", updates, hand)
            params = optim.apply_updates(params, jax.tree.map(lambda u: -0.01 * u, updates))


def test_factors_of_a_convolution_are_those_of_its_patches(agrees):
    model = nn.serial(
        nn.conv(2, 3, (2, 3), stride=(1, 2), padding=[(1, 0), (1, 1)]), nn.tanh, nn.flatten, out=nn.dense(24, 2)
    )
    images = np.random.default_rng(1).standard_normal((7, 4, 3, 2))
    with jax.enable_x64(True):
        params, state = model_in_64(model)
        A, G = kronecker_factors(model, params, state, jnp.asarray(images), loss=cross_entropy)["conv_0"]
        padded = np.pad(images, [(0, 0), (1, 0), (1, 1), (0, 0)])
        patches = np.stack([padded[:, i : i + 2, j : j + 3].reshape(7, 12) for i in range(4) for j in (0, 2)], 1)
        rows = with_one(patches.reshape(-1, 12))
        agrees.values("inspection.kronecker_factors, conv", "NumPy, patches", A, rows.T @ rows / 7)

        kernel = params["conv_0"]["kernel"].reshape(12, 3)
        s = jnp.asarray(patches) @ kernel + params["conv_0"]["bias"][None, None]
        rest = lambda s: jnp.tanh(s).ravel() @ params["out"]["kernel"] + params["out"]["bias"]
        J, y = np.asarray(jax.vmap(jax.jacrev(rest))(s)), jax.vmap(rest)(s)
        p = np.asarray(jax.nn.softmax(y))
        G_hand = sum(
            J[n, :, t].T @ (np.diag(p[n]) - np.outer(p[n], p[n])) @ J[n, :, t] for n in range(7) for t in range(8)
        )
        agrees.values("inspection.kronecker_factors, conv", "NumPy, patches", G, G_hand / (7 * 8))


def test_of_one_layer_with_gaussian_outputs_the_step_is_gauss_newtons(agrees):
    """One step from anywhere ends at the least squares."""
    model, target = nn.dense(3, 2), np.random.default_rng(2).standard_normal((7, 2))
    predict = lambda params, state, batch, key: (model.apply(params, state, batch)[0], (state, {}))
    loss = lambda y, batch: 0.5 * jnp.mean(jnp.sum((y - jnp.asarray(target)) ** 2, -1))
    find = lambda params, state, batch, key: kronecker_factors(
        model, params, state, batch, loss=lambda y: loss(y, batch)
    )
    with jax.enable_x64(True):
        optimizer = optim.kfac(1.0, 0.0, damping=1e-24)
        step = train.make_train_step(train.TwoPartLoss(predict, loss, find), optimizer)
        params = model_in_64(model)[0]
        start = train.init_state(lambda key: (params, {}), optimizer)
        found = step(start, jnp.asarray(X))[0].params
        wanted = np.linalg.lstsq(with_one(X), target, rcond=None)[0]
        agrees.values("optim.kfac, one layer", "least squares", found, {"kernel": wanted[:-1], "bias": wanted[-1]})


def test_samples_are_right_on_average():
    with jax.enable_x64(True):
        params, state = model_in_64(MLP)
        how = {"loss": cross_entropy, "samples": 3000, "key": jax.random.key(1)}
        found = kronecker_factors(MLP, params, state, jnp.asarray(X), **how)
        for path, (A, G) in factors_by_hand(params).items():
            np.testing.assert_allclose(found[path][0], A, rtol=1e-10)
            np.testing.assert_allclose(found[path][1], G, atol=0.06 * np.abs(G).max())


def test_layers_in_a_stack_are_layers_alone(agrees):
    stack = nn.serial(nn.repeat(nn.serial(nn.dense(3, 3), nn.tanh), 2), out=nn.dense(3, 2))
    alone = nn.serial(nn.dense(3, 3), nn.tanh, nn.dense(3, 3), nn.tanh, out=nn.dense(3, 2))
    with jax.enable_x64(True):
        params, state = model_in_64(stack)
        rows = params["repeat_0"]["dense_0"]
        flat = {f"dense_{i}": jax.tree.map(lambda leaf, i=i: leaf[i], rows) for i in range(2)} | {"out": params["out"]}
        results = []
        for model, own, stacked in ((stack, params, "repeat_0/**/kernel"), (alone, flat, ())):
            find = lambda params, model=model: kronecker_factors(
                model, params, state, jnp.asarray(X), loss=cross_entropy
            )
            transform = optim.scale_by_kfac(0.1, stacked=stacked)
            results.append(transform.update(own, transform.init(own), own, factors_fn=find)[0])
        both = jax.tree.map(lambda a, b: jnp.stack([a, b]), results[1]["dense_0"], results[1]["dense_1"])
        agrees.values("optim.scale_by_kfac, stacked", "layers alone", results[0]["repeat_0"]["dense_0"], both)


def test_what_has_no_factors_goes_to_another_optimizer():
    """Groups hand the factors on, and a group takes those of its own layers."""
    model = nn.serial(nn.dense(3, 4), nn.layer_norm(4), nn.dense(4, 2))
    params, state = model.init(jax.random.key(0))
    find = lambda params: kronecker_factors(model, params, state, jnp.asarray(X, jnp.float32), loss=cross_entropy)
    layers = {name: params[name] for name in ("dense_0", "dense_1")}
    optimizer = optim.groups({"dense_*/*": optim.scale_by_kfac(), "**": optim.sgd(0.1)})
    found, _ = optimizer.update(params, optimizer.init(params), params, factors_fn=find)
    inner = optim.scale_by_kfac()
    alone, _ = inner.update(layers, inner.init(layers), layers, factors_fn=lambda _: find(params))
    jax.tree.map(np.testing.assert_array_equal, {name: found[name] for name in layers}, alone)
    np.testing.assert_allclose(found["layer_norm_0"]["scale"], -0.1, rtol=1e-6)


def test_it_gets_further_than_gradient_descent():
    """A network on badly scaled inputs, thirty steps."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((64, 3)) * [0.01, 1, 100], jnp.float32)
    label = jnp.asarray(np.asarray(x) @ [100, 1, 0.01] > 0, jnp.int32)
    predict = lambda params, state, batch, key: (MLP.apply(params, state, batch)[0], (state, {}))
    loss = lambda y, batch: losses.cross_entropy(y, label).mean()
    find = lambda params, state, batch, key: kronecker_factors(
        MLP, params, state, batch, loss=lambda y: loss(y, batch), samples=1, key=key
    )

    def end(optimizer, loss_fn):
        step = train.make_train_step(loss_fn, optimizer)
        state = train.init_state(MLP.init, optimizer)
        for _ in range(30):
            state, metrics = step(state, x)
        return float(metrics["loss"])

    plain = min(end(optim.sgd(rate, 0.9), train.TwoPartLoss(predict, loss)) for rate in (0.01, 0.1, 1.0))
    assert end(optim.kfac(0.3, 0.5), train.TwoPartLoss(predict, loss, find)) < 0.8 * plain


def test_wrong_use_is_refused():
    params, state = MLP.init(jax.random.key(0))
    transform = optim.scale_by_kfac()
    with pytest.raises(TypeError, match=r"the loss with its factors: train.TwoPartLoss\(predict, loss, factors\)"):
        transform.update(params, transform.init(params), params)
    with pytest.raises(TreeError, match=r"'norm/scale' is float32\[3\]; only a kernel of two axes or more"):
        transform.init(params | {"norm": {"scale": jnp.ones(3)}})
    with pytest.raises(TreeError, match=r"factors do not fit the optimizer state:\n  dense_0/0: missing"):
        transform.update(params, transform.init(params), params, factors_fn=lambda params: {})
    with pytest.raises(TypeError, match="needs a key to draw its samples"):
        kronecker_factors(MLP, params, state, jnp.ones((7, 3)), loss=cross_entropy, samples=1)
