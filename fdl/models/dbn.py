"""Deep belief nets: RBMs trained one upon the other, then all layers together by the up-down algorithm.

Each RBM learns the hidden units of the one below as its data.  The top one stays undirected, an associative memory;
below it the net is directed, and the weights that recognise on the way up part from those that generate on the way
down.  Hinton, Osindero & Teh 2006, https://doi.org/10.1162/neco.2006.18.7.1527
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp

from fdl.losses import binary_cross_entropy
from fdl.models.contrastive_divergence import contrast
from fdl.models.rbm import RBM, Params
from fdl.models.units import BINARY, UnitKind
from fdl.nn import Initializer, normal, sigmoid

Fit = Callable[[RBM, jax.Array], Params]


def rbm_stack(*dims: int, top: UnitKind = BINARY, kernel_init: Initializer = normal(0.1)) -> list[RBM]:
    """An RBM for each two neighbouring sizes, of binary units; the last one's hidden units are of the kind `top`."""
    kinds = [*[BINARY] * (len(dims) - 2), top]
    return [RBM(a, b, hidden_units=kind, kernel_init=kernel_init) for (a, b), kind in zip(pairwise(dims), kinds)]


def greedy(rbms: Sequence[RBM], examples: jax.Array, fit: Fit) -> list[Params]:
    """Train a stack: fit(rbm, examples) -> params for each, whose mean hidden units are the examples of the next.

    examples (n, visible of the first).  Raises ValueError where an RBM does not stand on the one below.
    """
    for below, above in pairwise(rbms):
        if above.visible != below.hidden:
            raise ValueError(f"each RBM must see the hidden units of the one below, got {above} on {below}")
    found = [fit(rbms[0], examples)]
    for below, above in pairwise(rbms):
        examples = mean_up([below], found[-1:], examples)
        found.append(fit(above, examples))
    return found


def mean_up(rbms: Sequence[RBM], params: Sequence[Params], examples: jax.Array, batch: int = 1000) -> jax.Array:
    """The means of the topmost hidden units, features, a batch at a time.  (n, visible) -> (n, hidden of the last)"""

    def up(v):
        for rbm, own in zip(rbms, params):
            v = rbm.mean_hidden(own, v)
        return v

    return jax.lax.map(up, examples, batch_size=batch)


def recognition(params: Sequence[Params]) -> list[Params]:
    """The way up a stack, as kernels and biases of dense layers, the lowest first."""
    return [{"kernel": own["kernel"], "bias": own["hidden"]} for own in params]


def generation(params: Sequence[Params]) -> list[Params]:
    """The way down a stack, as kernels and biases of dense layers, the lowest first."""
    return [{"kernel": own["kernel"].T, "bias": own["visible"]} for own in params]


def untied(params: Sequence[Params], top: Params) -> dict:
    """Parameters for `up_down`: those of the stack below for recognition and for generation, and the top RBM's."""
    name = lambda layers: {f"layer_{i}": layer for i, layer in enumerate(layers)}
    return {"recognition": name(recognition(params)), "generation": name(generation(params)), "top": top}


def up_down(top: RBM, steps: int = 3) -> Callable:
    """The loss of the up-down algorithm, a contrastive wake-sleep, for binary units and `untied` parameters.

    batch: {"v": (batch, visible), "label": one-hot (batch, labels)}; the label is the end of what the top RBM sees.
    Awake, each layer drawn on the way up teaches the weights that generate the one below; the top RBM makes `steps`
    sweeps; asleep, each layer drawn on the way down teaches the weights that recognise the one above.
    """

    def loss_fn(params, state, batch, key):
        recognise, generate = _in_order(params["recognition"]), _in_order(params["generation"])
        up, chain, down = jax.random.split(key, 3)
        *awake, features = _drawn(recognise, batch["v"], up)
        seen = jnp.concatenate([features, batch["label"]], -1)
        fantasies = top.gibbs(params["top"], seen, chain, steps)
        asleep = _drawn(generate[::-1], fantasies[:, : features.shape[-1]], down)[::-1]
        wake = _surprise(generate, [*awake[1:], features], awake)
        sleep = _surprise(recognise, asleep[:-1], asleep[1:])
        associate = contrast(top, params["top"], seen, fantasies)
        return wake + sleep + associate, (state, {"wake": wake, "sleep": sleep})

    return loss_fn


def recognised(params: dict, v: jax.Array) -> jax.Array:
    """The mean features that `untied` parameters recognise.  (..., visible) -> (..., features)"""
    for layer in _in_order(params["recognition"]):
        v = sigmoid(_field(layer, v))
    return v


def _in_order(layers: dict[str, Params]) -> list[Params]:
    return [layers[f"layer_{i}"] for i in range(len(layers))]


def _drawn(layers: list[Params], x: jax.Array, key: jax.Array) -> list[jax.Array]:
    """x, and what each layer in turn draws given the one before."""
    found = [x]
    for layer, own in zip(layers, jax.random.split(key, len(layers))):
        found.append(jax.lax.stop_gradient(BINARY.sample(own, _field(layer, found[-1]))))
    return found


def _surprise(layers: list[Params], inputs: list[jax.Array], targets: list[jax.Array]) -> jax.Array:
    """Cross-entropy of what each layer expects of its target, given its input: the delta rule for each."""
    each = [binary_cross_entropy(_field(layer, x), y).sum(-1).mean() for layer, x, y in zip(layers, inputs, targets)]
    return jnp.stack(each).sum()


def _field(layer: Params, x: jax.Array) -> jax.Array:
    inputs = x @ layer["kernel"]
    return inputs + jnp.broadcast_to(layer["bias"], inputs.shape)
