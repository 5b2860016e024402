"""Layouts: every rule is checked against NumPy doing the same thing with real elements."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pocketgraph.models.onnx_layout import (
    CHANNELS_FIRST,
    cheapest,
    identity,
    permutation,
    place,
    reshape_through,
    same_order,
    with_axes,
    without_axes,
)


def layouts(rank: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.permutations(range(rank)).map(tuple)


@st.composite
def values(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A logical shape and a layout."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 1, 2, 3, 4, 6]), min_size=1, max_size=5)))
    return shape, draw(layouts(len(shape)))


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A logical shape, a layout, and another shape of as many elements."""
    shape, layout = draw(values())
    left, target = math.prod(shape), []
    while left > 1:
        target.append(draw(st.sampled_from([size for size in range(2, left + 1) if left % size == 0])))
        left //= target[-1]
    target += [1] * draw(st.integers(0, 2))
    return shape, layout, tuple(draw(st.permutations(target)))


@given(reshapes())
def test_a_reshape_that_keeps_elements_in_place_is_the_logical_reshape(
    case: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]],
) -> None:
    shape, layout, target = case
    logical = np.arange(math.prod(shape)).reshape(shape)
    found = reshape_through(shape, layout, target)
    if found is None:
        assert layout != identity(len(shape))
        return
    assert sorted(found) == list(range(len(target)))
    physical = logical.transpose(layout).reshape(place(target, found))
    np.testing.assert_array_equal(physical, logical.reshape(target).transpose(found))


def test_reshapes_of_pictures() -> None:
    assert reshape_through((1, 8, 6, 3), CHANNELS_FIRST, (1, 48, 3)) == (0, 2, 1)
    assert reshape_through((1, 8, 6, 4), CHANNELS_FIRST, (1, 8, 6, 2, 2)) == (0, 3, 4, 1, 2)
    assert reshape_through((1, 1, 1, 3), CHANNELS_FIRST, (1, 3)) == (0, 1)
    assert reshape_through((1, 8, 6, 3), CHANNELS_FIRST, (1, 144)) is None
    assert reshape_through((1, 0, 3), (0, 2, 1), (0, 1)) is None


@given(values(), st.data())
def test_permutations_and_order(value: tuple[tuple[int, ...], tuple[int, ...]], data: st.DataObject) -> None:
    shape, layout = value
    other = data.draw(layouts(len(shape)))
    logical = np.arange(math.prod(shape)).reshape(shape)
    here, there = logical.transpose(layout), logical.transpose(other)
    assert here.shape == place(shape, layout)
    np.testing.assert_array_equal(here.transpose(permutation(layout, other)), there)
    assert same_order(shape, layout, other) == np.array_equal(here.reshape(-1), there.reshape(-1))


@given(values(), st.data())
def test_axes_come_and_go(value: tuple[tuple[int, ...], tuple[int, ...]], data: st.DataObject) -> None:
    shape, layout = value
    rank = len(shape)
    logical = np.arange(math.prod(shape)).reshape(shape)
    gone = sorted(data.draw(st.sets(st.integers(0, rank - 1), max_size=rank)))
    taken = np.take(logical, 0, gone[0]) if gone else logical
    for count, axis in enumerate(gone[1:], 1):
        taken = np.take(taken, 0, axis - count)
    places = tuple(slice(None) if axis not in gone else 0 for axis in layout)
    np.testing.assert_array_equal(logical.transpose(layout)[places], taken.transpose(without_axes(layout, gone)))
    new = sorted(data.draw(st.sets(st.integers(0, rank + 1), min_size=2, max_size=2)))
    grown = with_axes(layout, new)
    wide = np.expand_dims(logical, tuple(new)).transpose(grown)
    np.testing.assert_array_equal(wide.reshape(logical.transpose(layout).shape), logical.transpose(layout))


def test_the_cheapest_layout_moves_the_smaller_value() -> None:
    own = identity(4)
    large, small = ((1, 8, 8, 4), [CHANNELS_FIRST]), ((1, 8, 1, 4), [own])
    assert cheapest([small, large]) == CHANNELS_FIRST
    assert cheapest([((1, 8, 8, 4), [own]), ((1, 8, 8, 4), [CHANNELS_FIRST])]) == CHANNELS_FIRST
    assert cheapest([((1, 8, 8, 4), [own, CHANNELS_FIRST]), ((1, 8, 8, 4), [own])]) == own
    assert cheapest([]) is None
