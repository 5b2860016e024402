"""A small net that XNNPACK runs sparse, and variants that break one of its rules each: for tests and for trying out."""

from __future__ import annotations

import numpy as np

from pocketgraph.models.architectures.builder import Padding
from pocketgraph.models.architectures.random_weights import RandomNet
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model, Tensor

BREAKS = {
    "same_stem": "the 3x3 stem of stride 2 has TensorFlow's SAME padding, (0, 1) on an even size",
    "same_depthwise": "a depthwise 3x3 of stride 2 has SAME padding",
    "prelu": "a PRELU stands before the pooling",
    "tap": "a map inside is also an output of the graph",
    "too_dense": "60 % zeros: fewer than two thirds",
    "stride2_1x1": "a 1x1 convolution has stride 2",
    "concat": "two branches are concatenated",
    "average_pool": "AVERAGE_POOL_2D over the whole map in place of MEAN",
    "dense_classifier": "a large dense FULLY_CONNECTED reads the pooling and counts against the threshold",
    "constant_second": "a MUL by a constant has it as second operand",
    "conv_head": "the head is a 1x1 convolution on the pooled map: outputs are not computed at all",
    "pooled_gate": "a pooled vector gates a map with no convolution between",
    "map_output": "the net ends in a 1x1 convolution on a map, with nothing to convert the layout back",
}
"""What `example(name)` does wrong."""


def example(breaks: str = "", *, sparsity: float = 0.8, seed: int = 0) -> Model:
    """A pruned net, picture [1, 64, 64, 3] to 10 numbers, sound but for `breaks` (a key of `BREAKS`, or none).

    Zeros are stored densely: store them sparse with `passes.Sparsify`. Raises `UsageError` on an unknown name.
    """
    if breaks and breaks not in BREAKS:
        raise UsageError(f"no example breaks the rule {breaks!r}; there are: {', '.join(BREAKS)}")
    net = _Net((1, 64, 64, 3), seed)
    net.padded = breaks != "same_stem"
    net.random_conv_stride2("stem", 16)
    net.random_depthwise(3, "dw1", activation="RELU6")
    net.random_conv(32, 1, "pw1", activation="RELU6")
    net.padded = breaks != "same_depthwise"
    net.random_depthwise_stride2("dw2")
    early = net.random_conv(64, 1, "pw2", stride=2 if breaks == "stride2_1x1" else 1, activation="RELU6")
    net.random_depthwise(3, "dw3", activation="RELU6")
    late = net.random_conv(64, 1, "pw3", activation="RELU6")
    last = net.add(early, late, "residual")
    _tail(net, breaks, early, last)
    model = net.model(BREAKS.get(breaks, "sound"))
    if breaks == "tap":
        model.main.outputs.append(late)
        model.signatures.clear()
    _prune(model, 0.6 if breaks == "too_dense" else sparsity)
    return model


def _tail(net: _Net, breaks: str, early: Tensor, last: Tensor) -> None:
    if breaks == "prelu":
        alpha = net.constant("alpha", np.full((1, 1, 64), 0.1, np.float32))
        net.op("PRELU", [last, alpha], last.shape, "prelu")
    elif breaks == "concat":
        shape = (*last.shape[:3], last.shape[3] + early.shape[3])
        net.op("CONCATENATION", [last, early], shape, "concat", axis=3, fused_activation_function="NONE")
    elif breaks == "constant_second":
        net.multiply(last, net.constant("scale", np.full((1, 1, 1, 64), 0.5, np.float32)), "scaled")
    elif breaks in ("map_output", "pooled_gate"):
        # the pooling of a squeeze-and-excitation gate lets clusters form, and none of these ends in one
        pooled = net.global_mean("squeeze", keep_dims=True)
        excited = pooled if breaks == "pooled_gate" else net.random_conv(64, 1, "excite", x=pooled)
        gate = net.op("LOGISTIC", [excited], pooled.shape, "gate")
        net.multiply(last, gate, "gated")
        net.random_conv(12, 1, "map")
        return
    if breaks == "average_pool":
        window = {"filter_height": 16, "filter_width": 16, "stride_h": 16, "stride_w": 16, "padding": "VALID"}
        net.op("AVERAGE_POOL_2D", [net.last], (1, 1, 1, 64), "pool", **window)
        net.reshape((1, 64), "flat")
        net.random_fully_connected(10, "logits")
    elif breaks == "conv_head":
        net.global_mean("pool", keep_dims=True)
        net.random_conv(10, 1, "head")
        net.reshape((1, 10), "logits")
    elif breaks == "dense_classifier":
        net.global_mean("pool")
        net.random_fully_connected(100, "logits")
        net.keep_dims()
    else:
        net.global_mean("pool", keep_dims=True)
        net.reshape((1, net.last.shape[3]), "flat")
        net.random_fully_connected(10, "logits")


class _Net(RandomNet):
    """Stride-2 layers with explicit padding of 1 on all sides, or with SAME where `padded` is off."""

    padded = True

    def random_conv_stride2(self, name: str, channels: int) -> Tensor:
        self._pad(name)
        weights = self._he((channels, 3, 3, self.last.shape[3]), 27, 2.0)
        padding: Padding = "VALID" if self.padded else "SAME"
        return self.conv(weights, self._bias(channels), name, stride=2, activation="RELU6", padding=padding)

    def random_depthwise_stride2(self, name: str) -> Tensor:
        self._pad(name)
        channels = self.last.shape[3]
        weights = self._he((1, 3, 3, channels), 9, 2.0)
        padding: Padding = "VALID" if self.padded else "SAME"
        return self.depthwise(weights, self._bias(channels), name, stride=2, activation="RELU6", padding=padding)

    def keep_dims(self) -> None:
        """Let the last layer, a FULLY_CONNECTED, keep the dimensions of its input."""
        self._ops[-1].attrs["keep_num_dims"] = True

    def _pad(self, name: str) -> None:
        if self.padded:
            n, height, width, channels = self.last.shape
            amounts = self.constant(f"{name}/padding", np.array([(0, 0), (1, 1), (1, 1), (0, 0)], np.int32))
            self.op("PAD", [self.last, amounts], (n, height + 2, width + 2, channels), f"{name}/padded")


def _prune(model: Model, sparsity: float) -> None:
    """Zero the smallest weights of every 1x1 convolution."""
    for op in model.main.ops:
        filters = op.input(1) if op.kind == "CONV_2D" else None
        if filters is not None and filters.shape[1:3] == (1, 1):
            weights = filters.dense().copy()
            weights[np.abs(weights) <= np.quantile(np.abs(weights), sparsity)] = 0
            filters.data = weights
