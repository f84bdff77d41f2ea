"""Larger is better, and by how much can be told in advance.

Five language models of the same kind, a GPT over the letters of Shakespeare, read the same text in the same order; only
their size differs, from ten thousand parameters to a million.  The loss on plays that none has read falls with every
step in size, and on logarithmic axes the five points lie near a line: a power law, L(N) = a N^-α.  Such a line is what
one draws before paying for a model that is larger still.  It holds while data and training keep up: three passes over a
million letters are few, which is why the exponent here is not that of models that read billions.

Size was not always thought to be good: with as many parameters as examples a model fits them exactly and badly.  The
second experiment shows that peak, with random features on MNIST, and that beyond it larger is better again: double
descent.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, nn, optim, train, tree
from fdl.inspection import fit_power_law, flops

SIZES = ((2, 16), (2, 32), (3, 48), (4, 80), (5, 128))  # depth, width; heads of 16
CONTEXT, BATCH, EPOCHS = 64, 16, 3
FEATURES, EXAMPLES = (10, 30, 100, 200, 300, 400, 1000, 3000), 300


def run(seed, folder):
    text = data.tiny_shakespeare()
    letters = sorted(set(text))
    tokens = np.searchsorted(letters, list(text)).astype(np.int32)
    read, unread = tokens[: len(tokens) * 9 // 10], tokens[len(tokens) * 9 // 10 :]
    models = [gpt(len(letters), *size) for size in SIZES]
    losses_ = [trained(model, size, windows(read), windows(unread), seed) for model, size in zip(models, SIZES)]
    counts = [tree.count(jax.eval_shape(model.init, jax.random.key(0))[0]) for model in models]
    line, above = fit_power_law(counts, losses_), fit_power_law(counts, losses_, floor=True)
    errors = double_descent(seed)
    at = FEATURES.index(EXAMPLES)
    figures = {
        "falls": np.sum(np.diff(losses_) < 0),
        "r_squared": line.r_squared,
        "exponent": line.exponent,
        "floor": above.floor,
        "smallest": losses_[0],
        "largest": losses_[-1],
        "params_off": max(abs(n - closed_form(len(letters), *size)) for n, size in zip(counts, SIZES)),
        "peak": errors[at] / errors[-1],
    }
    figures |= counted(len(letters), *SIZES[-1])
    arrays = {"counts": np.array(counts), "losses": np.array(losses_), "errors": np.array(errors)}
    return Outcome(figures, arrays, EPOCHS * (len(windows(read)["text"]) // BATCH))


def gpt(vocab, depth, dim, unrolled=False):
    """A decoder-only transformer.  int (batch, time) -> logits (batch, time, vocab)"""
    block = nn.encoder_block(dim, dim // 16, causal=True)
    return nn.serial(
        embed=nn.embedding(vocab, dim, table_init=nn.normal(0.02)),
        position=nn.learned_position(CONTEXT, dim),
        blocks=nn.serial(*[block] * depth) if unrolled else nn.repeat(block, depth),
        norm=nn.layer_norm(dim),
        head=nn.dense(dim, vocab, use_bias=False),
    )


def closed_form(vocab, depth, dim):
    """Parameters: tables of letters and places, blocks of 12 dim² weights and 13 dim biases and scales, the head."""
    return (2 * vocab + CONTEXT) * dim + depth * (12 * dim**2 + 13 * dim) + 2 * dim


def windows(tokens):
    """The text in pieces of CONTEXT letters and the one that follows."""
    count = (len(tokens) - 1) // CONTEXT
    return {"text": np.stack([tokens[i * CONTEXT : (i + 1) * CONTEXT + 1] for i in range(count)])}


def trained(model, size, read, unread, seed):
    """The loss in nats a letter on the text not read, of a model that has read the other EPOCHS times."""
    batches = data.shuffled(read, batch=BATCH, seed=seed)
    steps = EPOCHS * batches.steps_per_epoch
    rate = optim.warmup_cosine(0.01 * math.sqrt(16 / size[1]), steps, steps // 20)
    optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.adamw(rate, b2=0.99, weight_decay=0.1))

    def loss_of(params, state, batch):
        logits, state = model.apply(params, state, batch["text"][:, :-1])
        return losses.cross_entropy(logits, batch["text"][:, 1:]), state

    def loss_fn(params, state, batch, key):
        loss, state = loss_of(params, state, batch)
        return loss.mean(), (state, {})

    step = train.make_train_step(loss_fn, optimizer)
    state, _ = train.run(step, train.init_state(model.init, optimizer, seed), batches, steps)
    measure = train.make_evaluate(lambda *given: (loss_of(*given)[0].mean(-1),), {"loss": metrics.mean()})
    return float(measure(state, unread, batch=100)["loss"])


def counted(vocab, depth, dim):
    """Operations of a forward pass: products against their closed form, all against XLA's own analysis."""
    model = gpt(vocab, depth, dim, unrolled=True)
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((BATCH, CONTEXT), jnp.int32)
    forward = lambda params, tokens: model.apply(params, state, tokens)[0]
    found = flops(forward, params, tokens)
    letters = BATCH * CONTEXT
    products = 2 * letters * (12 * depth * dim**2 + dim * vocab) + 4 * depth * letters * CONTEXT * dim
    xla = jax.jit(forward).lower(params, tokens).cost_analysis()["flops"]
    return {"products_off": abs(found.by_primitive["dot_general"] - products), "xla": found.total / xla}


