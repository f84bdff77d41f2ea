"""Paths and patterns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdl import tree
from fdl.checks import TreeError


def params():
    return {
        "blocks": {"attend": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}, "norm": {"scale": jnp.full(4, 2.0)}},
        "head": {"kernel": jnp.arange(6.0)},
    }


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("head/kernel", "head/kernel", True),
        ("head", "head/kernel", False),
        ("*/kernel", "head/kernel", True),
        ("*/kernel", "blocks/attend/kernel", False),
        ("**/kernel", "blocks/attend/kernel", True),
        ("**/kernel", "kernel", True),
        ("blocks/**", "blocks/attend/kernel", True),
        ("blocks/**", "blocks", True),
        ("blocks/**/bias", "blocks/attend/bias", True),
        ("blocks/**/bias", "head/bias", False),
        ("**", "anything/at/all", True),
        ("dense_*/kernel", "dense_12/kernel", True),
        ("dense_*/kernel", "dense_1/x/kernel", False),
        ("a.c", "abc", False),
    ],
)
def test_matches(pattern, path, expected):
    assert tree.matches(pattern, path) is expected


names = st.text("abc_0", min_size=1, max_size=4)
nested = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=8
).filter(lambda made: isinstance(made, dict))


@given(nested)
def test_unflatten_undoes_flatten(made):
    assert tree.unflatten(tree.flatten(made)) == made


@given(nested, st.sampled_from(["a/**", "**/b", "*", "*/*", "**"]))
def test_merge_undoes_split(made, where):
    meant, rest = tree.split(made, where, strict=False)
    assert tree.merge(meant, rest) == made
    assert all(tree.matches(where, path) for path in tree.flatten(meant))
    assert not any(tree.matches(where, path) for path in tree.flatten(rest))


def test_flatten_names_fields_and_indices_too():
    from fdl.train import TrainState

    state = TrainState(0, 1, {"a": 2}, {}, ({"mean": 3},))
    assert tree.flatten(state) == {"step": 0, "key": 1, "params/a": 2, "opt_state/0/mean": 3}


def test_unflatten_refuses_a_leaf_that_is_a_branch():
    with pytest.raises(TreeError, match="'a/b' lies below 'a'"):
        tree.unflatten({"a": 1, "a/b": 2})
    with pytest.raises(TreeError, match="leaf and a branch"):
        tree.unflatten({"a/b": 1, "a": 2})


def test_select_by_pattern_by_patterns_and_by_function():
    by_pattern = tree.flatten(tree.select(params(), "**/kernel"))
    assert [path for path, meant in by_pattern.items() if meant] == ["blocks/attend/kernel", "head/kernel"]
    assert sum(jax.tree.leaves(tree.select(params(), ["**/bias", "**/scale"]))) == 2
    assert sum(jax.tree.leaves(tree.select(params(), lambda path, leaf: leaf.ndim == 2))) == 1


@pytest.mark.parametrize("use", [tree.select, tree.split, lambda t, w: tree.map_where(jnp.abs, t, w)])
def test_a_pattern_that_matches_nothing_is_an_error_that_shows_the_paths(use):
    with pytest.raises(TreeError, match="'encoder/\\*\\*' matches nothing; the paths are 'blocks/attend/bias'"):
        use(params(), "encoder/**")
    with pytest.raises(TreeError, match="'nope' matches nothing"):
        use(params(), ["**/kernel", "nope"])


def test_assign_takes_the_first_match():
    table = {"head/*": 1, "**/kernel": 2, "**": 3}
    assert tree.flatten(tree.assign(params(), table)) == {
        "blocks/attend/bias": 3,
        "blocks/attend/kernel": 2,
        "blocks/norm/scale": 3,
        "head/kernel": 1,
    }
    with pytest.raises(TreeError, match="no pattern matches 'blocks/attend/bias'"):
        tree.assign(params(), {"**/kernel": 1})
    with pytest.raises(TreeError, match="'head/\\*' comes first for no leaf"):
        tree.assign(params(), {"**": 1, "head/*": 2})
    assert tree.assign(params(), {"**": 1, "head/*": 2}, strict=False)["head"] == {"kernel": 1}


def test_counts_bytes_and_norms():
    assert tree.count(params()) == 6 + 3 + 4 + 6
    assert tree.nbytes(params()) == 4 * 19
    assert tree.nbytes(jax.eval_shape(params)) == 4 * 19
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params())])
    np.testing.assert_allclose(tree.norm(params()), np.linalg.norm(flat), rtol=1e-6)
    np.testing.assert_allclose(tree.norms(params())["blocks/norm/scale"], 4.0, rtol=1e-6)


def test_norm_has_a_gradient_at_zero_and_room_in_low_precision():
    np.testing.assert_array_equal(jax.grad(tree.norm)(jnp.zeros(3)), np.zeros(3))
    assert tree.norm(jnp.full(10_000, 1.0, jnp.bfloat16)) == 100
    assert tree.norm({}) == 0
    assert jnp.isnan(tree.norm({"a": jnp.ones(2), "b": jnp.array([jnp.nan])}))
    with jax.enable_x64(True):
        assert tree.norm({"a": jnp.ones(4), "b": jnp.zeros(2, jnp.float32)}).dtype == jnp.float64


def test_cast_changes_real_numbers_alone():
    mixed = {"x": jnp.ones(2), "count": jnp.arange(2), "key": jax.random.key(0)}
    done = tree.cast(mixed, jnp.bfloat16)
    assert done["x"].dtype == jnp.bfloat16
    assert done["count"].dtype == jnp.int32
    assert tree.cast(params(), jnp.bfloat16, "head/*")["blocks"]["norm"]["scale"].dtype == jnp.float32


def test_require_like_names_the_first_wrong_paths_with_both_values():
    wrong = {"blocks": params()["blocks"], "head": {"kernel": jnp.ones(7)}, "tail": jnp.ones(1)}
    with pytest.raises(TreeError) as caught:
        tree.require_like(wrong, params(), "updates", "parameters")
    text = str(caught.value)
    assert "updates do not fit the parameters" in text
    assert "head/kernel: expected float32[6], got float32[7]" in text
    assert "tail: unexpected float32[1]" in text


def test_digest_sees_every_bit_path_and_type():
    base = tree.digest(params())
    assert base == tree.digest(params())
    changed = params()
    changed["head"]["kernel"] = changed["head"]["kernel"].at[0].set(np.nextafter(np.float32(0), np.float32(1)))
    renamed = {"blocks": params()["blocks"], "heads": params()["head"]}
    digests = {base, tree.digest(changed), tree.digest(renamed), tree.digest(tree.cast(params(), jnp.bfloat16))}
    assert len(digests) == 4
