"""`explain --engine chw`: what became of each node in our engine. Nothing here depends on how long anything takes."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from pocketgraph.__main__ import main
from pocketgraph.convert import chw_explain
from pocketgraph.convert.explain import explain_model, render
from pocketgraph.convert.explanation import Explanation, NodeReport, Packing
from pocketgraph.models.files import write_model
from pocketgraph.models.graph import DType, Graph, Model, Op, Tensor

SIDE = 16


class Net:
    """Ops one after the other, each on the result of the one before."""

    def __init__(self, channels: int = 32) -> None:
        self.random = np.random.default_rng(0)
        self.input = self.last = Tensor("x", (1, SIDE, SIDE, channels))
        self.ops: list[Op] = []

    def add(self, kind: str, name: str, shape: tuple[int, ...], operands: list[Tensor], **attrs) -> Tensor:
        self.last = Tensor(name, shape)
        self.ops.append(Op(kind, operands, [self.last], attrs))
        return self.last

    def conv(self, name: str, channels: int = 32, *, density: float = 1.0) -> Tensor:
        shape = (channels, 1, 1, self.last.shape[3])
        data = self.random.normal(size=shape) * (self.random.random(shape) < density)
        weights, bias = Tensor(f"{name}/w", shape, data=data.astype(np.float32)), np.zeros(channels, np.float32)
        operands = [self.last, weights, Tensor(f"{name}/b", (channels,), data=bias)]
        return self.add("CONV_2D", name, (1, SIDE, SIDE, channels), operands, padding="SAME", stride_w=1, stride_h=1)

    def unknown(self, name: str) -> Tensor:
        """An op that the engine has no kernel for."""
        return self.add("L2_NORMALIZATION", name, self.last.shape, [self.last], fused_activation_function="NONE")

    def model(self) -> Model:
        return Model([Graph("main", [self.input], [self.last], self.ops)])


def sparse_net() -> Net:
    net = Net()
    net.conv("thin", density=0.1)
    net.add("RELU6", "act", net.last.shape, [net.last])
    first = net.last
    net.conv("full")
    net.add("ADD", "sum", net.last.shape, [net.last, first], fused_activation_function="NONE")
    return net


def nodes(model: Model) -> dict[str, NodeReport]:
    return {node.name: node for node in explain_model(model, "chw").nodes}


def test_each_node_says_which_step_it_is_part_of() -> None:
    found = nodes(sparse_net().model())
    assert [node.index for node in found.values()] == [0, 1, 2, 3]
    assert found["act"].runs == "with node 0"
    assert found["sum"].runs == "with node 2"
    assert found["thin"].runs.startswith("sparse ")
    assert found["full"].runs.startswith("dense ")
    assert found["thin"].sparse
    assert not found["full"].sparse


def test_zeros_packings_and_times_are_told() -> None:
    explanation = explain_model(sparse_net().model(), "chw")
    thin, act, full, _ = explanation.nodes
    assert thin.sparsity == pytest.approx(0.9, abs=0.03)
    assert (full.zeros, full.weights) == (0, 32 * 32)
    assert thin.packing is not None
    assert thin.packing.storage == "f32"
    assert thin.microseconds is not None
    assert thin.microseconds > 0
    assert act.microseconds is None
    assert explanation.microseconds is not None
    parts = [node.microseconds for node in explanation.nodes if node.microseconds is not None]
    assert sum(parts) <= explanation.microseconds
    assert sum(node.share or 0 for node in explanation.nodes) <= 1


def test_what_goes_to_litert_has_its_reason_and_its_cost() -> None:
    net = sparse_net()
    net.unknown("odd")
    net.conv("after", density=0.2)
    explanation = explain_model(net.model(), "chw")
    found = {node.name: node for node in explanation.nodes}
    assert found["odd"].runs == "LiteRT"
    assert found["odd"].rule == "the engine has no kernel for this op"
    assert found["odd"].microseconds is not None
    assert found["after"].runs.startswith("sparse")
    [hint] = [hint for hint in explanation.hints if "LiteRT" in hint]
    assert hint.startswith("1 of 6 nodes go to LiteRT in 1 part")
    assert hint.endswith("what has no kernel there: L2_NORMALIZATION")


def test_a_model_that_goes_to_litert_whole_says_why() -> None:
    net = Net()
    net.unknown("odd")
    [node] = explain_model(net.model(), "chw").nodes
    assert (node.runs, node.rule, node.share) == ("LiteRT", "the engine has no kernel for this op", 1.0)


def test_dense_layers_that_hold_the_time_are_told_what_zeros_would_bring(monkeypatch) -> None:
    from pocketgraph.convert import chw_advice
    from pocketgraph.convert.prune.clock import Timing

    class Clock:
        def __init__(self, threads: int) -> None:
            assert threads == 1

        def measure(self, models, advance):  # noqa: ARG002
            seconds = (4e-4, 4e-4, 3e-4, 2e-4, 1e-4)
            assert len(models) == len(seconds)
            return [Timing([s + 6e-4] * 3, {"full": s, "thin": 1e-5}) for s in seconds]

    monkeypatch.setattr(chw_advice, "ChwClock", Clock)
    net = sparse_net()
    net.conv("head")
    explanation = explain_model(net.model(), "chw")
    full = next(node for node in explanation.nodes if node.name == "full")
    assert (full.rule, full.fix) == ("no zeros", "from 50% on it runs faster here: with 70% zeros 200 µs")
    [hint] = [hint for hint in explanation.hints if "dense layer" in hint]
    assert hint.startswith("1 dense layer holds")
    assert hint.endswith("with 70% zeros in each a run would be 1.25x as fast")


def test_reshapes_are_left_to_those_who_read_them() -> None:
    net = sparse_net()
    net.add(
        "RESHAPE",
        "flat",
        (1, SIDE * SIDE * 32),
        [net.last, Tensor("shape", (2,), DType.INT32, np.array([1, -1], "i4"))],
    )
    found = nodes(net.model())
    assert found["flat"].microseconds is None or found["flat"].runs == "channels first"


def test_packings_are_written_short() -> None:
    assert str(Packing(1, 4, 7, 128, "f32")) == "1x4 7v /128"
    assert str(Packing(8, 1, 2, 0, "f16")) == "8x1 2v f16"


def test_json_and_table_hold_times(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(sparse_net().model(), tmp_path / "net.tflite")
    assert main(["explain", "net.tflite", "--engine", "chw", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["engine"] == "chw"
    assert data["microseconds"] > 0
    assert data["nodes"][0]["packing"]["block"] >= 1
    assert {"runs", "share", "microseconds"} <= set(data["nodes"][0])
    assert main(["explain", "net.tflite", "--engine", "chw"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["#", "op", "output", "runs", "in", "chw", "zeros", "µs", "share"]
    assert any(" sparse " in line and line.rstrip().endswith("%") for line in lines)
    assert main(["explain", "--help"]) == 0
    assert "pocketgraph explain small.tflite --engine chw" in capsys.readouterr().out


def test_the_table_fits_eighty_columns() -> None:
    node = NodeReport(41, "DEPTHWISE_CONV_2D", "a/layer/with/a_rather_long_name", zeros=7, weights=10)
    node.runs, node.microseconds, node.share = "sparse 1x4 7v /512", 12345.0, 0.123
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(Explanation("chw", [node], [], [], microseconds=1e5)))
    assert len(console.export_text().splitlines()) == 2


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    chw_explain.explain(sparse_net().model(), lambda done, total: told.append((done, total)))
    assert all(0 <= done <= total for done, total in told)
