"""Texts of the graphs that tests run."""

from __future__ import annotations

import pytest

from pocketgraph.runtime.graph import testing

assert testing  # makes LambdaCalculator known
THREADS = pytest.mark.parametrize("threads", [0, 1, 4])
THROUGH = 'node { calculator: "PassThroughCalculator" input_stream: "%s" output_stream: "%s" }'
SOURCE = (
    'node { calculator: "CountingSourceCalculator" input_side_packet: "MAX_COUNT:%s" output_stream: "%s" '
    "source_layer: %d }"
)
LIFE = 'input_side_packet: "OPEN:open" input_side_packet: "CLOSE:close"'


def lambda_node(ins: str, outs: str = "", process: str = "", more: str = "") -> str:
    streams = " ".join(f'input_stream: "{name}"' for name in ins.split())
    streams += " ".join(f' output_stream: "{name}"' for name in outs.split())
    side = f'input_side_packet: "PROCESS:{process}"' if process else ""
    return f'node {{ calculator: "LambdaCalculator" {streams} {side} {more} }}'
