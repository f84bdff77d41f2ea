"""Optimizers that change one thing of a known one, each transcribed from its paper in the paper's letters."""

# ruff: noqa: N803

import numpy as np

from fdl import optim
from tests.optim.papers.matrix import adam_step, joined, newton_schulz5, parts
from tests.optim.problem import KERNEL, START, STEPS, gradient, rate

norm = np.linalg.norm


def laprop(lam, mu, nu, eps, decay=0.0):
    """Ziyin et al. 2020, algorithm 1."""
    theta, m, n = START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        n = nu * n + (1 - nu) * g**2
        m = mu * m + (1 - mu) * g / (np.sqrt(n / (1 - nu**t)) + eps)
        theta = theta - lam(t - 1) * (m / (1 - mu**t) + decay * KERNEL * theta)
        yield theta


def acprop(alpha, beta1, beta2, eps):
    """Zhuang et al. 2021, algorithm 2; the first step, which has no s, is that of the authors' code."""
    theta, m, s = START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        theta = theta - alpha * (g if t == 1 else g / (np.sqrt(s / (1 - beta2 ** (t - 1))) + eps))
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
        yield theta


def ftrl(alpha, beta, lam1, lam2):
    """McMahan et al. 2013, algorithm 1, one number at a time."""
    w, z, n = START.copy(), np.zeros(10), np.zeros(10)
    for t in range(STEPS):
        g = gradient(w, t)
        for i in range(10):
            sigma = (np.sqrt(n[i] + g[i] ** 2) - np.sqrt(n[i])) / alpha
            z[i] += g[i] - sigma * w[i]
            n[i] += g[i] ** 2
            if abs(z[i]) <= lam1:
                w[i] = 0
            else:
                w[i] = -(z[i] - np.sign(z[i]) * lam1) / ((beta + np.sqrt(n[i])) / alpha + lam2)
        yield w.copy()


def larc(lr, mu, eta, beta):
    """You et al. 2017, equation 6 for the local rate, and min(local, lr) in the place of their product; bias: plain."""
    theta, v = START, 0 * START
    for t in range(STEPS):
        g = gradient(theta, t)
        w, dw = norm(theta[KERNEL]), norm(g[KERNEL])
        local = min(eta * w / (dw + beta * w), lr(t)) / lr(t)
        v = mu * v + np.where(KERNEL, local * (g + beta * theta), g)
        theta = theta - lr(t) * v
        yield theta


def sgdw(alpha, beta1, lam, nesterov=False):
    """Loshchilov & Hutter 2019, algorithm 1, with the rate outside the velocity and before the decay, as in torch."""
    theta, m = START, 0 * START
    for t in range(STEPS):
        g = gradient(theta, t)
        m = beta1 * m + g
        theta = theta - alpha(t) * ((g + beta1 * m if nesterov else m) + lam * KERNEL * theta)
        yield theta


def optimistic_adam(eta, beta1, beta2, eps):
    """Daskalakis et al. 2018, algorithm 1: -2 eta d_t + eta d_{t-1}; d_0 is d_1, so that the first step is Adam's."""
    theta, m, v, before = START, 0 * START, 0 * START, None
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        d = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        theta = theta - 2 * eta * d + eta * (d if before is None else before)
        before = d
        yield theta


def adamuon(eta, beta, lam, eps):
    """Si et al. 2025, algorithm 1; Adam on the vector."""
    W, b = parts(START)
    M, V, m, v = 0 * W, 0 * W, 0 * b, 0 * b
    for t in range(1, STEPS + 1):
        G, g = parts(gradient(joined(W, b), t - 1))
        M = beta * M + G
        O = newton_schulz5(np.sign(M))
        V = beta * V + (1 - beta) * O * O
        Ohat = O / (np.sqrt(V) + eps)
        W = W - eta * (0.2 * np.sqrt(6) / norm(Ohat) * Ohat + lam * W)
        step, m, v = adam_step(g, m, v, t, 6e-4, 0.9, 0.999, 1e-8)
        b = b + step
        yield joined(W, b)


def galore(eta, alpha, beta1, beta2, eps, r, T):
    """Zhao et al. 2024, algorithm 2, for a matrix with more rows than columns: R = G Q; Adam on the vector."""
    W, b = parts(START)
    M, V, m, v = np.zeros((3, r)), np.zeros((3, r)), 0 * b, 0 * b
    for t in range(1, STEPS + 1):
        G, g = parts(gradient(joined(W, b), t - 1))
        if (t - 1) % T == 0:
            Q = np.linalg.svd(G)[2][:r].T
        R = G @ Q
        M, V = beta1 * M + (1 - beta1) * R, beta2 * V + (1 - beta2) * R**2
        N = (M / (1 - beta1**t)) / (np.sqrt(V / (1 - beta2**t)) + eps)
        W = W - eta * alpha * N @ Q.T
        step, m, v = adam_step(g, m, v, t, eta, beta1, beta2, eps)
        b = b + step
        yield joined(W, b)


falling = optim.inverse_time(0.005, 50)

PAPERS = {
    "laprop": lambda: (optim.laprop(falling), laprop(rate, 0.9, 0.999, 1e-15)),
    "laprop, decay": lambda: (
        optim.laprop(falling, b1=0.99, b2=0.9, eps=1e-3, weight_decay=0.1),
        laprop(rate, 0.99, 0.9, 1e-3, 0.1),
    ),
    "acprop": lambda: (optim.acprop(1e-3, eps=1e-8), acprop(1e-3, 0.9, 0.999, 1e-8)),
    "ftrl": lambda: (optim.ftrl(0.5), ftrl(0.5, 1.0, 0.0, 0.0)),
    "ftrl, sparse": lambda: (optim.ftrl(0.2, 0.5, l1=8.0, l2=0.1), ftrl(0.2, 0.5, 8.0, 0.1)),
    "larc": lambda: (optim.larc(falling, coefficient=0.02, weight_decay=0.1), larc(rate, 0.9, 0.02, 0.1)),
    "sgdw": lambda: (optim.sgdw(falling), sgdw(rate, 0.9, 1e-2)),
    "sgdw, nesterov": lambda: (optim.sgdw(falling, nesterov=True), sgdw(rate, 0.9, 1e-2, True)),
    "optimistic adam": lambda: (optim.optimistic_adam(1e-2), optimistic_adam(1e-2, 0.9, 0.999, 1e-8)),
    "galore": lambda: (optim.galore(1e-2, 1, every=50), galore(1e-2, 0.25, 0.9, 0.999, 1e-8, 1, 50)),
    "galore, full rank": lambda: (
        optim.galore(1e-2, 9, every=1000, size=1.0, eps=1e-3),
        galore(1e-2, 1.0, 0.9, 0.999, 1e-3, 2, 1000),
    ),
    "adamuon": lambda: (optim.adamuon(0.01), adamuon(0.01, 0.95, 0.1, 1e-8)),
}
