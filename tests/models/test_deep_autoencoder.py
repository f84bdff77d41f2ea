"""The unrolled net is its stack of RBMs; a linear autoencoder finds the principal components."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, losses, models, nn, optim, train, tree


def test_the_unrolled_net_goes_up_and_down_the_stack():
    stack = models.rbm_stack(8, 6, 4, 2, top=models.GAUSSIAN)
    params = [rbm.init(jax.random.key(i))[0] for i, rbm in enumerate(stack)]
    params = [
        own | {"visible": own["visible"] + 0.1 * i, "hidden": own["hidden"] - 0.2} for i, own in enumerate(params)
    ]
    net = models.deep_autoencoder(8, 6, 4, 2)
    v = jnp.asarray(np.random.default_rng(0).random((5, 8)), "float32")
    h = v
    for rbm, own in zip(stack, params):
        h = rbm.mean_hidden(own, h)
    code, _ = net.part("encoder").apply(models.unrolled(params)["encoder"], {}, v)
    np.testing.assert_allclose(code, h, rtol=1e-4, atol=1e-6)
    for rbm, own in zip(stack[::-1], params[::-1]):
        h = rbm.mean_visible(own, h)
    logits = net.apply(models.unrolled(params), net.init(jax.random.key(0))[1], v)[0]
    np.testing.assert_allclose(nn.sigmoid(logits), h, rtol=1e-5)


def test_the_papers_net_has_its_size():
    net = models.deep_autoencoder(784, 1000, 500, 250, 30)
    assert tree.count(jax.eval_shape(net.init, jax.random.key(0))[0]) == 2_837_314
    with pytest.raises(ValueError, match="sizes of its input"):
        models.deep_autoencoder(784)


def test_a_linear_autoencoder_spans_the_principal_components():
    """Baldi & Hornik 1989: the only minimum of squared error is the space of the largest components."""
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((80, 10)) * np.linspace(3, 0.3, 10) @ rng.standard_normal((10, 10))
    x = x - x.mean(0)
    net = nn.serial(nn.dense(10, 3, use_bias=False), nn.dense(3, 10, use_bias=False))

    def loss_fn(params, state, v, key):
        again, state = net.apply(params, state, v)
        return losses.squared_error(again, v).mean(), (state, {})

    with jax.enable_x64(True):
        optimizer = optim.lbfgs()
        init = lambda key: (tree.cast(net.init(key)[0], "float64"), {})
        step, state = train.make_train_step(loss_fn, optimizer), train.init_state(init, optimizer)
        state, log = train.run(step, state, data.shuffled(x, 80), 150)
        found = np.asarray(state.params["dense_1"]["kernel"]).T
        pca = models.fit_pca(jnp.asarray(x), 3)
    assert linalg.subspace_angles(found, np.asarray(pca.components).T).max() < 1e-3
    assert log["loss"][-1] == pytest.approx(np.square(np.linalg.svd(x)[1][3:]).sum() / x.size, rel=1e-6)
