"""MobileNetV1 with random weights: pairs of depthwise and 1x1 convolution (Howard et al., arXiv 1704.04861)."""

from __future__ import annotations

from typing import Literal

from pocketgraph.models.architectures.random_weights import RandomNet
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model

Head = Literal["fully_connected", "conv"]
# (channels of the 1x1 convolution, stride of the depthwise one), table 1 of the paper
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def mobilenet_v1(
    alpha: float = 1.0, seed: int = 0, *, size: int = 224, classes: int = 1000, head: Head = "fully_connected"
) -> Model:
    """MobileNetV1 of width `alpha` with folded batch norm; weights drawn from `seed`.

    Input `image` [1, size, size, 3], values -1..1. Output `probabilities` [1, classes]. `head="conv"` classifies with a
    1x1 convolution behind the pooling, as Keras' own files do. Raises `UsageError` on a width or size out of range.
    """
    if not 0 < alpha <= 4 or not 1 <= size <= 4096 or classes < 1:
        raise UsageError(f"MobileNetV1 with alpha {alpha}, size {size}, {classes} classes; expected 0..4, 1..4096, 1..")
    net = RandomNet((1, size, size, 3), seed)
    net.random_conv(max(1, int(32 * alpha)), 3, "stem", stride=2, activation="RELU6")
    for index, (channels, stride) in enumerate(_BLOCKS):
        net.random_depthwise(3, f"block{index}/depthwise", stride=stride, activation="RELU6")
        net.random_conv(max(1, int(channels * alpha)), 1, f"block{index}/pointwise", activation="RELU6")
    net.global_mean("pool", keep_dims=head == "conv")
    if head == "conv":
        net.random_conv(classes, 1, "logits")
        net.reshape((1, classes), "flat")
    else:
        net.random_fully_connected(classes, "logits")
    net.softmax("probabilities")
    return net.model(f"MobileNetV1 {alpha:g}, {size}x{size}, random weights")
