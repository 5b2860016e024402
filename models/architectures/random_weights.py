"""Weights drawn at random, for nets whose speed or structure matters and whose answers do not."""

from __future__ import annotations

import numpy as np

from pocketgraph.models.architectures.builder import Activation, NetBuilder
from pocketgraph.models.graph import FloatArray, Tensor


class RandomNet(NetBuilder):
    """A `NetBuilder` that draws its own weights: He initialisation (arXiv 1502.01852), the same for the same `seed`.

    Biases are drawn too (deviation 0.1): a folded batch norm leaves none at zero.
    """

    def __init__(self, input_shape: tuple[int, int, int, int], seed: int) -> None:
        super().__init__(input_shape)
        self._random = np.random.default_rng(seed)

    def random_conv(
        self,
        channels: int,
        kernel: int,
        name: str,
        *,
        stride: int = 1,
        activation: Activation = "NONE",
        gain: float | None = None,
        x: Tensor | None = None,
    ) -> Tensor:
        """A convolution to `channels` with a square kernel.

        `gain` multiplies the variance of the weights, to make up for what comes before or after: 2 for a ReLU (the
        default for one), so that values neither die out nor explode from layer to layer.
        """
        x = x or self.last
        weights = self._he(
            (channels, kernel, kernel, x.shape[3]), kernel * kernel * x.shape[3], _gain(activation, gain)
        )
        return self.conv(weights, self._bias(channels), name, stride=stride, activation=activation, x=x)

    def random_depthwise(
        self,
        kernel: int,
        name: str,
        *,
        stride: int = 1,
        activation: Activation = "NONE",
        gain: float | None = None,
    ) -> Tensor:
        """A depthwise convolution with a square kernel; `gain` as in `random_conv`."""
        channels = self.last.shape[3]
        weights = self._he((1, kernel, kernel, channels), kernel * kernel, _gain(activation, gain))
        return self.depthwise(weights, self._bias(channels), name, stride=stride, activation=activation)

    def random_fully_connected(self, channels: int, name: str) -> Tensor:
        """A linear layer to `channels`."""
        width = self.last.shape[1]
        return self.fully_connected(self._he((channels, width), width, 1.0), self._bias(channels), name)

    def _he(self, shape: tuple[int, ...], fan_in: int, gain: float) -> FloatArray:
        return self._random.standard_normal(shape, np.float32) * np.float32(np.sqrt(gain / fan_in))

    def _bias(self, channels: int) -> FloatArray:
        return self._random.standard_normal(channels, np.float32) * np.float32(0.1)


def _gain(activation: Activation, gain: float | None) -> float:
    return gain if gain is not None else 1.0 if activation == "NONE" else 2.0


def divisible(channels: float, by: int = 8) -> int:
    """`channels` rounded to a multiple of `by`, at least `by`, and never below nine tenths of what was asked.

    The rule by which the MobileNet family scales widths (Sandler et al., arXiv 1801.04381, reference code).
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
