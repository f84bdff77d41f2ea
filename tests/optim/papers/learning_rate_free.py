"""Learning-rate-free optimizers, averages and wrappers, transcribed from their papers in the papers' letters."""

import numpy as np

from fdl import optim
from tests.optim.problem import KERNEL, START, STEPS, gradient, rate, value

norm = np.linalg.norm


def dog(c, initial, eps, parts=(slice(None),)):
    """Ivgi et al. 2023; parts: L-DoG."""
    x, G = START.copy(), [0.0] * len(parts)
    r = [initial * (1 + norm(START[part])) for part in parts]
    for t in range(STEPS):
        g, new = gradient(x, t), x.copy()
        for i, part in enumerate(parts):
            r[i] = max(r[i], norm(x[part] - START[part]))
            G[i] += norm(g[part]) ** 2
            new[part] = x[part] - c(t) * r[i] / np.sqrt(G[i] + eps) * g[part]
        x = new
        yield x


def dowg(r):
    """Khaled et al. 2023, algorithm 1."""
    x, v = START, 0.0
    for t in range(STEPS):
        g = gradient(x, t)
        r = max(r, norm(x - START))
        v = v + r**2 * norm(g) ** 2
        x = x - r**2 / np.sqrt(v) * g
        yield x


def d_adapt_adam(gamma, d, beta1, beta2, eps, lam=0.0, correct=False, last=False):
    """Defazio & Mishchenko 2023, algorithm 5; last and correct: DAdaptAdam of the authors' code, version 3."""
    x, m, v, s, r = START, 0 * START, 0 * START, 0 * START, 0.0
    b = np.sqrt(beta2)
    for k in range(STEPS):
        g = gradient(x, k)
        dl = d * gamma(k) * (np.sqrt(1 - beta2 ** (k + 1)) / (1 - beta1 ** (k + 1)) if correct else 1)
        before = np.sqrt(v) + eps
        m = beta1 * m + (1 - beta1) * dl * g
        v = beta2 * v + (1 - beta2) * g**2
        A = np.sqrt(v) + eps
        x = x - m / A - lam * dl * KERNEL * x
        r = b * r + (1 - b) * dl * np.dot(g, s / (before if last else A))
        s = b * s + (1 - b) * dl * g
        d = max(d, r / ((1 - b) * np.abs(s).sum()))
        yield x


def prodigy(gamma, d, beta1, beta2, eps, lam=0.0, correct=False, safeguard=False, beta3=None):
    """Mishchenko & Defazio 2023, algorithm 4; their code has eps times the next d."""
    x, m, v, s, r = START, 0 * START, 0 * START, 0 * START, 0.0
    b = np.sqrt(beta2) if beta3 is None else beta3
    for k in range(STEPS):
        g = gradient(x, k)
        ga = gamma(k) * (np.sqrt(1 - beta2 ** (k + 1)) / (1 - beta1 ** (k + 1)) if correct else 1)
        m = beta1 * m + (1 - beta1) * d * g
        v = beta2 * v + (1 - beta2) * d**2 * g**2
        r = b * r + (1 - b) * ga * d**2 * np.dot(g, START - x)
        s = b * s + (1 - b) * (1 if safeguard else ga) * d**2 * g
        x = x - ga * d * (m / (np.sqrt(v) + d * eps) + lam * KERNEL * x)
        d = max(d, r / np.abs(s).sum())
        yield x


def mechanic(base, lam, s_init, eps, clip=False):
    """Cutkosky et al. 2023, algorithm 1, where their PyTorch code starts m at 1e-6; base(g, t) -> u."""
    beta = 1 - 0.1 ** np.arange(1, 7)
    x, Delta = START, 0 * START
    s, r, m, v = np.zeros(6), np.zeros(6), np.zeros(6), np.zeros(6)
    for t in range(STEPS):
        g = gradient(x, t)
        h = np.dot(Delta, g + lam * s.sum() * norm(g) * x / norm(x))
        Delta = Delta + base(g, t)
        held = np.clip(h, -m, m) if clip else h
        m = np.maximum(beta * m, np.abs(h))
        v = beta**2 * v + h**2
        r = np.maximum(0, beta * r - s * held)
        s = (s_init / 6 * m + r) / (np.sqrt(v) + eps)
        x = START + s.sum() * Delta
        yield x


def polyak(gamma, f_star, c):
    """Loizou et al. 2021, SPS_max."""
    x = START
    for t in range(STEPS):
        g = gradient(x, t)
        x = x - min(gamma, max(value(x, t) - f_star, 0) / (c * norm(g) ** 2)) * g
        yield x