def double_descent(seed):
    """Test error of least squares on random features of MNIST, by how many there are, for EXAMPLES examples."""
    train_set, test_set = data.mnist()
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(train_set["label"]))[:EXAMPLES]
    x, test_x = (images.reshape(-1, 784) / 255 for images in (train_set["image"][rows], test_set["image"][:2000]))
    y, test_y = (np.eye(10)[label] - 0.1 for label in (train_set["label"][rows], test_set["label"][:2000]))
    errors = []
    for count in FEATURES:
        kernel = rng.normal(0, 1 / np.sqrt(784), (784, count))
        h, test_h = (np.maximum(images @ kernel, 0) for images in (x, test_x))
        weights = np.linalg.lstsq(h, y, rcond=None)[0]  # of all that fit, the smallest
        errors.append(np.square(test_h @ weights - test_y).sum(1).mean())
    return errors


def draw(arrays):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    counts, measured = arrays["counts"], arrays["losses"]
    law = fit_power_law(counts, measured)
    left.loglog(counts, measured, "o")
    left.loglog(counts, law(counts), color="black", lw=1, label=f"{law.scale:.2f} N^-{law.exponent:.3f}")
    left.set(title="char-GPT", xlabel="parameters N", ylabel="loss on text not read, nats")
    left.legend()
    right.loglog(FEATURES, arrays["errors"], "o-")
    right.axvline(EXAMPLES, color="black", lw=1, ls=":", label="as many as examples")
    right.set(title="double descent", xlabel="random features", ylabel="squared test error")
    right.legend()
    return figure


ROW = Row(
    rows=("13",),
    title="Larger is better",
    figures=(
        Figure("falls", "of 4 steps up in size, those that lower the loss", "all; Kaplan et al. 2020, recalled", 4, 4),
        Figure(
            "r_squared",
            "R² of the power law, of logarithms",
            "a straight line over seven decades, Kaplan et al. 2020, recalled",
            0.97,
        ),
        Figure(
            "exponent",
            "its exponent α",
            ".076 with data without end and without embeddings, Kaplan et al. 2020, recalled",
        ),
        Figure("floor", "what a law with a floor would fall to, nats"),
        Figure("smallest", "loss of 9,696 parameters, nats a letter"),
        Figure(
            "largest",
            "loss of 1,016,448 parameters, nats a letter",
            "1.88, nanoGPT of 800,000 parameters after 1.5 million letters, its README",
        ),
        Figure("params_off", "largest difference between parameters and closed form", "0", 0, 0),
        Figure("products_off", "operations of matrix products, difference from closed form", "0", 0, 0),
        Figure("xla", "all operations over those of XLA's cost analysis", "1", 0.98, 1.02),
        Figure(
            "peak",
            "squared error with as many random features as examples over that with ten times as many",
            "above 1: Belkin et al. 2019",
            2,
        ),
    ),
    run=run,
    budget=600,
    draw=draw,
)
