"""Reads TensorFlow.js layers models, `model.json` and its weight shards, as far as MobileNetV1 goes: a chain of layers.

Convolutions take up the batch norm and the ReLU that follow them. Only the layer types of that family are known; any
other, a branch or a quantised weight is an `UnsupportedError`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from pocketgraph.models.architectures.builder import Activation, NetBuilder, Padding
from pocketgraph.models.errors import FormatError, GraphError, UnsupportedError
from pocketgraph.models.graph import FloatArray, Model

_MAX_JSON_BYTES = 32 << 20
_MAX_SIDE = 1 << 16
_ACTIVATIONS: dict[str, Activation] = {"linear": "NONE", "relu": "RELU", "relu6": "RELU6"}


@dataclass(frozen=True)
class _Convolution:
    """A convolution that has not been built yet, as the next layer may still change it."""

    name: str
    depthwise: bool
    weights: FloatArray
    bias: FloatArray
    stride: int
    padding: Padding
    activation: Activation = "NONE"


def read_tfjs(path: str | Path) -> Model:
    """The model of a TensorFlow.js `model.json`, whose weight shards lie beside it; static batch 1.

    Raises `FormatError` where the JSON or a shard is damaged, missing or of the wrong size, `UnsupportedError` for a
    graph model and for layers outside MobileNetV1.
    """
    path = Path(path)
    document = _read_json(path)
    topology = _get(document, "modelTopology", dict, path.name)
    if "model_config" not in topology:
        raise UnsupportedError(f"{path} is no layers model; convert the Keras original or a .tflite of it instead")
    config = _get(_get(topology, "model_config", dict, path.name), "config", (dict, list), path.name)
    layers = config if isinstance(config, list) else _get(config, "layers", list, path.name)
    weights = _read_weights(path, _get(document, "weightsManifest", list, path.name))
    try:
        return _Chain(layers, weights).model
    except GraphError as error:
        raise FormatError(f"{path}: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise FormatError(f"{path} has over {_MAX_JSON_BYTES >> 20} MB, expected a model.json")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise FormatError(f"{path} holds a JSON {type(document).__name__}, expected the object of a model.json")
    return document


def _get(table: Any, key: str, kind: Any, where: str) -> Any:
    value = table.get(key) if isinstance(table, dict) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise FormatError(f"{where}: {key!r} is missing or of the wrong type ({type(value).__name__})")
    return value


def _brief(value: Any) -> str:
    """For messages: a scalar's value, a container's size."""
    return repr(value)[:60] if not isinstance(value, (list, dict)) else f"a {type(value).__name__} of {len(value)}"


def _known(activation: Any) -> TypeGuard[str]:
    return isinstance(activation, str) and activation in _ACTIVATIONS


def _sizes(values: Any, where: str) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(v) is int and 1 <= v <= _MAX_SIDE for v in values):
        raise FormatError(f"{where}: {_brief(values)}, expected a list of sizes from 1 to {_MAX_SIDE}")
    return tuple(values)


def _read_weights(path: Path, manifest: list[Any]) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    for group in manifest:
        specs = [
            (_get(w, "name", str, "weight"), _sizes(w.get("shape"), f"shape of weight {w['name'][:60]!r}"), w)
            for w in _get(group, "weights", list, "weightsManifest")
        ]
        for name, _, spec in specs:
            if spec.get("dtype") != "float32" or "quantization" in spec:
                raise UnsupportedError(
                    f"weight {name!r} is stored as {_brief(spec.get('dtype'))}, quantised or not float32"
                )
        wanted = sum(4 * math.prod(shape) for _, shape, _ in specs)
        data = _read_shards(path.parent, _get(group, "paths", list, "weightsManifest"), wanted)
        at = 0
        for name, shape, _ in specs:
            count = math.prod(shape)
            found[name] = np.frombuffer(data, "<f4", count, at).reshape(shape)
            at += 4 * count
    return found


def _read_shards(folder: Path, names: list[Any], wanted: int) -> bytes:
    """The shards of one group joined; their sizes are compared with the manifest before anything is read."""
    for name in names:
        if (
            not isinstance(name, str)
            or "\\" in name
            or "\0" in name
            or name in {"", ".", ".."}
            or Path(name).name != name
        ):
            raise FormatError(f"weight shard {_brief(name)} is no plain file name beside the model.json")
    files = [folder / name for name in names]
    try:
        size = sum(file.stat().st_size for file in files)
        if size != wanted or not all(file.is_file() for file in files):
            raise FormatError(f"weight shards {', '.join(names)} hold {size} bytes, expected {wanted}")
        return b"".join(file.read_bytes() for file in files)
    except OSError as error:
        raise FormatError(f"cannot read weight shard {error.filename}: {error.strerror}") from error


class _Chain:
    """Turns a list of layers, each reading the one before it, into a graph."""

    def __init__(self, layers: list[Any], weights: dict[str, FloatArray]) -> None:
        self._weights = weights
        self._pending: _Convolution | None = None
        self._net: NetBuilder | None = None
        before: str | None = None
        for layer in layers:
            kind, config = _get(layer, "class_name", str, "layer"), _get(layer, "config", dict, "layer")
            name = _get(config, "name", str, f"a layer {kind}")
            if (source := _source(layer)) is not None and source != before:
                raise UnsupportedError(
                    f"layer {name!r} reads {source!r}, not the layer before it; only chains are read"
                )
            self._add(kind, name, config)
            before = name
        self.model: Model = self._flush().model("from a TensorFlow.js layers model")

    def _flush(self) -> NetBuilder:
        """Build the pending convolution; returns the net for the next layer."""
        if self._net is None:
            raise FormatError("the first layer has no input shape; expected an InputLayer")
        if self._pending is not None:
            c, self._pending = self._pending, None
            build = self._net.depthwise if c.depthwise else self._net.conv
            build(c.weights, c.bias, c.name, stride=c.stride, padding=c.padding, activation=c.activation)
        return self._net

    def _add(self, kind: str, name: str, config: dict[str, Any]) -> None:
        if kind == "InputLayer":
            shape = config.get("batch_input_shape", config.get("batch_shape"))
            sides = _sizes(shape[1:] if isinstance(shape, list) else shape, f"shape of input {name!r}")
            if self._net is not None or len(sides) != 3:
                raise UnsupportedError(f"input {name!r}: expected one input of [height, width, channels]")
            self._net = NetBuilder((1, *sides), name)
        elif kind in {"Conv2D", "DepthwiseConv2D"}:
            self._flush()
            self._pending = self._convolution(kind, name, config)
        elif kind == "BatchNormalization":
            self._fold(name, config)
        elif kind in {"Activation", "ReLU"}:
            self._activate(kind, name, config)
        elif kind == "ZeroPadding2D":
            self._pad(name, config)
        elif kind == "GlobalAveragePooling2D":
            self._flush().global_mean(name, keep_dims=config.get("keepdims") is True)
        elif kind == "Reshape":
            self._flush().reshape((1, *_sizes(config.get("target_shape"), f"shape of layer {name!r}")), name)
        elif kind != "Dropout":
            raise UnsupportedError(f"layer {name!r} is a {kind}; the layers of MobileNetV1 are read, no others")

    def _convolution(self, kind: str, name: str, config: dict[str, Any]) -> _Convolution:
        depthwise = kind == "DepthwiseConv2D"
        strides = _sizes(config.get("strides"), f"strides of layer {name!r}")
        padding, activation = config.get("padding"), config.get("activation", "linear")
        plain = config.get("dilation_rate", [1, 1]) in ([1, 1], 1) and config.get("groups", 1) == 1
        if depthwise:
            plain = plain and config.get("depth_multiplier", 1) == 1
        if (
            not plain
            or len(set(strides)) != 1
            or config.get("data_format", "channels_last") != "channels_last"
            or padding not in ("same", "valid")
            or not _known(activation)
        ):
            raise UnsupportedError(
                f"layer {name!r}: dilation, groups, multipliers, unequal strides, channels first, {_brief(activation)}"
                " or a padding other than same and valid are not read"
            )
        kernel = self._weight(f"{name}/depthwise_kernel" if depthwise else f"{name}/kernel", 4)
        weights = kernel.transpose(3, 0, 1, 2)  # [h, w, in, out] to [out, h, w, in]; [h, w, c, 1] to [1, h, w, c]
        channels = weights.shape[3] if depthwise else len(weights)
        bias = self._weight(f"{name}/bias", 1) if config.get("use_bias", True) else np.zeros(channels, np.float32)
        side: Padding = "SAME" if padding == "same" else "VALID"
        return _Convolution(name, depthwise, weights, bias, strides[0], side, _ACTIVATIONS[activation])

    def _fold(self, name: str, config: dict[str, Any]) -> None:
        """Multiply a batch norm into the convolution before it."""
        c = self._pending
        if c is None or c.activation != "NONE":
            raise UnsupportedError(f"batch norm {name!r} does not directly follow a convolution")
        epsilon = config.get("epsilon")
        if not isinstance(epsilon, float) or not 0 < epsilon < 1:
            raise FormatError(f"batch norm {name!r}: epsilon {_brief(epsilon)}, expected 0..1")
        channels = len(c.bias)
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        gamma = self._weight(f"{name}/gamma", 1) if config.get("scale", True) else ones
        beta = self._weight(f"{name}/beta", 1) if config.get("center", True) else zeros
        mean, variance = (self._weight(f"{name}/moving_{part}", 1) for part in ("mean", "variance"))
        if {len(part) for part in (gamma, beta, mean, variance)} != {channels} or not (variance >= 0).all():
            raise FormatError(f"batch norm {name!r} does not fit the {channels} channels of {c.name!r}")
        scale = gamma / np.sqrt(variance.astype(np.float64) + epsilon)
        spread = scale if c.depthwise else scale[:, None, None, None]
        bias = (beta + (c.bias - mean) * scale).astype(np.float32)
        self._pending = replace(c, weights=(c.weights * spread).astype(np.float32), bias=bias)

    def _activate(self, kind: str, name: str, config: dict[str, Any]) -> None:
        if kind == "ReLU":
            plain = not config.get("negative_slope") and not config.get("threshold")
            limit = config.get("max_value")
            wanted = "relu" if plain and limit is None else "relu6" if plain and limit == 6 else None
        else:
            wanted = config.get("activation")
        if wanted == "softmax":
            self._flush().softmax(name)
        elif wanted == "linear":
            return
        elif not _known(wanted):
            raise UnsupportedError(
                f"layer {name!r}: activation {_brief(wanted)}; expected {', '.join(_ACTIVATIONS)}, softmax"
            )
        elif self._pending is not None and self._pending.activation == "NONE":
            self._pending = replace(self._pending, activation=_ACTIVATIONS[wanted])
        else:
            net = self._flush()
            net.op(_ACTIVATIONS[wanted], [net.last], net.last.shape, name)

    def _pad(self, name: str, config: dict[str, Any]) -> None:
        match config.get("padding"):
            case [[int(top), int(bottom)], [int(left), int(right)]] if all(
                0 <= side <= _MAX_SIDE for side in (top, bottom, left, right)
            ):
                net = self._flush()
                batch, height, width, channels = net.last.shape
                amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
                shape = (batch, height + top + bottom, width + left + right, channels)
                net.op("PAD", [net.last, net.constant(f"{name}/amounts", amounts)], shape, name)
            case other:
                raise FormatError(f"layer {name!r}: padding {_brief(other)}, expected [[top, bottom], [left, right]]")

    def _weight(self, name: str, rank: int) -> FloatArray:
        if name not in self._weights or self._weights[name].ndim != rank:
            raise FormatError(f"weight {name!r} of rank {rank} is missing")
        return self._weights[name]


def _source(layer: dict[str, Any]) -> str | None:
    """The layer that `layer` reads; None for inputs and in sequential models."""
    match layer.get("inbound_nodes"):
        case None | []:
            return None
        case [[[str(name), 0, 0, *_]]]:
            return name
    raise UnsupportedError("a layer reads several others or is shared; only chains of layers are read")
