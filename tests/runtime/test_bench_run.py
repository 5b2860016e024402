"""Whole benches with engines whose times are known, and with real ones for what they compute."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pocketgraph.models.architectures.mobilenet_v2 import mobilenet_v2
from pocketgraph.models.errors import EngineError, UsageError, ZooError
from pocketgraph.models.files import write_model
from pocketgraph.models.graph import Model
from pocketgraph.runtime.bench import Cell, Plan, open_subjects, read_result, run_bench
from pocketgraph.runtime.bench.engines import ENGINES
from pocketgraph.runtime.bench.fake import Fake
from pocketgraph.runtime.bench.page import html_page
from pocketgraph.runtime.bench.subjects import Subject, architectures, open_subject
from pocketgraph.runtime.bench.turns import compared, random_inputs
from pocketgraph.runtime.bench.variants import make_variant


@pytest.fixture(scope="module")
def small() -> Model:
    """A net with 1x1 convolutions that takes no time."""
    return mobilenet_v2(0.1, size=32, classes=10)


def plan(*fakes: Fake, **options) -> Plan:
    settings = {"rounds": 3, "warmup": 1, "timeout": 20.0} | options
    return Plan(engines=tuple(fake.engine() for fake in fakes), **settings)


def _by_key(cells: list[Cell]) -> dict[tuple, Cell]:
    return {(cell.engine, cell.threads, cell.sparsity): cell for cell in cells}


def test_ratios_are_to_the_baseline_at_the_same_threads(small: Model) -> None:
    slow, fast = Fake("slow", milliseconds=8), Fake("fast", milliseconds=4, speedup=4)
    result = run_bench(
        [Subject("net", None, small)],
        plan(slow, fast, threads=(1, 2), sparsities=(0.0, 0.8), baseline="slow"),
    )
    cells = _by_key(result.cells)
    assert len(cells) == 8
    assert {key: round(cell.ratio[0], 6) for key, cell in cells.items() if cell.ratio} == {
        ("slow", 1, 0.0): 1,
        ("slow", 2, 0.0): 1,
        ("slow", 1, 0.8): 1,
        ("slow", 2, 0.8): 1,
        ("fast", 1, 0.0): 2,
        ("fast", 2, 0.0): 2,
        ("fast", 1, 0.8): 8,
        ("fast", 2, 0.8): 8,
    }
    cell = cells["fast", 2, 0.8]
    assert len(cell.milliseconds) == 3
    assert cell.median == pytest.approx(0.5 * 1.003)  # the fake slows by a thousandth a round; one warmed up
    assert cell.zeros == pytest.approx(0.8, abs=0.01)
    assert cell.flops < cell.dense_flops == cells["fast", 1, 0.0].flops
    assert result.baselines == {"net": ("slow", 0.0)}
    assert result.versions["fast"]["fast"] == "1.0"
    assert any("for the timing alone" in note for note in result.notes)
    assert result.settings["pruned_for_timing_only"]


def test_without_a_word_the_fastest_usual_engine_on_the_dense_model_is_the_baseline(small: Model) -> None:
    fakes = [Fake("own", milliseconds=1), Fake("litert", milliseconds=3), Fake("openvino", milliseconds=2)]
    result = run_bench([Subject("net", None, small)], plan(*fakes))
    assert result.baselines == {"net": ("openvino", 0.0)}
    alone = run_bench([Subject("net", None, small)], plan(Fake("own"), Fake("other", milliseconds=0.5)))
    assert alone.baselines == {"net": ("other", 0.0)}


def test_a_fast_wrong_engine_does_not_win_wherever_it_stands(small: Model) -> None:
    wrong, right = Fake("wrong", milliseconds=0.1, scale=1.01), Fake("litert", milliseconds=3)
    for fakes in ([wrong, right], [right, wrong]):
        result = run_bench([Subject("net", None, small)], plan(*fakes))
        cells = _by_key(result.cells)
        assert result.baselines == {"net": ("litert", 0.0)}
        assert cells["wrong", 1, 0.0].wrong
        assert cells["wrong", 1, 0.0].ratio is None
        assert cells["wrong", 1, 0.0].difference == pytest.approx(0.01)
        assert not cells["litert", 1, 0.0].wrong
        assert any("outputs differ" in note for note in result.notes)


@pytest.mark.parametrize("failing", ["load", "outputs", "run"])
@pytest.mark.parametrize("failure", ["dies", "rubbish", "nonsense", "refuses"])
def test_an_engine_that_fails_leaves_the_others_their_times(small: Model, failure, failing: str) -> None:
    result = run_bench([Subject("net", None, small)], plan(Fake("bad", failure=failure, failing=failing), Fake("good")))
    bad, good = result.cells
    assert bad.error.startswith("bad: ")
    assert not bad.milliseconds
    assert len(good.milliseconds) == 3
    assert f"{bad.error} (on net)" in result.notes
    assert "bad" not in {engine for engine, _ in result.baselines.values()}


def test_an_engine_that_hangs_is_given_up(small: Model) -> None:
    result = run_bench(
        [Subject("net", None, small)], plan(Fake("bad", failure="hangs", failing="run"), Fake("good"), timeout=2.0)
    )
    assert "no answer to 'run'" in result.cells[0].error
    assert result.cells[1].milliseconds


def test_where_no_engine_runs_the_first_reason_is_raised(small: Model) -> None:
    with pytest.raises(EngineError, match=r"no engine ran: bad: .*operator I do not know"):
        run_bench([Subject("net", None, small)], plan(Fake("bad", failure="refuses")))


def test_a_profile_that_fails_leaves_the_times(small: Model) -> None:
    fakes = Fake("bad", failure="refuses", failing="profile"), Fake("good")
    bad, good = run_bench([Subject("net", None, small)], plan(*fakes, profile=True)).cells
    assert bad.milliseconds
    assert not bad.error
    assert bad.profile is None
    assert good.profile == [{"name": "all", "kind": "FAKE", "milliseconds": 1.0}]


def test_litert_and_onnxruntime_agree_on_a_pruned_model(small: Model) -> None:
    engines = (ENGINES["onnxruntime"], ENGINES["litert"])
    result = run_bench(
        [Subject("net", None, small)], Plan(engines, sparsities=(0.0, 0.7), pattern="4x1", rounds=2, warmup=0)
    )
    assert not [cell.error for cell in result.cells if cell.error]
    assert all(cell.difference < 1e-4 and not cell.wrong for cell in result.cells)
    assert all(cell.median > 0 and cell.load_milliseconds > 0 and cell.file_bytes > 0 for cell in result.cells)
    assert set(result.versions) == {"pocketgraph", "litert", "onnxruntime"}


def test_the_result_survives_json_and_the_page_is_whole(small: Model, tmp_path: Path) -> None:
    fakes = Fake("one"), Fake("<b>two", milliseconds=2, failure="refuses", failing="outputs")
    result = run_bench(
        [Subject("a<i>net", None, small)], plan(*fakes, sparsities=(0.0, 0.9), peaks=True, profile=True), command="c"
    )
    file = tmp_path / "result.json"
    file.write_text(json.dumps(result.to_dict()))
    assert json.dumps(read_result(file).to_dict()) == json.dumps(result.to_dict())
    assert result.peaks[0]["gflops"] > 0
    page = html_page(read_result(file))
    assert page.count("<svg") == 2
    assert "for the timing alone" in page
    assert "<i>" not in page
    assert "<b>two" not in page
    for outside in ("src=", "href=", "@import", "url("):
        assert outside not in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "tpu"}, "baseline tpu is not among the engines"),
        ({"sparsities": (1.0,)}, "below 1"),
        ({"pattern": "2x2"}, "no pattern '2x2'"),
        ({"rounds": 0}, "at least 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(Fake(), **options).check()


def test_a_plan_needs_engines_each_once() -> None:
    with pytest.raises(UsageError, match="no engine to bench"):
        plan().check()
    with pytest.raises(UsageError, match="given twice"):
        plan(Fake(), Fake()).check()


def test_a_file_is_handed_over_as_it_is_and_other_formats_are_written(small: Model, tmp_path: Path) -> None:
    file = tmp_path / "net.tflite"
    write_model(small, file)
    (subject,) = open_subjects([str(file)])
    assert subject.name == "net.tflite"
    variant = make_variant(subject, 0.0, "1x1", {".tflite", ".onnx"}, tmp_path)
    assert variant.files[".tflite"] == file
    assert variant.files[".onnx"].read_bytes()
    assert make_variant(subject, 0.5, "1x1", {".tflite"}, tmp_path).files[".tflite"] != file


def test_subjects_are_named_apart_and_wrong_ones_refused(small: Model, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_model(small, tmp_path / folder / "net.tflite")
    texts = [str(tmp_path / folder / "net.tflite") for folder in ("a", "b")]
    assert [subject.name for subject in open_subjects(texts)] == texts
    with pytest.raises(UsageError, match="twice"):
        open_subjects([texts[0], texts[0]])
    with pytest.raises(UsageError, match="there is no file"):
        open_subject("none.tflite")
    with pytest.raises(UsageError, match="cannot bench"):
        open_subject(__file__)
    with pytest.raises(ZooError, match="did you mean"):
        open_subject("selfie_segmentatio")
    with pytest.raises(UsageError, match="there are efficientnet_lite0, mobilenet_v1"):
        open_subject("arch:resnet")


@pytest.mark.parametrize("name", architectures())
def test_every_architecture_opens(name: str) -> None:
    model = open_subject(f"arch:{name}").model
    assert model is not None
    model.validate()
    assert model.main.inputs[0].shape == (1, 224, 224, 3)
    assert model.main.outputs[0].shape == (1, 1000)


def test_outputs_are_compared_by_name_or_else_by_position() -> None:
    a, b = np.array([1.0, -4.0]), np.array([2.0])
    assert compared({"a": a, "b": b}, {"b": b, "a": a + 0.002}) == (pytest.approx(0.0005), False)
    assert compared({"a": a, "b": b}, {"x": a, "y": b}) == (0.0, False)
    assert compared({"a": a}, {"a": a + 0.1}) == (pytest.approx(0.025), True)
    assert compared({"a": a * 1e-9}, {"a": a * 0}) == (pytest.approx(4e-5), False)
    assert compared({"a": a}, {"a": a * np.nan}) == (None, True)
    assert compared({"a": a}, {"a": b}) == (None, True)
    assert compared({"a": a, "b": b}, {"a": a}) == (None, True)


def test_random_inputs_suit_the_type() -> None:
    ports = [{"name": name, "shape": [2, 50], "dtype": name} for name in ("float32", "uint8", "int64", "bool")]
    arrays = random_inputs(ports, seed=3)
    assert [array.dtype.name for array in arrays.values()] == list(arrays)
    assert 0 <= arrays["float32"].min() < arrays["float32"].max() < 1
    assert arrays["uint8"].max() > 200
    assert not arrays["int64"].any()
    np.testing.assert_array_equal(random_inputs(ports, seed=3)["float32"], arrays["float32"])
