"""Learning-rate-free optimizers, and what averages or wraps."""

from fdl import optim
from tests.laws.transform_case import Case


def look(rate):
    return optim.lookahead(optim.sgd(rate, 0.5))


CASES = {
    "dog": Case(optim.dog(initial=1e-2), 4, 2, lambda rate: optim.dog(rate)),
    "dog, layerwise": Case(optim.dog(initial=1e-2, layerwise=True), 4, 4),
    "dowg": Case(optim.dowg(), 4, 2, lambda rate: optim.dowg(rate)),
    "d-adaptation": Case(optim.dadapt_adamw(initial=1e-2), 12, 3, lambda rate: optim.dadapt_adamw(rate, initial=0.1)),
    "prodigy": Case(optim.prodigy(optim.cosine(1.0, 400)), 16, 3, lambda rate: optim.prodigy(rate, initial=0.1)),
    "mechanic": Case(optim.mechanic(optim.sgd(1.0), initial=1e-2), 4, 24),
    "polyak": Case(optim.polyak_sgd(), 0, 1, lambda rate: optim.polyak_sgd(rate), needs_loss=True),
    "momo": Case(optim.momo(), 4, 4, lambda rate: optim.momo(rate), needs_loss=True),
    "momo adam": Case(optim.momo_adam(0.1), 8, 4, lambda rate: optim.momo_adam(rate), needs_loss=True),
    "cocob": Case(optim.cocob(), 20, 0),
    "schedule-free sgd": Case(optim.schedule_free_sgd(0.5), 4, 3, lambda rate: optim.schedule_free_sgd(rate)),
    "schedule-free adamw": Case(optim.schedule_free_adamw(0.2), 8, 4, lambda rate: optim.schedule_free_adamw(rate)),
    "lookahead": Case(look(0.2), 8, 2, look),
    "lookahead, reset": Case(optim.lookahead(optim.momentum(0.2, 0.5), reset=True), 8, 2),
    "sam": Case(optim.sam(optim.sgd(0.3), 1e-3), 0, 0, lambda rate: optim.sam(optim.sgd(rate)), needs_loss=True),
    "asam": Case(optim.asam(optim.sgd(0.3), 1e-3), 0, 0, lambda rate: optim.asam(optim.sgd(rate)), needs_loss=True),
    "swa": Case(optim.chain(optim.sgd(0.2), optim.swa(2, 3)), 4, 1),
}
