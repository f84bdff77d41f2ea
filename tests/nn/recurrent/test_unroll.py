"""Cells over time: lengths, directions, carries in and out, fresh starts, truncated gradients."""

import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from fdl import nn, tree
from fdl.checks import DtypeError, ShapeError, TreeError
from fdl.compile import on_cpu
from tests.nn.recurrent.by_torch import call, close, flat, made, normal, runs, weights

KEY = jax.random.key(0)
CELL = nn.gru(3, 4)
RUN = {reverse: nn.unroll(CELL, reverse=reverse, carried=True) for reverse in (False, True)}
PARAMS = made(CELL)
X = jax.random.normal(KEY, (3, 5, 3))
CARRY = {"h": jax.random.normal(KEY, (3, 4))}
CALLS = {reverse: jax.jit(lambda *x, run=run: run.apply(PARAMS, {}, *x)[0]) for reverse, run in RUN.items()}
forward = CALLS[False]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_lengths_are_the_packed_sequences_of_torch(agrees, kind):
    torch = pytest.importorskip("torch")
    cell = {"RNN": nn.elman, "LSTM": nn.lstm, "GRU": nn.gru}[kind](3, 4)
    layer = nn.bidirectional(cell, cell, carried=True)
    arrays, params_of = flat(layer)
    lengths = np.array([4, 1, 5])

    def theirs(*arrays):
        *arrays, x = arrays
        params = params_of(list(arrays))
        both = weights(kind, params["forward"]) | weights(kind, params["backward"], "l0_reverse")
        y, last = call(kind, both, x, lengths=torch.tensor(lengths), bidirectional=True)
        h, *c = last if kind == "LSTM" else (last,)
        c = c[0] if c else torch.zeros(2, 0)
        # The leaves of our carry in order: backward before forward, c before h.
        return y, *(part[i] for i in (1, 0) for part in (c, h) if part[i].numel())

    ours = lambda *arrays: runs(layer, params_of, len(arrays) - 1)(*arrays, None, lengths)
    x = normal(30, 3, 5, 3)
    agrees.torch(
        f"nn.bidirectional, lengths of {cell.kind}", ours, theirs, *arrays, x, source="torch, packed sequences"
    )


@pytest.mark.parametrize("reverse", [False, True])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_every_example_is_read_as_if_alone_at_its_own_length(reverse, lengths):
    y, last = CALLS[reverse](X, CARRY, jnp.array(lengths))
    for i, n in enumerate(lengths):
        alone, carry = CALLS[reverse](X[i : i + 1, :n], {"h": CARRY["h"][i : i + 1]})
        close(y[i, :n], alone[0])
        np.testing.assert_array_equal(y[i, n:], 0)
        close(last["h"][i], carry["h"][0])


def test_reverse_is_forward_on_the_reversed_input():
    y, last = CALLS[True](X, CARRY)
    flipped, other = forward(X[:, ::-1], CARRY)
    close((y, last), (flipped[:, ::-1], other))
    close(y[:, 0], last["h"])


def test_a_sequence_without_steps_leaves_the_carry_and_gradients_are_finite():
    none = X[:, :0]
    y, last = forward(none, CARRY)
    assert y.shape == (3, 0, 4)
    np.testing.assert_array_equal(last["h"], CARRY["h"])
    y, last = forward(X, CARRY, jnp.zeros(3, jnp.int32))
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(last["h"], CARRY["h"])


def test_padding_that_is_not_a_number_reaches_neither_values_nor_gradients():
    lengths = jnp.array([2, 0, 5])
    spoiled = jnp.where(jnp.arange(5)[None, :, None] < lengths[:, None, None], X, jnp.nan)

    def loss(params, x):
        y, last = RUN[False].apply(params, {}, x, None, lengths)[0]
        return jnp.sum(jnp.square(y)) + jnp.sum(last["h"])

    value = jax.jit(jax.value_and_grad(loss, (0, 1)))
    chex.assert_trees_all_equal(value(PARAMS, spoiled), value(PARAMS, jnp.where(jnp.isnan(spoiled), 0, X)))


