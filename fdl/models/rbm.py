"""Restricted Boltzmann machines: two layers of units, each bound to all of the other layer and to none of its own.

    E(v, h) = base(v) + base(h) - a·v - b·h - v W h        p(v, h) = exp(-E) / Z

Given one layer the units of the other are independent, so whole layers are drawn at once.
Smolensky 1986; Hinton 2002, https://doi.org/10.1162/089976602760128018
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.models.units import BINARY, UnitKind
from fdl.nn import Initializer, normal

Params = dict[str, jax.Array]
SMALL = normal(0.01)


@dataclass(frozen=True)
class RBM:
    """Sizes and kinds of the two layers.  params: kernel W (visible, hidden), visible a (visible,), hidden b (hidden,).

    Methods take v (..., visible) and h (..., hidden).  Raises ShapeError for other widths.
    """

    visible: int
    hidden: int
    visible_units: UnitKind = BINARY
    hidden_units: UnitKind = BINARY
    kernel_init: Initializer = SMALL

    def init(self, key: jax.Array) -> tuple[Params, dict[str, Any]]:
        """Fresh (params, state), as from a layer; there is no state."""
        kernel = self.kernel_init(key, (self.visible, self.hidden))
        return {"kernel": kernel, "visible": jnp.zeros(self.visible), "hidden": jnp.zeros(self.hidden)}, {}

    def hidden_field(self, params: Params, v: jax.Array) -> jax.Array:
        """Total input of the hidden units, b + v W.  (..., visible) -> (..., hidden)"""
        require_shape(v, ..., self.visible, name="visible units")
        inputs = v @ params["kernel"]
        return inputs + jnp.broadcast_to(params["hidden"], inputs.shape)

    def visible_field(self, params: Params, h: jax.Array) -> jax.Array:
        """Total input of the visible units, a + h Wᵀ.  (..., hidden) -> (..., visible)"""
        require_shape(h, ..., self.hidden, name="hidden units")
        inputs = h @ params["kernel"].T
        return inputs + jnp.broadcast_to(params["visible"], inputs.shape)

    def energy(self, params: Params, v: jax.Array, h: jax.Array) -> jax.Array:
        """E(v, h).  (..., visible), (..., hidden) -> (...,)"""
        apart = self.visible_units.base(v) + self.hidden_units.base(h) - v @ params["visible"]
        return apart - (self.hidden_field(params, v) * h).sum(-1)

    def free_energy(self, params: Params, v: jax.Array) -> jax.Array:
        """-log Σ over h of exp(-E(v, h)), so that p(v) = exp(-F(v)) / Z.  (..., visible) -> (...,)"""
        summed_out = self.hidden_units.log_normaliser(self.hidden_field(params, v))
        return self.visible_units.base(v) - v @ params["visible"] - summed_out

    def mean_hidden(self, params: Params, v: jax.Array) -> jax.Array:
        """Means of the hidden units given v: probabilities if they are binary.  (..., visible) -> (..., hidden)"""
        return self.hidden_units.mean(self.hidden_field(params, v))

    def mean_visible(self, params: Params, h: jax.Array) -> jax.Array:
        """Means of the visible units given h.  (..., hidden) -> (..., visible)"""
        return self.visible_units.mean(self.visible_field(params, h))

    def sample_hidden(self, params: Params, v: jax.Array, key: jax.Array) -> jax.Array:
        """Hidden units drawn given v.  (..., visible) -> (..., hidden)"""
        return self.hidden_units.sample(key, self.hidden_field(params, v))

    def sample_visible(self, params: Params, h: jax.Array, key: jax.Array) -> jax.Array:
        """Visible units drawn given h.  (..., hidden) -> (..., visible)"""
        return self.visible_units.sample(key, self.visible_field(params, h))

    def gibbs(self, params: Params, v: jax.Array, key: jax.Array, steps: int = 1) -> jax.Array:
        """v after so many times drawing h given v and v given h.  (..., visible) -> same shape"""

        def sweep(v, key):
            up, down = jax.random.split(key)
            return self.sample_visible(params, self.sample_hidden(params, v, up), down), None

        return jax.lax.scan(sweep, v, jax.random.split(key, steps))[0]

    def transposed(self, params: Params) -> tuple["RBM", Params]:
        """The same machine with its layers exchanged, and its parameters: its free energy is that of hidden states."""
        other = RBM(self.hidden, self.visible, self.hidden_units, self.visible_units, self.kernel_init)
        return other, {"kernel": params["kernel"].T, "visible": params["hidden"], "hidden": params["visible"]}


def label_scores(rbm: RBM, params: Params, v: jax.Array, labels: int) -> jax.Array:
    """log p(v, label) up to a constant, where the last `labels` visible units are a label and v holds the others.

    (batch, visible - labels) -> logits (batch, labels).  Larochelle & Bengio 2008,
    https://doi.org/10.1145/1390156.1390224
    """
    require_shape(v, None, rbm.visible - labels, name="visible units but for the label")

    def score(label):
        shown = jnp.broadcast_to(label, (len(v), labels))
        return -rbm.free_energy(params, jnp.concatenate([v, shown], -1))

    return jax.lax.map(score, jnp.eye(labels, dtype=v.dtype)).T