def momo(alpha, beta, low, lam=0.0, estimate=False, adam=None, correct=False):
    """Schaipp et al. 2023: f, gamma, d are running means; adam: (beta2, eps)."""
    x, d, f, gamma, v, star = START, 0 * START, 0.0, 0.0, 0 * START, low
    for k in range(1, STEPS + 1):
        g, a = gradient(x, k - 1), alpha(k - 1)
        b, rho = (beta, 1 - beta**k) if correct else (0 if k == 1 else beta, 1)
        f, gamma, d = b * f + (1 - b) * value(x, k - 1), b * gamma + (1 - b) * np.dot(g, x), b * d + (1 - b) * g
        D = np.ones(10)
        if adam:
            v = adam[0] * v + (1 - adam[0]) * g**2
            D = adam[1] + np.sqrt(v / (1 - adam[0] ** k))
        size, one = np.dot(d, d / D), 1 + a * lam
        if estimate and one * (f - gamma) + np.dot(d, x) < one * rho * star:
            star = max((one * (f - gamma) + np.dot(d, x)) / (2 * one * rho), low)
        tau = min(a / rho, max(one * (f - gamma - rho * star) + np.dot(d, x), 0) / size)
        if estimate:
            star = max((f + np.dot(d, x) - gamma - tau * size / 2) / rho, low)
        x = (x - tau * d / D) / one
        yield x


def cocob(alpha, eps):
    """Orabona & Tommasi 2017, algorithm 2, with L from eps on as in their code; their g is the negative gradient."""
    w, L, G, R, theta = START, np.full(10, eps), 0 * START, 0 * START, 0 * START
    for t in range(STEPS):
        g = -gradient(w, t)
        L = np.maximum(L, np.abs(g))
        G = G + np.abs(g)
        R = np.maximum(R + (w - START) * g, 0)
        theta = theta + g
        w = START + theta / (L * np.maximum(G + L, alpha * L)) * (L + R)
        yield w


def schedule_free(gamma, beta1, lam=0.0, adam=None, reference=False):
    """Defazio et al. 2024, algorithm 1: yields x.  reference: their code, which corrects the squares in the rate."""
    x, z, v, total = START, START, 0 * START, 0.0
    for t in range(1, STEPS + 1):
        y = (1 - beta1) * z + beta1 * x
        g, ga = gradient(y, t - 1), gamma(t - 1)
        step = g
        if adam:
            beta2, eps = adam
            v = beta2 * v + (1 - beta2) * g**2
            step = g / (np.sqrt(v) + eps) if reference else g / (np.sqrt(v / (1 - beta2**t)) + eps)
            ga = ga * np.sqrt(1 - beta2**t) if reference else ga
        z = z - ga * step - ga * lam * y
        total = total + ga**2
        c = ga**2 / total if total else 0
        x = (1 - c) * x + c * z
        yield x


def lookahead(k, alpha, epsilon, a, reset):
    """Zhang et al. 2019, algorithm 1, around SGD with momentum: yields the fast weights."""
    phi, theta, v = START, START, 0 * START
    for t in range(STEPS):
        v = a * v + gradient(theta, t)
        theta = theta - epsilon * v
        if t % k == k - 1:
            phi = phi + alpha * (theta - phi)
            theta = phi
            v = 0 * v if reset else v
        yield theta


def sam(epsilon, rho, eta=None, part=True, inner=0.9):
    """Foret et al. 2021, algorithm 1; eta: ASAM of Kwon et al. 2021, algorithm 1; around SGD with momentum."""
    w, v = START, 0 * START
    for t in range(STEPS):
        g = gradient(w, t)
        T = np.ones(10) if eta is None else np.where(part, np.abs(w) + eta, 1)
        v = inner * v + gradient(w + rho * T**2 * g / norm(T * g), t)
        w = w - epsilon(t) * v
        yield w


def mean_of_descent(epsilon, keep, start, every):
    """An average of the parameters of gradient descent: keep(n) of it stays when the n-th is added, from n = 0."""
    w, x, n = START, START, 0
    for t in range(STEPS):
        w = w - epsilon * gradient(w, t)
        if t < start:
            x = w
        elif (t - start) % every == 0:
            x, n = (w if n == 0 else keep(n) * x + (1 - keep(n)) * w), n + 1
        yield x


falling = optim.inverse_time(0.005, 50)
late = optim.inverse_time(1.0, 300)
slower = lambda t: 1 / (1 + t / 300)
one = lambda t: 1.0
warm = optim.warmup(optim.constant(5e-3), 10)
warming = lambda t: 5e-3 * min(t / 10, 1)
result = lambda params, opt_state: optim.averaged(opt_state, params)


def averaging(*arguments, **named):
    return optim.chain(optim.sgd(5e-3), optim.average_params(*arguments, **named))


