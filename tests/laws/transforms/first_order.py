"""First-order optimizers beyond the lecture's."""

from fdl import optim
from tests.laws.transform_case import Case

falling = optim.cosine(0.1, 400)

CASES = {
    "rprop+": Case(optim.rprop(form="rprop+"), 8, 1),
    "rprop-": Case(optim.rprop(form="rprop-"), 8, 1),
    "irprop+": Case(optim.rprop(form="irprop+"), 8, 2, needs_loss=True),
    "rmsprop, centered": Case(optim.rmsprop(falling, centered=True, eps=1e-3), 8, 1),
    "adamax": Case(optim.adamax(falling), 8, 2, optim.adamax),
    "adamaxw": Case(optim.adamaxw(falling, weight_decay=1e-4), 8, 3),
    "nadam": Case(optim.nadam(falling), 8, 3, optim.nadam),
    "nadam, Dozat": Case(optim.nadam(falling, scheduled_mean=True), 8, 3),
    "nadamw": Case(optim.nadamw(falling, weight_decay=1e-4), 8, 4),
    "radam": Case(optim.radam(falling), 8, 2, optim.radam),
    "amsgrad": Case(optim.amsgrad(falling), 12, 2, optim.amsgrad),
    "adabelief": Case(optim.adabelief(falling), 8, 2, optim.adabelief),
    "yogi": Case(optim.yogi(falling), 8, 2, optim.yogi),
    "adan": Case(optim.adan(falling, weight_decay=1e-4), 16, 3, optim.adan),
    "adopt": Case(optim.adopt(falling), 8, 2, optim.adopt),
    "ademamix": Case(optim.ademamix(falling, b3=0.95, weight_decay=1e-4), 12, 3, optim.ademamix),
    "simplified_ademamix": Case(
        optim.simplified_ademamix(optim.cosine(0.01, 400), b1=0.9, alpha=2.0, weight_decay=1e-4),
        8,
        3,
        optim.simplified_ademamix,
    ),
    "mars": Case(optim.mars(falling, weight_decay=1e-4), 12, 5, optim.mars),
    "mars, exact": Case(optim.mars(falling, weight_decay=1e-4, exact=True), 12, 5, needs_loss=True),
    "mars_lion": Case(optim.mars_lion(optim.cosine(0.05, 400), weight_decay=1e-4), 8, 5, optim.mars_lion),
    "cautious_adamw": Case(optim.cautious_adamw(falling, weight_decay=1e-4), 8, 3, optim.cautious_adamw),
    "cautious_lion": Case(optim.cautious_lion(falling, weight_decay=1e-4), 4, 2, optim.cautious_lion),
    "lion": Case(optim.lion(falling, weight_decay=1e-4), 4, 2, optim.lion),
    "sign_sgd": Case(optim.sign_sgd(falling), 0, 1, optim.sign_sgd),
    "signum": Case(optim.signum(falling), 4, 2, optim.signum),
    "lars": Case(optim.lars(falling, coefficient=0.2), 4, 2, optim.lars),
    "lamb": Case(optim.lamb(falling, weight_decay=1e-4), 8, 3, optim.lamb),
    "novograd": Case(optim.novograd(optim.cosine(0.05, 400), b1=0.8, weight_decay=1e-4), 4, 6, optim.novograd),
    # The kernel has three rows and two columns; the bias keeps its two squares.
    "adafactor": Case(optim.adafactor(optim.cosine(0.2, 400)), 0, 10, optim.adafactor),
    "adafactor, relative steps": Case(optim.adafactor(optim.relative_step(0.1), by_size=False), 0, 10),
    "sm3": Case(optim.sm3(0.5), 4, 9, optim.sm3),
    "adam_mini": Case(optim.adam_mini(falling, weight_decay=1e-4), 4, 6, optim.adam_mini),
    "adamp": Case(optim.adamp(falling, delta=0.01), 8, 3, lambda rate: optim.adamp(rate, delta=0.01)),
    "sgdp": Case(optim.sgdp(0.1, delta=0.01), 4, 3, lambda rate: optim.sgdp(rate, delta=0.01)),
    "fromage": Case(optim.fromage(0.02), 0, 2),
    "madgrad": Case(optim.madgrad(0.1), 12, 1, optim.madgrad),
    "asgd": Case(optim.asgd(0.3), 4, 3),
    "optimistic_sgd": Case(optim.optimistic_sgd(0.2), 4, 2, optim.optimistic_sgd),
    "adahessian": Case(optim.adahessian(0.1), 8, 2, optim.adahessian, needs_loss=True),
    "sophia": Case(optim.sophia(falling, gamma=1.0, weight_decay=1e-4), 8, 3, optim.sophia, needs_loss=True),
}
