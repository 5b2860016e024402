"""MobileNetV3-Large with random weights: squeeze-and-excite and hard-swish (Howard et al., arXiv 1905.02244)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketgraph.models.architectures.builder import Activation
from pocketgraph.models.architectures.random_weights import RandomNet, divisible
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model, Tensor


@dataclass(frozen=True)
class _Block:
    """A row of table 1 of the paper: kernel, expanded and final channels, squeeze-and-excite, hard-swish, stride."""

    kernel: int
    wide: int
    channels: int
    squeeze: bool
    swish: bool
    stride: int


_BLOCKS = (
    _Block(3, 16, 16, squeeze=False, swish=False, stride=1),
    _Block(3, 64, 24, squeeze=False, swish=False, stride=2),
    _Block(3, 72, 24, squeeze=False, swish=False, stride=1),
    _Block(5, 72, 40, squeeze=True, swish=False, stride=2),
    _Block(5, 120, 40, squeeze=True, swish=False, stride=1),
    _Block(5, 120, 40, squeeze=True, swish=False, stride=1),
    _Block(3, 240, 80, squeeze=False, swish=True, stride=2),
    _Block(3, 200, 80, squeeze=False, swish=True, stride=1),
    _Block(3, 184, 80, squeeze=False, swish=True, stride=1),
    _Block(3, 184, 80, squeeze=False, swish=True, stride=1),
    _Block(3, 480, 112, squeeze=True, swish=True, stride=1),
    _Block(3, 672, 112, squeeze=True, swish=True, stride=1),
    _Block(5, 672, 160, squeeze=True, swish=True, stride=2),
    _Block(5, 960, 160, squeeze=True, swish=True, stride=1),
    _Block(5, 960, 160, squeeze=True, swish=True, stride=1),
)

# with hard-swish or without: what the convolution itself applies, and the gain its weights are drawn with; this and
# the 3 behind a gate were found by trying: logits deviate 0.2 to 5 at 64 and 224 pixels
_AFTER: dict[bool, tuple[Activation, float]] = {True: ("NONE", 2.0), False: ("RELU", 2.0)}


def mobilenet_v3_large(seed: int = 0, *, size: int = 224, classes: int = 1000) -> Model:
    """MobileNetV3-Large with folded batch norm; weights drawn from `seed`.

    Input `image` [1, size, size, 3], values -1..1. Output `probabilities` [1, classes]. Raises `UsageError` on a size
    out of range.
    """
    if not 1 <= size <= 4096 or classes < 1:
        raise UsageError(f"MobileNetV3 with size {size}, {classes} classes; expected 1..4096, 1..")
    net = RandomNet((1, size, size, 3), seed)
    _conv(net, 16, "stem", kernel=3, stride=2, swish=True)
    for index, block in enumerate(_BLOCKS):
        _inverted_residual(net, f"block{index}", block)
    _conv(net, 960, "head", swish=True)
    net.global_mean("pool", keep_dims=True)
    _conv(net, 1280, "features", swish=True)
    net.reshape((1, 1280), "flat")
    net.random_fully_connected(classes, "logits")
    net.softmax("probabilities")
    return net.model(f"MobileNetV3-Large, {size}x{size}, random weights")


def _inverted_residual(net: RandomNet, name: str, block: _Block) -> None:
    before = net.last
    if block.wide != before.shape[3]:
        _conv(net, block.wide, f"{name}/expand", swish=block.swish)
    activation, gain = _AFTER[block.swish]
    net.random_depthwise(block.kernel, f"{name}/depthwise", stride=block.stride, activation=activation, gain=gain)
    if block.swish:
        _hard_swish(net, f"{name}/depthwise/swish")
    if block.squeeze:
        _squeeze_excite(net, f"{name}/squeeze")
    net.random_conv(block.channels, 1, f"{name}/project", gain=3.0 if block.squeeze else 1.0)
    if block.stride == 1 and before.shape[3] == block.channels:
        net.add(net.last, before, f"{name}/add")


def _conv(net: RandomNet, channels: int, name: str, *, swish: bool, kernel: int = 1, stride: int = 1) -> None:
    activation, gain = _AFTER[swish]
    net.random_conv(channels, kernel, name, stride=stride, activation=activation, gain=gain)
    if swish:
        _hard_swish(net, f"{name}/swish")


def _hard_swish(net: RandomNet, name: str) -> Tensor:
    return net.op("HARD_SWISH", [net.last], net.last.shape, name)


def _squeeze_excite(net: RandomNet, name: str) -> Tensor:
    """Scale each channel by a gate: mean, 1x1 to a quarter, ReLU, 1x1 back, hard sigmoid relu6(x + 3) / 6."""
    features = net.last
    channels = features.shape[3]
    net.global_mean(f"{name}/mean", keep_dims=True)
    net.random_conv(divisible(channels / 4), 1, f"{name}/reduce", activation="RELU")
    net.random_conv(channels, 1, f"{name}/widen")
    three = net.constant(f"{name}/three", np.full(1, 3, np.float32))
    net.add(net.last, three, f"{name}/shifted", "RELU6")
    sixth = net.constant(f"{name}/sixth", np.full(1, 1 / 6, np.float32))
    gate = net.multiply(net.last, sixth, f"{name}/gate")
    return net.multiply(features, gate, f"{name}/scaled")
