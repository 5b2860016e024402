"""Optimal Brain Compression: which weights a layer can spare, given what it sees, and how the rest make up for them.

For one output channel with weights w and inputs X the squared error of its output is a quadratic with the Hessian
H = 2 X X^T, shared by all channels of the layer. ExactOBS (Frantar & Alistarh, arXiv 2208.11580, section 4) removes
the weight q of least w_q^2 / [H^-1]_qq, moves the others by -w_q / [H^-1]_qq * H^-1[:, q], eliminates q from H^-1, and
goes on. `eliminate` does this for a batch of rows in lock step. It keeps the pivots of the last `STRIDE` steps as
factors, so a step costs O(STRIDE * d) for a row, and applies them to H^-1 in one matrix product, on what is still
alive, when they are full: the d^2 work per weight of the textbook form runs as large matrix products.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from pocketgraph.convert.prune.masks import Mask, Matrix, block_sizes, block_starts

STRIDE = 48
"""Pivots kept as factors before they are applied to the inverse Hessian."""
_BATCH_BYTES = 96 << 20


@functools.cache
def _blas() -> ThreadpoolController:
    """The BLAS libraries that are loaded; looking for them takes a while."""
    return ThreadpoolController()


def damped(hessian: Matrix, damping: float) -> npt.NDArray[np.float64]:
    """H + damping * mean(diag H) * I, with a floor that keeps it invertible where the layer's inputs are all dead."""
    mean = max(float(np.mean(np.diagonal(hessian))), 0.0)
    result: npt.NDArray[np.float64] = hessian.astype(np.float64)
    result[np.diag_indices(len(result))] += max(damping * mean, 1e-12)
    return result


def removal_keys(
    weights: Matrix,
    hessian: Matrix,
    block: int = 1,
    damping: float = 0.01,
    threads: int = 2,
    limit: float = 1.0,
    done: Callable[[float], None] | None = None,
) -> npt.NDArray[np.float64]:
    """The cost per weight of removing each slot in the order ExactOBS removes them, `[blocks, columns]`.

    `weights` is `[rows, columns]`, `hessian` `[columns, columns]` (any common factor only scales the costs). A row's
    slots are eliminated one after the other; the cost of a slot is the largest step loss up to its removal, so the
    slots below any threshold are exactly those the greedy choice over all rows takes (OBC's global step). Slots beyond
    the fraction `limit` of a row are never removed: their cost is infinite.
    """
    rows, columns = weights.shape
    full = damped(hessian, damping)
    scale = np.sqrt(np.diagonal(full))
    inverse = np.linalg.inv(full / np.outer(scale, scale)).astype(np.float32)
    starts, sizes = block_starts(rows, block), block_sizes(rows, block)
    steps = min(columns, int(np.ceil(columns * limit)))
    keys = np.full((len(starts), columns), np.inf)
    scaled = (weights * scale).astype(np.float32)
    per_batch = max(1, min(32, _BATCH_BYTES // (columns * columns * 8)))

    def work(first: int) -> int:
        last = min(first + per_batch, len(starts))
        group = np.zeros((last - first, block, columns), np.float32)
        for i in range(first, last):
            group[i - first, : sizes[i]] = scaled[starts[i] : starts[i] + sizes[i]]
        order, loss = eliminate(group, inverse, steps)
        loss = np.maximum.accumulate(loss / sizes[first:last, None], axis=1)
        np.put_along_axis(keys[first:last], order, loss, axis=1)
        return last - first

    with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        finished = 0
        for count in pool.map(work, range(0, len(starts), per_batch)):
            finished += count
            if done is not None:
                done(finished / len(starts))
    return keys


def eliminate(
    weights: npt.NDArray[np.float32], inverse: npt.NDArray[np.float32], steps: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Remove `steps` slots from each of a batch of blocks, cheapest first.

    `weights` is `[batch, block, columns]`, `inverse` the inverse Hessian `[columns, columns]` they share. Returns the
    columns removed, in order, and the loss each removal added, both `[batch, steps]`. Rows of one block lose the same
    columns: their losses add up.
    """
    batch, _, columns = weights.shape
    w = weights.copy()
    index = np.broadcast_to(np.arange(columns), (batch, columns))
    a = np.broadcast_to(inverse, (batch, columns, columns))
    diag = np.broadcast_to(np.diagonal(inverse), (batch, columns)).copy()
    order = np.empty((batch, steps), np.int64)
    loss = np.empty((batch, steps), np.float64)
    each = np.arange(batch)
    step = 0
    while step < steps:
        count = min(STRIDE, steps - step)
        pivots = np.empty((batch, count, index.shape[1]), np.float32)
        dead = np.zeros(index.shape, np.float32)
        for j in range(count):
            score = np.square(w).sum(axis=1) / np.maximum(diag, 1e-20) + dead
            q = score.argmin(axis=1)
            u = a[each, q].copy()
            if j:
                u -= (pivots[each, :j, q][:, None, :] @ pivots[:, :j])[:, 0]
            u /= np.sqrt(np.maximum(u[each, q], 1e-20))[:, None]
            pivots[:, j] = u
            w -= (w[each, :, q] / u[each, q][:, None])[:, :, None] * u[:, None, :]
            diag -= u * u
            dead[each, q] = np.inf
            w[each, :, q] = 0
            order[:, step + j] = index[each, q]
            loss[:, step + j] = score[each, q]
        step += count
        if step < steps:
            live = np.nonzero(dead == 0)[1].reshape(batch, -1)
            index = np.take_along_axis(index, live, axis=1)
            w = np.take_along_axis(w, live[:, None, :], axis=2)
            kept = np.take_along_axis(pivots, live[:, None, :], axis=2)
            shrunk = np.empty((batch, live.shape[1], live.shape[1]), np.float32)
            for i in each:
                np.matmul(kept[i].T, kept[i], out=shrunk[i])
                np.subtract(a[i][np.ix_(live[i], live[i])], shrunk[i], out=shrunk[i])
            a = shrunk
            diag = np.diagonal(a, axis1=1, axis2=2).copy()
    return order, loss


def reconstruct(
    weights: Matrix,
    mask: Mask,
    hessian: Matrix,
    cross: Matrix | None = None,
    damping: float = 0.01,
    threads: int = 2,
) -> npt.NDArray[np.float64]:
    """The weights `[rows, columns]`, zero outside `mask`, whose outputs come closest to the target's.

    Minimises E|y - v x|^2 + lambda |v - w|^2 for each row: `hessian` is E[x x^T] of the inputs the pruned layer sees,
    `cross` E[y x^T] `[rows, columns]` of the outputs wanted with them (default: those of the dense weights on the same
    inputs), lambda is `damping` times the mean of the Hessian's diagonal.
    """
    full = damped(hessian, damping)
    ridge = full[0, 0] - hessian[0, 0]
    target = weights @ hessian if cross is None else cross
    right = target + ridge * weights
    result = np.zeros(weights.shape)

    def work(row: int) -> None:
        kept = np.flatnonzero(mask[row])
        if kept.size:
            result[row, kept] = np.linalg.solve(full[np.ix_(kept, kept)], right[row, kept])

    with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(len(weights)), chunksize=8):
            pass
    return result
