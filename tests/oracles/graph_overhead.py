"""What a node costs: a chain of PassThrough nodes here and in MediaPipe, in turns; prints JSON.

    POCKETGRAPH_MEDIAPIPE_PYTHON=…/python python tests/oracles/graph_overhead.py [--nodes 50] [--rounds 20]

Microseconds a packet from Python, one packet at a time: added, then waited for. The ratio is that of medians over
rounds, with the 2.5 % and 97.5 % points of the bootstrap.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

PACKETS = 400


def _chain(nodes: int) -> str:
    parts = ['input_stream: "s0" ']
    parts += [
        f'node {{ calculator: "PassThroughCalculator" input_stream: "s{i}" output_stream: "s{i + 1}" }} '
        for i in range(nodes)
    ]
    return "".join(parts)


def _ours(nodes: int, threads: int) -> Callable[[], float]:
    from pocketgraph.runtime.graph import CalculatorGraph

    graph = CalculatorGraph(_chain(nodes), threads=threads)
    graph.observe(f"s{nodes}", lambda _: None)
    graph.start()
    clock = iter(range(10**9))

    def one() -> float:
        began = time.perf_counter()
        for _ in range(PACKETS):
            timestamp = next(clock)
            graph.add("s0", timestamp, timestamp)
            graph.wait_until_idle()
        return (time.perf_counter() - began) / PACKETS * 1e6

    return one


def _theirs(nodes: int) -> Callable[[], float]:
    import mediapipe as mp
    from mediapipe.python import packet_creator

    graph = mp.CalculatorGraph(graph_config=_chain(nodes))
    graph.observe_output_stream(f"s{nodes}", lambda _name, _packet: None)
    graph.start_run()
    clock = iter(range(10**9))

    def one() -> float:
        began = time.perf_counter()
        for _ in range(PACKETS):
            timestamp = next(clock)
            graph.add_packet_to_input_stream("s0", packet_creator.create_int(timestamp).at(timestamp))
            graph.wait_until_idle()
        return (time.perf_counter() - began) / PACKETS * 1e6

    return one


def _work(which: str, nodes: int) -> None:
    """A worker: one round for each line on stdin."""
    one = _theirs(nodes) if which == "mediapipe" else _ours(nodes, int(which))
    one()
    for _ in sys.stdin:
        print(one(), flush=True)


def _interval(ours: list[float], theirs: list[float]) -> list[float]:
    generator = random.Random(0)  # noqa: S311 - the bootstrap
    ratios = sorted(
        statistics.median(generator.choices(ours, k=len(ours)))
        / statistics.median(generator.choices(theirs, k=len(theirs)))
        for _ in range(2000)
    )
    return [round(ratios[50], 2), round(ratios[-50], 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        _work(options.work, options.nodes)
        return
    pythons = {"mediapipe": os.environ["POCKETGRAPH_MEDIAPIPE_PYTHON"], "0": sys.executable, "2": sys.executable}
    workers = {
        which: subprocess.Popen(
            [python, __file__, "--work", which, "--nodes", str(options.nodes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for which, python in pythons.items()
    }  # fmt: skip
    times: dict[str, list[float]] = {which: [] for which in workers}
    for _ in range(options.rounds):
        for which in random.sample(list(workers), len(workers)):
            worker = workers[which]
            assert worker.stdin is not None
            assert worker.stdout is not None
            print(file=worker.stdin, flush=True)
            times[which].append(float(worker.stdout.readline()))
    for worker in workers.values():
        with worker:
            pass
    result = {
        "nodes": options.nodes, "rounds": options.rounds, "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(), "python": platform.python_version(),
        "us_a_packet": {which: round(statistics.median(found), 1) for which, found in times.items()},
        "synchronous_to_mediapipe": [
            round(statistics.median(times["0"]) / statistics.median(times["mediapipe"]), 2),
            _interval(times["0"], times["mediapipe"]),
        ],
        "two_threads_to_mediapipe": [
            round(statistics.median(times["2"]) / statistics.median(times["mediapipe"]), 2),
            _interval(times["2"], times["mediapipe"]),
        ],
    }  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
