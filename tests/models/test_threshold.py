"""Truth tables; every function of up to four inputs compiled; how many of them one neuron computes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examples.history.threshold import classes, patterns, separating_plane
from fdl import models
from fdl.checks import DtypeError, ShapeError


def truth_table(net):
    return models.fire(net, models.all_inputs(len(net[0].excite)))[:, 0].tolist()


def test_gates_have_their_truth_tables():
    for count in (1, 2, 5):
        every = patterns(count)
        assert truth_table((models.any_of(count),)) == every.any(1).tolist()
        assert truth_table((models.all_of(count),)) == every.all(1).tolist()
        assert truth_table((models.none_of(count),)) == (~every.any(1)).tolist()
    assert truth_table(models.exclusive_or()) == [False, True, True, False]


def test_inputs_come_in_the_order_of_binary_numbers():
    np.testing.assert_array_equal(patterns(3) @ [4, 2, 1], np.arange(8))


def test_one_inhibition_outweighs_any_excitation():
    unit = models.Units(jnp.array([[3], [3], [0]]), jnp.array([[False], [False], [True]]), jnp.array([2]))
    assert truth_table((unit,)) == [False, False, True, False, True, False, True, False]


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_every_function_is_compiled_right(bits):
    said = jax.vmap(lambda table: models.fire(models.compile_table(table), models.all_inputs(bits))[:, 0])
    tables = models.all_targets(bits)
    assert tables.shape == (2 ** (2**bits), 2**bits)
    assert len(np.unique(np.asarray(tables), axis=0)) == len(tables)
    np.testing.assert_array_equal(jax.jit(said)(tables), tables)


def test_how_many_functions_one_neuron_computes():
    pytest.importorskip("scipy.optimize")
    for bits, count in ((2, 14), (3, 104)):
        planes = [(table, separating_plane(patterns(bits), table)) for table in np.asarray(models.all_targets(bits))]
        assert sum(plane is not None for _, plane in planes) == count
        for table, plane in planes:  # what the linear program found does separate
            if plane is not None:
                np.testing.assert_array_equal(patterns(bits) @ plane[:-1] + plane[-1] > 0, table)
        assert sum(size for _, size in classes(bits)) == 2 ** (2**bits)
        alike = (size for table, size in classes(bits) if separating_plane(patterns(bits), table) is not None)
        assert sum(alike) == count  # counted by classes, as the program does for four inputs
    for table in ([0, 1, 1, 0], [1, 0, 0, 1]):
        assert separating_plane(patterns(2), np.array(table, bool)) is None


def test_mistakes_say_what_to_do():
    with pytest.raises(DtypeError, match="must be boolean"):
        models.fire((models.any_of(2),), jnp.ones((4, 2)))
    with pytest.raises(ShapeError, match=r"\(..., 2\)"):
        models.fire((models.any_of(2),), jnp.ones((4, 3), bool))
    with pytest.raises(ShapeError, match="2, 4, 8"):
        models.compile_table(jnp.ones(6, bool))
