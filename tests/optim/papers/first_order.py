"""Adam's family and steps by signs, each transcribed from its paper in the paper's letters."""

import numpy as np

from fdl import optim
from tests.optim.problem import CURVATURE, KERNEL, START, STEPS, gradient, rate, value


def adamax(alpha, beta1, beta2, eps=0.0, decay=0.0):
    """Kingma & Ba 2015, algorithm 2; eps: where torch adds it."""
    theta, m, u = START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        m = beta1 * m + (1 - beta1) * g
        u = np.maximum(beta2 * u, np.abs(g) + eps)
        theta = theta - alpha / (1 - beta1**t) * m / u - alpha * decay * KERNEL * theta
        yield theta


def nadam(eta, mu, nu, eps, momentum_of, decay=0.0):
    """Dozat 2016, algorithm 2, with momentum_of(t) for mu_t and, as in Adam, n / (1 - nu^t)."""
    theta, m, n = START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        mu_t, after = momentum_of(t), momentum_of(t + 1)
        product = np.prod([momentum_of(i) for i in range(1, t + 1)])
        m = mu_t * m + (1 - mu_t) * g if mu is None else mu * m + (1 - mu) * g
        n = nu * n + (1 - nu) * g**2
        mbar = (1 - mu_t) * g / (1 - product) + after * m / (1 - product * after)
        theta = theta - eta * (mbar / (np.sqrt(n / (1 - nu**t)) + eps) + decay * KERNEL * theta)
        yield theta


def radam(alpha, beta1, beta2, threshold):
    """Liu et al. 2020, algorithm 2."""
    theta, m, v = START, 0 * START, 0 * START
    rho_inf = 2 / (1 - beta2) - 1
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        v = beta2 * v + (1 - beta2) * g**2
        m = beta1 * m + (1 - beta1) * g
        mhat = m / (1 - beta1**t)
        rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        if rho > threshold:
            length = np.sqrt((1 - beta2**t) / v)
            r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            theta = theta - alpha * r * mhat * length
        else:
            theta = theta - alpha * mhat
        yield theta


def amsgrad(alpha, beta1, beta2, eps):
    """Reddi et al. 2018, algorithm 2; eps beside the root."""
    x, m, v, vhat = START, 0 * START, 0 * START, 0 * START
    for t in range(STEPS):
        g = gradient(x, t)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        vhat = np.maximum(vhat, v)
        x = x - alpha * m / (np.sqrt(vhat) + eps)
        yield x


def adabelief(alpha, beta1, beta2, eps):
    """Zhuang et al. 2020, algorithm 2."""
    theta, m, s = START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
        theta = theta - alpha * (m / (1 - beta1**t)) / (np.sqrt(s / (1 - beta2**t)) + eps)
        yield theta


def yogi(eta, beta1, beta2, eps, v0, correct):
    """Zaheer et al. 2018, algorithm 2; correct: the means divided by their weights."""
    x, m, v = START, 0 * START, np.full(10, v0)
    for t in range(1, STEPS + 1):
        g = gradient(x, t - 1)
        m = beta1 * m + (1 - beta1) * g
        v = v - (1 - beta2) * np.sign(v - g**2) * g**2
        mhat, vhat = (m / (1 - beta1**t), v / (1 - beta2**t)) if correct else (m, v)
        x = x - eta * mhat / (np.sqrt(vhat) + eps)
        yield x


def adan(eta, beta1, beta2, beta3, eps, lam):
    """Xie et al. 2024, algorithm 1, with the means divided by their weights; g_0 is the first gradient."""
    theta, m, v, n, before = START, 0 * START, 0 * START, 0 * START, None
    for k in range(1, STEPS + 1):
        g = gradient(theta, k - 1)
        change = 0 * g if before is None else g - before
        m = (1 - beta1) * m + beta1 * g
        v = (1 - beta2) * v + beta2 * change
        n = (1 - beta3) * n + beta3 * (g + (1 - beta2) * change) ** 2
        mhat, vhat, nhat = m / (1 - (1 - beta1) ** k), v / (1 - (1 - beta2) ** k), n / (1 - (1 - beta3) ** k)
        theta = (theta - eta(k - 1) / (np.sqrt(nhat) + eps) * (mhat + (1 - beta2) * vhat)) / (
            1 + lam * eta(k - 1) * KERNEL
        )
        before = g
        yield theta


def adopt(alpha, beta1, beta2, eps, c):
    """Taniguchi et al. 2024, algorithm 2; c(t) clips, as in their section 4."""
    theta, m = START, 0 * START
    v = gradient(theta, 0) ** 2
    yield theta
    for t in range(1, STEPS):
        g = gradient(theta, t)
        m = beta1 * m + (1 - beta1) * np.clip(g / np.maximum(np.sqrt(v), eps), -c(t), c(t))
        theta = theta - alpha * m
        v = beta2 * v + (1 - beta2) * g**2
        yield theta


