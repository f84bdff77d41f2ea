"""Each optimizer follows its paper, transcribed in the paper's letters into float64 NumPy, for 1,000 steps.

The problem is badly scaled (curvatures from 0.01 to 100) and noisy, so that no path dies out at the minimum.
"""

import importlib
from pathlib import Path

import numpy as np
import pytest

from fdl import optim
from tests.optim.problem import KERNEL, START, STEPS, gradient, ours, rate, worst


def gradient_descent():
    theta = START
    for t in range(STEPS):
        theta = theta - rate(t) * gradient(theta, t)
        yield theta


def accelerating(epsilon, alpha):
    """The lecture: v <- alpha v - g, theta <- theta + epsilon v."""
    theta, v = START, 0 * START
    for t in range(STEPS):
        v = alpha * v - gradient(theta, t)
        theta = theta + epsilon(t) * v
        yield theta


def average(epsilon, alpha):
    """The lecture: v <- alpha v - (1 - alpha) g, theta <- theta + epsilon v."""
    theta, v = START, 0 * START
    for t in range(STEPS):
        v = alpha * v - (1 - alpha) * gradient(theta, t)
        theta = theta + epsilon(t) * v
        yield theta


def polyak(epsilon, alpha):
    """Goodfellow et al., algorithm 8.2: v <- alpha v - epsilon g, theta <- theta + v."""
    theta, v = START, 0 * START
    for t in range(STEPS):
        v = alpha(t) * v - epsilon(t) * gradient(theta, t)
        theta = theta + v
        yield theta


def nesterov(epsilon, alpha):
    """Algorithm 8.3: the gradient is taken at the interim point theta + alpha v."""
    theta, v = START, 0 * START
    for t in range(STEPS):
        v = alpha(t) * v - epsilon(t) * gradient(theta + alpha(t) * v, t)
        theta = theta + v
        yield theta


def rprop(delta0):
    """Riedmiller & Braun 1993, without weight backtracking: after a change of sign the derivative counts as 0."""
    w, delta, before = START.copy(), np.full(10, delta0), np.zeros(10)
    for t in range(STEPS):
        dE = gradient(w, t)
        for i in range(10):
            if dE[i] * before[i] > 0:
                delta[i] = min(delta[i] * 1.2, 50.0)
            elif dE[i] * before[i] < 0:
                delta[i] = max(delta[i] * 0.5, 1e-6)
                dE[i] = 0
            w[i] -= np.sign(dE[i]) * delta[i]
        before = dE
        yield w.copy()


def rmsprop(epsilon, rho, delta, inside):
    """Algorithm 8.5 (inside the root), or with delta outside of it."""
    theta, r = START, 0 * START
    for t in range(STEPS):
        g = gradient(theta, t)
        r = rho * r + (1 - rho) * g * g
        theta = theta - epsilon / (np.sqrt(delta + r) if inside else delta + np.sqrt(r)) * g
        yield theta


def rmsprop_momentum(epsilon, rho, alpha):
    """Algorithm 8.6, the lecture's box with the interim point that the slide leaves out."""
    theta, r, v = START, 0 * START, 0 * START
    for t in range(STEPS):
        interim = theta + alpha * v
        g = gradient(interim, t)
        r = rho * r + (1 - rho) * g * g
        v = alpha * v - epsilon / np.sqrt(r) * g
        theta = theta + v
        yield theta


def adagrad(epsilon, delta):
    theta, r = START, 0 * START
    for t in range(STEPS):
        g = gradient(theta, t)
        r = r + g * g
        theta = theta - epsilon / (delta + np.sqrt(r)) * g
        yield theta


def adadelta(rho, epsilon):
    """Zeiler 2012, algorithm 1."""
    x, Eg2, Edx2 = START, 0 * START, 0 * START
    for t in range(STEPS):
        g = gradient(x, t)
        Eg2 = rho * Eg2 + (1 - rho) * g**2
        dx = -np.sqrt(Edx2 + epsilon) / np.sqrt(Eg2 + epsilon) * g
        Edx2 = rho * Edx2 + (1 - rho) * dx**2
        x = x + dx
        yield x


