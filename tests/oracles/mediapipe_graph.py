"""Runs graphs in MediaPipe 0.10.21, for comparison: JSON jobs on stdin, one a line, answers on stdout.

A job: {"graph": text, "outputs": [names], "inputs": [[stream, timestamp, value]], "sides": {name: value}}.
An answer: {"outputs": {name: [[timestamp, value]]}} or {"error": text}. Values are int or bool.
Run by an interpreter that has mediapipe, not ours.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import mediapipe as mp
from mediapipe.python import packet_creator, packet_getter


def _packet(value: Any) -> Any:
    if isinstance(value, bool):
        return packet_creator.create_bool(value)
    return packet_creator.create_int(value)


def _value(packet: Any) -> Any:
    try:
        return packet_getter.get_int(packet)
    except (ValueError, RuntimeError):
        return packet_getter.get_bool(packet)


def _run(job: dict[str, Any]) -> dict[str, Any]:
    graph = mp.CalculatorGraph(graph_config=job["graph"])
    outputs: dict[str, list[Any]] = {name: [] for name in job["outputs"]}

    def note(name: str, packet: Any) -> None:
        outputs[name].append([packet.timestamp.value, _value(packet)])

    for name in outputs:
        graph.observe_output_stream(name, note)
    graph.start_run({name: _packet(value) for name, value in job.get("sides", {}).items()})
    for stream, timestamp, value in job["inputs"]:
        graph.add_packet_to_input_stream(stream, _packet(value).at(timestamp))
        graph.wait_until_idle()
    graph.close()
    return {"outputs": outputs}


for line in sys.stdin:
    try:
        answer = _run(json.loads(line))
    except (ValueError, RuntimeError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
