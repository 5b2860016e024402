"""EfficientNet-Lite0 from its published weights, or random ones: inverted residuals without squeeze-and-excite.

Tan & Le, "EfficientNet" (arXiv 1905.11946), table 1, in the Lite variant: stem and head are not scaled, every swish is
a ReLU6. Convolutions pad as TensorFlow's SAME does; batch norm (epsilon 1e-3) is folded into weights and biases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.models.architectures.builder import NetBuilder
from pocketgraph.models.architectures.random_weights import RandomNet
from pocketgraph.models.errors import FormatError
from pocketgraph.models.graph import FloatArray, Model, Tensor

State = Mapping[str, npt.NDArray[Any]]
_EPSILON = 1e-3
_CLASSES = 1000
_HEAD = 1280


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STEM = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def efficientnet_lite0(state: State) -> Model:
    """The graph of EfficientNet-Lite0 with the weights of a PyTorch state dict.

    Input `image` [1, 224, 224, 3], RGB as (x - 127) / 128. Output `probabilities` [1, 1000]: the logits go through a
    SOFTMAX at the end; take the input of that op for logits. `state` has `_conv_stem`, `_bn0`,
    `_blocks.N.{_expand_conv,_bn0,_depthwise_conv,_bn1,_project_conv,_bn2}`, `_conv_head`, `_bn1` and `_fc`.
    Raises `FormatError` where a tensor is missing or of another shape.
    """
    net = NetBuilder((1, 224, 224, 3))
    weights, bias = _folded(state, "_conv_stem", "_bn0", (_STEM, 3, 3, 3))
    net.conv(weights, bias, "stem", stride=2, activation="RELU6")
    channels, index = _STEM, 0
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            _block(net, state, index, stage, channels, stage.stride if repeat == 0 else 1)
            channels, index = stage.channels, index + 1
    weights, bias = _folded(state, "_conv_head", "_bn1", (_HEAD, channels, 1, 1))
    net.conv(weights, bias, "head", activation="RELU6")
    net.global_mean("pool")
    weights = _take(state, "_fc.weight", (_CLASSES, _HEAD))
    net.fully_connected(weights, _take(state, "_fc.bias", (_CLASSES,)), "logits")
    net.softmax("probabilities")
    return net.model("EfficientNet-Lite0, ImageNet, 224x224")


def random_efficientnet_lite0(seed: int = 0, *, size: int = 224) -> Model:
    """The same graph with weights drawn from `seed`, for `size` x `size` pixels: for speed, not for answers."""
    net = RandomNet((1, size, size, 3), seed)
    net.random_conv(_STEM, 3, "stem", stride=2, activation="RELU6")
    index = 0
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            before, name, stride = net.last, f"block{index}", stage.stride if repeat == 0 else 1
            if stage.expand != 1:
                net.random_conv(before.shape[3] * stage.expand, 1, f"{name}/expand", activation="RELU6")
            net.random_depthwise(stage.kernel, f"{name}/depthwise", stride=stride, activation="RELU6")
            net.random_conv(stage.channels, 1, f"{name}/project")
            if stride == 1 and before.shape[3] == stage.channels:
                net.add(net.last, before, f"{name}/add")
            index += 1
    net.random_conv(_HEAD, 1, "head", activation="RELU6")
    net.global_mean("pool")
    net.random_fully_connected(_CLASSES, "logits")
    net.softmax("probabilities")
    return net.model(f"EfficientNet-Lite0, {size}x{size}, random weights")


def _block(net: NetBuilder, state: State, index: int, stage: _Stage, channels: int, stride: int) -> Tensor:
    """An inverted residual: 1x1 expansion, depthwise, linear 1x1 projection, shortcut where shapes agree."""
    before, prefix, name = net.last, f"_blocks.{index}", f"block{index}"
    wide = channels * stage.expand
    if stage.expand != 1:
        weights, bias = _folded(state, f"{prefix}._expand_conv", f"{prefix}._bn0", (wide, channels, 1, 1))
        net.conv(weights, bias, f"{name}/expand", activation="RELU6")
    kernel = (wide, 1, stage.kernel, stage.kernel)
    weights, bias = _folded(state, f"{prefix}._depthwise_conv", f"{prefix}._bn1", kernel)
    net.depthwise(weights.transpose(3, 1, 2, 0), bias, f"{name}/depthwise", stride=stride, activation="RELU6")
    weights, bias = _folded(state, f"{prefix}._project_conv", f"{prefix}._bn2", (stage.channels, wide, 1, 1))
    net.conv(weights, bias, f"{name}/project")
    if stride == 1 and channels == stage.channels:
        net.add(net.last, before, f"{name}/add")
    return net.last


def _folded(state: State, conv: str, norm: str, shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
    """Weights [out, h, w, in] and bias of a convolution and the batch norm behind it, as one; `shape` is PyTorch's."""
    weights = _take(state, f"{conv}.weight", shape).astype(np.float64)
    gamma, beta, mean, variance = (
        _take(state, f"{norm}.{part}", shape[:1]).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    if not (variance >= 0).all():
        raise FormatError(f"{norm}.running_var has a negative or undefined variance")
    scale = gamma / np.sqrt(variance + _EPSILON)
    folded = (weights * scale[:, None, None, None]).transpose(0, 2, 3, 1)
    return folded.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _take(state: State, name: str, shape: tuple[int, ...]) -> FloatArray:
    if name not in state:
        raise FormatError(f"the weights of EfficientNet-Lite0 lack {name!r}")
    array = state[name]
    if array.shape != shape or array.dtype != np.float32:
        found = f"{array.dtype}{list(array.shape)}"
        raise FormatError(f"{name!r} is {found}, EfficientNet-Lite0 expects float32{list(shape)}")
    return array
