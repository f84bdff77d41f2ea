"""wire, serial, residual, parallel, repeat, remat."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, tree
from fdl.checks import ShapeError

KEY = jax.random.key(0)


def params_of(layer, key=KEY):
    return tree.flatten(layer.init(key)[0])


def test_wire_reads_like_the_mathematics():
    def forward(x, first, second):
        return x + second(first(x))

    wired = nn.wire(forward, first=nn.dense(3, 5), second=nn.dense(5, 3))
    params, state = wired.init(KEY)
    x = jnp.ones((2, 3))
    expected = x + (x @ params["first"]["kernel"]) @ params["second"]["kernel"]
    np.testing.assert_allclose(wired.apply(params, state, x)[0], expected, rtol=1e-6)
    assert state == {}


def test_wire_takes_lists_and_dicts_of_parts():
    def forward(x, heads, towers):
        return sum(head(x) for head in heads) + towers["left"](x)

    wired = nn.wire(forward, heads=[nn.dense(3, 2), nn.dense(3, 2)], towers={"left": nn.dense(3, 2), "right": nn.relu})
    assert set(params_of(wired)) == {
        f"{place}/{leaf}" for place in ("heads/0", "heads/1", "towers/left") for leaf in ("bias", "kernel")
    }
    params, state = wired.init(KEY)
    assert wired.apply(params, state, jnp.ones((4, 3)))[0].shape == (4, 2)
    with pytest.raises(ShapeError) as caught:
        wired.apply(params, state, jnp.ones((4, 5)))
    assert any(note.startswith("in heads/0: dense") for note in caught.value.__notes__)


def test_wire_refuses_wrong_names_at_construction():
    def forward(x, body):
        return body(x)

    with pytest.raises(TypeError, match="forward takes no part 'head'; its parameters are x, body"):
        nn.wire(forward, body=nn.relu, head=nn.relu)

    def two(x, body, head):
        return head(body(x))

    with pytest.raises(TypeError, match="takes a part 'head' that was not given"):
        nn.wire(two, body=nn.relu)


def test_adding_a_sibling_changes_no_other_initial_value():
    small = params_of(nn.serial(nn.dense(3, 4), out=nn.dense(4, 2)))
    large = params_of(nn.serial(nn.dense(3, 4), nn.batch_norm(4), nn.dropout(0.1), nn.relu, out=nn.dense(4, 2)))
    for path, leaf in small.items():
        np.testing.assert_array_equal(leaf, large[path])
    assert not np.array_equal(small["dense_0/kernel"][:2, :2], small["out/kernel"][:2, :2])


def test_adding_a_sibling_changes_no_other_mask():
    def mask(model):
        params, state = model.init(KEY)
        return model.apply(params, state, jnp.ones(64), key=jax.random.key(7), train=True)[0]

    alone = mask(nn.serial(nn.dropout(0.5)))
    beside = mask(nn.serial(nn.gaussian_noise(0.0), nn.relu, nn.dropout(0.5), nn.dropout(0.0)))
    np.testing.assert_array_equal(alone, beside)


def test_a_part_called_twice_shares_parameters_and_draws_fresh_noise():
    def forward(x, noisy, linear):
        return noisy(x), noisy(x), linear(linear(x))

    twice = nn.wire(forward, noisy=nn.dropout(0.5), linear=nn.dense(8, 8))
    params, state = twice.init(KEY)
    assert set(tree.flatten(params)) == {"linear/bias", "linear/kernel"}
    first, second, _ = twice.apply(params, state, jnp.ones(8), key=KEY, train=True)[0]
    assert not np.array_equal(first, second)
    again, _, _ = twice.apply(params, state, jnp.ones(8), key=KEY, train=True)[0]
    np.testing.assert_array_equal(first, again)


def test_a_part_called_twice_carries_its_state_from_call_to_call():
    def forward(x, norm):
        return norm(norm(x))

    twice = nn.wire(forward, norm=nn.batch_norm(1, momentum=0.5, unbiased=False))
    params, state = twice.init(KEY)
    x = jnp.array([[0.0], [2.0]])
    _, after = twice.apply(params, state, x, train=True)
    # mean: 0 -> (0 + 1)/2 -> (0.5 + 0)/2
    np.testing.assert_allclose(after["norm"]["mean"], [0.25], atol=1e-5)


def test_a_bound_part_shows_its_parameters():
    def forward(tokens, embed):
        return embed(tokens) @ embed.params["table"].T

    tied = nn.wire(forward, embed=nn.embedding(5, 3))
    params, state = tied.init(KEY)
    assert set(tree.flatten(params)) == {"embed/table"}
    table = params["embed"]["table"]
    np.testing.assert_allclose(tied.apply(params, state, jnp.arange(5))[0], table @ table.T, rtol=1e-6)


def test_inserting_a_part_of_another_kind_renames_nothing():
    names = list(nn.serial(nn.dense(3, 4), nn.dropout(0.1), nn.dense(4, 4), nn.relu, head=nn.dense(4, 2)).parts)
    assert names == ["dense_0", "dropout_0", "dense_1", "relu_0", "head"]


@pytest.mark.parametrize(("wrap", "remedy"), [(jax.vmap, "repeat"), (jax.checkpoint, "remat"), (jax.jit, "remat")])
@pytest.mark.parametrize(("part", "what"), [(nn.dropout(0.5), "draws noise"), (nn.batch_norm(4), "carries state")])
def test_state_and_noise_cannot_leak_into_a_nested_transform(wrap, remedy, part, what):
    def forward(x, part):
        return wrap(lambda row: part(row))(x)

    leaky = nn.wire(forward, part=part)
    params, state = leaky.init(KEY)
    with pytest.raises(TypeError, match=f"{what} and was called inside a JAX transform.*{remedy}"):
        leaky.apply(params, state, jnp.ones((3, 4)), key=KEY, train=True)


def test_pure_parts_may_be_transformed_freely_also_inside_jit_and_grad():
    def forward(x, linear):
        return (
            jax.vmap(linear)(x).sum() + jax.lax.scan(lambda c, row: (c + linear(row), None), jnp.zeros(2), x)[0].sum()
        )

    free = nn.wire(forward, linear=nn.serial(nn.dense(4, 2), nn.relu))
    params, state = free.init(KEY)
    x = jnp.ones((3, 4))
    value = free.apply(params, state, x)[0]
    grads = jax.jit(jax.grad(lambda p: free.apply(p, state, x)[0]))(params)
    np.testing.assert_allclose(jax.jit(free.apply)(params, state, x)[0], value, rtol=1e-6)
    assert jax.tree.structure(grads) == jax.tree.structure(params)


def test_noise_in_evaluation_may_be_transformed():
    def forward(x, noisy):
        return jax.vmap(noisy)(x)

    quiet = nn.wire(forward, noisy=nn.dropout(0.5))
    np.testing.assert_array_equal(quiet.apply({}, {}, jnp.ones((3, 4)))[0], np.ones((3, 4)))


def test_residual_adds_its_input_and_keeps_the_names_of_serial():
    body = nn.serial(nn.dense(3, 5), nn.relu, nn.dense(5, 3))
    shortcut = nn.residual(nn.dense(3, 5), nn.relu, nn.dense(5, 3))
    params, state = shortcut.init(KEY)
    x = jnp.ones((2, 3))
    np.testing.assert_allclose(shortcut.apply(params, state, x)[0], x + body.apply(params, state, x)[0], rtol=1e-6)
    narrow = nn.residual(nn.dense(3, 2))
    with pytest.raises(ShapeError, match=r"keep the shape of their input, \(2, 3\) became \(2, 2\)"):
        narrow.apply(*narrow.init(KEY), x)


def test_parallel_gives_every_part_the_same_input():
    both = nn.parallel(nn.dense(3, 2), wide=nn.dense(3, 4))
    params, state = both.init(KEY)
    left, right = both.apply(params, state, jnp.ones((5, 3)))[0]
    assert (left.shape, right.shape) == ((5, 2), (5, 4))
    joined = nn.parallel(nn.dense(3, 2), nn.relu, join=lambda a, b: jnp.concatenate([a, b], -1))
    assert joined.apply(*joined.init(KEY), jnp.ones((5, 3)))[0].shape == (5, 5)


def block():
    return nn.serial(nn.dense(4, 4), nn.batch_norm(4), nn.dropout(0.3))


def test_repeat_is_the_loop_it_replaces():
    stacked = nn.repeat(block(), 3)
    params, state = stacked.init(KEY)
    assert {path: leaf.shape for path, leaf in tree.flatten(params).items()}["dense_0/kernel"] == (3, 4, 4)
    x = jax.random.normal(KEY, (8, 4))
    y, after = stacked.apply(params, state, x, key=KEY, train=True)
    expected, states = x, []
    for i in range(3):
        own, carried = jax.tree.map(lambda a, i=i: a[i], (params, state))
        expected, carried = block().apply(own, carried, expected, key=jax.random.fold_in(KEY, i), train=True)
        states.append(carried)
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=1e-6)
    jax.tree.map(lambda a, *b: np.testing.assert_allclose(a, np.stack(b), rtol=1e-5, atol=1e-6), after, *states)
    assert not np.array_equal(params["dense_0"]["kernel"][0], params["dense_0"]["kernel"][1])


@pytest.mark.parametrize("unroll", [2, 3, 9])
def test_repeat_unrolled_is_the_loop(unroll):
    stacked, unrolled = nn.repeat(block(), 3), nn.repeat(block(), 3, unroll=unroll)
    params, state = unrolled.init(KEY)
    jax.tree.map(np.testing.assert_array_equal, stacked.init(KEY), (params, state))
    x = jax.random.normal(KEY, (8, 4))

    def slopes(model):
        loss = lambda params: jnp.sum(jnp.sin(model.apply(params, state, x, key=KEY, train=True)[0]))
        return jax.grad(loss)(params)

    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, slopes(unrolled), slopes(stacked))
    jaxpr = jax.make_jaxpr(lambda x: nn.repeat(block(), 3, unroll=3).apply(params, state, x))(x)
    assert "unroll=3" in str(jaxpr)


def test_the_program_of_repeat_does_not_grow_with_depth():
    def size(depth):
        model = nn.repeat(block(), depth)
        params, state = jax.eval_shape(model.init, KEY)
        x = jax.ShapeDtypeStruct((8, 4), jnp.float32)
        return len(jax.jit(model.apply).lower(params, state, x).as_text().splitlines())

    assert size(2) == size(24)


def test_repeat_refuses_parts_that_change_the_shape():
    bad = nn.repeat(nn.dense(4, 5), 2)
    with pytest.raises(ShapeError, match=r"keep the type of its input, float32\[2,4\] became float32\[2,5\]"):
        bad.apply(*bad.init(KEY), jnp.ones((2, 4)))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        nn.repeat(nn.relu, 0)
    with pytest.raises(ValueError, match="unroll must be at least 1, got 0"):
        nn.repeat(nn.relu, 2, unroll=0)


def test_repeat_hands_further_inputs_to_every_repetition():
    def forward(x, mask, linear):
        return jnp.where(mask, linear(x), x)

    masked = nn.repeat(nn.wire(forward, linear=nn.dense(4, 4)), 3)
    params, state = masked.init(KEY)
    x = jnp.ones((2, 4))
    np.testing.assert_array_equal(masked.apply(params, state, x, jnp.zeros(4, bool)[None])[0], x)


def test_remat_changes_nothing_but_what_is_kept():
    plain, saving = block(), nn.remat(block())
    params, state = plain.init(KEY)
    jax.tree.map(np.testing.assert_array_equal, saving.init(KEY), (params, state))
    x = jax.random.normal(KEY, (8, 4))

    def loss(layer, params):
        y, after = layer.apply(params, state, x, key=KEY, train=True)
        return jnp.sum(y**2), after

    for (grads, after), (expected, expected_after) in [
        (
            jax.grad(lambda p: loss(saving, p), has_aux=True)(params),
            jax.grad(lambda p: loss(plain, p), has_aux=True)(params),
        )
    ]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), grads, expected)
        jax.tree.map(np.testing.assert_array_equal, after, expected_after)


def test_profiles_carry_the_same_path():
    model = nn.serial(outer=nn.serial(nn.dense(3, 4)))
    params, state = model.init(KEY)
    text = jax.jit(model.apply).lower(params, state, jnp.ones((2, 3))).as_text(debug_info=True)
    assert "outer/dense_0" in text
