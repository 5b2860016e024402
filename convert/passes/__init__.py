"""Rewrites of a model that keep its outputs: one small class a file, composed in plain sight.

A pass is called with a model, edits it in place, and returns one readable line per rewrite.
"""

from __future__ import annotations

from pocketgraph.convert.passes.close_clusters import CloseClusters
from pocketgraph.convert.passes.constant_first import ConstantFirst
from pocketgraph.convert.passes.dequantize import Dequantize
from pocketgraph.convert.passes.detach_head import DetachHead
from pocketgraph.convert.passes.for_xnnpack import ForXnnpack
from pocketgraph.convert.passes.half import Half
from pocketgraph.convert.passes.head_to_fully_connected import HeadToFullyConnected
from pocketgraph.convert.passes.mirror import Mirror
from pocketgraph.convert.passes.pad_stride2 import PadStride2
from pocketgraph.convert.passes.pool_to_mean import PoolToMean
from pocketgraph.convert.passes.sparsify import Sparsify
from pocketgraph.convert.passes.split_fully_connected import SplitFullyConnected
from pocketgraph.convert.passes.transpose_conv_to_depth_to_space import TransposeConvToDepthToSpace

__all__ = [
    "CloseClusters",
    "ConstantFirst",
    "Dequantize",
    "DetachHead",
    "ForXnnpack",
    "Half",
    "HeadToFullyConnected",
    "Mirror",
    "PadStride2",
    "PoolToMean",
    "Sparsify",
    "SplitFullyConnected",
    "TransposeConvToDepthToSpace",
]
