"""The face model with attention: its three custom operators, in NumPy between parts that an engine runs.

`face_landmark_with_attention` finds a coarse mesh, cuts patches around lips and eyes out of its feature map
(`Landmarks2TransformMatrix`, `TransformTensorBilinear`), looks at them closely, and brings the fine landmarks back
(`TransformLandmarks`). No engine but MediaPipe's own knows the three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketgraph.models import zoo
from pocketgraph.models.errors import FormatError, UnsupportedError, UsageError
from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.runtime.delegate import Array, TensorSpec
from pocketgraph.runtime.model import DelegateName, RunnableModel, load_model
from pocketgraph.runtime.vision.flexbuffer import Value, read_map

FloatArray = npt.NDArray[np.float32]
Kernel = Callable[..., FloatArray]


def landmarks_to_matrix(landmarks: FloatArray, options: Mapping[str, Value]) -> FloatArray:
    """`[1, 4, 4]`: from a patch's pixels to the feature map's, around the landmarks that `options` list.

    `landmarks` `[1, n, 3]` are in pixels of the feature map. The patch is turned so that the line between two landmarks
    lies at the target rotation, and is the box around the listed landmarks, scaled.
    """
    points = landmarks.reshape(-1, 3)[:, :2].astype(np.float64)
    left, right = points[_int(options, "left_rotation_idx")], points[_int(options, "right_rotation_idx")]
    turn = _float(options, "target_rotation_radians") - math.atan2(right[1] - left[1], right[0] - left[0])
    listed = options.get("subset_idxs")
    if not isinstance(listed, list) or not listed:
        raise FormatError("Landmarks2TransformMatrix lists no landmarks in subset_idxs")
    cos, sin = math.cos(turn), math.sin(turn)
    upright = points[[int(i) for i in listed]] @ np.array([[cos, sin], [-sin, cos]])
    low, high = upright.min(axis=0), upright.max(axis=0)
    output = np.array([_int(options, "output_width"), _int(options, "output_height")])
    scale = np.array([_float(options, "scale_x"), _float(options, "scale_y")]) * (high - low) / output
    back = np.array([[cos, sin], [-sin, cos]])  # turned back by -turn
    matrix = np.eye(4)
    matrix[:2, :2] = back * scale
    matrix[:2, 3] = back @ ((low + high) / 2 - scale * output / 2)
    return matrix[None].astype(np.float32)


def transform_tensor(features: FloatArray, matrix: FloatArray, options: Mapping[str, Value]) -> FloatArray:
    """A patch `[1, h, w, c]` of `features` `[1, H, W, c]`, bilinear; 0 where `matrix` leads outside.

    `matrix` `[1, 4, 4]` takes a pixel of the patch to one of `features`, by corners; centres are half a pixel off.
    """
    _, height, width, _ = features.shape
    rows = matrix[0, :2].astype(np.float64)
    y, x = np.mgrid[0 : _int(options, "output_height"), 0 : _int(options, "output_width")] + 0.5
    u = rows[0, 0] * x + rows[0, 1] * y + rows[0, 3] - 0.5
    v = rows[1, 0] * x + rows[1, 1] * y + rows[1, 3] - 0.5
    inside = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    u, v = np.where(inside, u, 0), np.where(inside, v, 0)
    left, top = u.astype(np.intp), v.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = ((u - left) * inside).astype(np.float32)[..., None], (v - top).astype(np.float32)[..., None]
    plane = features[0]
    keep = inside.astype(np.float32)[..., None] - across
    upper = keep * plane[top, left] + across * plane[top, right]
    lower = keep * plane[bottom, left] + across * plane[bottom, right]
    return np.asarray(upper + down * (lower - upper), np.float32)[None]


def transform_landmarks(landmarks: FloatArray, matrix: FloatArray, _options: Mapping[str, Value]) -> FloatArray:
    """Landmarks `[1, n, 2 or 3]` taken through `matrix` `[1, 4, 4]` in x and y; z is kept."""
    moved = landmarks.copy()
    moved[..., :2] = landmarks[..., :2] @ matrix[0, :2, :2].T + matrix[0, :2, 3]
    return moved


_KERNELS: dict[str, Kernel] = {
    "Landmarks2TransformMatrix": landmarks_to_matrix,
    "TransformTensorBilinear": transform_tensor,
    "TransformLandmarks": transform_landmarks,
}


@dataclass
class _Part:
    """A stretch of the graph between custom operators: an engine's model, then the custom operators that follow."""

    model: RunnableModel | None
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    custom: list[tuple[Op, Kernel, dict[str, Value]]]


class AttentionDelegate:
    """A `Delegate` for models with MediaPipe's attention operators: engine, NumPy, engine, and so on."""

    def __init__(self, model: Model, delegate: DelegateName = "auto", threads: int = 1) -> None:
        graph = model.main
        self.inputs = [_spec(tensor) for tensor in graph.inputs]
        self.outputs = [_spec(tensor) for tensor in graph.outputs]
        self._given, self._wanted = list(graph.inputs), list(graph.outputs)
        self._parts = [_load(graph, *stage, delegate, threads) for stage in _stages(graph)]

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> dict[str, Array]:
        values: dict[Tensor, Array] = {tensor: inputs[tensor.name] for tensor in self._given}
        for part in self._parts:
            if part.model is not None:
                made = part.model.run({name: values[tensor] for name, tensor in part.inputs.items()})
                values.update((tensor, made[name]) for name, tensor in part.outputs.items())
            for op, kernel, options in part.custom:
                values[op.outputs[0]] = kernel(*(values[op.input(i)] for i in range(len(op.inputs))), options)
        results = {}
        for tensor in self._wanted:
            value = values[tensor]
            if outputs is not None and tensor.name in outputs:
                np.copyto(outputs[tensor.name], value)
                value = outputs[tensor.name]
            results[tensor.name] = value
        return results

    def close(self) -> None:
        for part in self._parts:
            if part.model is not None:
                part.model.close()


