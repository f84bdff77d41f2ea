"""Training in 16 bits and in 32, the same steps and seeds:  python -m examples.precision [--seeds 5] [--page]

A convolutional net on MNIST and a small language model on Shakespeare's letters, in several precisions, from the same
initial values and in the same order of batches.  Each is compared with float32 seed by seed on examples not trained on.
--page measures nothing: it writes the table of docs/precision.md.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from examples.benchmarks.harness.machine import machine
from fdl import data, losses, metrics, nn, optim, train

ROOT = Path(__file__).parent.parent
RESULTS, PAGE = ROOT / "examples/results/precision.json", ROOT / "docs/precision.md"
CONTEXT = 64


class Task(NamedTuple):
    """A model, the patterns of its norms, and examples {"x", "y"} to train on and to measure on."""

    what: str
    model: nn.Layer
    norms: tuple[str, ...]
    sets: Callable[[], tuple[dict, dict]]
    batch: int
    steps: int
    peak: float
    ways: tuple[str, ...] = ()  # all of them


class Way(NamedTuple):
    """What a precision makes of a model and its norms, and of an optimizer."""

    model: Callable[[nn.Layer, tuple[str, ...]], nn.Layer] = lambda model, norms: model
    optimizer: Callable[[optim.Transform], optim.Transform] = lambda optimizer: optimizer


def images() -> tuple[dict, dict]:
    """MNIST: all training images, and the test images."""
    typed = lambda s: {"x": s["image"].astype(np.float32) / 255, "y": s["label"].astype(np.int32)}
    return tuple(typed(s) for s in data.mnist())  # type: ignore[return-value]


def letters() -> tuple[dict, dict]:
    """Shakespeare in pieces of 64 letters: the first nine tenths, and the 400 pieces after them."""
    text = np.frombuffer(data.tiny_shakespeare().encode("ascii"), np.uint8)
    numbers = np.unique(text, return_inverse=True)[1].astype(np.int32)
    cut = len(numbers) * 9 // 10
    return _pieces(numbers[:cut]), _pieces(numbers[cut : cut + 400 * CONTEXT + 1])


def _pieces(numbers: np.ndarray) -> dict:
    count = (len(numbers) - 1) // CONTEXT
    cut = lambda start: numbers[start : start + count * CONTEXT].reshape(count, CONTEXT)
    return {"x": cut(0), "y": cut(1)}


CNN = nn.serial(
    *(nn.conv(1, 8, 3, use_bias=False), nn.batch_norm(8), nn.relu, nn.max_pool(2)),
    *(nn.conv(8, 16, 3, use_bias=False), nn.batch_norm(16), nn.relu, nn.max_pool(2)),
    *(nn.flatten, nn.dense(7 * 7 * 16, 10)),
)
GPT = nn.serial(
    embed=nn.embedding(65, 64, table_init=nn.normal(0.02)),
    position=nn.learned_position(CONTEXT, 64),
    blocks=nn.repeat(nn.encoder_block(64, 4, causal=True), 2),
    norm=nn.layer_norm(64),
    head=nn.dense(64, 65, use_bias=False),
)
TASKS = {
    "cnn": Task("CNN on MNIST, 300 steps", CNN, ("batch_norm_*/*",), images, batch=50, steps=300, peak=3e-3),
    "gpt": Task(
        "GPT on letters, 300 steps", GPT, ("blocks/norm*/*", "norm/*"), letters, batch=16, steps=300, peak=3e-3
    ),
}
TASKS["longer"] = TASKS["gpt"]._replace(what="the same GPT, 1,200 steps", steps=1200, ways=("float32", "bfloat16"))


def computing_in(dtype: str) -> Callable:
    """Computes in this type, norms in float32; parameters stay in float32."""
    return lambda model, norms: nn.mixed_precision(model, dict.fromkeys(norms, "float32") | {"**": dtype})


def all_in(dtype: str) -> Callable:
    """Parameters too are of this type, and the norms."""
    return lambda model, norms: nn.mixed_precision(model, dtype, params=dtype)


WAYS = {
    "float32": Way(),
    "bfloat16": Way(computing_in("bfloat16")),
    "float16, loss scaled": Way(computing_in("float16"), optim.scale_loss),
    "bfloat16, parameters too, Kahan sums": Way(all_in("bfloat16"), optim.kahan),
    "bfloat16, parameters too, plain sums": Way(all_in("bfloat16")),
}


MEASURES = {
    "loss": losses.cross_entropy,  # nats
    "error": lambda logits, labels: 100.0 * (logits.argmax(-1) != labels).astype("float32"),  # per cent
}


def measured(task: Task, way: Way, seeds: int) -> list[dict]:
    """Loss and error on the examples not trained on, a row a seed."""
    model = way.model(task.model, task.norms)
    optimizer = way.optimizer(optim.adam(optim.cosine(task.peak, task.steps)))

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(logits, batch["y"]).mean(), (state, {})

    step = train.make_train_step(loss_fn, optimizer)
    evaluations = {name: evaluation(model, measure) for name, measure in MEASURES.items()}
    training, held_out = task.sets()
    rows = []
    for seed in range(seeds):
        batches = data.shuffled(training, batch=task.batch, seed=seed)
        state, _ = train.run(step, train.init_state(model.init, optimizer, seed), batches, task.steps)
        rows.append({name: evaluate(state, held_out)["mean"] for name, evaluate in evaluations.items()})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def evaluation(model: nn.Layer, measure: Callable) -> Callable:
    """The mean of measure(logits, labels) over examples."""

    def predict(params, state, batch):
        values = measure(model.apply(params, state, batch["x"])[0], batch["y"])
        return (values.reshape(len(values), -1).mean(1),)

    return train.make_evaluate(predict, {"mean": metrics.mean()})


def table(result: dict) -> str:
    """A row for each task and precision: mean and spread over seeds, mean difference from float32 and its error."""
    head = "| | loss, nats | difference from float32 | error, % | difference from float32 |"
    lines = [head, "|---|---|---|---|---|"]
    for name, found in result.items():
        for way in TASKS[name].ways or WAYS:
            cells = [f"{TASKS[name].what}, {way}"]
            for measure, digits in (("loss", 4), ("error", 2)):
                mine, plain = (np.array([row[measure] for row in found[which]]) for which in (way, "float32"))
                cells.append(f"{mine.mean():.{digits}f} ± {mine.std(ddof=1):.{digits}f}")
                apart = mine - plain
                error = apart.std(ddof=1) / len(apart) ** 0.5
                cells.append("" if way == "float32" else f"{apart.mean():+.{digits}f} ± {error:.{digits}f}")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_page(result: dict) -> None:
    """The table on the page anew; the text around it stays."""
    before, _, after = PAGE.read_text().partition("| | loss")
    PAGE.write_text(before + table(result) + "\n\n" + after.partition("\n\n")[2])


def main() -> None:
    """Measure and record, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if options.page:
        return write_page(json.loads(options.results.read_text()))
    result = json.loads(options.results.read_text()) if options.results.exists() else {}
    for name in options.tasks:
        task = TASKS[name]
        about = {"machine": machine() | {"jax": jax.__version__}, "steps": task.steps, "batch": task.batch}
        result[name] = about | {way: measured(task, WAYS[way], options.seeds) for way in task.ways or WAYS}
        options.results.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "steps that are small")  # what plain sums lose is to be measured
    main()
