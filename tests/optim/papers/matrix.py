"""Optimizers that see a kernel as a matrix, in their papers' letters: W is the kernel (3, 2), b the bias (4,)."""

# ruff: noqa: N803

import zlib

import jax
import numpy as np

from fdl import optim
from tests.optim.problem import START, STEPS, gradient


def parts(x):
    return x[:6].reshape(3, 2), x[6:]


def joined(W, b):
    return np.concatenate([W.ravel(), b])


def newton_schulz5(G, steps=5, eps=1e-7):
    """Keller Jordan's iteration; no transposition, so that it is not ours."""
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G / (np.linalg.norm(G) + eps)
    for _ in range(steps):
        A = X.T @ X
        X = a * X + X @ (b * A + c * A @ A)
    return X


def adam_step(g, m, v, t, alpha, beta1, beta2, eps):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return -alpha * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


def muon(eta, mu, lam, nesterov, moonshot):
    """Jordan 2024 (out / in is columns / rows here), Liu et al. 2025, equation 4; Adam on the vector."""
    W, b = parts(START)
    B, m, v = 0 * W, 0 * b, 0 * b
    scale = 0.2 * np.sqrt(3) if moonshot else np.sqrt(max(1, 2 / 3))
    for t in range(1, STEPS + 1):
        G, g = parts(gradient(joined(W, b), t - 1))
        B = mu * B + G
        O = newton_schulz5(G + mu * B if nesterov else B)
        W = W - eta * (scale * O + lam * W)
        step, m, v = adam_step(g, m, v, t, 3e-4, 0.9, 0.999, 1e-8)
        b = b + step
        yield joined(W, b)


def scion(gamma, alpha, constrained, lmos):
    """Pethick et al. 2025, algorithms 1 and 2, on the transposes: the paper's weights are (out, in)."""
    W, b = parts(START)
    D, d = 0 * W.T, 0 * b
    for t in range(STEPS):
        G, g = parts(gradient(joined(W, b), t))
        D, d = (1 - alpha) * D + alpha * G.T, (1 - alpha) * d + alpha * g
        V, v = lmos[0](D).T, lmos[1](d)
        W = W + gamma * (V - W) if constrained else W + gamma * V
        b = b + gamma * (v - b) if constrained else b + gamma * v
        yield joined(W, b)


def spectral(rho):
    return lambda D: -rho * np.sqrt(D.shape[0] / D.shape[1]) * newton_schulz5(D)


def sign(rho):
    return lambda D: -rho / D.shape[1] * np.sign(D)


def col_norm(rho):
    return lambda D: np.stack([-rho * np.sqrt(len(c)) * c / np.linalg.norm(c) for c in D.T], axis=1)


def row_norm(rho):
    return lambda D: np.stack([-rho / np.sqrt(len(r)) * r / np.linalg.norm(r) for r in D])


def rms(rho):
    return lambda d: -rho * d / np.sqrt(np.mean(d**2))


def power(H, exponent):
    """Through the singular value decomposition."""
    U, s, _ = np.linalg.svd(H)
    return U @ np.diag(s**exponent) @ U.T


def shampoo(eta, eps, every=1, beta=None, exponent=-1 / 4, limit=99):
    """Gupta et al. 2018, algorithm 1, and its order-1 case with a diagonal for the vector."""
    W, b = parts(START)
    L, R, h = eps * np.eye(3), eps * np.eye(2), np.full(4, eps)
    for t in range(STEPS):
        G, g = parts(gradient(joined(W, b), t))
        if beta is None:
            L, R, h = L + G @ G.T, R + G.T @ G, h + g * g
        else:
            L = beta * (L - eps * np.eye(3)) + (1 - beta) * G @ G.T + eps * np.eye(3)
            R = beta * (R - eps * np.eye(2)) + (1 - beta) * G.T @ G + eps * np.eye(2)
            h = beta * (h - eps) + (1 - beta) * g * g + eps
        if limit < 3:
            L = np.diag(np.diag(L))
        if t % every == 0:
            left, right = power(L, exponent), power(R, exponent)
        W = W - eta * left @ G @ right
        b = b - eta * h ** (exponent if exponent != -1 / 4 else -1 / 2) * g
        yield joined(W, b)


def soap(eta, beta1, beta2, eps, f, skip):
    """Vyas et al. 2024, algorithm 3 with the authors' order of axes, first basis and skipped first step."""
    W, b = parts(START)
    M = V = np.zeros((3, 2))
    m = v = np.zeros(4)
    for t in range(STEPS):
        G, g = parts(gradient(joined(W, b), t))
        if t == 0:
            L, R = (1 - beta2) * G @ G.T, (1 - beta2) * G.T @ G
            QL, QR = np.linalg.svd(L)[0], np.linalg.svd(R)[0]
            if not skip:
                W, b = W - eta * G / (np.abs(G) + eps), b - eta * g / (np.abs(g) + eps)
            yield joined(W, b)
            continue
        Gp = QL.T @ G @ QR
        M, V = beta1 * M + (1 - beta1) * G, beta2 * V + (1 - beta2) * Gp**2
        Mp = QL.T @ M @ QR
        Np = Mp / (1 - beta1**t) / (np.sqrt(V / (1 - beta2**t)) + eps)
        W = W - eta * QL @ Np @ QR.T
        step, m, v = adam_step(g, m, v, t, eta, beta1, beta2, eps)
        b = b + step
        L, R = beta2 * L + (1 - beta2) * G @ G.T, beta2 * R + (1 - beta2) * G.T @ G
        if t % f == 0:
            left = sorted(range(3), key=lambda i: -QL[:, i] @ L @ QL[:, i])
            right = sorted(range(2), key=lambda i: -QR[:, i] @ R @ QR[:, i])
            V = V[left][:, right]
            QL, QR = np.linalg.qr(L @ QL[:, left])[0], np.linalg.qr(R @ QR[:, right])[0]
        yield joined(W, b)