def test_chunks_that_hand_on_their_carry_are_the_whole(agrees):
    whole, last = forward(X, CARRY)
    first, carry = forward(X[:, :2], CARRY)
    second, carry = forward(X[:, 2:], carry)
    agrees.values("nn.unroll, in chunks", "the whole", (jnp.concatenate([first, second], 1), carry), (whole, last))


def test_one_step_is_the_cell_itself():
    carry, outputs = CARRY, []
    for t in range(5):
        (carry, y), _ = CELL.apply(PARAMS, {}, carry, X[:, t])
        outputs.append(y)
    close((jnp.stack(outputs, 1), carry), forward(X, CARRY))
    fresh, _ = CELL.apply(PARAMS, {}, None, X[:, 0])
    chex.assert_trees_all_equal(fresh, CELL.apply(PARAMS, {}, CELL.start((3,)), X[:, 0])[0])


def test_a_stopped_carry_truncates_the_gradient_and_not_the_values():
    weight = jnp.cos(jnp.arange(4.0))

    def chunked(params, stop):
        total, carry = 0.0, CARRY
        for a, b in [(0, 2), (2, 4), (4, 5)]:
            y, carry = RUN[False].apply(params, {}, X[:, a:b], stop(carry))[0]
            total += jnp.sum(y @ weight)
        return total

    slope = jax.jit(jax.grad(lambda params, x, carry: jnp.sum(RUN[False].apply(params, {}, x, carry)[0][0] @ weight)))

    def detached(params):
        """Each chunk by itself, from the carry that the plain values say."""
        grads, carry = jax.tree.map(jnp.zeros_like, params), CARRY
        for a, b in [(0, 2), (2, 4), (4, 5)]:
            grads = jax.tree.map(jnp.add, grads, slope(params, X[:, a:b], carry))
            _, carry = forward(X[:, a:b], carry)
        return grads

    both = jax.jit(jax.value_and_grad(chunked), static_argnums=1)
    value, grads = both(PARAMS, jax.lax.stop_gradient)
    whole, full = both(PARAMS, lambda carry: carry)
    close(value, whole)
    close(value, jnp.sum(forward(X, CARRY)[0] @ weight))
    close(grads, detached(PARAMS), rtol=1e-4, atol=1e-5)
    assert jnp.abs(grads["recurrent"]["kernel"] - full["recurrent"]["kernel"]).max() > 1e-2


def test_a_start_forgets_the_carry_and_only_that_of_its_example():
    starts = jnp.zeros((3, 5), bool).at[1, 2].set(True).at[2, 0].set(True)
    y, last = forward(X, CARRY, None, starts)
    whole, end = forward(X, CARRY)
    fresh, _ = forward(X[:, 2:])
    close(y[0], whole[0])
    close(last["h"][0], end["h"][0])
    close(y[1, :2], whole[1, :2])
    close(y[1, 2:], fresh[1])
    close(y[2], forward(X)[0][2])


def test_sequences_side_by_side_in_time_are_read_apart_in_reverse_too():
    starts = jnp.zeros((3, 5), bool).at[:, 2].set(True)
    y, _ = CALLS[True](X, None, None, starts)
    parts = [CALLS[True](X[:, :2])[0], CALLS[True](X[:, 2:])[0]]
    close(y, jnp.concatenate(parts, 1))


