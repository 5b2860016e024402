"""Builds convolutional nets op by op: `NetBuilder` keeps the running tensor, shapes and names."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pocketgraph.models.errors import GraphError
from pocketgraph.models.graph import DType, FloatArray, Graph, Model, Op, Signature, Tensor

Activation = Literal["NONE", "RELU", "RELU6"]
Padding = Literal["SAME", "VALID"]


class NetBuilder:
    """A graph under construction. Each method appends one layer to `x` (default: the last result) and returns it.

    Weights are laid out as TFLite has them: convolution `[out, h, w, in]`, depthwise `[1, h, w, out]`, fully connected
    `[out, in]`, all float32; biases have one element per output channel.
    """

    def __init__(self, input_shape: tuple[int, int, int, int], name: str = "image") -> None:
        self.input = Tensor(name, input_shape, layout="NHWC")
        self.last = self.input
        self._ops: list[Op] = []
        self._names = {name}

    def constant(self, name: str, data: npt.NDArray[Any]) -> Tensor:
        array = np.ascontiguousarray(data)
        return Tensor(self._unique(name), array.shape, DType.of(array), array)

    def op(self, kind: str, inputs: list[Tensor], shape: tuple[int, ...], name: str, **attrs: Any) -> Tensor:
        """Append any operator with one float result of `shape`."""
        self.last = Tensor(self._unique(name), shape, layout="NHWC" if len(shape) == 4 else None)
        self._ops.append(Op(kind, list(inputs), [self.last], attrs))
        return self.last

    def conv(
        self,
        weights: FloatArray,
        bias: FloatArray,
        name: str,
        *,
        stride: int = 1,
        activation: Activation = "NONE",
        padding: Padding = "SAME",
        x: Tensor | None = None,
    ) -> Tensor:
        """CONV_2D, square stride."""
        return self._convolve("CONV_2D", weights, bias, name, stride, activation, padding, x or self.last)

    def depthwise(
        self,
        weights: FloatArray,
        bias: FloatArray,
        name: str,
        *,
        stride: int = 1,
        activation: Activation = "NONE",
        padding: Padding = "SAME",
        x: Tensor | None = None,
    ) -> Tensor:
        """DEPTHWISE_CONV_2D with multiplier 1, square stride."""
        return self._convolve("DEPTHWISE_CONV_2D", weights, bias, name, stride, activation, padding, x or self.last)

    def _convolve(
        self,
        kind: str,
        weights: FloatArray,
        bias: FloatArray,
        name: str,
        stride: int,
        activation: Activation,
        padding: Padding,
        x: Tensor,
    ) -> Tensor:
        depthwise = kind == "DEPTHWISE_CONV_2D"
        if (
            len(x.shape) != 4
            or weights.ndim != 4
            or x.shape[3] != weights.shape[3]
            or (depthwise and len(weights) != 1)
        ):
            raise GraphError(f"{name}: weights {list(weights.shape)} do not fit the input {list(x.shape)}")
        channels = weights.shape[3 if depthwise else 0]
        if bias.shape != (channels,):
            raise GraphError(f"{name}: bias {list(bias.shape)}, expected [{channels}]")
        height, width = (
            -(-n // stride) if padding == "SAME" else (n - k) // stride + 1
            for n, k in zip(x.shape[1:3], weights.shape[1:3], strict=True)
        )
        if height < 1 or width < 1:
            raise GraphError(f"{name}: a {list(weights.shape[1:3])} kernel is larger than the input {list(x.shape)}")
        attrs: dict[str, Any] = {
            "padding": padding,
            "stride_w": stride,
            "stride_h": stride,
            "fused_activation_function": activation,
        }
        if depthwise:
            attrs["depth_multiplier"] = 1
        operands = [x, self.constant(f"{name}/weights", weights), self.constant(f"{name}/bias", bias)]
        return self.op(kind, operands, (x.shape[0], height, width, channels), name, **attrs)

    def fully_connected(self, weights: FloatArray, bias: FloatArray, name: str, x: Tensor | None = None) -> Tensor:
        """FULLY_CONNECTED on [batch, in] with weights [out, in]."""
        x = x or self.last
        if len(x.shape) != 2 or weights.ndim != 2 or x.shape[1] != weights.shape[1] or bias.shape != weights.shape[:1]:
            raise GraphError(f"{name}: weights {list(weights.shape)} do not fit the input {list(x.shape)}")
        operands = [x, self.constant(f"{name}/weights", weights), self.constant(f"{name}/bias", bias)]
        return self.op("FULLY_CONNECTED", operands, (x.shape[0], len(weights)), name)

    def global_mean(self, name: str, *, keep_dims: bool = False, x: Tensor | None = None) -> Tensor:
        """MEAN over height and width: [n, h, w, c] to [n, c], or [n, 1, 1, c] with `keep_dims`."""
        x = x or self.last
        shape = (x.shape[0], 1, 1, x.shape[3]) if keep_dims else (x.shape[0], x.shape[3])
        axes = self.constant(f"{name}/axes", np.array([1, 2], np.int32))
        return self.op("MEAN", [x, axes], shape, name, keep_dims=keep_dims)

    def add(self, a: Tensor, b: Tensor, name: str, activation: Activation = "NONE") -> Tensor:
        """ADD; `b` has the shape of `a` or is a constant that spreads to it."""
        return self.op("ADD", [a, b], a.shape, name, fused_activation_function=activation)

    def multiply(self, a: Tensor, b: Tensor, name: str) -> Tensor:
        """MUL; `b` spreads to the shape of `a`."""
        return self.op("MUL", [a, b], a.shape, name, fused_activation_function="NONE")

    def softmax(self, name: str) -> Tensor:
        """SOFTMAX over the last axis."""
        return self.op("SOFTMAX", [self.last], self.last.shape, name, beta=1.0)

    def reshape(self, shape: tuple[int, ...], name: str) -> Tensor:
        """RESHAPE to a static shape with as many elements."""
        wanted = self.constant(f"{name}/shape", np.array(shape, np.int32))
        if np.prod(shape) != self.last.size:
            raise GraphError(f"{name}: cannot reshape {list(self.last.shape)} to {list(shape)}")
        return self.op("RESHAPE", [self.last, wanted], shape, name, new_shape=list(shape))

    def model(self, description: str = "") -> Model:
        """The model whose output is the last result, with one signature."""
        graph = Graph("main", [self.input], [self.last], self._ops)
        signature = Signature("serving_default", {self.input.name: self.input}, {self.last.name: self.last})
        return Model([graph], [signature], description)

    def _unique(self, wanted: str) -> str:
        name, count = wanted, 0
        while name in self._names:
            count += 1
            name = f"{wanted}_{count}"
        self._names.add(name)
        return name
