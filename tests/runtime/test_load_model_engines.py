"""`load_model` whatever the engine: arrays to write into, the choice of the fastest, ranges, and a double for tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import PocketgraphError, UnsupportedError, UsageError
from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.runtime import RunnableModel, fastest, load_model
from pocketgraph.runtime import model as model_module
from pocketgraph.runtime.delegate import TensorSpec
from pocketgraph.runtime.fake_delegate import FakeDelegate

A = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
ENGINES = ["litert", "onnxruntime", "chw"]


def sum_and_product() -> Model:
    a, b, total, product = (Tensor(name, (1, 2, 2, 3)) for name in ("a", "b", "total", "product"))
    ops = [Op("ADD", [a, b], [total]), Op("MUL", [a, b], [product])]
    return Model([Graph("main", [a, b], [total, product], ops)])


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: pip install 'pocketgraph[onnx]'")
    return str(request.param)


def test_results_are_written_into_given_arrays(engine: str) -> None:
    with load_model(sum_and_product(), engine) as model:
        both = {"total": np.zeros_like(A), "product": np.zeros_like(A)}
        found = model.run({"a": A, "b": A + 1}, both)
        assert all(found[name] is array for name, array in both.items())
        np.testing.assert_array_equal(both["total"], 2 * A + 1)
        one = {"product": np.zeros_like(A)}
        found = model.run({"a": A, "b": A}, one)
        assert found["product"] is one["product"]
        np.testing.assert_array_equal(found["product"], A * A)
        np.testing.assert_array_equal(found["total"], 2 * A)
        np.testing.assert_array_equal(both["total"], 2 * A + 1)


def frozen() -> np.ndarray:
    array = np.zeros_like(A)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"total": np.zeros((1, 2, 2, 4), np.float32)}, r"must be float32\[1, 2, 2, 3\], got float32\[1, 2, 2, 4\]"),
        ({"total": np.zeros((2, 2, 3), np.float32)}, "must be float32"),
        ({"total": np.zeros((1, 2, 2, 3))}, "got float64"),
        ({"total": np.zeros((1, 2, 2, 3), ">f4")}, "must be float32"),
        ({"total": frozen()}, "writeable"),
        ({"total": np.zeros((1, 2, 2, 6), np.float32)[..., ::2]}, "without gaps"),
        ({"total": np.zeros((3, 2, 2, 1), np.float32).T}, "without gaps"),
        ({"sum": np.zeros_like(A)}, "no output named 'sum'"),
    ],
    ids=range(8),
)
def test_arrays_that_cannot_take_the_result_are_refused(engine: str, outputs: dict[str, Any], message: str) -> None:
    with load_model(sum_and_product(), engine) as model, pytest.raises(UsageError, match=message):
        model.run({"a": A, "b": A}, outputs)


def test_inputs_need_not_be_contiguous_or_aligned(engine: str) -> None:
    strided = np.repeat(A, 2, axis=3)[..., ::2]
    unaligned = np.frombuffer(b"\0" + A.tobytes(), np.float32, offset=1, count=12).reshape(A.shape)
    with load_model(sum_and_product(), engine) as model:
        np.testing.assert_array_equal(model.run({"a": strided, "b": unaligned})["total"], 2 * A)


def test_results_do_not_change_with_the_next_run(engine: str) -> None:
    with load_model(sum_and_product(), engine) as model:
        first = model.run({"a": A, "b": A})
        model.run({"a": A * 0, "b": A})
    np.testing.assert_array_equal(first["total"], 2 * A)


def test_a_closed_model_says_so(engine: str) -> None:
    with load_model(sum_and_product(), engine) as model:
        assert model.delegate == engine
    model.close()
    with pytest.raises(UsageError, match="closed"):
        model.run({"a": A, "b": A})


def test_ranges_are_what_the_last_op_confines_its_result_to(engine: str) -> None:
    x, y, z = Tensor("x", (1, 6)), Tensor("y", (1, 6)), Tensor("z", (6,))
    shape = Tensor("s", (1,), data=np.array([6], np.int32))
    from pocketgraph.models.graph import DType

    shape.dtype = DType.INT32
    net = Graph("main", [x], [z], [Op("LOGISTIC", [x], [y]), Op("RESHAPE", [y, shape], [z], {"new_shape": [6]})])
    with load_model(Model([net]), engine) as model:
        assert model.outputs[0].range == (0.0, 1.0)
        assert model.inputs[0].range is None


# ---- the fastest engine


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    monkeypatch.setattr(fastest, "cache_dir", lambda: tmp_path)
    monkeypatch.setattr(fastest, "_SECONDS", 0.0)
    return lambda: next((tmp_path / "fastest").glob("*.json"))


def test_the_choice_is_remembered_for_the_model(cache: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with load_model(sum_and_product()) as model:
        chosen = model.delegate
    known = json.loads(cache().read_text())
    assert list(known.values()) == [chosen]
    cache().write_text(json.dumps(dict.fromkeys(known, "litert")))

    def measured(loaded: Any) -> Any:
        raise AssertionError(loaded)

    monkeypatch.setattr(fastest, "_medians", measured)
    with load_model(sum_and_product()) as model:
        assert model.delegate == "litert"
    with pytest.raises(AssertionError):
        load_model(sum_and_product(), threads=2)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"%s": 3}', '{"%s": "tpu"}', '{"%s": null}', "[" * 100_000, "\udcff"]
)
def test_a_broken_memory_is_ignored(cache: Callable[[], Path], content: str) -> None:
    load_model(sum_and_product()).close()
    (name,) = json.loads(cache().read_text())
    cache().write_bytes(content.replace("%s", name).encode("utf-8", "surrogateescape"))
    load_model(sum_and_product()).close()
    assert json.loads(cache().read_text())[name] in ENGINES


@pytest.mark.usefixtures("cache")
def test_the_measured_fastest_is_taken_and_the_others_are_closed(monkeypatch: Any) -> None:
    spec = TensorSpec("x", (2,), np.dtype(np.float32))
    fakes = {
        name: FakeDelegate([spec], [spec], lambda inputs: {"x": inputs["x"] + 1}) for name in ("slow", "quick", "odd")
    }

    def load(name: str) -> RunnableModel:
        if name == "odd":
            raise UnsupportedError("not here")
        return RunnableModel(fakes[name], name)

    monkeypatch.setattr(
        fastest, "_medians", lambda loaded: {name: {"slow": 2.0, "quick": 1.0}[name] for name in loaded}
    )
    chosen = fastest.fastest("hash", 1, ["slow", "quick", "odd"], load)
    assert chosen.delegate == "quick"
    assert (fakes["slow"].closed, fakes["quick"].closed) == (True, False)
    with pytest.raises(UnsupportedError, match="not here"):
        fastest.fastest("other", 1, ["odd"], load)


@pytest.mark.usefixtures("cache")
def test_engines_that_fail_to_run_lose() -> None:
    spec = TensorSpec("x", (2,), np.dtype(np.float32))

    def fail(_: Any) -> Any:
        raise UnsupportedError("no")

    fakes = {"bad": FakeDelegate([spec], [spec], fail), "good": FakeDelegate([spec], [spec], dict)}
    chosen = fastest.fastest("hash", 1, list(fakes), lambda name: RunnableModel(fakes[name], name))
    assert chosen.delegate == "good"


def test_a_remembered_engine_that_no_longer_loads_is_measured_again(
    cache: Callable[[], Path], monkeypatch: Any
) -> None:
    load_model(sum_and_product()).close()
    known = json.loads(cache().read_text())
    cache().write_text(json.dumps(dict.fromkeys(known, "chw")))

    def gone(*_: Any) -> Any:
        raise UnsupportedError("gone")

    monkeypatch.setitem(model_module._DELEGATES, "chw", gone)
    with load_model(sum_and_product()) as model:
        assert model.delegate != "chw"


# ---- the double


def test_the_fake_delegate_answers_and_remembers() -> None:
    spec = TensorSpec("x", (2,), np.dtype(np.float32), (0.0, 1.0))
    result = TensorSpec("y", (2,), np.dtype(np.float32))
    fake = FakeDelegate([spec], [result], lambda inputs: {"y": inputs["x"] * 2})
    with RunnableModel(fake, "fake") as model:
        assert model.inputs[0].range == (0.0, 1.0)
        np.testing.assert_array_equal(model(np.float32([1, 2])), [2, 4])
        given = np.zeros(2, np.float32)
        assert model.run({"x": np.float32([3, 4])}, {"y": given})["y"] is given
        np.testing.assert_array_equal(given, [6, 8])
        with pytest.raises(PocketgraphError):
            model.run({"x": np.float32([1])})
    assert fake.closed
    assert [run["x"].tolist() for run in fake.runs] == [[1, 2], [3, 4]]
