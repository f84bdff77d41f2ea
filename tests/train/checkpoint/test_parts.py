"""Arrays in parts: a grid of them fills its array, and every box is cut out of any grid."""

from itertools import pairwise, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fdl.train.checkpoint.parts import Part, called, cut, fill

QUICK = settings(max_examples=100, deadline=None, derandomize=True)


@st.composite
def grids(draw):
    """An array of up to three axes, and the boxes of a grid over it."""
    shape = draw(st.lists(st.integers(1, 6), max_size=3))
    edges = [[0, *sorted(draw(st.sets(st.integers(1, max(n - 1, 1)), max_size=2)) - {n}), n] for n in shape]
    cells = product(*(list(pairwise(ends)) for ends in edges))
    boxes = [(tuple(a for a, _ in cell), tuple(b - a for a, b in cell)) for cell in cells]
    return np.arange(np.prod(shape, dtype=int)).reshape(shape), draw(st.permutations(boxes))


def taken(array, box):
    return array[tuple(slice(start, start + size) for start, size in zip(*box))]


@QUICK
@given(grids(), st.data())
def test_every_box_is_cut_out_of_every_grid(grid, data):
    array, boxes = grid
    parts = [Part(start, taken(array, (start, shape))) for start, shape in boxes]
    ends = [sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n)))) for n in array.shape]
    box = tuple(a for a, _ in ends), tuple(b - a for a, b in ends)
    np.testing.assert_array_equal(cut(parts, box, array.dtype), taken(array, box))


@QUICK
@given(grids(), st.data())
def test_a_grid_fills_its_array_and_with_any_change_it_does_not(grid, data):
    array, boxes = grid
    assert fill(boxes, array.shape)
    which = data.draw(st.integers(0, len(boxes) - 1))
    assert not fill(boxes[:which] + boxes[which + 1 :], array.shape)
    assert not fill([*boxes, boxes[which]], array.shape)
    if array.ndim:
        axis, by = data.draw(st.integers(0, array.ndim - 1)), data.draw(st.sampled_from([-1, 1]))
        for moved in (0, 1):  # its start, its size
            changed = [list(side) for side in boxes[which]]
            changed[moved][axis] += by
            assert not fill([*boxes[:which], tuple(map(tuple, changed)), *boxes[which + 1 :]], array.shape)


def test_parts_without_numbers_and_arrays_without_axes():
    assert fill([((), ())], ())
    assert not fill([], ())
    assert fill([((0, 0), (0, 2))], (0, 2))
    assert not fill([], (0, 2))
    assert not fill([((0,), (2,)), ((1,), (2,))], (3,))
    assert not fill([((0,), (1,)), ((2,), (1,))], (3,))


def test_a_whole_array_has_the_name_of_its_path():
    assert called("a/b", ((0, 0), (4, 8)), (4, 8)) == "a/b"
    assert called("a/b", ((2, 0), (2, 8)), (4, 8)) == "a/b[2:4,0:8]"
    assert called("step", ((), ()), ()) == "step"
