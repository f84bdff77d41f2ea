"""Transforms around transforms, standard forms of gradients, and noise."""

from fdl import optim
from fdl.tree import norm
from tests.laws.transform_case import Case


def then_sgd(*transforms):
    return optim.chain(*transforms, optim.sgd(0.1))


def swept(rate):
    return optim.hyper(optim.sgd(rate, 0.9), "learning_rate")


TWO = {"**/kernel": optim.adam(0.1), "**": optim.sgd(0.1)}

CASES = {
    "clip_by_block_rms": Case(then_sgd(optim.clip_by_block_rms(1.0)), 0, 0),
    "adaptive_clip": Case(then_sgd(optim.adaptive_clip(0.1, 0.5)), 0, 0),
    "centralize": Case(then_sgd(optim.centralize("**/bias")), 0, 0),
    "normalize_by_norm": Case(optim.chain(optim.normalize_by_norm(), optim.sgd(optim.cosine(0.05, 400))), 0, 1),
    "zero_non_finite": Case(then_sgd(optim.zero_non_finite()), 0, 0),
    "add_noise": Case(then_sgd(optim.add_noise(1e-8)), 0, 1),
    "scale_by": Case(then_sgd(optim.scale_by(optim.linear(0.5, 1.0, 9))), 0, 1),
    "scale_by_param_norm": Case(optim.chain(optim.scale_by_param_norm(0.5), optim.sgd(0.05)), 0, 0),
    "running_mean": Case(then_sgd(optim.running_mean(0.5)), 4, 1),
    "multi_steps": Case(optim.multi_steps(optim.adam(0.1), 2), 12, 4),
    "when": Case(optim.when(optim.adam(0.1), optim.constant(1.0)), 8, 2),
    "named_chain": Case(optim.named_chain(unit=optim.scale_by_adam(), rate=optim.scale_by_learning_rate(0.1)), 8, 1),
    "monitor": Case(then_sgd(optim.monitor({"size": norm}, 0.9)), 0, 2),
    "flattened": Case(optim.flattened(optim.adam(0.1)), 8, 1),
    "split_complex": Case(optim.split_complex(optim.adam(0.1)), 8, 1),
    "groups": Case(optim.groups(TWO), 6, 1),
    "hyper": Case(swept(0.1), 4, 2, swept),
    "skip_non_finite": Case(optim.skip_non_finite(optim.adam(0.1)), 8, 3),
    "skip_large": Case(optim.skip_large(optim.sgd(0.1), 100.0), 0, 2),
    "master_weights": Case(optim.master_weights(optim.sgd(0.1)), 4, 0),
    "stochastic_rounding": Case(optim.stochastic_rounding(optim.sgd(0.1), seed=3), 0, 1),
    "scale_loss": Case(optim.scale_loss(optim.adam(0.1), 1.0, every=1000), 8, 3),
}