def adam(alpha, beta1, beta2, eps, inside=False, decay=0.0):
    """Kingma & Ba 2015, algorithm 1; inside: the lecture; decay: Loshchilov & Hutter 2019, algorithm 2."""
    theta, m, v = START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        mhat, vhat = m / (1 - beta1**t), v / (1 - beta2**t)
        direction = mhat / np.sqrt(vhat + eps) if inside else mhat / (np.sqrt(vhat) + eps)
        theta = theta - alpha * (direction + decay * KERNEL * theta)
        yield theta


def settled(alpha, part=-1):
    """The parameters of the paper, from those held at the interim point."""

    def view(params, opt_state):
        state = opt_state[part]
        return optim.base_point(params, state.velocity, alpha(state.step) if callable(alpha) else alpha)

    return view


falling = optim.inverse_time(0.005, 50)
rising = optim.linear(0.5, 0.95, 700)
rises = lambda t: 0.5 + 0.45 * min(t / 700, 1)
flat = lambda t: 1e-3

PAPERS = {
    "gradient descent": lambda: (optim.sgd(falling), gradient_descent()),
    "accelerating": lambda: (optim.sgd(1e-3, 0.9), accelerating(flat, 0.9)),
    "accelerating, falling rate": lambda: (optim.sgd(falling, 0.9), accelerating(rate, 0.9)),
    "average": lambda: (optim.sgd(falling, 0.9, average=True), average(rate, 0.9)),
    "heavy ball": lambda: (optim.momentum(falling, rising), polyak(rate, rises)),
    "nesterov": lambda: (optim.nesterov(1e-3), nesterov(flat, lambda t: 0.9), settled(0.9)),
    "nesterov, scheduled": lambda: (optim.nesterov(falling, rising), nesterov(rate, rises), settled(rising)),
    "nesterov, torch's coding": lambda: (
        optim.sgd(1e-3, 0.9, nesterov=True),
        nesterov(flat, lambda t: 0.9),
        settled(-1e-3 * 0.9, part=0),
    ),
    "rprop": lambda: (optim.rprop(), rprop(0.1)),
    "rmsprop, inside": lambda: (optim.rmsprop(1e-2, decay=0.9, eps=1e-4), rmsprop(1e-2, 0.9, 1e-4, True)),
    "rmsprop, outside": lambda: (
        optim.rmsprop(1e-2, decay=0.99, eps=1e-2, eps_in_root=False),
        rmsprop(1e-2, 0.99, 1e-2, False),
    ),
    "rmsprop + momentum": lambda: (optim.rmsprop_momentum(1e-3), rmsprop_momentum(1e-3, 0.9, 0.9), settled(0.9)),
    "adagrad": lambda: (optim.adagrad(0.1, eps=1e-7), adagrad(0.1, 1e-7)),
    "adadelta": lambda: (optim.adadelta(), adadelta(0.95, 1e-6)),
    "adam, paper": lambda: (optim.adam(1e-2, eps=1e-3), adam(1e-2, 0.9, 0.999, 1e-3)),
    "adam, lecture": lambda: (
        optim.adam(1e-2, b1=0.8, b2=0.99, eps=1e-2, eps_in_root=True),
        adam(1e-2, 0.8, 0.99, 1e-2, inside=True),
    ),
    "adamw": lambda: (optim.adamw(1e-2, weight_decay=0.1), adam(1e-2, 0.9, 0.999, 1e-8, decay=0.1)),
}

for room in sorted(path.stem for path in Path(__file__).parent.glob("papers/*.py")):
    more = importlib.import_module(f"tests.optim.papers.{room}").PAPERS
    assert not PAPERS.keys() & more.keys(), "one name for two papers: the first would not be tested"
    PAPERS |= more