PAPERS = {
    "dog": lambda: (optim.dog(), dog(one, 1e-6, 1e-8)),
    "dog, falling": lambda: (optim.dog(late, initial=1e-3, eps=1e-4), dog(slower, 1e-3, 1e-4)),
    "dog, layerwise": lambda: (
        optim.dog(initial=1e-4, layerwise=True),
        dog(one, 1e-4, 1e-8, (slice(0, 6), slice(6, 10))),
    ),
    "dowg": lambda: (optim.dowg(), dowg(1e-2)),
    "d-adaptation": lambda: (optim.dadapt_adamw(), d_adapt_adam(one, 1e-6, 0.9, 0.999, 1e-8)),
    "d-adaptation, authors": lambda: (
        optim.dadapt_adamw(late, weight_decay=0.1, eps=1e-3, initial=1e-4, correct_bias=True, last_unit=True),
        d_adapt_adam(slower, 1e-4, 0.9, 0.999, 1e-3, 0.1, True, True),
    ),
    "prodigy": lambda: (optim.prodigy(), prodigy(one, 1e-6, 0.9, 0.999, 1e-8)),
    "prodigy, switches": lambda: (
        optim.prodigy(late, b3=0.99, eps=1e-3, weight_decay=0.1, correct_bias=True, safeguard_warmup=True),
        prodigy(slower, 1e-6, 0.9, 0.999, 1e-3, 0.1, True, True, 0.99),
    ),
    "mechanic": lambda: (optim.mechanic(optim.sgd(falling)), mechanic(lambda g, t: -rate(t) * g, 0.01, 1e-8, 1e-8)),
    "mechanic, clipped": lambda: (
        optim.mechanic(optim.sgd(1e-2), weight_decay=0.1, initial=1e-3, clip=True),
        mechanic(lambda g, t: -1e-2 * g, 0.1, 1e-3, 1e-8, clip=True),
    ),
    "polyak": lambda: (optim.polyak_sgd(0.05, -3.0, scaling=0.5), polyak(0.05, -3.0, 0.5)),
    "momo": lambda: (optim.momo(0.02, lower_bound=-3.0), momo(lambda t: 0.02, 0.9, -3.0)),
    "momo, decay": lambda: (
        optim.momo(falling, 0.8, lower_bound=-9.0, correct_bias=True, weight_decay=0.1, where="**"),
        momo(rate, 0.8, -9.0, 0.1, correct=True),
    ),
    "momo, bound": lambda: (
        optim.momo(0.02, lower_bound=-20.0, estimate_bound=True),
        momo(lambda t: 0.02, 0.9, -20.0, estimate=True),
    ),
    "momo adam": lambda: (
        optim.momo_adam(0.05, eps=1e-3, lower_bound=-3.0, weight_decay=0.1, where="**"),
        momo(lambda t: 0.05, 0.9, -3.0, 0.1, adam=(0.999, 1e-3), correct=True),
    ),
    "momo adam, bound": lambda: (
        optim.momo_adam(0.05, lower_bound=-20.0, estimate_bound=True),
        momo(lambda t: 0.05, 0.9, -20.0, estimate=True, adam=(0.999, 1e-8), correct=True),
    ),
    "cocob": lambda: (optim.cocob(), cocob(100.0, 1e-8)),
    "schedule-free sgd": lambda: (optim.schedule_free_sgd(5e-3), schedule_free(lambda t: 5e-3, 0.9), result),
    "schedule-free sgd, warm-up": lambda: (
        optim.schedule_free_sgd(warm, 0.95, weight_decay=0.1),
        schedule_free(warming, 0.95, 0.1),
        result,
    ),
    "schedule-free adamw": lambda: (
        optim.schedule_free_adamw(warm, eps=1e-3, weight_decay=0.1),
        schedule_free(warming, 0.9, 0.1, (0.999, 1e-3)),
        result,
    ),
    "schedule-free adamw, reference": lambda: (
        optim.schedule_free_adamw(5e-3, 0.95, 0.99, weight_decay=0.1, correct_rate=True),
        schedule_free(lambda t: 5e-3, 0.95, 0.1, (0.99, 1e-8), True),
        result,
    ),
    "lookahead": lambda: (optim.lookahead(optim.sgd(1e-3, 0.9)), lookahead(5, 0.5, 1e-3, 0.9, False)),
    "lookahead, reset": lambda: (
        optim.lookahead(optim.sgd(1e-3, 0.9), 7, 0.8, reset=True),
        lookahead(7, 0.8, 1e-3, 0.9, True),
    ),
    "sam": lambda: (optim.sam(optim.sgd(falling, 0.9)), sam(rate, 0.05)),
    "asam": lambda: (optim.asam(optim.sgd(falling, 0.9)), sam(rate, 0.5, 0.01)),
    "asam, kernels": lambda: (
        optim.asam(optim.sgd(falling, 0.9), 0.2, 0.1, where="**/kernel"),
        sam(rate, 0.2, 0.1, KERNEL),
    ),
    "ema": lambda: (averaging(0.99, start=20), mean_of_descent(5e-3, lambda n: 0.99, 20, 1), result),
    "swa": lambda: (
        optim.chain(optim.sgd(5e-3), optim.swa(300, 7)),
        mean_of_descent(5e-3, lambda n: n / (n + 1), 300, 7),
        result,
    ),
    "polynomial average": lambda: (
        averaging(optim.polynomial_average(8)),
        mean_of_descent(5e-3, lambda n: 1 - 9 / (n + 1 + 8), 0, 1),
        result,
    ),
}