def load_vision_model(
    source: str | bytes | Model,
    outputs: Sequence[int] | None = None,
    delegate: DelegateName = "auto",
    threads: int = 1,
    *,
    left_out: Sequence[int] = (),
) -> RunnableModel:
    """`load_model`, for models with MediaPipe's attention operators too, whose parts then run in `delegate`.

    `source` is a zoo name, the bytes of a file, or a `Model`. `outputs` are the indices of the outputs to compute, or
    `left_out` of those not to compute; what only the others need is cut out of the graph.
    """
    content = zoo.fetch(source).read_bytes() if isinstance(source, str) else source
    if (
        outputs is None
        and not left_out
        and isinstance(content, bytes)
        and not any(code.encode() in content for code in _KERNELS)
    ):
        return load_model(source, delegate, threads)  # no need to look at the graph
    model = _graph_of(source)
    made = model.main.outputs
    if left_out:
        if len(set(left_out)) != len(left_out) or not set(left_out) < set(range(len(made))):
            raise UsageError(f"the model has the outputs 0 to {len(made) - 1}, {list(left_out)} cannot be left out")
        outputs = [index for index in range(len(made)) if index not in left_out]
    if outputs is not None:
        if not outputs or not all(0 <= index < len(made) for index in outputs):
            raise UsageError(f"the model has the outputs 0 to {len(made) - 1}, {list(outputs)} were asked for")
        source = model = Model([model.main.extract([made[index] for index in outputs])])
    if any(op.kind == "CUSTOM" and op.custom_code in _KERNELS for op in model.main.ops):
        return RunnableModel(AttentionDelegate(model, delegate, threads), "attention")
    return load_model(source, delegate, threads)


def _graph_of(source: str | bytes | Model) -> Model:
    if isinstance(source, str):
        return zoo.load(source)
    if isinstance(source, Model):
        return source
    if source[4:8] == b"TFL3":
        return read_tflite(source)
    from pocketgraph.models.onnx_read import read_onnx

    return read_onnx(source)


def _stages(graph: Graph) -> list[tuple[list[Tensor], list[Tensor], list[Op]]]:
    """Inputs and outputs of each stretch of ordinary operators, and the custom operators that run after it.

    What only depends on constants belongs to every stretch that reads it. A custom operator's result waits for the next
    stretch, but other custom operators behind the same stretch may read it at once.
    """
    for_ordinary: dict[Tensor, int] = dict.fromkeys(graph.inputs, 0)
    for_custom: dict[Tensor, int] = dict.fromkeys(graph.inputs, 0)
    ordinary: dict[int, list[Op]] = {}
    custom: dict[int, list[Op]] = {}
    for op in graph.ops:
        is_custom = op.kind == "CUSTOM" and op.custom_code in _KERNELS
        ready = for_custom if is_custom else for_ordinary
        known = [ready[tensor] for tensor in op.inputs if tensor in ready]
        if known:
            at = max(known)
            (custom if is_custom else ordinary).setdefault(at, []).append(op)
            for_ordinary.update(dict.fromkeys(op.outputs, at + is_custom))
            for_custom.update(dict.fromkeys(op.outputs, at))
    stages = []
    for at in range(max((*ordinary, *custom), default=0) + 1):
        here = ordinary.get(at, [])
        made = {tensor for op in here for tensor in op.outputs}
        read = {tensor for op in here for tensor in op.inputs if tensor in for_ordinary} - made
        inside = set(here)
        elsewhere = {tensor for op in graph.ops if op not in inside for tensor in op.inputs} | set(graph.outputs)
        inputs = [tensor for tensor in for_ordinary if tensor in read]
        outputs = [tensor for tensor in for_ordinary if tensor in made & elsewhere]
        stages.append((inputs, outputs, custom.get(at, [])))
    return stages


def _load(
    graph: Graph, inputs: list[Tensor], outputs: list[Tensor], custom: list[Op], delegate: DelegateName, threads: int
) -> _Part:
    kernels = [(op, _KERNELS[op.custom_code], read_map(op.custom_options)) for op in custom]
    if not outputs:
        return _Part(None, {}, {}, kernels)
    part = load_model(Model([graph.extract(outputs, inputs)]), delegate, threads)
    given = {spec.name: tensor for spec, tensor in zip(part.inputs, inputs, strict=True)}
    made = {spec.name: tensor for spec, tensor in zip(part.outputs, outputs, strict=True)}
    return _Part(part, given, made, kernels)


def _spec(tensor: Tensor) -> TensorSpec:
    kind = tensor.dtype.numpy
    if kind is None:
        raise UnsupportedError(
            f"{tensor.name!r} is {tensor.dtype.value}, which no input or output of this model may be"
        )
    return TensorSpec(tensor.name, tensor.shape, kind)


def _int(options: Mapping[str, Value], name: str) -> int:
    return int(_float(options, name))


def _float(options: Mapping[str, Value], name: str) -> float:
    value = options.get(name)
    if not isinstance(value, (int, float)):
        raise FormatError(f"a custom operator needs the number {name!r} among its options, got {value!r}")
    return float(value)
