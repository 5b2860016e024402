"""Executors of graphs: which threads do the work, and how much of it at a time."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from pocketgraph.models.errors import GraphConfigError, UsageError
from pocketgraph.runtime.graph import CalculatorGraph, Context
from pocketgraph.runtime.graph.testing import run_graph

sys.path.insert(0, str(Path(__file__).parent))
try:
    from graph_texts import THROUGH, lambda_node
finally:
    sys.path.pop(0)


def test_nodes_run_on_their_executor() -> None:
    names: dict[str, str] = {}

    def note(context: Context) -> None:
        names[context.node] = threading.current_thread().name
        for view in context.outputs:
            view.send(0)

    text = (
        'input_stream: "a" executor { name: "slow" options { [mediapipe.ThreadPoolExecutorOptions.ext] '
        "{ num_threads: 1 } } }" + lambda_node("a", "b", "note") + lambda_node("b", "", "note", 'executor: "slow"')
    )
    run_graph(text, {"a": [(1, 0)]}, {"note": note}, threads=1)
    assert names == {"LambdaCalculator_1": "pocketgraph-graph-0", "LambdaCalculator_2": "pocketgraph-slow-0"}


@pytest.mark.parametrize(
    ("text", "synchronous", "threads"),
    [
        ("", False, None),
        ("num_threads: 3", False, 3),
        ('executor { type: "ApplicationThreadExecutor" }', True, 0),
        ("executor { options { [mediapipe.ThreadPoolExecutorOptions.ext] { num_threads: 2 } } }", False, 2),
    ],
)
def test_the_number_of_threads(text: str, synchronous: bool, threads: int | None) -> None:
    graph = CalculatorGraph('input_stream: "a"' + THROUGH % ("a", "b") + text)
    assert graph.scheduler.synchronous == synchronous
    assert threads is None or graph.scheduler.executors[""].threads == threads


@pytest.mark.parametrize("text", ["num_threads: -1"])
def test_a_wrong_number_of_threads(text: str) -> None:
    with pytest.raises(GraphConfigError, match="-1 threads"):
        CalculatorGraph(text)
    with pytest.raises(UsageError, match="-2 threads"):
        CalculatorGraph("", threads=-2)


def test_a_graph_may_allow_any_number_in_flight() -> None:
    node = 'node { calculator: "PassThroughCalculator" input_stream: "a" output_stream: "b" max_in_flight: 2147483647 }'
    packets = [(time, time) for time in range(50)]
    for threads in (0, 4):
        result = run_graph('input_stream: "a" output_stream: "b" ' + node, {"a": packets}, threads=threads)
        assert result == {"b": packets}
