"""How a value's axes lie in memory: the permutations that let layouts move through a graph instead of transposes.

A value has *logical* axes, the ones its own format speaks of, and a layout: a tuple whose entry i is the logical axis
found at physical place i. A TFLite picture (logical N, H, W, C) stored channels first has the layout `(0, 3, 1, 2)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Layout = tuple[int, ...]
Shape = tuple[int, ...]

CHANNELS_FIRST: Layout = (0, 3, 1, 2)
"""Of a value that is N, H, W, C by its own format."""
CHANNELS_LAST: Layout = (0, 2, 3, 1)
"""Of a value that is N, C, H, W by its own format."""


def identity(rank: int) -> Layout:
    """The layout of a value that lies as its format says."""
    return tuple(range(rank))


def place(shape: Sequence[int], layout: Layout) -> Shape:
    """The physical shape of a value of logical `shape`."""
    return tuple(shape[axis] for axis in layout)


def permutation(source: Layout, target: Layout) -> Layout:
    """What a transpose must be given to turn the layout `source` into `target`."""
    return tuple(source.index(axis) for axis in target)


def same_order(shape: Sequence[int], one: Layout, other: Layout) -> bool:
    """Whether both layouts put the elements of `shape` in the same order, so that a reshape is all it takes."""
    return [a for a in one if shape[a] != 1] == [a for a in other if shape[a] != 1]


def cheapest(values: Sequence[tuple[Shape, Sequence[Layout]]]) -> Layout | None:
    """The layout that brings values together with the fewest elements moved; None where there are no values.

    Each value is its logical shape and the layouts it is at hand in. Where nothing is to choose, a moved layout wins
    over the values' own order: what follows is likely to want it.
    """

    def cost(layout: Layout) -> tuple[int, bool]:
        away = [shape for shape, have in values if not any(same_order(shape, one, layout) for one in have)]
        return sum(math.prod(shape) for shape in away), layout == identity(len(layout))

    return min(dict.fromkeys(layout for _, have in values for layout in have), key=cost, default=None)


def without_axes(layout: Layout, axes: Sequence[int]) -> Layout:
    """The layout left when the logical `axes` are dropped and the rest renumbered."""
    kept = [axis for axis in layout if axis not in axes]
    return tuple(sorted(kept).index(axis) for axis in kept)


def with_axes(layout: Layout, axes: Sequence[int]) -> Layout:
    """The layout after new axes of size 1 appear at the logical positions `axes` (of the result), physically first."""
    rank = len(layout) + len(axes)
    old = [axis for axis in range(rank) if axis not in axes]
    return (*sorted(axes), *(old[axis] for axis in layout))


def reshape_through(shape: Sequence[int], layout: Layout, target: Sequence[int]) -> Layout | None:
    """The layout of a value of logical `shape` after a logical reshape to `target`, leaving every element in place.

    None where the reshape mixes axes that do not lie together in that order: the value has to be transposed first.
    """
    groups = _groups(shape, target)
    if groups is None:
        return None
    group_of = {axis: index for index, (sources, _) in enumerate(groups) for axis in sources}
    order: list[int] = []
    for axis in layout:
        index = group_of[axis]
        if shape[axis] == 1 and len(groups[index][0]) > 1:
            continue
        if not order or order[-1] != index:
            if index in order:
                return None
            order.append(index)
    for index, (sources, _) in enumerate(groups):
        solid = [layout.index(axis) for axis in sources if shape[axis] != 1]
        if any(later < earlier for earlier, later in pairwise(solid)):
            return None
        if index not in order:
            order.insert(index, index)
    return tuple(axis for index in order for axis in groups[index][1])


def _groups(shape: Sequence[int], target: Sequence[int]) -> list[tuple[list[int], list[int]]] | None:
    """The finest matching runs of axes with equal products, in logical order; None where a size is 0."""
    if 0 in shape or 0 in target:
        return None
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(shape) or j < len(target):
        sources: list[int] = []
        results: list[int] = []
        left = right = 1
        if i < len(shape):
            sources.append(i)
            left, i = shape[i], i + 1
        if j < len(target) and (not sources or left != 1 or target[j] == 1):
            results.append(j)
            right, j = target[j], j + 1
        while left != right:
            if left < right:
                if i == len(shape):
                    return None
                sources.append(i)
                left, i = left * shape[i], i + 1
            else:
                if j == len(target):
                    return None
                results.append(j)
                right, j = right * target[j], j + 1
        groups.append((sources, results))
    return groups