@pytest.mark.parametrize("name", PAPERS)
def test_follows_the_paper(name, agrees):
    optimizer, transcription, *view = PAPERS[name]()
    error = worst(ours(optimizer, *view), np.array(list(transcription)))
    agrees.error(f"optim.{optimizer.call.kind}, {name}", "its paper, 1,000 steps", "float64", error)


TORCH = {
    "sgd": (lambda: optim.sgd(1e-3), "SGD", {"lr": 1e-3}),
    "momentum": (lambda: optim.sgd(1e-3, 0.9), "SGD", {"lr": 1e-3, "momentum": 0.9}),
    "dampening": (lambda: optim.sgd(1e-2, 0.9, average=True), "SGD", {"lr": 1e-2, "momentum": 0.9, "dampening": 0.9}),
    "nesterov": (lambda: optim.sgd(1e-3, 0.9, nesterov=True), "SGD", {"lr": 1e-3, "momentum": 0.9, "nesterov": True}),
    "rprop": (lambda: optim.rprop(0.01), "Rprop", {"lr": 0.01}),
    "rmsprop": (lambda: optim.rmsprop(1e-2, decay=0.99, eps_in_root=False), "RMSprop", {"lr": 1e-2}),
    "rmsprop, momentum": (
        lambda: optim.chain(
            optim.scale_by_rmsprop(0.99, eps_in_root=False), optim.accumulate(0.9), optim.scale_by_learning_rate(1e-3)
        ),
        "RMSprop",
        {"lr": 1e-3, "momentum": 0.9},
    ),
    "adagrad": (
        lambda: optim.adagrad(0.1, initial=0.1),
        "Adagrad",
        {"lr": 0.1, "initial_accumulator_value": 0.1},
    ),
    "adadelta": (lambda: optim.adadelta(0.5, decay=0.9), "Adadelta", {"lr": 0.5}),
    "adam": (lambda: optim.adam(1e-2), "Adam", {"lr": 1e-2}),
    "adam, L2": (
        lambda: optim.chain(optim.add_weight_decay(0.1, where="**"), optim.adam(1e-2)),
        "Adam",
        {"lr": 1e-2, "weight_decay": 0.1},
    ),
    "adamw": (lambda: optim.adamw(1e-2, where="**"), "AdamW", {"lr": 1e-2}),
    "adamax": (lambda: optim.adamax(1e-2), "Adamax", {"lr": 1e-2}),
    "radam": (lambda: optim.radam(1e-2, eps=1e-3), "RAdam", {"lr": 1e-2, "eps": 1e-3}),
    "amsgrad": (
        lambda: optim.amsgrad(1e-2, b2=0.9),
        "Adam",
        {"lr": 1e-2, "amsgrad": True, "betas": (0.9, 0.9)},
    ),
    "rmsprop, centered": (
        lambda: optim.rmsprop(1e-3, decay=0.99, eps_in_root=False, centered=True),
        "RMSprop",
        {"lr": 1e-3, "centered": True},
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_follows_torch(name, agrees):
    torch = pytest.importorskip("torch")
    make, kind, arguments = TORCH[name]
    theta = torch.tensor(START, requires_grad=True)
    optimizer = getattr(torch.optim, kind)([theta], **arguments)
    if "dampening" in arguments:  # torch leaves the first gradient undamped, unless there is a velocity already
        optimizer.state[theta]["momentum_buffer"] = torch.zeros_like(theta)
    path = []
    for t in range(STEPS):
        theta.grad = torch.tensor(gradient(theta.detach().numpy(), t))
        optimizer.step()
        path.append(theta.detach().numpy().copy())
    made = make()
    error = worst(ours(made), np.array(path))
    agrees.error(f"optim.{made.call.kind}, {name}", "torch, 1,000 steps", "float64", error)