def noise(t):
    """The numbers that the step draws, by its documented rule: (seed, step, path)."""
    with jax.enable_x64(True):
        choose, draw = jax.random.split(jax.random.fold_in(jax.random.key(3), t))
        own = lambda name: jax.random.fold_in(draw, zlib.crc32(name.encode()))
        V, v = jax.random.normal(own("kernel"), (3, 2), float), jax.random.normal(own("bias"), (4,), float)
        return float(jax.random.uniform(choose)), np.asarray(V), np.asarray(v)


def norm_lower_bound(A):
    x = A[:, np.argmax(np.sum(A * A, 0))] @ A
    return np.linalg.norm(x / np.linalg.norm(x) @ A)


def kron(eta, beta, mu, probability, damping):
    """Li 2015, 2018: dQ = (A A^T - B B^T) Q with A = Q g, B = Q^(-T) v; without the balance, which changes nothing."""
    W, b = parts(START)
    M, m = 0 * W, 0 * b
    Q1, Q2, q = np.eye(3), np.eye(2), np.ones(4)
    for t in range(STEPS):
        G, g = parts(gradient(joined(W, b), t))
        M, m = beta * M + (1 - beta) * G, beta * m + (1 - beta) * g
        Mh, mh = M / (1 - beta ** (t + 1)), m / (1 - beta ** (t + 1))
        u, V, v = noise(t)
        if u < probability(t):
            A = Q1 @ (Mh + damping * np.mean(np.abs(Mh)) * V) @ Q2.T
            B = np.linalg.inv(Q1).T @ V @ np.linalg.inv(Q2)
            AA, BB, aa, bb = A @ A.T, B @ B.T, A.T @ A, B.T @ B
            Q1 = Q1 - mu / norm_lower_bound(AA + BB) * np.triu(AA - BB) @ Q1
            Q2 = Q2 - mu / norm_lower_bound(aa + bb) * np.triu(aa - bb) @ Q2
            a, c = q * (mh + damping * np.mean(np.abs(mh)) * v), v / q
            q = q - mu / np.max(a * a + c * c) * (a * a - c * c) * q
        D, d = Q1.T @ Q1 @ Mh @ Q2.T @ Q2, q * q * mh
        W = W - eta * D / max(1, np.sqrt(np.mean(D * D)) / 1.1)
        b = b - eta * d / max(1, np.sqrt(np.mean(d * d)) / 1.1)
        yield joined(W, b)


fell = lambda t: min(1.0, max(0.03, np.exp(-1e-3 * (t - 250))))
hidden = {"kernel": optim.spectral_lmo(2.0), "bias": optim.row_lmo(3.0, eps=0.0)}

PAPERS = {
    "muon": lambda: (optim.muon(0.01), muon(0.01, 0.95, 0.0, True, False)),
    "muon, moonshot": lambda: (
        optim.muon(0.01, momentum=0.9, nesterov=False, adjust="match_rms_adamw", weight_decay=0.1, where="kernel"),
        muon(0.01, 0.9, 0.1, False, True),
    ),
    "scion": lambda: (optim.scion(0.01, hidden), scion(0.01, 0.1, True, (spectral(2.0), rms(3.0)))),
    "scion, unconstrained": lambda: (
        optim.scion(0.01, hidden, 0.5, constrained=False),
        scion(0.01, 0.5, False, (spectral(2.0), rms(3.0))),
    ),
    "scion, signs": lambda: (
        optim.scion(0.01, {"**": optim.sign_lmo(5.0)}),
        scion(0.01, 0.1, True, (sign(5.0), lambda d: -5.0 * np.sign(d))),
    ),
    "scion, ColNorm": lambda: (
        optim.scion(0.01, {"**": optim.row_lmo(2.0, eps=0.0)}),
        scion(0.01, 0.1, True, (col_norm(2.0), rms(2.0))),
    ),
    "scion, RowNorm": lambda: (
        optim.scion(0.01, {"kernel": optim.column_lmo(2.0, eps=0.0), "**": optim.row_lmo(2.0, eps=0.0)}),
        scion(0.01, 0.1, True, (row_norm(2.0), rms(2.0))),
    ),
    "shampoo": lambda: (optim.shampoo(0.1, eps=1e-2), shampoo(0.1, 1e-2)),
    "shampoo, running mean": lambda: (
        optim.shampoo(0.01, eps=1e-2, decay=0.95, every=5),
        shampoo(0.01, 1e-2, every=5, beta=0.95),
    ),
    "shampoo, square roots": lambda: (optim.shampoo(0.1, eps=1e-2, root=2), shampoo(0.1, 1e-2, exponent=-1 / 2)),
    "shampoo, long axis": lambda: (optim.shampoo(0.1, eps=1e-2, limit=2), shampoo(0.1, 1e-2, limit=2)),
    "soap": lambda: (optim.soap(0.01, weight_decay=0.0), soap(0.01, 0.95, 0.95, 1e-8, 10, True)),
    "soap, every step": lambda: (
        optim.soap(0.01, weight_decay=0.0, b1=0.9, b2=0.99, eps=1e-4, every=1, skip_first=False),
        soap(0.01, 0.9, 0.99, 1e-4, 1, False),
    ),
    "kron": lambda: (optim.kron(0.01, seed=3), kron(0.01, 0.9, 0.1, fell, 2**-11.5)),
    "kron, rarely": lambda: (
        optim.kron(0.01, b1=0.5, probability=0.2, rate=0.3, damping=0.0, seed=3),
        kron(0.01, 0.5, 0.3, lambda t: 0.2, 0.0),
    ),
}
