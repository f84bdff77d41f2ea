"""The one place where fdl compiles programs, with the compiler options that suit the machine."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, cached_property, update_wrapper, wraps
from typing import Any

import jax
from jax.extend.core import get_opaque_trace_state

from fdl import cpu

# On a CPU: products and convolutions go to Eigen, up to ten times faster for gradients of convolutions.  Vectors are as
# wide as the processor has them: with AVX-512 exp and tanh take three quarters of the time; others are as they were.
BY_EIGEN = "xla_cpu_experimental_ynn_fusion_type"
# On a GPU: loops and convolutions too are parts of CUDA graphs, so that a graph holds whole runs of steps.
IN_GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,WHILE,CONVOLUTION"
OPTIONS: dict[str, dict[str, bool | str | int]] = {
    "cpu": {BY_EIGEN: "", "xla_cpu_prefer_vector_width": 512},
    "gpu": {"xla_gpu_enable_command_buffer": IN_GRAPHS},
}


def compile(
    fn: Callable[..., Any], *, static_argnames: str | Sequence[str] = (), donate_argnums: int | Sequence[int] = ()
) -> "Compiled":
    """jax.jit with the compiler options of the backend found at the first call.

    Inside another transformation it is a plain jax.jit, since XLA takes options for whole programs only.
    """
    return Compiled(fn, {"static_argnames": static_argnames, "donate_argnums": donate_argnums})


class Compiled:
    """A compiled function: call it, or `lower` it to look at its program."""

    def __init__(self, fn: Callable[..., Any], how: dict[str, Any]):
        update_wrapper(self, fn)
        self._fn, self._how, self._traces = fn, how, Counter()
        self._outer: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns."""
        try:
            return (self._outer or self._first(args, kwargs))(*args, **kwargs)
        except ValueError:  # a program inside a program is refused its options; asking first would cost every call 1 µs
            if get_opaque_trace_state() == _no_trace():
                raise
        finally:
            if cpu.HELD.locked():
                cpu.release()
        return self._inner(*args, **kwargs)

    def programs(self) -> int:
        """How many programs were made of it: one for all calls with arguments of the same types.

        Traces are counted, since the entries of JAX's own cache of calls come and go in a long process.
        """
        return self._traces.total()

    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """The program for these arguments, before compilation, as from jax.jit(...).lower.

        On a CPU all of it is XLA's, without the calls of oneDNN, so that XLA knows what it costs.
        """
        return self._for(_counted(self._fn, self._traces), args, kwargs).lower(*args, **kwargs)

    @cached_property
    def _inner(self) -> Any:
        return jax.jit(self._fn, **self._how)

    def _first(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """What compiles the function from its first call on; inside of another program what that one compiles."""
        if get_opaque_trace_state() != _no_trace():
            return self._inner
        fn = cpu.unsaved(cpu.with_calls(self._fn)) if jax.default_backend() == "cpu" else self._fn
        self._outer = self._for(_counted(fn, self._traces), args, kwargs)
        return self._outer

    def _for(self, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        """A jax.jit of fn with the options that suit its program for these arguments."""
        backend = jax.default_backend()
        by_ynn = backend == "cpu" and cpu.wide_products_only(jax.jit(fn, **self._how).trace(*args, **kwargs).jaxpr)
        return jax.jit(fn, **self._how, compiler_options=compiler_options(backend, by_ynn=by_ynn))


def _counted(fn: Callable[..., Any], traces: Counter) -> Callable[..., Any]:
    @wraps(fn)
    def traced(*args: Any, **kwargs: Any) -> Any:
        traces["programs"] += 1
        return fn(*args, **kwargs)

    return traced


@cache
def compiler_options(backend: str, *, by_ynn: bool = False) -> dict[str, bool | str | int] | None:
    """The options for a backend; None if there are none, or if XLA refuses them for one tiny program.

    by_ynn leaves products to YNN, as XLA on a CPU does by itself.
    """
    options = {name: value for name, value in OPTIONS.get(backend, {}).items() if not (by_ynn and name == BY_EIGEN)}
    if options:
        try:
            jax.jit(lambda: 0, compiler_options=options).lower().compile()
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            logging.getLogger("fdl").warning("compiling without options: %s", error)
            return None
    return options or None


def on_cpu() -> bool:
    """Whether programs are made for a CPU; where there is no device at all, they are only traced, as for a CPU."""
    try:
        return jax.default_backend() == "cpu"
    except RuntimeError:
        return True


@cache
def _no_trace() -> Any:
    """The state of JAX outside all transformations, which is where each thread starts."""
    found = []
    thread = threading.Thread(target=lambda: found.append(get_opaque_trace_state()))
    thread.start()
    thread.join()
    return found[0]