def ademamix(eta, beta1, beta2, beta3, alpha, eps, lam, horizon=None):
    """Pagliardini et al. 2024, algorithm 1; horizon: their schedules of alpha and beta3."""
    theta, m1, m2, nu = START, 0 * START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        part = 1 if horizon is None else min(t / horizon, 1)
        logs = np.log(beta1), np.log(beta3)
        b3 = min(np.exp(logs[0] * logs[1] / ((1 - part) * logs[1] + part * logs[0])), beta3)
        g = gradient(theta, t - 1)
        m1 = beta1 * m1 + (1 - beta1) * g
        m2 = b3 * m2 + (1 - b3) * g
        nu = beta2 * nu + (1 - beta2) * g**2
        direction = (m1 / (1 - beta1**t) + part * alpha * m2) / (np.sqrt(nu / (1 - beta2**t)) + eps)
        theta = theta - eta * (direction + lam * KERNEL * theta)
        yield theta


def simplified_ademamix(eta, beta1, beta2, alpha, eps):
    """Morwani et al. 2025, section 5."""
    theta, m, nu = START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        m = beta1 * m + g
        nu = beta2 * nu + (1 - beta2) * g**2
        theta = theta - eta * (m + alpha * g) / (np.sqrt(nu / (1 - beta2**t)) + eps)
        yield theta


def mars(eta, beta1, beta2, gamma, eps, lam, exact, lion=False):
    """Yuan et al. 2024, algorithms 1 and 2 (MARS-AdamW), 3 (MARS-Lion), with a clip for each array."""
    x, m, v, before, last = START, 0 * START, 0 * START, START, None
    for t in range(1, STEPS + 1):
        g = gradient(x, t - 1)
        then = gradient(before, t - 1) if exact else g if last is None else last
        c = g + gamma * beta1 / (1 - beta1) * (g - then)
        for array in (KERNEL, ~KERNEL):
            size = np.sqrt(np.sum(c[array] ** 2))
            c[array] = c[array] / size if size > 1 else c[array]
        m = beta1 * m + (1 - beta1) * c
        v = beta2 * v + (1 - beta2) * c**2
        adam = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        before, last = x, g
        x = x - eta * ((np.sign(m) if lion else adam) + lam * KERNEL * x)
        yield x


def caution(u, g):
    """Liang et al. 2024: phi = 1(u g > 0), scaled by dim / (nnz + 1), for each array."""
    u = u.copy()
    for array in (KERNEL, ~KERNEL):
        phi = u[array] * g[array] > 0
        u[array] = u[array] * phi * phi.size / (np.sum(phi) + 1)
    return u


def lion(eta, beta1, beta2, lam, change=lambda u, g: u):
    """Chen et al. 2023, program 1; change: what makes it cautious."""
    theta, m = START, 0 * START
    for t in range(STEPS):
        g = gradient(theta, t)
        update = np.sign(beta1 * m + (1 - beta1) * g)
        m = beta2 * m + (1 - beta2) * g
        theta = theta - eta(t) * (change(update, g) + lam * KERNEL * theta)
        yield theta


def cautious_adamw(alpha, beta1, beta2, eps, lam):
    theta, m, v = START, 0 * START, 0 * START
    for t in range(1, STEPS + 1):
        g = gradient(theta, t - 1)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        u = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        theta = theta - alpha * (caution(u, g) + lam * KERNEL * theta)
        yield theta


def signum(delta, beta):
    """Bernstein et al. 2018, algorithm 2; beta = 0 is signSGD, algorithm 1."""
    x, m = START, 0 * START
    for k in range(STEPS):
        m = beta * m + (1 - beta) * gradient(x, k)
        x = x - delta(k) * np.sign(m)
        yield x


def rprop(delta0, form):
    """Igel & Hüsken 2003, figures 1 to 4: Rprop+, Rprop-, iRprop+ and iRprop-."""
    w, delta, before, moved, E = START.copy(), np.full(10, delta0), np.zeros(10), np.zeros(10), np.inf
    for t in range(STEPS):
        dE, now = gradient(w, t), value(w, t)
        for i in range(10):
            product = before[i] * dE[i]
            if product > 0:
                delta[i] = min(delta[i] * 1.2, 50.0)
            elif product < 0:
                delta[i] = max(delta[i] * 0.5, 1e-6)
            if product < 0 and form in ("rprop+", "irprop+"):
                moved[i] = -moved[i] if form == "rprop+" or now > E else 0
                dE[i] = 0
            else:
                if product < 0 and form == "irprop-":
                    dE[i] = 0
                moved[i] = -np.sign(dE[i]) * delta[i]
            w[i] += moved[i]
        before, E = dE, now
        yield w.copy()


