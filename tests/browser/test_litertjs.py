"""The real thing: LiteRT.js (wasm, headless Chromium) runs our files right, and as `explain` says it does.

Whether it runs sparse is read off its numbers, not off a clock: the sparse kernels add in another order than the dense
ones, so a file that runs densely gives its dense twin's outputs bit for bit, and one that runs sparse does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pocketgraph.convert.explain import explain_model
from pocketgraph.convert.passes import Sparsify
from pocketgraph.convert.targets import export
from pocketgraph.convert.xnnpack_examples import BREAKS, example
from pocketgraph.demos.litertjs_bench import BrowserRun, run_in_browser
from pocketgraph.models.architectures.mobilenet_v1 import mobilenet_v1
from pocketgraph.models.architectures.mobilenet_v2 import mobilenet_v2
from pocketgraph.models.architectures.mobilenet_v3 import mobilenet_v3_large
from pocketgraph.models.graph import Model
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime import load_model

pytestmark = pytest.mark.browser
MODELS = {f"example {name}".strip(): lambda name=name: example(name) for name in ("", *BREAKS)} | {
    "MobileNetV1": lambda: pruned(mobilenet_v1(0.5, size=96, classes=100)),
    "MobileNetV1, head as 1x1 convolution": lambda: pruned(mobilenet_v1(0.5, size=96, classes=100, head="conv")),
    "MobileNetV2": lambda: pruned(mobilenet_v2(0.5, size=96, classes=100)),
    "MobileNetV3": lambda: pruned(mobilenet_v3_large(size=96, classes=100)),
}
NEVER_SPARSE = {"example too_dense", "example pooled_gate"}


def pruned(model: Model) -> Model:
    """80 % of every 1x1 convolution but the head gone, by magnitude."""
    for op in model.main.ops:
        if op.kind == "CONV_2D" and op.input(1).shape[1:3] == (1, 1) and op.input(1).shape[0] != 100:
            weights = op.input(1).dense().copy()
            weights[np.abs(weights) <= np.quantile(np.abs(weights), 0.8)] = 0
            op.input(1).data = weights
    return model


@dataclass
class Case:
    """One net as three files, run in the browser, and what the dense one gives in LiteRT on this machine."""

    native: list[npt.NDArray[np.float32]]
    dense: BrowserRun
    naive: BrowserRun
    naive_file: Path
    exported: BrowserRun
    exported_file: Path


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Every net: dense, its zeros merely stored sparse, and exported; all in one browser."""
    folder = tmp_path_factory.mktemp("models")
    jobs, natives = [], []
    for number, build in enumerate(MODELS.values()):
        model = build()
        files = [folder / f"{number}_{kind}.tflite" for kind in ("dense", "naive", "exported")]
        naive = model.copy()
        Sparsify()(naive)
        files[0].write_bytes(write_tflite(model))
        files[1].write_bytes(write_tflite(naive))
        export(model, files[2])
        picture = np.random.default_rng(number).random(model.main.inputs[0].shape, np.float32)
        with load_model(files[0]) as runnable:
            results = runnable(picture)
        natives.append(list(results) if isinstance(results, tuple) else [results])
        jobs += [(file, [picture]) for file in files]
    runs, _ = run_in_browser(jobs)
    return {
        name: Case(natives[i], runs[3 * i], runs[3 * i + 1], jobs[3 * i + 1][0], runs[3 * i + 2], jobs[3 * i + 2][0])
        for i, name in enumerate(MODELS)
    }


def error(got: BrowserRun, expected: list[npt.NDArray[np.float32]]) -> float:
    """Largest difference, as a share of each output's range."""
    assert got.error is None, got.error
    return max(float(np.abs(g - e).max() / np.ptp(e)) for g, e in zip(got.outputs, expected, strict=True))


def same_bits(first: BrowserRun, second: BrowserRun) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.outputs, second.outputs, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_exported_files_compute_what_the_dense_net_computes(cases: dict[str, Case], name: str) -> None:
    """Against LiteRT on this machine, within 1e-4 of the output's range."""
    assert error(cases[name].exported, cases[name].native) < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_exported_files_run_sparse(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    claimed = explain_model(read_tflite(case.exported_file))
    assert not claimed.dangers
    assert claimed.runs_sparse == (name not in NEVER_SPARSE)
    if claimed.runs_sparse:
        assert not same_bits(case.exported, case.dense)


@pytest.mark.parametrize("name", MODELS)
def test_explain_is_right_about_zeros_merely_stored_sparse(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    claimed = explain_model(read_tflite(case.naive_file))
    if claimed.dangers:
        assert error(case.naive, case.native) > 1e-2
    else:
        assert error(case.naive, case.native) < 1e-4
        assert same_bits(case.naive, case.dense) == (not claimed.runs_sparse)


def test_a_head_as_1x1_convolution_is_wrong_before_and_right_after(cases: dict[str, Case]) -> None:
    case = cases["example conv_head"]
    assert error(case.naive, case.native) > 0.1
    assert error(case.exported, case.native) < 1e-5


@pytest.mark.zoo
@pytest.mark.parametrize("name", ["pose_detection", "face_detection_full_range_sparse"])
def test_mediapipes_sparse_models_run_sparse(name: str, tmp_path: Path) -> None:
    """Their dense twins (constants unpacked) give other bits and the same values."""
    from pocketgraph.models import zoo
    from pocketgraph.models.decompress import Decompress

    model = zoo.load(name)
    assert explain_model(model).runs_sparse
    Decompress()(model)
    twin = tmp_path / "dense.tflite"
    twin.write_bytes(write_tflite(model))
    picture = np.random.default_rng(0).random(model.main.inputs[0].shape, np.float32)
    (sparse, dense), _ = run_in_browser([(zoo.path(name), [picture]), (twin, [picture])])
    assert error(sparse, dense.outputs) < 1e-4
    assert not same_bits(sparse, dense)
