"""BLEU against sacrebleu: the same sums, the same score, for every split and on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import metrics
from fdl.checks import DtypeError, ShapeError

run = jax.jit(lambda metric, *args, **where: metric.update(metric.init(), *args, **where))


def sentences(seed, count, most, vocab=4, references=3, least=0):
    """Random lists of tokens, and their references, alike enough to share long n-grams."""
    rng = np.random.default_rng(seed)
    spoil = lambda s: [int(t if rng.random() > 0.2 else rng.integers(vocab)) for t in s if rng.random() > 0.1]
    truth = [list(map(int, rng.integers(vocab, size=rng.integers(least, most + 1)))) for _ in range(count)]
    return [spoil(s) for s in truth], [[spoil(s) for _ in range(references)] for s in truth]


def padded(rows, size):
    return np.array([row + [-1] * (size - len(row)) for row in rows], np.int32).reshape(len(rows), size)


def arrays(hypotheses, references, size):
    return padded(hypotheses, size), np.stack([padded(rows, size) for rows in references])


def theirs(hypotheses, references, smoothing):
    sacrebleu = pytest.importorskip("sacrebleu")
    text = lambda tokens: " ".join(map(str, tokens))
    streams = [[text(refs[k]) for refs in references] for k in range(len(references[0]))]
    options = {"tokenize": "none", "smooth_method": smoothing, "force": True}
    return sacrebleu.corpus_bleu([text(h) for h in hypotheses], streams, **options)


def on_host(sums):
    return jax.tree.map(lambda x: np.asarray(x, np.int64), sums)


@pytest.mark.parametrize("smoothing", ["exp", "none"])
@pytest.mark.parametrize("most", [0, 1, 2, 3, 5, 14])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_sacrebleu(agrees, smoothing, most, seed):
    hypotheses, references = sentences(seed, 6, most)
    want = theirs(hypotheses, references, smoothing)
    metric = metrics.bleu(smoothing=smoothing)
    sums = run(metric, *arrays(hypotheses, references, 14))
    np.testing.assert_array_equal(sums.found, want.counts)
    np.testing.assert_array_equal(sums.total, want.totals)
    assert (sums.length, sums.reference) == (want.sys_len, want.ref_len)
    agrees.values("metrics.bleu", "sacrebleu", np.float64(metric.compute(on_host(sums))), want.score)
    agrees.values("metrics.bleu", "sacrebleu", metric.compute(sums), want.score)


@pytest.mark.parametrize("vocab", [2, 50])
def test_single_references_and_other_lengths_equal_sacrebleu(agrees, vocab):
    hypotheses, references = sentences(3, 8, 9, vocab, references=1, least=4)
    hypotheses[0], references[1] = [], [[]]
    want = theirs(hypotheses, references, "exp")
    metric = metrics.bleu()
    short, long = padded(hypotheses, 9), np.stack([padded(rows, 12) for rows in references])
    agrees.values(
        "metrics.bleu", "sacrebleu", np.float64(metric.compute(on_host(run(metric, short, long)))), want.score
    )


def test_ends_of_the_scale():
    hypotheses, references = arrays([[1, 2, 3, 4, 5]], [[[1, 2, 3, 4, 5], [9]]], 6)
    metric = metrics.bleu()
    assert metric(hypotheses, references) == pytest.approx(100, rel=1e-6)
    assert metric(np.where(hypotheses < 0, -1, hypotheses + 10), references) == 0
    assert metric(hypotheses[:, :2], references) == 0  # no four tokens in a row anywhere
    assert metric.compute(metric.init()) == 0


def test_repeated_references_padding_and_masks_change_nothing():
    hypotheses, references = arrays(*sentences(0, 6, 10), 10)
    metric = metrics.bleu()
    whole = run(metric, hypotheses, references)
    again = np.concatenate([references, references[:, :1]], axis=1)
    wider = np.pad(again, ((0, 0), (0, 0), (0, 3)), constant_values=-5)
    halves = [run(metric, hypotheses, wider, where=np.arange(6) < 2), run(metric, hypotheses[2:], wider[2:])]
    for one, *parts in zip(whole, *halves):
        np.testing.assert_array_equal(one, sum(parts))


def test_refusals():
    metric, tokens = metrics.bleu(), jnp.zeros((2, 5), int)
    with pytest.raises(ShapeError, match="references must have shape"):
        metric(tokens, tokens)
    with pytest.raises(ShapeError, match="hypotheses must have shape"):
        metric(tokens[0], tokens)
    with pytest.raises(DtypeError, match="references must be integers"):
        metric(tokens, jnp.zeros((2, 1, 5)))
