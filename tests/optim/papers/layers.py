"""Optimizers that see whole arrays, each transcribed from its paper in the paper's letters.

The first six coordinates are a kernel of three inputs and two outputs, the last four a bias.
"""

import numpy as np

from fdl import optim
from tests.optim.problem import KERNEL, START, STEPS, gradient, rate

ARRAYS = np.arange(6).reshape(3, 2), np.arange(6, 10)
norm = lambda x: np.sqrt(np.sum(x**2))


def lars(gamma, eta, m, beta):
    """You et al. 2017, algorithm 1, with the trust in the kernel; the bias moves by plain momentum."""
    w, v = START.copy(), 0 * START
    for t in range(STEPS):
        g = gradient(w, t)
        for l in ARRAYS:
            trusted = l is ARRAYS[0]
            local = eta * norm(w[l]) / (norm(g[l]) + beta * norm(w[l])) if trusted else 1.0
            v[l] = m * v[l] + gamma(t) * local * (g[l] + trusted * beta * w[l])
            w[l] = w[l] - v[l]
        yield w.copy()


def lamb(eta, beta1, beta2, eps, lam, low, high):
    """You et al. 2020, algorithm 2; phi bounds, and the bias moves as in Adam."""
    x, m, v = START.copy(), 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(x, t - 1)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        r = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps) + lam * KERNEL * x
        kernel = ARRAYS[0]
        r[kernel] *= min(max(norm(x[kernel]), low), high) / norm(r[kernel])
        x = x - eta * r
        yield x


def novograd(lam, beta1, beta2, eps, d, average):
    """Ginsburg et al. 2019, algorithm 1; average: the momentum weighs what enters by 1 - beta1."""
    w, m, v = START.copy(), 0 * START, [0.0, 0.0]
    for t in range(STEPS):
        g = gradient(w, t)
        for i, l in enumerate(ARRAYS):
            v[i] = norm(g[l]) ** 2 if t == 0 else beta2 * v[i] + (1 - beta2) * norm(g[l]) ** 2
            enters = g[l] / (np.sqrt(v[i]) + eps) + d * (i == 0) * w[l]
            m[l] = beta1 * m[l] + (1 - beta1 if average else 1) * enters
            w[l] = w[l] - lam * m[l]
        yield w.copy()


def adafactor(rho, eps1, eps2, d, factored):
    """Shazeer & Stern 2018, algorithms 4 (the kernel) and 5 (the bias)."""
    X, R, C, V = START.copy(), np.zeros(3), np.zeros(2), [np.zeros((3, 2)), np.zeros(4)]
    RMS = lambda x: np.sqrt(np.mean(x**2))
    for t in range(1, STEPS + 1):
        G = gradient(X, t - 1)
        beta2 = 1 - t**-0.8
        for i, l in enumerate(ARRAYS):
            alpha = max(eps2, RMS(X[l])) * rho(t)
            square = G[l] ** 2 + eps1
            if i == 0 and factored:
                R = beta2 * R + (1 - beta2) * square @ np.ones(2)
                C = beta2 * C + (1 - beta2) * np.ones(3) @ square
                Vhat = np.outer(R, C) / np.sum(R)
            else:
                Vhat = V[i] = beta2 * V[i] + (1 - beta2) * square
            U = G[l] / np.sqrt(Vhat)
            X[l] = X[l] - alpha * U / max(1, RMS(U) / d)
        yield X.copy()


def sm3(eta, beta, first):
    """Anil et al. 2019, SM3-I and SM3-II, with rows and columns of the kernel and entries of the bias as cover."""
    w, m = START.copy(), 0 * START
    cover = [*ARRAYS[0], *ARRAYS[0].T, *ARRAYS[1][:, None]]
    mu = np.zeros(len(cover))
    for t in range(STEPS):
        g = gradient(w, t)
        if first:
            mu = np.array([mu[r] + np.max(g[S] ** 2) for r, S in enumerate(cover)])
            nu = np.array([min(mu[r] for r, S in enumerate(cover) if i in S) for i in range(10)])
        else:
            nu = np.array([min(mu[r] for r, S in enumerate(cover) if i in S) + g[i] ** 2 for i in range(10)])
            mu = np.array([np.max(nu[S]) for S in cover])
        m = beta * m + (1 - beta) * g / np.sqrt(nu)
        w = w - eta * m
        yield w


def adam_mini(eta, beta1, beta2, eps, lam, blocks):
    """Zhang et al. 2024, algorithm 1."""
    w, m, v = START.copy(), 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(w, t - 1)
        w = w - eta * lam * KERNEL * w
        m = (1 - beta1) * g + beta1 * m
        for b in blocks:
            v[b] = (1 - beta2) * np.mean(g[b] * g[b]) + beta2 * v[b]
        w = w - eta * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        yield w


