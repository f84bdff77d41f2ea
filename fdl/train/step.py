"""The heart of training: one step is a pure function (state, batch) -> (state, metrics), written in plain JAX."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from fdl.checks import DtypeError, ShapeError, TreeError, describe
from fdl.compile import compile
from fdl.data.examples import require_fits
from fdl.optim import Transform, apply_updates
from fdl.optim.wrappers.loss_scale import loss_scale, times
from fdl.optim.wrappers.precision import keeps_small_steps
from fdl.train.microbatch import in_microbatches
from fdl.train.recompiles import warn_of_recompiles
from fdl.train.state import TrainState
from fdl.tree import Tree, flatten, norms, require_like

Batch: TypeAlias = Any
Metrics: TypeAlias = dict[str, jax.Array]
LossFn: TypeAlias = Callable[[Tree, Tree, Batch, jax.Array], tuple[jax.Array, tuple[Tree, Metrics]]]


@dataclass(frozen=True)
class TwoPartLoss:
    """A loss_fn in two parts, for optimizers that take the curvature of the second alone, such as `hessian_free`.

    predict(params, state, batch, key) -> (outputs, (new_state, metrics)); loss(outputs, batch) -> number.
    factors(params, state, batch, key) are for `kfac`, as `inspection.kronecker_factors` finds them.
    """

    predict: Callable[[Tree, Tree, Batch, jax.Array], tuple[Any, tuple[Tree, Metrics]]]
    loss: Callable[[Any, Batch], jax.Array]
    factors: Callable[[Tree, Tree, Batch, jax.Array], Tree] | None = None

    def __call__(self, params: Tree, state: Tree, batch: Batch, key: jax.Array) -> tuple:
        """The loss, and all that goes with it."""
        outputs, rest = self.predict(params, state, batch, key)
        return self.loss(outputs, batch), rest


class Step:
    """A pure step, compiled: call it for one step, `many` for up to `length` of them in one dispatch.

    The state given is donated: its memory is used for the state returned.
    """

    length = 256

    # How many steps fill a dispatch of the wanted duration, learnt from the dispatches before; it changes no result.
    pace = 1

    def __init__(self, pure: Callable[[Any, Batch], tuple[Any, Metrics]]):
        self.pure = pure
        self._one = compile(pure, donate_argnums=(0,))
        self._many = compile(self._loop, donate_argnums=(0,))
        self._call_one = warn_of_recompiles(self._one, "the train step")
        self._call_many = warn_of_recompiles(self._many, "the loop of train steps")

    def __call__(self, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        """One step.  Raises ValueError if the state was given before: keep the one that is returned.

        And for integers in the batch that would be cut.
        """
        require_fits(batch)
        return _explain_donation(self._call_one, state, batch)

    def many(self, state: Any, source: Any, count: int) -> tuple[Any, Metrics]:
        """The first `count` steps from this source of batches; metrics are stacked, (length,), valid up to count.

        source(step) gives a batch, or source is a stack of batches along the leading axis of its leaves.
        One program serves every count, so where a run is cut changes no bit of it.
        """
        return _explain_donation(self._call_many, state, source, jnp.asarray(count, jnp.int32))

    def _loop(self, state, source, count):
        first = state.step

        def batch_at(step):
            batch = source(step) if callable(source) else jax.tree.map(lambda a: a[step - first], source)
            # The barrier keeps the compiler from melting the step into the data source: same bits from either.
            return jax.lax.optimization_barrier(batch)

        def body(i, carried):
            state, log = carried
            state, metrics = self.pure(state, batch_at(state.step))
            return state, jax.tree.map(lambda rows, row: rows.at[i].set(row), log, metrics)

        one = jax.eval_shape(lambda: self.pure(state, batch_at(first))[1])
        log = jax.tree.map(lambda row: jnp.zeros((self.length, *row.shape), row.dtype), one)
        return jax.lax.fori_loop(0, count, body, (state, log))


def make_train_step(
    loss_fn: LossFn, optimizer: Transform, *, microbatches: int = 1, gradient_norms: bool = False
) -> Step:
    """The step of loss_fn(params, state, batch, key) -> (loss, (new_state, metrics)) under this optimizer.

    Step k draws its noise from fold_in(state.key, k), so a run is a pure function of seed and step.  The optimizer may
    take the loss as often as it wants: value_fn(params) is that of the same batch and the same noise.
    With microbatches the batch is taken in that many equal parts, one after the other: see `in_microbatches`.
    Under `optim.scale_loss` the loss is scaled before its gradient is taken, and reported as it was.
    With gradient_norms the metrics hold the norm of each gradient as "gradient/<path>": a run that ends at a loss that
    is not finite then says which they were.
    Raises ValueError for a `TwoPartLoss` in micro-batches: its optimizer takes the curvature of the whole batch.
    """
    if isinstance(loss_fn, TwoPartLoss) and microbatches != 1:
        raise ValueError(
            f"a TwoPartLoss needs its whole batch at once, got microbatches={microbatches}; "
            "for an optimizer that takes gradients alone pass loss_fn.__call__"
        )

    def loss_of(params, carried, batch, key):
        return _checked(loss_fn(params, carried, batch, key), carried)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        _warn_of_lost_steps(state)
        key = jax.random.fold_in(state.key, state.step)
        scale = loss_scale(state.opt_state)

        def scaled(*given):
            result = loss_of(*given)
            return times(result[0], scale), result

        def gradient(*given):
            (_, result), grads = jax.value_and_grad(scaled, has_aux=True)(*given)
            return result, grads

        def value_fn(params):
            value = in_microbatches(lambda *given: (loss_of(*given), {}), microbatches)
            return value(params, state.state, batch, key)[0][0]

        given = state.params, state.state, batch, key
        (loss, (carried, metrics)), grads = in_microbatches(gradient, microbatches)(*given)
        grads = jax.tree.map(jnp.conj, grads)  # uphill for complex parameters too; of real ones it is themselves
        if gradient_norms:
            metrics = metrics | {f"gradient/{path}": size for path, size in norms(grads).items()}
        extras: dict = {"value": loss, "grad": grads, "value_fn": value_fn}
        if isinstance(loss_fn, TwoPartLoss):
            extras |= _extras_of_two_parts(loss_fn, state.state, batch, key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params, **extras)
        params = apply_updates(state.params, updates)
        return TrainState(state.step + 1, state.key, params, carried, opt_state), {"loss": loss, **metrics}

    return Step(step)


def _extras_of_two_parts(loss_fn: TwoPartLoss, state: Tree, batch: Batch, key: jax.Array) -> dict:
    extras: dict = {
        "predict_fn": lambda params: loss_fn.predict(params, state, batch, key)[0],
        "output_loss_fn": lambda outputs: loss_fn.loss(outputs, batch),
    }
    factors = loss_fn.factors
    return extras if factors is None else extras | {"factors_fn": lambda params: factors(params, state, batch, key)}


def _warn_of_lost_steps(state: TrainState) -> None:
    """While tracing: 16-bit parameters to which a plain optimizer adds lose every step below half their last place."""
    narrow = [f"{path} is {leaf.dtype}" for path, leaf in flatten(state.params).items() if leaf.dtype.itemsize < 4]
    if narrow and not keeps_small_steps(state.opt_state):
        warnings.warn(
            f"{narrow[0]}: steps that are small beside a parameter of 16 bits are lost; wrap the optimizer in "
            "optim.master_weights, optim.kahan or optim.stochastic_rounding",
            stacklevel=2,
        )


def _checked(result: Any, before: Tree) -> tuple:
    """What loss_fn returned, if it is of the right form."""
    try:
        loss, (carried, metrics) = result
    except (TypeError, ValueError):
        raise TreeError("loss_fn must return (loss, (new_state, metrics))") from None
    if jnp.shape(loss) != ():
        raise ShapeError(f"the loss must be one number, got {describe(loss)}; take the mean over the batch")
    if not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
        raise DtypeError(f"the loss must be floating point, got {describe(loss)}")
    require_like(carried, before, "state returned by loss_fn", "state given to it; return the state from model.apply")
    return loss, (carried, metrics)


def _explain_donation(compiled: Callable, state: Any, *args: Any) -> Any:
    try:
        return compiled(state, *args)
    except (RuntimeError, ValueError) as error:
        if "deleted" not in str(error) and "donated" not in str(error):
            raise
        raise ValueError(
            "this state was given to an earlier step, which reused its memory; "
            "keep the state that the step returns: state, metrics = step(state, batch)"
        ) from error
