"""Small nets for the tests of engines, and LiteRT to compare them with."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if folder := os.environ.get("POCKETGRAPH_COMPILED"):  # another build of the compiled modules, for `make sanitize`
    for name in ("runtime.chw._core", "runtime.vision._warp"):
        (file,) = Path(folder).glob(f"pocketgraph/{name.replace('.', '/')}*.so")
        spec = importlib.util.spec_from_file_location(f"pocketgraph.{name}", file)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[spec.name])

from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime import fastest
from pocketgraph.runtime.chw import Chw, tune
from pocketgraph.runtime.litert import LiteRT

Pair = tuple[int, int]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is measured here is not kept for the user, and quickly measured."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "cache_dir", lambda: folder)
        patch.setattr(tune, "_REPEATS", 1)
        patch.setattr(fastest, "cache_dir", lambda: folder)
        yield


class Net:
    """A graph under construction with random constants."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.inputs: list[Tensor] = []
        self.ops: list[Op] = []

    def input(self, *shape: int) -> Tensor:
        self.inputs.append(Tensor(f"x{len(self.inputs)}", shape))
        return self.inputs[-1]

    def normal(self, *shape: int, density: float = 1.0) -> np.ndarray:
        values = self.rng.standard_normal(shape).astype(np.float32)
        return np.where(self.rng.random(shape) < density, values, np.float32(0))

    def op(
        self,
        kind: str,
        operands: Sequence[Tensor | np.ndarray | None],
        *shapes: Sequence[int],
        version: int = 1,
        **attrs: Any,
    ) -> Any:
        """The op's result, a list where there are several `shapes`; arrays among the operands become constants."""
        number = len(self.ops)
        tensors = [
            operand
            if operand is None or isinstance(operand, Tensor)
            else Tensor(f"c{number}_{place}", operand.shape, DType.of(operand), np.asarray(operand))
            for place, operand in enumerate(operands)
        ]
        results = [Tensor(f"t{number}_{place}", tuple(shape)) for place, shape in enumerate(shapes)]
        self.ops.append(Op(kind, tensors, results, attrs, version))
        return results[0] if len(results) == 1 else results

    def _windowed(
        self, kind: str, x: Tensor, weights: np.ndarray, stride: Pair, dilation: Pair, padding: str, **attrs: Any
    ) -> Any:
        sides, out = weights.shape[1:3], []
        for axis in (0, 1):
            span = (sides[axis] - 1) * dilation[axis] + 1
            size = x.shape[1 + axis]
            out.append(-(-size // stride[axis]) if padding == "SAME" else (size - span) // stride[axis] + 1)
        channels = weights.shape[3] if kind == "DEPTHWISE_CONV_2D" else weights.shape[0]
        options = {
            "padding": padding,
            "stride_h": stride[0],
            "stride_w": stride[1],
            "dilation_h_factor": dilation[0],
            "dilation_w_factor": dilation[1],
        }
        return self.op(kind, [x, weights, self.normal(channels)], (1, *out, channels), **options, **attrs)

    def conv(
        self,
        x: Tensor,
        channels: int,
        kernel: Pair = (1, 1),
        stride: Pair = (1, 1),
        dilation: Pair = (1, 1),
        padding: str = "SAME",
        act: str = "NONE",
        density: float = 1.0,
    ) -> Tensor:
        weights = self.normal(channels, *kernel, x.shape[3], density=density)
        return self._windowed("CONV_2D", x, weights, stride, dilation, padding, fused_activation_function=act)

    def depthwise(
        self,
        x: Tensor,
        kernel: Pair = (3, 3),
        stride: Pair = (1, 1),
        dilation: Pair = (1, 1),
        padding: str = "SAME",
        act: str = "NONE",
        multiplier: int = 1,
    ) -> Tensor:
        weights = self.normal(1, *kernel, x.shape[3] * multiplier)
        more = {"depth_multiplier": multiplier, "fused_activation_function": act}
        return self._windowed("DEPTHWISE_CONV_2D", x, weights, stride, dilation, padding, **more)

    def pad(self, x: Tensor, *pads: Pair) -> Tensor:
        shape = tuple(n + a + b for n, (a, b) in zip(x.shape, pads, strict=True))
        return self.op("PAD", [x, np.array(pads, np.int32)], shape)

    def add(self, a: Tensor, b: Tensor, act: str = "NONE") -> Tensor:
        return self.op("ADD", [a, b], np.broadcast_shapes(a.shape, b.shape), fused_activation_function=act)

    def relu(self, x: Tensor) -> Tensor:
        return self.op("RELU", [x], x.shape)

    def model(self, *outputs: Tensor) -> Model:
        return Model([Graph("main", self.inputs, list(outputs), self.ops)])


def feeds_of(model: Model, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {t.name: rng.standard_normal(t.shape).astype(np.float32) for t in model.main.inputs}


def assert_close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float = 1e-4) -> None:
    """Within `tolerance` of each output's range."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape
        assert found[name].dtype == values.dtype
        finite = values[np.isfinite(values)]
        limit = tolerance * max(float(np.ptp(finite)), float(np.abs(finite).max())) if finite.size else 0.0
        np.testing.assert_allclose(found[name], values, rtol=0, atol=limit + 1e-30, err_msg=name)


def assert_agrees(
    model: Model,
    feeds: dict[str, np.ndarray] | None = None,
    threads: int = 1,
    tolerance: float = 1e-4,
    *,
    whole: bool = True,
) -> dict[str, np.ndarray]:
    """Compare the CHW engine with LiteRT; `whole` asserts that it runs every op itself. Returns its results."""
    model.validate()
    given = feeds_of(model) if feeds is None else feeds
    reference = LiteRT(write_tflite(model), 1)
    expected = reference.run(given)
    reference.close()
    engine = Chw(model, threads)
    if whole:
        assert len(engine._parts) == len(engine.plans()) == 1
    found = engine.run(given)
    assert_close(found, expected, tolerance)
    again = engine.run(given)
    for name, values in found.items():
        assert values is not again[name]
        np.testing.assert_array_equal(values, again[name])
    engine.close()
    return found


@pytest.fixture(scope="session")
def new_net() -> type[Net]:
    return Net


@pytest.fixture(scope="session")
def agrees() -> Callable[..., dict[str, np.ndarray]]:
    return assert_agrees


@pytest.fixture(scope="session")
def feeds() -> Callable[..., dict[str, np.ndarray]]:
    return feeds_of


@pytest.fixture(scope="session")
def close_to() -> Callable[..., None]:
    return assert_close


@pytest.fixture
def packings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """An empty cache of packings; the file that has been written there."""
    monkeypatch.setattr(tune, "cache_dir", lambda: tmp_path)
    return lambda: next((tmp_path / "chw").glob("packings-*.json"))
