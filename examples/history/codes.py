"""A local code gives every item a unit of its own; a distributed code describes it by the states of units that it
shares with others.  Three units tell eight items apart, and what is learnt of a unit holds for all items it stands for:
a read-out of one feature, fitted on some of the items, is right for those it never saw.  A local code knows nothing of
an item before it has seen it.

Nobody has to make the code.  The *8-3-8 encoder* must hand eight one-hot patterns through three units; backpropagation
finds a code for them, which `capture` brings to light and a threshold reads.  With a little decay the weights do not
grow to tell apart what lies close together, and the code spreads to the eight corners of the cube.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import losses, nn, optim, train
from fdl.inspection import binary_codes, capture, distinct_codes

RUNS, SWEEPS, DECAY = 50, 4000, 1e-3
ENCODER = nn.serial(
    code=nn.serial(nn.dense(8, 3, kernel_init=nn.uniform(-0.3, 0.3)), nn.sigmoid),
    output=nn.serial(nn.dense(3, 8, kernel_init=nn.uniform(-0.3, 0.3)), nn.sigmoid),
)
PATTERNS = jnp.eye(8)


def encoder(seed: jax.Array, decay: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One net, trained: the share of outputs on their side of ½, and what its code units say of the eight patterns."""

    def loss_fn(params, state, batch, key):
        y, state = ENCODER.apply(params, state, batch)
        error = 0.5 * losses.squared_error(y, batch).sum()
        return error + decay * losses.weight_penalty(params, l2=1.0), (state, {})

    optimizer = optim.sgd(0.3, momentum=0.9)
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(ENCODER.init, optimizer, seed)
    state, _ = jax.lax.scan(lambda state, _: step.pure(state, PATTERNS), state, length=SWEEPS)
    y, _, seen = capture(ENCODER, "code", state.params, state.state, PATTERNS)
    return jnp.mean((y > 0.5) == (PATTERNS > 0.5)), seen["code"]


def read_out(code: jax.Array, feature: jax.Array, known: int) -> float:
    """Per cent of the items beyond the first `known` on which a linear unit, fitted to those, has the feature right.

    The fit is that of least squares with the smallest weights; no answer, 0, is half right.
    """
    weights, *_ = jnp.linalg.lstsq(code[:known], feature[:known])
    guess = jnp.round(code[known:] @ weights, 4)  # the last digits of a zero are no answer
    return float(100 * jnp.mean(0.5 + 0.5 * jnp.sign(guess) * feature[known:]))


def generalisation(seed: int) -> dict:
    """Six features make 64 items; a read-out of each feature sees 48 of them and is asked about 16."""
    order = np.random.default_rng(seed).permutation(64)
    bits = np.indices((2,) * 6).reshape(6, -1).T[order]
    distributed, local = jnp.asarray(2.0 * bits - 1, jnp.float32), jnp.eye(64)
    right = lambda code: np.mean([read_out(code, feature, 48) for feature in distributed.T])
    return {"distributed_read_out": right(distributed), "local_read_out": right(local)}


def run(seed: int, folder: Path) -> Outcome:
    seeds = jnp.tile(jnp.arange(RUNS) + RUNS * seed, 2)
    right, codes = jax.jit(jax.vmap(encoder))(seeds, jnp.repeat(jnp.array([DECAY, 0.0]), RUNS))
    eight = np.asarray(jax.vmap(distinct_codes)(binary_codes(codes)) == 8)
    figures = {
        "reconstruction": 100 * float(right[:RUNS].mean()),
        "distinct": 100 * eight[:RUNS].mean(),
        "binary": 100 * float(jnp.mean(abs(codes[:RUNS] - 0.5) > 0.3)),
        "distinct_without_decay": 100 * eight[RUNS:].mean(),
    }
    shown = jnp.concatenate([codes[:3], codes[RUNS : RUNS + 3]])
    return Outcome(figures | generalisation(seed), {"codes": np.asarray(shown)}, steps=SWEEPS)


def draw(arrays: dict):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(arrays["codes"]), figsize=(9, 2.6), sharey=True, layout="constrained")
    for i, (axis, code) in enumerate(zip(axes, arrays["codes"])):
        axis.imshow(code, cmap="gray", vmin=0, vmax=1)
        axis.set(
            title=f"net {i % 3}" + (", no decay" if i > 2 else ""),
            xticks=range(3),
            xticklabels=["a", "b", "c"],
            yticks=range(8),
        )
    axes[0].set(ylabel="pattern")
    figure.suptitle("the three code units for each of the eight patterns")
    return figure


PDP = "Rumelhart, Hinton, Williams 1986 (PDP, chapter 8)"

ROW = Row(
    rows=("9",),
    title="Distributed representations",
    figures=(
        Figure("reconstruction", "8-3-8 encoder: % of outputs right, 50 nets", f"solved ({PDP})", low=100),
        Figure("distinct", "% of nets with eight different codes at a threshold of ½", "70 in a public repetition", 60),
        Figure("binary", "% of code units below 0.2 or above 0.8", f"near-binary ({PDP})"),
        Figure("distinct_without_decay", "% of nets with eight different codes where weights do not decay"),
        Figure("distributed_read_out", "% right of 16 unseen items, a distributed code of 64", "exact", 100, 100),
        Figure(
            "local_read_out", "% right of 16 unseen items, a local code of 64: no better than chance", "50", high=60
        ),
    ),
    run=run,
    budget=20,
    draw=draw,
    note="The encoder minimises ½ Σ (y - d)² + 0.001 Σ w² by gradient descent on all eight patterns with momentum "
    "(0.3, 0.9), 4,000 sweeps from U(±0.3): the best of 27 settings of error, rate, decay and start that were tried.",
)
