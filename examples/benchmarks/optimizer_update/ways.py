"""The ways of updating parameters by Adam: fdl, optax, one flat array, NumPy, torch."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl import optim, tree
from fdl.compile import compile, compiler_options

RATE, DECAY, B1, B2, EPS = 1e-3, 1e-2, 0.9, 0.999, 1e-8


class Way(NamedTuple):
    """One way of updating: take a step and wait for it, look at the parameters, make the program once more."""

    step: Callable[[], None]
    params: Callable[[], list[np.ndarray]]
    make: Callable[[], tuple[float, float, int]] | None = None


def parameters(leaves: int, scalars: int) -> dict:
    """Kernels of three proportions and their biases: about so many scalars in exactly so many leaves."""
    rng = np.random.default_rng(0)
    dim = max(2, int((2 * scalars / leaves) ** 0.5))
    shapes = [(dim, dim), (dim // 2, 2 * dim), (2 * dim, dim // 2)]
    layer = lambda a, b: {"kernel": rng.normal(0, 0.1, (a, b)).astype("f"), "bias": rng.normal(0, 0.1, b).astype("f")}
    return {f"layer_{i:03}": layer(*shapes[i % 3]) for i in range(leaves // 2)}


def jitted(optimizer: Any, apply: Callable, params: dict, grads: dict, jit: Callable) -> Way:
    """The update under jit, both arguments donated: jit(function) compiles it."""

    def update(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return apply(params, updates), state

    return compiled(update, optimizer.init, params, grads, jit)


def compiled(update: Callable, init: Callable, params: Any, grads: Any, jit: Callable) -> Way:
    """A way out of update(params, state, grads) -> (params, state)."""
    held = jax.tree.map(jnp.array, params)
    state, grads = init(held), jax.tree.map(jnp.array, grads)
    run, carry = jit(update), [held, state]

    def step():
        carry[:] = jax.block_until_ready(run(*carry, grads))

    def make() -> tuple[float, float, int]:
        """Seconds to trace and lower a function that JAX has not seen, seconds to compile it, letters of it."""
        start = time.perf_counter()
        lowered = jit(lambda *args: update(*args)).lower(*carry, grads)
        middle = time.perf_counter()
        lowered.compile()
        return middle - start, time.perf_counter() - middle, len(lowered.as_text())

    return Way(step, lambda: [np.asarray(leaf) for leaf in jax.tree.leaves(carry[0])], make)


def bound(params: dict, grads: dict, jit: Callable) -> Way:
    """Adam written out for one flat array: no leaves to loop over."""

    def update(params, state, grads):
        step, mean, square = state
        step = step + 1
        filled = lambda decay: 1 - decay ** step.astype(jnp.float32)
        mean = B1 * mean + (1 - B1) * grads
        square = B2 * square + (1 - B2) * (grads * grads)
        params = params - RATE * (mean / filled(B1)) / (jnp.sqrt(square / filled(B2)) + EPS)
        return params, (step, mean, square)

    init = lambda params: (jnp.zeros((), jnp.int32), jnp.zeros_like(params), jnp.zeros_like(params))
    return compiled(update, init, flat(params), flat(grads), jit)


def in_numpy(params: dict, grads: dict) -> Way:
    """Adam in place on flat NumPy arrays."""
    p, g = flat(params), flat(grads)
    mean, square, a, b = (np.zeros_like(p) for _ in range(4))
    steps = [0]

    def step():
        steps[0] += 1
        mean_scale, root = np.float32(RATE / (1 - B1 ** steps[0])), np.float32((1 - B2 ** steps[0]) ** 0.5)
        np.multiply(mean, np.float32(B1), out=mean)
        np.add(mean, np.multiply(g, np.float32(1 - B1), out=a), out=mean)
        np.multiply(square, np.float32(B2), out=square)
        np.add(square, np.multiply(np.multiply(g, g, out=a), np.float32(1 - B2), out=a), out=square)
        np.add(np.divide(np.sqrt(square, out=a), root, out=a), np.float32(EPS), out=a)
        np.subtract(p, np.divide(np.multiply(mean, mean_scale, out=b), a, out=b), out=p)

    return Way(step, lambda: [p])


def in_torch(params: dict, grads: dict, **form: bool) -> Way:
    """torch.optim.Adam, eager, in one of its forms over all leaves at once."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else its threads spin into the next way's turn
    import torch

    torch.set_num_threads(os.cpu_count() or 1)  # as many as XLA takes
    leaves = [torch.nn.Parameter(torch.tensor(leaf)) for leaf in jax.tree.leaves(params)]
    for leaf, grad in zip(leaves, jax.tree.leaves(grads)):
        leaf.grad = torch.tensor(grad)
    optimizer = torch.optim.Adam(leaves, RATE, (B1, B2), EPS, **form)
    return Way(lambda: optimizer.step() and None, lambda: [leaf.detach().numpy() for leaf in leaves])


def ways(leaves: int, scalars: int, optax: Any) -> Iterator[tuple[str, Way]]:
    """All ways over the same parameters, which all get the same gradients."""
    params, grads = parameters(leaves, scalars), parameters(leaves, scalars)
    grads = jax.tree.map(lambda g: g[::-1].copy(), grads)
    ours = lambda f: compile(f, donate_argnums=(0, 1))
    plain = lambda f: jax.jit(f, donate_argnums=(0, 1))
    same = lambda f: jax.jit(f, donate_argnums=(0, 1), compiler_options=compiler_options(jax.default_backend()))
    kernels = lambda params: tree.select(params, "**/kernel")
    theirs = {"adam": optax.adam(RATE), "adamw": optax.adamw(RATE, weight_decay=DECAY, mask=kernels)}
    mine = {"adam": optim.adam(RATE), "adamw": optim.adamw(RATE, weight_decay=DECAY)}
    yield "bound", bound(params, grads, same)
    yield "numpy", in_numpy(params, grads)
    yield (
        "adam_flat",
        jitted(mine["adam"], optim.apply_updates, {"kernel": flat(params)}, {"kernel": flat(grads)}, ours),
    )
    for name in mine:
        yield name, jitted(mine[name], optim.apply_updates, params, grads, ours)
        yield f"optax_{name}", jitted(theirs[name], optax.apply_updates, params, grads, same)
        yield f"optax_{name}_plain_jit", jitted(theirs[name], optax.apply_updates, params, grads, plain)
    try:
        yield "torch_foreach", in_torch(params, grads, foreach=True)
        yield "torch_fused", in_torch(params, grads, fused=True)
    except ImportError:
        print("torch is not installed: its rows are left out", file=sys.stderr)


def flat(params: dict) -> np.ndarray:
    """All leaves as one array."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
