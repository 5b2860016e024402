"""The graph files of this folder: loaded by name, run over frames.

    from pocketgraph.graphs import load_graph, run_frames

    with load_graph("hands") as graph:
        for result in run_frames(graph, "clip.mp4"):
            print(result["hand_landmarks"])

A graph of your own, a changed copy of one of these for instance, runs alike: `load_graph("my_hands.pbtxt")`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pocketgraph.graphs.streaming import Video
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.calculators.vision import Inference
from pocketgraph.runtime.graph import CalculatorGraph, read_graph, set_options
from pocketgraph.runtime.graph.registry import find_calculator
from pocketgraph.runtime.graph.subgraphs import expand, node_names
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.frames import FRAME_US, read_frames

FOLDER = Path(__file__).parent


def graph_names() -> list[str]:
    """The names of the graph files here."""
    return sorted(file.stem for file in FOLDER.glob("*.pbtxt"))


def graph_file(name: str | Path) -> Path:
    """The graph of this folder with that name, or else the file. Raises `UsageError` where there is neither."""
    for file in (FOLDER / f"{name}.pbtxt", Path(name)):
        if file.is_file():
            return file
    raise UsageError(f'there is neither a graph nor a file "{name}"; the graphs are {", ".join(graph_names())}')


def load_graph(
    name: str | Path,
    *,
    threads: int | None = None,
    engine: DelegateName | None = None,
    options: Mapping[str, Any] | None = None,
    profile: bool = False,
) -> CalculatorGraph:
    """A graph of this folder by its name, or any graph file by its path, ready to start.

    `threads` is how many nodes work beside each other (0: one after the other, in the caller's thread). `engine` runs
    all models, whatever the file says. `options` are further changes, as for `set_options`.
    """
    config = expand(read_graph(graph_file(name)))
    changes = {}
    if engine is not None:
        for node, config_of_node in zip(node_names(config), config.node, strict=True):
            if find_calculator(config_of_node.calculator, config.package) is Inference:
                changes[f"{node}.engine"] = engine
    config = set_options(config, {**changes, **(options or {})})
    return CalculatorGraph(config, threads=threads, profile=profile)


def refuse_unknown(graph: CalculatorGraph, side_packets: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a side packet that nothing in `graph` takes; a run would ignore it."""
    unknown = set(side_packets) - set(graph.side_packet_names())
    if unknown:
        known = ", ".join(graph.side_packet_names()) or "none"
        raise UsageError(f'nothing in the graph takes a side packet "{min(unknown)}"; there are {known}')


def run_frames(
    graph: CalculatorGraph,
    frames: Video,
    side_packets: Mapping[str, Any] | None = None,
    *,
    interval_us: int = FRAME_US,
    ahead: int = 1,
) -> Iterator[dict[str, Any]]:
    """What a graph makes of each frame: its outputs by name, None where there is none. Starts and ends a run.

    The graph has one input stream. `frames` are RGB frames, pairs of a timestamp in microseconds and a frame, or a
    path, a URL or the number of a camera; where no time is told, they count as `interval_us` apart. They must not
    change while they are worked on. `ahead` more are worked on while one is waited for: what follows from the last
    frame waits for it, the rest runs beside. A graph that drops frames (FlowLimiter) gives None for them.
    """
    inputs = graph.input_names()
    if len(inputs) != 1:
        raise UsageError(f"the graph has the inputs {inputs}; frames go into one")
    refuse_unknown(graph, side_packets or {})
    pollers = {name: graph.poller(name, bounds=True) for name in graph.output_names()}
    heads: dict[str, Any] = dict.fromkeys(pollers)
    waiting: deque[int] = deque()

    def results() -> dict[str, Any]:
        time = waiting.popleft()
        found: dict[str, Any] = {}
        for name, poller in pollers.items():
            head = heads[name]
            while head is None or head.timestamp < time:
                head = poller.next()
                if head is None:
                    break
            heads[name] = head
            found[name] = None if head is None or head.timestamp != time or head.empty else head.value
        return found

    try:
        graph.start(side_packets)
        source: Iterable[Any] = read_frames(frames) if isinstance(frames, (str, os.PathLike, int)) else frames
        for number, item in enumerate(source, 1):
            time, frame = item if isinstance(item, tuple) else (number * interval_us, item)
            graph.add(inputs[0], frame, time)
            waiting.append(time)
            if len(waiting) > ahead:
                yield results()
        graph.close_inputs()
        while waiting:
            yield results()
        graph.wait_until_done()
    finally:
        graph.close()
        for poller in pollers.values():
            graph.detach(poller)