def centered_rmsprop(epsilon, rho, delta):
    """Graves 2013, equations 38 to 45, without momentum."""
    w, n, gbar = START, 0 * START, 0 * START
    for t in range(STEPS):
        g = gradient(w, t)
        n = rho * n + (1 - rho) * g**2
        gbar = rho * gbar + (1 - rho) * g
        w = w - epsilon * g / np.sqrt(n - gbar**2 + delta)
        yield w


def madgrad(gamma, c, eps):
    """Defazio & Jelassi 2021, algorithm 1."""
    x, s, v = START, 0 * START, 0 * START
    for k in range(STEPS):
        g = gradient(x, k)
        lam = gamma(k) * np.sqrt(k + 1)
        s, v = s + lam * g, v + lam * g**2
        z = START - s / (np.cbrt(v) + eps)
        x = (1 - c) * x + c * z
        yield x


def asgd(eta0, lam, alpha, t0):
    """Polyak & Juditsky's averages of gradient descent at Bottou's rates: the mean of all parameters since t0."""
    theta, mean = START, 0 * START
    for t in range(STEPS):
        eta = eta0 / (1 + lam * eta0 * t) ** alpha
        theta = (1 - eta * lam) * theta - eta * gradient(theta, t)
        mean = theta if t <= t0 + 1 else mean + (theta - mean) / (t - t0)
        yield mean


def optimistic(eta):
    """Daskalakis et al. 2018, equation 2: w_{t+1} = w_t - 2 eta g_t + eta g_{t-1}; g_{-1} is the first gradient."""
    w, before = START, gradient(START, 0)
    for t in range(STEPS):
        g = gradient(w, t)
        w = w - 2 * eta * g + eta * before
        before = g
        yield w


def adahessian(eta, beta1, beta2, k, eps, every):
    """Yao et al. 2021, algorithm 1: here signs z give the diagonal D = z * Hz exactly."""
    theta, m, v, fresh = START, 0 * START, 0 * START, 0
    for t in range(1, STEPS + 1):
        g, D = gradient(theta, t - 1), CURVATURE
        m = beta1 * m + (1 - beta1) * g
        if (t - 1) % every == 0:
            v, fresh = beta2 * v + (1 - beta2) * D * D, fresh + 1
        theta = theta - eta * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**fresh)) ** k + eps)
        yield theta


def sophia(eta, beta1, beta2, gamma, rho, lam, eps, k):
    """Liu et al. 2023, algorithm 3, whose Hutchinson's estimator is exact here."""
    theta, m, h = START, 0 * START, 0 * START
    for t in range(STEPS):
        m = beta1 * m + (1 - beta1) * gradient(theta, t)
        if t % k == 0:
            h = beta2 * h + (1 - beta2) * CURVATURE
        theta = theta - eta * lam * KERNEL * theta
        theta = theta - eta * np.clip(m / np.maximum(gamma * h, eps), -rho, rho)
        yield theta


falling = optim.inverse_time(0.005, 50)
warm = lambda t: 0.99 * (1 - 0.5 * 0.96 ** (t * 4e-3))
settle = lambda params, opt_state: optim.averaged(opt_state, params)