def test_a_cached_model_goes_on_where_it_ended():
    model = nn.serial(nn.embedding(7, 3), nn.unroll(nn.lstm(3, 4)), nn.stacked(nn.gru(4, 5)), nn.dense(5, 7))
    tokens = jax.random.randint(KEY, (2, 6), 0, 7)
    params, state = model.init(KEY)
    whole, _ = jax.jit(model.apply)(params, state, tokens)
    decoder = nn.cached(model, 2, 6)
    _, empty = decoder.init(KEY)
    said, now, call = [], empty, jax.jit(decoder.apply)
    for a, b in [(0, 3), (3, 4), (4, 5), (5, 6)]:
        y, now = call(params, now, tokens[:, a:b])
        said.append(y)
    close(jnp.concatenate(said, 1), whole)
    chex.assert_trees_all_equal_shapes_and_dtypes(now, empty)
    half, _ = call(params, tree.cast(empty, "bfloat16"), tokens[:, :1])
    assert half.dtype == jnp.float32
    with pytest.raises(ValueError, match="reading in reverse needs the future"):
        nn.cached(nn.bidirectional(nn.gru(3, 4), nn.gru(3, 4)), 2, 6)
    with pytest.raises(ValueError, match=r"a cache knows no space, which conv_lstm\(.*\) needs"):
        nn.cached(nn.unroll(nn.conv_lstm(2, 3, 3)), 2, 6)


def test_sixteen_bit_sequences_carry_thirty_two():
    params, x = tree.cast((PARAMS, X), jnp.bfloat16)
    y, last = RUN[False].apply(params, {}, x)[0]
    assert y.dtype == jnp.bfloat16
    assert last["h"].dtype == jnp.float32
    # A carry that loses every addition smaller than its own rounding would stand still at 256.
    cell = nn.lstm(1, 1, forget_gate=False)
    sure = {
        "input": {"kernel": jnp.zeros((1, 3)), "bias": jnp.full(3, 9.0)},
        "recurrent": {"kernel": jnp.zeros((1, 3))},
    }
    run = nn.unroll(cell, carried=True)
    (_, last), _ = run.apply(tree.cast(sure, jnp.bfloat16), {}, jnp.zeros((1, 600, 1), jnp.bfloat16))
    assert last["c"][0, 0] > 599


def text_of(time):
    loss = lambda params, x: jnp.sum(RUN[False].apply(params, {}, x)[0][0])
    return str(jax.make_jaxpr(jax.grad(loss))(PARAMS, jnp.zeros((3, time, 3))))


def test_the_program_does_not_grow_with_time_and_projects_all_inputs_at_once(monkeypatch):
    monkeypatch.setattr(sys.modules["fdl.nn.recurrent.gates"], "on_cpu", lambda: True)  # a product a gate
    assert text_of(7).count(" = ") == text_of(17).count(" = ") > 20
    assert text_of(70).count(" = ") == text_of(700).count(" = ") < 2.2 * text_of(7).count(" = ")
    whole = jax.make_jaxpr(lambda x: RUN[False].apply(PARAMS, {}, x)[0])(X)
    [loop] = found(whole.jaxpr, "scan")
    outside = found(whole.jaxpr, "dot_general")
    assert [e.outvars[0].aval.shape for e in outside] == [(5 * 3, 4)] * 3  # a gate each
    assert str(loop).count("= dot_general") == 3


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_long_sequences_are_read_by_two_loops_to_the_same_end(reverse, padded, monkeypatch):
    x = jax.random.normal(KEY, (3, 41, 3))
    masks = (jnp.array([41, 7, 30]), jnp.zeros((3, 41), bool).at[:, 25].set(True)) if padded else (None, None)

    def outcome(params):
        y, last = RUN[reverse].apply(params, {}, x, CARRY, *masks)[0]
        return jnp.sum(y**2) + jnp.sum(last["h"]), (y, last)

    program = jax.make_jaxpr(lambda p: outcome(p)[1])(PARAMS).jaxpr
    assert len(found(program, "scan")) == (2 if on_cpu() else 1)
    halves = jax.grad(outcome, has_aux=True)(PARAMS)
    monkeypatch.setattr(sys.modules["fdl.nn.recurrent.unroll"], "LONG", 42)
    close(halves, jax.grad(outcome, has_aux=True)(PARAMS), rtol=1e-4)


