"""`explain` against XNNPACK's rules; tests/browser asks the engine itself about the same examples."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from pocketgraph.convert.explain import explain_model, render
from pocketgraph.convert.passes import ForXnnpack, Half, Sparsify
from pocketgraph.convert.xnnpack_examples import example
from pocketgraph.convert.xnnpack_explain import engine_block
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import Model
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.models.tflite_write import write_tflite


def sparse(breaks: str = "") -> Model:
    model = example(breaks)
    Sparsify(0.1)(model)
    return model


def why(breaks: str) -> str:
    """All rules and dangers that are named."""
    found = explain_model(sparse(breaks))
    return " | ".join(
        [rule for c in found.clusters for rule, _ in c.rules] + [n.rule for n in found.nodes] + found.dangers
    )


def test_a_sound_net_runs_sparse_from_stem_to_pooling() -> None:
    found = explain_model(sparse())
    roles = {node.name: node.role for node in found.nodes}
    assert (roles["stem"], roles["pw2"], roles["pool"], roles["logits"]) == ("start", "inside", "end", "outside")
    assert [node.name for node in found.nodes if node.sparse] == ["pw1", "pw2", "pw3"]
    [cluster] = found.clusters
    assert cluster.active
    assert cluster.weights == 32 * 16 + 64 * 32 + 64 * 64
    assert cluster.zeros / cluster.weights == pytest.approx(0.8, abs=0.01)
    assert found.runs_sparse
    assert not found.dangers


@pytest.mark.parametrize(
    ("breaks", "rule"),
    [
        ("same_stem", "3x3 convolution has TensorFlow's SAME padding at stride 2"),
        ("prelu", "reads PRELU 'prelu': PRELU cannot run channels-first"),
        ("tap", "ADD 'residual' reads 'pw3', which is also wanted outside the cluster"),
        ("too_dense", "of 6656 weights are zero (60.0%), more than 66.7 % must be"),
        ("concat", "'pw2' is also read by CONCATENATION 'concat': CONCATENATION cannot run channels-first"),
        ("average_pool", "nothing ends a cluster"),
        ("dense_classifier", "of 13056 weights are zero"),
        ("constant_second", "MUL has its constant as second operand"),
    ],
)
def test_a_broken_rule_is_named_and_nothing_runs_sparse(breaks: str, rule: str) -> None:
    assert rule in why(breaks)
    found = explain_model(sparse(breaks))
    assert not found.runs_sparse
    assert not found.dangers


@pytest.mark.parametrize(
    ("breaks", "node", "danger"),
    [
        ("conv_head", "head", "preparing the run fails and outputs are not computed"),
        ("same_depthwise", "pw1", "preparing the run fails"),
        ("stride2_1x1", "dw2", "its output comes out in the wrong order"),
        ("map_output", "map", "preparing the run fails"),
        ("pooled_gate", "squeeze", "hands LOGISTIC 'gate' a wrong shape"),
    ],
)
def test_what_the_engine_computes_wrongly_is_named(breaks: str, node: str, danger: str) -> None:
    dangers = {report.name: report.danger for report in explain_model(sparse(breaks)).nodes if report.danger}
    assert next(iter(dangers)) == node
    assert danger in dangers[node]


def test_zeros_stored_densely_do_nothing() -> None:
    found = explain_model(example())
    assert not found.runs_sparse
    assert any("they are stored densely" in hint for hint in found.hints)
    assert any("no weight is stored sparse" in rule for rule, _ in found.clusters[0].rules)


@pytest.mark.parametrize("half", [False, True])
def test_files_are_explained_like_graphs(*, half: bool) -> None:
    model = example("same_stem")
    ForXnnpack()(model)
    Sparsify()(model)
    if half:
        Half()(model)
    found = explain_model(read_tflite(write_tflite(model)))
    assert [node.name for node in found.nodes if node.sparse] == ["pw1", "pw2", "pw3"]
    assert {"DENSIFY", "DEQUANTIZE"}.isdisjoint(node.kind for node in found.nodes)


@pytest.mark.zoo
@pytest.mark.parametrize(
    ("name", "sparse_layers", "weights", "share", "ends"),
    [("pose_detection", 38, 2_723_584, 0.75, 3), ("face_detection_full_range_sparse", 46, 465_856, 0.695, 2)],
)
def test_the_sparse_models_of_mediapipe(name: str, sparse_layers: int, weights: int, share: float, ends: int) -> None:
    """All their pruned 1x1 convolutions stand in one cluster that ends in DEPTH_TO_SPACE."""
    from pocketgraph.models import zoo

    found = explain_model(zoo.load(name))
    active = [cluster for cluster in found.clusters if cluster.active]
    assert len(active) == 1
    assert sum(node.sparse and node.zeros > 0 for node in found.nodes) == sparse_layers
    assert active[0].weights == weights
    assert active[0].zeros / active[0].weights == pytest.approx(share, abs=0.005)
    assert len(active[0].ends) == ends
    assert not found.dangers


def test_blocks_are_counted_as_the_engine_counts_them() -> None:
    """Blocks of 4 output channels from 3.6 non-zeros each, of 2 from 1.8."""
    whole = np.zeros((8, 1, 1, 16), np.float32)
    whole[:4, ..., ::3] = 1
    assert engine_block(whole) == 4
    pairs = np.zeros((8, 1, 1, 16), np.float32)
    pairs[:2, ..., ::3] = 1
    assert engine_block(pairs) == 2
    single = np.zeros((8, 1, 1, 16), np.float32)
    single[0] = 1
    assert engine_block(single) == 1


def test_json_is_plain_and_complete() -> None:
    data = explain_model(sparse("same_stem")).to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["engine"] == "xnnpack"
    assert data["runs_sparse"] is False
    assert {"index", "kind", "name", "role", "sparse", "sparsity", "rule", "fix", "danger"} <= set(data["nodes"][0])


def test_the_table_names_nodes_reasons_and_dangers() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(explain_model(sparse("conv_head"))))
    text = console.export_text()
    assert "wrongly" in text
    assert "danger: CONV_2D 'head'" in text


def test_unknown_engines_are_refused() -> None:
    with pytest.raises(UsageError, match="no rules for the engine 'abacus'; there are: chw, xnnpack"):
        explain_model(example(), "abacus")
