"""The cheapest choice of one option per layer within a budget, by dynamic programming over a divided budget.

As SPDY does for pruning profiles (Frantar & Alistarh, arXiv 2201.13096, section 3.1): the best way to spend a budget on
the first n layers follows from the best ways to spend every smaller one on the first n - 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketgraph.convert.prune.masks import Matrix

CELLS = 10_000


def cheapest_within(
    times: Sequence[Matrix], costs: Sequence[Matrix], budget: float, cells: int = CELLS
) -> list[int] | None:
    """The option of each layer whose costs add up to least while its times stay within `budget`, None if none do.

    `times[i][j]` and `costs[i][j]` are those of option j of layer i. What the budget leaves beyond everyone's fastest
    option is divided into `cells`, to which times are rounded up: the choice never exceeds the budget, and costs at
    most as much as the best one for a budget smaller by a cell a layer.
    """
    fastest = np.array([np.min(options) for options in times])
    spare = budget - float(fastest.sum())
    if spare < -1e-9 * abs(budget):
        return None
    width = max(spare, 1e-9 * abs(budget), 1e-300) / cells  # nothing to spare leaves the fastest alone
    best = np.zeros(cells + 1)
    picked: list[Matrix] = []
    steps: list[Matrix] = []
    for options, cost, least in zip(times, costs, fastest, strict=True):
        extra = np.minimum((np.asarray(options, np.float64) - least) / width, cells + 1)
        need = np.ceil(np.maximum(extra - 1e-6, 0)).astype(np.int64)
        found = np.full((len(need), cells + 1), np.inf)
        for row, cells_needed, value in zip(found, need, cost, strict=True):
            row[cells_needed:] = best[: max(cells + 1 - int(cells_needed), 0)] + value
        picked.append(found.argmin(axis=0))
        best = found.min(axis=0)
        steps.append(need)
    chosen: list[int] = []
    left = cells
    for options, need in zip(reversed(picked), reversed(steps), strict=True):
        chosen.append(int(options[left]))
        left -= int(need[chosen[-1]])
    return chosen[::-1]