def test_a_gradient_keeps_the_carry_of_each_step_and_the_values_of_its_gates():
    loss = lambda params: jnp.sum(RUN[False].apply(params, {}, X)[0][0])
    ahead, _ = found(jax.make_jaxpr(jax.grad(loss))(PARAMS).jaxpr, "scan")
    kept = [v.aval.shape for v in ahead.outvars if v.aval.shape[:1] == (5,)]
    assert kept == [(5, 3, 4)] * 6  # outputs, carries, and three gates, of which the last has two values


def found(program, name):
    """The equations of this primitive, those within loops left out."""
    equations = []
    for equation in program.eqns:
        if equation.primitive.name == name:
            equations.append(equation)
        elif equation.primitive.name != "scan":
            inner = [getattr(value, "jaxpr", value) for value in equation.params.values()]
            equations += [e for program in inner if hasattr(program, "eqns") for e in found(program, name)]
    return equations


def test_shards_of_a_batch_with_lengths_give_their_rows_and_one_gradient():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    lengths, starts = jnp.array([2, 0, 5]), jnp.zeros((3, 5), bool).at[2, 1].set(True)

    def loss(params, x, lengths, starts):
        y, last = RUN[False].apply(params, {}, x, None, lengths, starts)[0]
        return jax.lax.psum(jnp.sum(jnp.square(y)) + jnp.sum(last["h"]), "data")

    def alone(params):
        y, last = RUN[False].apply(params, {}, X, None, lengths, starts)[0]
        return jnp.sum(jnp.square(y)) + jnp.sum(last["h"])

    rows = PartitionSpec("data")
    split = jax.shard_map(loss, mesh=mesh, in_specs=(PartitionSpec(), rows, rows, rows), out_specs=PartitionSpec())
    got = jax.jit(jax.value_and_grad(split))(PARAMS, X, lengths, starts)
    close(got, jax.value_and_grad(alone)(PARAMS), rtol=1e-4)
    program = jax.make_jaxpr(jax.grad(split))(PARAMS, X, lengths, starts).jaxpr
    assert "psum" in str(program)
    loops = found(program, "scan")
    assert len(loops) == 2
    assert not any("psum" in str(loop) for loop in loops)


def test_what_does_not_fit_says_so():
    run = RUN[False]
    with pytest.raises(TypeError, match=r"unroll takes a cell, such as lstm\(32, 64\), got dense"):
        nn.unroll(nn.dense(3, 4))
    with pytest.raises(ShapeError, match=r"must have shape \(\*, \*, 3\), got \(3, 3\); a recurrent layer reads"):
        run.apply(PARAMS, {}, X[:, 0])
    with pytest.raises(ShapeError, match=r"must have shape \(\*, 3\), got \(3, 5, 3\)"):
        CELL.apply(PARAMS, {}, None, X)
    with pytest.raises(TreeError, match=r"h: expected float32\[3,4\], got float32\[2,4\]") as caught:
        nn.serial(body=nn.unroll(CELL)).apply({"body": PARAMS}, {}, X, {"h": CARRY["h"][:2]})
    assert any(note.startswith("in body") for note in caught.value.__notes__)
    with pytest.raises(TreeError, match="h: missing"):
        run.apply(PARAMS, {}, X, {})
    with pytest.raises(DtypeError, match="lengths must be integers"):
        run.apply(PARAMS, {}, X, None, jnp.ones(3))
    with pytest.raises(ShapeError, match="lengths must have shape"):
        run.apply(PARAMS, {}, X, None, jnp.ones(2, int))
    with pytest.raises(DtypeError, match="starts must be boolean"):
        run.apply(PARAMS, {}, X, None, None, jnp.ones((3, 5)))
    with pytest.raises(ShapeError, match="starts must have shape"):
        run.apply(PARAMS, {}, X, None, None, jnp.ones((3, 4), bool))
