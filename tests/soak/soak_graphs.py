"""Runs random graphs for a long time and looks for a stall: `python tests/soak/soak_graphs.py --minutes 15`.

Each graph runs in the caller's thread and on several, with threads switched as often as can be, sources, a second
executor, observers, pollers, pauses, cancelled runs and calculators that raise. What comes out must not depend on the
threads. A run that makes no progress for `--patience` seconds ends the process with the scheduler's state and the stack
of every thread.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph import CalculatorGraph, Context, Packet, testing

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime" / "graph"))
from test_random_graphs import SIDES, _random_graph

assert testing  # makes CountingSourceCalculator known
Results = dict[str, list[tuple[int, Any]]]
ENTRY = "input_stream: ['in0', 'in1']"
SOURCE = (
    "input_stream: 'in0' node { calculator: 'CountingSourceCalculator' input_side_packet: 'MAX_COUNT:many'"
    " output_stream: 'in1' }"
)
SECOND = "executor { name: 'second' type: 'ThreadPoolExecutor' } "


def _wild(text: str, generator: random.Random) -> str:
    """The graph, perhaps with a source in place of an input, and some nodes on threads of their own."""
    if generator.random() < 0.4:
        text = text.replace(ENTRY, SOURCE, 1)
    if generator.random() < 0.4:
        head, *nodes = text.split("node {")
        text = SECOND + "node {".join([head, *(generator.choice([" executor: 'second'", ""]) + node for node in nodes)])
    return text


class Watch:
    """Ends the process where nothing was heard for too long."""

    def __init__(self, patience: float) -> None:
        self.patience, self.heard, self.what, self.graph = patience, time.monotonic(), "", None
        threading.Thread(target=self._watch, daemon=True).start()

    def hear(self, what: str, graph: CalculatorGraph | None = None) -> None:
        self.heard, self.what, self.graph = time.monotonic(), what, graph

    def _watch(self) -> None:
        while True:
            before = time.monotonic()
            time.sleep(1)
            if time.monotonic() - before > 5:  # the whole process was held up
                self.heard = time.monotonic()
            if time.monotonic() - self.heard > self.patience:
                self._tell()
                os._exit(1)

    def _tell(self) -> None:
        print(f"STALL after {self.patience} s in {self.what}", flush=True)
        if self.graph is not None:
            scheduler = self.graph.scheduler
            print(f"state {scheduler.state} busy {scheduler.busy} paused {scheduler.paused} errors {scheduler.errors}")
            print(f"moves {scheduler.moves} active {scheduler.active} closed {scheduler.inputs_closed}")
            for executor in scheduler.executors.values():
                print(f"executor {executor.name!r}: {len(executor.heap)} queued, {executor.idle} threads idle")
            for node in scheduler.nodes:
                streams = [(s.name, len(s.queue), s.bound, s.full, s.limit) for s in node.inputs]
                print(f"{node.name}: status {node.status}, in flight {node.in_flight}, waits {node.waits}, {streams}")
            for gate in scheduler.throttle.input_gates:
                print(f"gate {gate.name}: {[s.name for s in gate.full]}")
        faulthandler.dump_traceback(all_threads=True)


def _busy(work: Any, generator: random.Random) -> Any:
    """`work`, with a moment lost here and there so that threads meet in every order."""
    pauses = [generator.choice([0, 0, 0, 0, 1e-6, 1e-4]) for _ in range(16)]

    def process(context: Context) -> Any:
        pause = pauses[hash(context.timestamp) % 16]
        if pause:
            time.sleep(pause)
        return work(context)

    return process


def _run(
    text: str, inputs: dict[str, list[tuple[int, int]]], threads: int, generator: random.Random, watch: Watch
) -> Any:
    """What came out; in some runs less, because they were cancelled or failed: then None."""
    graph = CalculatorGraph(text, threads=threads)
    watch.hear(f"{threads} threads: {text}", graph)
    results: Results = {name: [] for name in graph.output_names()}
    readers = []
    for name in results:
        if threads and generator.random() < 0.3:
            readers.append(
                threading.Thread(
                    target=_read, args=(graph.poller(name, queue_size=generator.choice([1, 5])), results[name])
                )
            )
        else:
            graph.observe(name, lambda packet, to=name: results[to].append((packet.timestamp, packet.value)))
    failing = threads and generator.random() < 0.1
    cancelled = threads and generator.random() < 0.1
    pausing = threads and generator.random() < 0.3
    sides: dict[str, Any] = {name: _busy(work, generator) if threads else work for name, work in SIDES.items()}
    if failing:
        at = generator.randrange(40)

        def fail(context: Context) -> None:
            if context.timestamp == at:
                raise ValueError("as planned")
            SIDES["add"](context)

        sides["add"] = fail
    sides["many"] = 40
    packets = sorted(
        (time_, name, value) for name, items in inputs.items() if name in graph.input_names() for time_, value in items
    )
    stop_at = generator.randrange(len(packets)) if cancelled else -1
    try:
        graph.start(sides)
        for reader in readers:
            reader.start()
        for number, (timestamp, name, value) in enumerate(packets):
            graph.add_packet(name, Packet(value, timestamp))
            if pausing and generator.random() < 0.2:
                graph.pause()
                graph.resume()
            if generator.random() < 0.05 and not readers and text.startswith((ENTRY, SECOND + ENTRY)):
                graph.wait_until_idle()
            if number == stop_at:
                graph.cancel()
        graph.finish()
    except GraphRuntimeError:
        if not (failing or cancelled):
            raise
        return None
    finally:
        graph.close()
        for reader in readers:
            reader.join()
    return results


def _read(poller: Any, into: list[tuple[int, Any]]) -> None:
    with contextlib.suppress(GraphRuntimeError):  # the run's error is told elsewhere
        into.extend((packet.timestamp, packet.value) for packet in poller)


@click.command()
@click.option("--minutes", default=15.0, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--patience", default=180.0, show_default=True, help="Seconds without progress that count as a stall.")
def main(minutes: float, seed: int, patience: float) -> None:
    """Run random graphs until the time is over."""
    watch = Watch(patience)
    sys.setswitchinterval(1e-5)
    until, runs, number = time.monotonic() + minutes * 60, 0, seed
    while time.monotonic() < until:
        generator = random.Random(number)  # noqa: S311 - fixed samples
        text = _random_graph(generator)
        if "late" in text and "offset: 0" in text:
            text = text.replace("offset: 0", "")
        text = _wild(text, generator)
        inputs = {
            name: [(at, generator.randrange(9)) for at in sorted(generator.sample(range(40), 15))]
            for name in ("in0", "in1")
        }
        expected = _run(text, inputs, 0, generator, watch)
        for threads in (1, 2, 4, 8):
            found = _run(text, inputs, threads, generator, watch)
            if found is not None and found != expected:
                sys.exit(f"seed {number}, {threads} threads: other outputs")
            runs += 1
        if number % 500 == 0:
            print(f"{time.strftime('%H:%M:%S')} seed {number}: {runs} runs", flush=True)
        number += 1
    print(f"{runs} runs of {number - seed} graphs, none stalled")


if __name__ == "__main__":
    main()