def projected(p, w, g, delta, seen):
    """Heo et al. 2021, equations 11 and 12: of every output, else of the kernel as a whole, else not."""
    cosine = lambda a, b: np.abs(np.sum(a * b)) / (norm(a) * norm(b))
    p = p.copy()
    for name, views in (("outputs", list(ARRAYS[0].T)), ("kernel", [ARRAYS[0]])):
        if all(cosine(w[i], g[i]) < delta / np.sqrt(i.size) for i in views):
            for i in views:
                unit = w[i] / norm(w[i])
                p[i] = p[i] - np.sum(unit * p[i]) * unit
            seen.add(name)
            return p
    seen.add("nothing")
    return p


def adamp(eta, beta1, beta2, eps, lam, delta):
    """Heo et al. 2021, algorithm 3, with decoupled weight decay."""
    w, m, v, seen = START, 0 * START, 0 * START, set()
    for t in range(1, STEPS + 1):
        g = gradient(w, t - 1)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        w = w - eta * (projected(p, w, g, delta, seen) + lam * KERNEL * w)
        yield w
    assert seen == {"outputs", "kernel", "nothing"}


def sgdp(eta, beta, delta, nesterov):
    """Heo et al. 2021, algorithm 2."""
    w, p, seen = START, 0 * START, set()
    for t in range(STEPS):
        g = gradient(w, t)
        p = beta * p + g
        w = w - eta * projected(g + beta * p if nesterov else p, w, g, delta, seen)
        yield w
    assert seen == {"outputs", "kernel", "nothing"}


def fromage(eta):
    """Bernstein et al. 2020, algorithm 1."""
    W = START.copy()
    for t in range(STEPS):
        g = gradient(W, t)
        for l in ARRAYS:
            W[l] = (W[l] - eta * norm(W[l]) / norm(g[l]) * g[l]) / np.sqrt(1 + eta**2)
        yield W.copy()


falling = optim.inverse_time(0.005, 50)
COLUMNS, ROWS, WHOLE = list(ARRAYS[0].T), list(ARRAYS[0]), [ARRAYS[0].ravel()]

PAPERS = {
    "lars": lambda: (
        optim.lars(falling, weight_decay=0.1, coefficient=0.3),
        lars(rate, 0.3, 0.9, 0.1),
    ),
    "lamb": lambda: (optim.lamb(1e-2, weight_decay=0.1), lamb(1e-2, 0.9, 0.999, 1e-6, 0.1, 0, np.inf)),
    "lamb, bounded": lambda: (
        optim.lamb(1e-2, low=0.9, high=1.1, b1=0.8),
        lamb(1e-2, 0.8, 0.999, 1e-6, 0.01, 0.9, 1.1),
    ),
    "novograd": lambda: (optim.novograd(1e-3), novograd(1e-3, 0.95, 0.98, 1e-8, 1e-3, False)),
    "novograd, average": lambda: (
        optim.novograd(1e-2, average=True, weight_decay=0.1, eps=1e-2),
        novograd(1e-2, 0.95, 0.98, 1e-2, 0.1, True),
    ),
    "adafactor": lambda: (
        optim.adafactor(),
        adafactor(lambda t: min(1e-2, 1 / np.sqrt(t)), 1e-30, 1e-3, 1.0, True),
    ),
    "adafactor, whole squares": lambda: (
        optim.adafactor(optim.relative_step(0.1), factored=False, clip=0.5, low=0.9, eps=1e-3),
        adafactor(lambda t: min(0.1, 1 / np.sqrt(t)), 1e-3, 0.9, 0.5, False),
    ),
    "sm3": lambda: (optim.sm3(0.1), sm3(0.1, 0.9, False)),
    "sm3, first": lambda: (optim.sm3(0.1, 0.5, first=True), sm3(0.1, 0.5, True)),
    "adam-mini": lambda: (
        optim.adam_mini(1e-2, weight_decay=0.1),
        adam_mini(1e-2, 0.9, 0.999, 1e-8, 0.1, [*COLUMNS, ARRAYS[1]]),
    ),
    "adam-mini, by row": lambda: (
        optim.adam_mini(1e-2, axes={"kernel": (0,), "**": (0,)}),
        adam_mini(1e-2, 0.9, 0.999, 1e-8, 0.01, [*ROWS, *ARRAYS[1][:, None]]),
    ),
    "adam-mini, by array": lambda: (
        optim.adam_mini(1e-2, axes={"**": ()}),
        adam_mini(1e-2, 0.9, 0.999, 1e-8, 0.01, [*WHOLE, ARRAYS[1]]),
    ),
    "adamp": lambda: (
        optim.adamp(1e-2, delta=0.7, weight_decay=0.1),
        adamp(1e-2, 0.9, 0.999, 1e-8, 0.1, 0.7),
    ),
    "sgdp": lambda: (optim.sgdp(1e-3, delta=0.7), sgdp(1e-3, 0.9, 0.7, False)),
    "sgdp, nesterov": lambda: (optim.sgdp(1e-3, delta=0.7, nesterov=True), sgdp(1e-3, 0.9, 0.7, True)),
    "fromage": lambda: (optim.fromage(3e-3), fromage(3e-3)),
}
