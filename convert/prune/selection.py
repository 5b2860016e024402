"""Which weights go: costs by the chosen method, shared out among the layers, as one mask per layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pocketgraph.convert.prune import distribution
from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.layers import PrunableLayer
from pocketgraph.convert.prune.magnitude import magnitude_keys
from pocketgraph.convert.prune.masks import Mask, Matrix, block_sizes, mask_from_keys
from pocketgraph.convert.prune.obc import removal_keys

_FLOOR = 1e-3
"""Of the mean variance: channels quieter than that are not worth more."""


def layer_keys(
    layer: PrunableLayer, config: PruneConfig, hessian: Matrix | None, done: Callable[[float], None] | None = None
) -> Matrix:
    """The cost per weight of removing each slot of a layer, `[blocks, columns]`, in the unit all layers share.

    Magnitude: relative to the layer's root mean square weight. OBC: the error relative to the variance of the output
    channel, averaged over the layer's channels: a quiet channel counts as much as a loud one, because the scale of a
    channel is arbitrary (what follows undoes it).
    """
    weights = layer.matrix()
    if hessian is None:
        unit = float(np.sqrt(np.mean(np.square(weights, dtype=np.float64))))
        return magnitude_keys(weights, config.block) / max(unit, 1e-30)
    variance = np.einsum("ij,jk,ik->i", weights, hessian, weights, optimize=True)
    deviation = np.sqrt(np.maximum(variance, 0) + _FLOOR * max(float(variance.mean()), 1e-30))
    keys = removal_keys(weights / deviation[:, None], hessian, config.block, done=done)
    result: Matrix = keys / len(weights)
    return result


def choose_masks(
    layers: Sequence[PrunableLayer],
    keys: Sequence[Matrix],
    config: PruneConfig,
    errors: tuple[Sequence[float], Mapping[PrunableLayer, Matrix]] | None = None,
) -> list[Mask]:
    """One mask `[rows, columns]` per layer. Layers with an override get theirs, the rest share `config.sparsity`.

    `errors` is for the distribution `"measured"`: sparsities, and what each layer costs at them.
    """
    masks: dict[PrunableLayer, Mask] = {}
    free = [i for i, layer in enumerate(layers) if layer.sparsity is None]
    counts = [round(layer.weight.size * (layer.sparsity or 0.0)) for layer in layers]
    for i, count in zip(free, _shared(layers, keys, free, config, errors), strict=True):
        counts[i] = count
    for layer, key, count in zip(layers, keys, counts, strict=True):
        masks[layer] = mask_from_keys(key, layer.weight.shape[0], config.block, count)
    return [masks[layer] for layer in layers]


def _shared(
    layers: Sequence[PrunableLayer],
    keys: Sequence[Matrix],
    free: Sequence[int],
    config: PruneConfig,
    errors: tuple[Sequence[float], Mapping[PrunableLayer, Matrix]] | None,
) -> list[int]:
    sizes = [layers[i].weight.size for i in free]
    if not free:
        return []
    if config.distribution == "global":
        weights = [
            np.broadcast_to(block_sizes(layers[i].weight.shape[0], config.block)[:, None], keys[i].shape) for i in free
        ]
        return distribution.global_counts([keys[i] for i in free], weights, round(config.sparsity * sum(sizes)))
    if config.distribution == "measured":
        assert errors is not None
        levels, costs = errors
        fractions = distribution.cheapest(levels, [costs[layers[i]] for i in free], sizes, config.sparsity)
        return [round(size * fraction) for size, fraction in zip(sizes, fractions, strict=True)]
    share = distribution.erk if config.distribution == "erk" else distribution.uniform
    fractions = share([layers[i].weight.shape for i in free], config.sparsity)
    return [round(size * fraction) for size, fraction in zip(sizes, fractions, strict=True)]