PAPERS = {
    "adamax, paper": lambda: (optim.adamax(1e-2, eps=0.0), adamax(1e-2, 0.9, 0.999)),
    "adamaxw": lambda: (optim.adamaxw(1e-2, b1=0.8, weight_decay=0.1), adamax(1e-2, 0.8, 0.999, 1e-8, 0.1)),
    "nadam, Dozat": lambda: (
        optim.nadam(1e-2, b1=0.99, scheduled_mean=True),
        nadam(1e-2, None, 0.999, 1e-8, warm),
    ),
    "nadam, constant momentum": lambda: (
        optim.nadam(1e-2, eps=1e-3, momentum_decay=None),
        nadam(1e-2, 0.9, 0.999, 1e-3, lambda t: 0.9),
    ),
    "nadamw": lambda: (optim.nadamw(1e-2, b1=0.99, weight_decay=0.1), nadam(1e-2, 0.99, 0.999, 1e-8, warm, 0.1)),
    "radam, paper": lambda: (optim.radam(1e-2, eps=0.0, threshold=4.0), radam(1e-2, 0.9, 0.999, 4)),
    "radam, short memory": lambda: (optim.radam(1e-2, b2=0.7, eps=0.0), radam(1e-2, 0.9, 0.7, 5)),
    "amsgrad, paper": lambda: (optim.amsgrad(1e-2, b2=0.9, correct_bias=False), amsgrad(1e-2, 0.9, 0.9, 1e-8)),
    "adabelief": lambda: (optim.adabelief(1e-2, eps=1e-8), adabelief(1e-2, 0.9, 0.999, 1e-8)),
    "yogi, paper": lambda: (optim.yogi(1e-2), yogi(1e-2, 0.9, 0.999, 1e-3, 1e-6, False)),
    "yogi, corrected": lambda: (
        optim.yogi(1e-2, b2=0.99, correct_bias=True),
        yogi(1e-2, 0.9, 0.99, 1e-3, 1e-6, True),
    ),
    "adan": lambda: (optim.adan(falling, weight_decay=0.5), adan(rate, 0.02, 0.08, 0.01, 1e-8, 0.5)),
    "adopt": lambda: (optim.adopt(1e-2, b2=0.99), adopt(1e-2, 0.9, 0.99, 1e-6, lambda t: t**0.25)),
    "adopt, not clipped": lambda: (
        optim.adopt(1e-2, clip_power=None),
        adopt(1e-2, 0.9, 0.9999, 1e-6, lambda t: np.inf),
    ),
    "ademamix": lambda: (optim.ademamix(1e-3, b3=0.999), ademamix(1e-3, 0.9, 0.999, 0.999, 5.0, 1e-8, 1e-2)),
    "ademamix, scheduled": lambda: (
        optim.ademamix(1e-3, warmup=700),
        ademamix(1e-3, 0.9, 0.999, 0.9999, 5.0, 1e-8, 1e-2, horizon=700),
    ),
    "ademamix, simplified": lambda: (
        optim.simplified_ademamix(1e-4, alpha=20.0, weight_decay=0.0),
        simplified_ademamix(1e-4, 0.99, 0.95, 20.0, 1e-8),
    ),
    "mars": lambda: (optim.mars(1e-2), mars(1e-2, 0.95, 0.99, 0.025, 1e-8, 1e-2, False)),
    "mars, exact": lambda: (optim.mars(1e-2, exact=True), mars(1e-2, 0.95, 0.99, 0.025, 1e-8, 1e-2, True)),
    "mars, lion": lambda: (optim.mars_lion(1e-3), mars(1e-3, 0.95, 0.99, 0.025, 1e-8, 0.1, False, lion=True)),
    "cautious adamw": lambda: (optim.cautious_adamw(1e-2), cautious_adamw(1e-2, 0.9, 0.999, 1e-8, 1e-2)),
    "cautious lion": lambda: (optim.cautious_lion(falling), lion(rate, 0.9, 0.99, 0.1, caution)),
    "lion": lambda: (optim.lion(falling), lion(rate, 0.9, 0.99, 0.1)),
    "sign sgd": lambda: (optim.sign_sgd(falling), signum(rate, 0.0)),
    "signum": lambda: (optim.signum(falling), signum(rate, 0.9)),
    "rprop+": lambda: (optim.rprop(form="rprop+"), rprop(0.1, "rprop+")),
    "rprop-": lambda: (optim.rprop(form="rprop-"), rprop(0.1, "rprop-")),
    "irprop+": lambda: (optim.rprop(form="irprop+"), rprop(0.1, "irprop+")),
    "irprop-": lambda: (optim.rprop(form="irprop-"), rprop(0.1, "irprop-")),
    "rmsprop, centered": lambda: (
        optim.rmsprop(1e-3, decay=0.95, eps=1e-4, centered=True),
        centered_rmsprop(1e-3, 0.95, 1e-4),
    ),
    "madgrad": lambda: (optim.madgrad(falling), madgrad(rate, 0.1, 1e-6)),
    "asgd": lambda: (optim.asgd(5e-3, weight_decay=0.1, start=200), asgd(5e-3, 0.1, 0.75, 200), settle),
    "optimistic sgd": lambda: (optim.optimistic_sgd(2e-3), optimistic(2e-3)),
    "adahessian": lambda: (optim.adahessian(1e-2), adahessian(1e-2, 0.9, 0.999, 1, 1e-8, 1)),
    "adahessian, half power": lambda: (
        optim.adahessian(1e-2, power=0.5, every=3),
        adahessian(1e-2, 0.9, 0.999, 0.5, 1e-8, 3),
    ),
    "sophia": lambda: (
        optim.sophia(1e-2, gamma=0.5, normal=False),
        sophia(1e-2, 0.96, 0.99, 0.5, 1.0, 0.2, 1e-12, 10),
    ),
}
