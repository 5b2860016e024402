"""How strongly a layer's fitted weights are held to the dense ones, chosen on inputs that the fit has not seen.

A few hundred pictures tell too little about the inputs of a wide, late layer to trust a free fit, and more than enough
about those of an early one. So each layer chooses for itself: half of the samples fit, the other half judge, and back.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketgraph.convert.prune.masks import Mask
from pocketgraph.convert.prune.moments import Matrix, Moments
from pocketgraph.convert.prune.obc import reconstruct

LADDER = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""In units of the mean of the Hessian's diagonal."""
MODERATE = 0.1
"""Where there is nothing to choose by."""
_ROWS = 48


def choose_damping(weights: Matrix, mask: Mask, halves: Sequence[Moments]) -> float:
    """The step of `LADDER` whose fits on either half have the least error on the other, channels counting alike.

    `weights` and `mask` are `[rows, columns]`; some rows, evenly spread, speak for all. `MODERATE` where a half is
    empty.
    """
    if not all(half.count for half in halves):
        return MODERATE
    rows = np.unique(np.linspace(0, len(weights) - 1, _ROWS).astype(int))
    errors = np.zeros(len(LADDER))
    for fit, judge in (halves, halves[::-1]):
        variance = np.maximum(judge.variance_y[rows], 1e-3 * judge.variance_y.mean() + 1e-30)
        hessian, cross = judge.hessian, judge.cross[rows]
        for step, damping in enumerate(LADDER):
            fitted = reconstruct(weights[rows], mask[rows], fit.hessian, fit.cross[rows], damping)
            both = np.einsum("ij,jk,ik->i", fitted, hessian, fitted, optimize=True)
            errors[step] += ((both - 2 * (fitted * cross).sum(axis=1)) / variance).sum()
    return LADDER[int(errors.argmin())]
