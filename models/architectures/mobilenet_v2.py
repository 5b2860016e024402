"""MobileNetV2 with random weights: inverted residuals with linear bottlenecks (Sandler et al., arXiv 1801.04381)."""

from __future__ import annotations

from pocketgraph.models.architectures.random_weights import RandomNet, divisible
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model

# expansion, channels, repeats, stride of the first: table 2 of the paper
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v2(alpha: float = 1.0, seed: int = 0, *, size: int = 224, classes: int = 1000) -> Model:
    """MobileNetV2 of width `alpha` with folded batch norm; weights drawn from `seed`.

    Input `image` [1, size, size, 3], values -1..1. Output `probabilities` [1, classes]. Raises `UsageError` on a width
    or size out of range.
    """
    if not 0 < alpha <= 4 or not 1 <= size <= 4096 or classes < 1:
        raise UsageError(f"MobileNetV2 with alpha {alpha}, size {size}, {classes} classes; expected 0..4, 1..4096, 1..")
    net = RandomNet((1, size, size, 3), seed)
    net.random_conv(divisible(32 * alpha), 3, "stem", stride=2, activation="RELU6")
    index = 0
    for expand, channels, repeats, first_stride in _STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            _inverted_residual(net, f"block{index}", expand, divisible(channels * alpha), stride)
            index += 1
    net.random_conv(divisible(1280 * max(1.0, alpha)), 1, "head", activation="RELU6")
    net.global_mean("pool")
    net.random_fully_connected(classes, "logits")
    net.softmax("probabilities")
    return net.model(f"MobileNetV2 {alpha:g}, {size}x{size}, random weights")


def _inverted_residual(net: RandomNet, name: str, expand: int, channels: int, stride: int) -> None:
    before = net.last
    if expand != 1:
        net.random_conv(before.shape[3] * expand, 1, f"{name}/expand", activation="RELU6")
    net.random_depthwise(3, f"{name}/depthwise", stride=stride, activation="RELU6")
    net.random_conv(channels, 1, f"{name}/project")
    if stride == 1 and before.shape[3] == channels:
        net.add(net.last, before, f"{name}/add")
