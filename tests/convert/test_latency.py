"""Pruning to a latency: how budgets are read and spent, and what is refused. All times here are made up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketgraph.__main__ import main
from pocketgraph.convert import Calibration, PruneConfig, convert_model, prune_model
from pocketgraph.convert.latency_views import summary
from pocketgraph.convert.prune import clock
from pocketgraph.convert.prune.budget import Budget, milliseconds
from pocketgraph.convert.prune.clock import Timing
from pocketgraph.convert.prune.knapsack import cheapest_within
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UsageError
from pocketgraph.models.files import write_model
from pocketgraph.models.graph import Graph, Model, Op, Tensor

SIDE, CHANNELS = 8, 32
PER_WEIGHT, REST = 1e-6, 2e-4


class FakeClock:
    """An engine that takes a microsecond for every weight that is not zero, and 200 beside them."""

    overhead = 0.0

    def __init__(self, threads: int) -> None:
        assert threads == 1

    def measure(self, models: Sequence[Model], advance) -> list[Timing]:
        timings = []
        for number, model in enumerate(models):
            advance(number, len(models))
            plain = model.copy()
            Decompress()(plain)
            weighted = [op for op in plain.main.ops if len(op.inputs) > 1 and op.kind == "CONV_2D"]
            steps = {op.name: PER_WEIGHT * np.count_nonzero(op.input(1).dense()) for op in weighted}
            pruned = any(np.count_nonzero(op.input(1).dense()) < op.input(1).size for op in weighted)
            whole = sum(steps.values()) + REST + (self.overhead if pruned and len(models) == 2 else 0.0)
            timings.append(Timing([whole] * 5, steps))
        return timings


def net() -> Model:
    """A stem, four 1x1 convolutions of which the second hardly matters to the result, and a head."""
    rng = np.random.default_rng(0)
    x = Tensor("picture", (1, 2 * SIDE, 2 * SIDE, 3))
    ops: list[Op] = []

    def conv(source: Tensor, name: str, channels: int, kernel: int = 1, stride: int = 1, act: str = "RELU6") -> Tensor:
        shape = (channels, kernel, kernel, source.shape[3])
        data = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        made = Tensor(name, (1, SIDE, SIDE, channels))
        operands = [source, Tensor(f"{name}/w", shape, data=data.astype(np.float32))]
        attrs = {"padding": "SAME", "stride_w": stride, "stride_h": stride, "fused_activation_function": act}
        ops.append(
            Op("CONV_2D", [*operands, Tensor(f"{name}/b", (channels,), data=np.zeros(channels, "f4"))], [made], attrs)
        )
        return made

    stem = conv(x, "stem", CHANNELS, 3, 2)
    first = conv(stem, "first", CHANNELS)
    spare = conv(first, "spare", CHANNELS)
    ops[-1].input(1).data = (1e-3 * ops[-1].input(1).dense()).astype(np.float32)
    total = Tensor("sum", (1, SIDE, SIDE, CHANNELS))
    ops.append(Op("ADD", [first, spare], [total], {"fused_activation_function": "NONE"}))
    third = conv(total, "third", CHANNELS)
    fourth = conv(third, "fourth", CHANNELS)
    head = conv(fourth, "head", 4, act="NONE")
    return Model([Graph("main", [x], [head], ops)])


WEIGHTS = 27 * CHANNELS + 4 * CHANNELS**2 + 4 * CHANNELS
DENSE = WEIGHTS * PER_WEIGHT + REST
LEAST = DENSE - 4 * round(0.95 * CHANNELS**2) * PER_WEIGHT


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """A folder with the net and inputs, made the working folder, and a clock with made-up times."""
    monkeypatch.setitem(clock.CLOCKS, "chw", FakeClock)
    monkeypatch.setattr(FakeClock, "overhead", 0.0)
    write_model(net(), tmp_path / "net.tflite")
    np.save(tmp_path / "inputs.npy", inputs())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inputs() -> np.ndarray:
    return np.random.default_rng(1).random((16, 2 * SIDE, 2 * SIDE, 3), np.float32)


def calibration() -> Calibration:
    return Calibration({"picture": inputs()}, [str(i) for i in range(16)])


@pytest.mark.parametrize(
    ("text", "dense", "seconds"),
    [
        ("3ms", 1.0, 3e-3),
        ("2.5 ms", 1.0, 2.5e-3),
        ("1500us", 1.0, 1.5e-3),
        ("1500 µs", 1.0, 1.5e-3),
        (" .25s ", 1.0, 0.25),
        ("3MS", 1.0, 3e-3),
        ("0.6x", 0.01, 0.006),
    ],
)
def test_budgets_are_times_or_parts_of_the_dense_time(text, dense, seconds) -> None:
    assert Budget.parse(text).of(dense) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "3", "ms", "-3ms", "0ms", "0x", "3 furlongs", "3ms or so", "1e999s", "nan ms", "x", 3]
)
def test_nonsense_budgets_are_refused(text) -> None:
    with pytest.raises(UsageError, match="give a time such as 3ms"):
        PruneConfig(latency=text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.123, "123 ms"), (0.0123, "12.3 ms"), (0.00123, "1.23 ms"), (0.000123, "0.123 ms")]
)
def test_times_have_three_digits(seconds, text) -> None:
    assert milliseconds(seconds) == text


tables = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 50)), min_size=1, max_size=4), min_size=1, max_size=4
)


def brute_force(table: list[list[tuple[float, float]]], budget: float) -> float | None:
    """The least total cost within the budget, by trying everything."""
    choices = [choice for choice in itertools.product(*table) if sum(t for t, _ in choice) <= budget]
    return min((sum(cost for _, cost in choice) for choice in choices), default=None)


def total(table: list[list[tuple[float, float]]], chosen: list[int]) -> tuple[float, float]:
    picked = [options[i] for options, i in zip(table, chosen, strict=True)]
    return sum(time for time, _ in picked), sum(cost for _, cost in picked)


@settings(max_examples=200, deadline=None)
@given(tables, st.integers(0, 40))
def test_whole_numbers_are_spent_as_trying_everything_would(table, budget) -> None:
    times = [np.array([t for t, _ in options], float) for options in table]
    costs = [np.array([c for _, c in options], float) for options in table]
    spare = budget - int(sum(t.min() for t in times))
    chosen = cheapest_within(times, costs, budget, cells=max(spare, 1))
    best = brute_force(table, budget)
    if best is None:
        assert chosen is None
        return
    assert chosen is not None
    time, cost = total(table, chosen)
    assert time <= budget
    assert cost == best


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), min_size=1, max_size=4), min_size=1, max_size=4),
    st.floats(0.05, 4),
)
def test_the_budget_is_kept_and_a_cell_a_layer_is_all_that_is_lost(table, budget) -> None:
    cells = 500
    times = [np.array([t for t, _ in options]) for options in table]
    costs = [np.array([c for _, c in options]) for options in table]
    chosen = cheapest_within(times, costs, budget, cells)
    least = sum(t.min() for t in times)
    if chosen is None:
        assert budget < least
        return
    time, cost = total(table, chosen)
    assert time <= budget * (1 + 1e-6)
    tighter = brute_force(table, budget - len(table) * max(budget - least, 0) / cells)
    assert tighter is None or cost <= tighter + 1e-9


def test_the_budget_is_met_and_the_layer_that_matters_least_gives_most() -> None:
    result = prune_model(net(), PruneConfig(latency="0.6x"), calibration())
    profile = result.latency
    assert profile is not None
    assert profile.dense == pytest.approx(DENSE)
    assert profile.least == pytest.approx(LEAST)
    assert abs(profile.off) < 0.03
    assert profile.predicted == pytest.approx(profile.measured, rel=0.01)
    got = {layer.name: layer.sparsity for layer in profile.layers}
    assert set(got) == {"first", "spare", "third", "fourth"}
    assert got["spare"] == 0.95
    assert max(got["first"], got["third"], got["fourth"]) < 0.95
    for layer in result.layers:
        assert layer.sparsity == pytest.approx(got[layer.name], abs=2e-3)


def test_a_whole_that_takes_longer_than_its_layers_is_corrected_for(monkeypatch) -> None:
    monkeypatch.setattr(FakeClock, "overhead", 0.15 * DENSE)
    profile = prune_model(net(), PruneConfig(latency="0.6x"), calibration()).latency
    assert profile is not None
    assert len(profile.tries) > 1
    assert abs(profile.tries[0]) > 0.2
    assert abs(profile.off) < 0.05
    assert profile.predicted < profile.measured


def test_layers_may_keep_their_own_sparsity() -> None:
    config = PruneConfig(latency="0.7x", layers={"first": 0.0, "spare": 0.5})
    result = prune_model(net(), config, calibration())
    assert result.latency is not None
    assert {layer.name for layer in result.latency.layers} == {"third", "fourth"}
    assert {layer.name: round(layer.sparsity, 3) for layer in result.layers}["spare"] == 0.5
    assert abs(result.latency.off) < 0.03


def run(line: str, capsys) -> tuple[int, str, str]:
    code = main(line.split())
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), " ".join(err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--latency 0.01ms --calibration inputs.npy", f"the model still takes {milliseconds(LEAST)} of"),
        ("--latency 1s --calibration inputs.npy", "nothing needs to be pruned"),
        ("--latency 1x --calibration inputs.npy", "nothing needs to be pruned"),
        ("--latency 2ms", "pruning to a latency needs calibration inputs"),
        ("--latency 2ms --method magnitude --no-reestimate", "pruning to a latency needs calibration inputs"),
        ("--latency 2ms --sparsity 0.5 --calibration inputs.npy", "--latency and --sparsity exclude each other"),
        ("--latency soon --calibration inputs.npy", "the latency is 'soon': give a time such as 3ms"),
        ("--latency 2ms --dtype int8 --calibration inputs.npy", "int8 weights are computed densely"),
        ("--latency 0.5x --layer nothing=0 --calibration inputs.npy", "no layer matches 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(options, message, capsys, place) -> None:
    code, _, err = run(f"convert net.tflite -o out.tflite {options}", capsys)
    assert code == 2
    assert message in err
    assert not (place / "out.tflite").exists()


def test_the_account_shows_how_the_budget_was_spent(capsys) -> None:
    line = "convert net.tflite -o out.tflite --latency 0.6x --calibration inputs.npy"
    code, out, _ = run(f"{line} --report out.html --json out.json", capsys)
    assert code == 0
    data = json.loads(Path("out.json").read_text())["latency"]
    assert data["asked"] == "0.6x"
    assert data["measured_on"] == "out.tflite"
    assert data["measured"] == pytest.approx(data["budget"], rel=0.1)
    assert [layer["name"] for layer in data["layers"]] == ["first", "spare", "third", "fourth"]
    page = Path("out.html").read_text()
    assert "<h2>Latency</h2>" in page
    assert "All 4 layers" in page
    for text in ("out.tflite takes", "budget of", "spare 95.0%"):
        assert text in out
    assert "note:" not in out or "budget" not in out.partition("note:")[2]


def test_a_missed_budget_is_a_note(capsys, monkeypatch) -> None:
    line = "convert net.tflite -o out.tflite --latency 0.6x --calibration inputs.npy"
    monkeypatch.setattr(FakeClock, "overhead", DENSE)
    _, out, _ = run(line, capsys)
    assert "more than the budget" in out


def test_the_call_from_python_is_the_same(capsys) -> None:
    result = convert_model("net.tflite", "a.tflite", prune=PruneConfig(latency="0.6x"), calibration="inputs.npy")
    assert result.latency is not None
    run("convert net.tflite -o b.tflite --latency 0.6x --engine chw --calibration inputs.npy", capsys)
    assert Path("a.tflite").read_bytes() == Path("b.tflite").read_bytes()
    assert "under the budget" in summary(result.latency) or "over the budget" in summary(result.latency)
