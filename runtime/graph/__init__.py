"""Runs graphs of calculators: packets with timestamps flow along streams, as MediaPipe's graph files describe it."""

from pocketgraph.runtime.graph.adjust import set_options
from pocketgraph.runtime.graph.builder import GraphBuilder
from pocketgraph.runtime.graph.calculator import STOP, Calculator
from pocketgraph.runtime.graph.config import parse_binary, parse_text, read_graph, to_text, write_graph
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.graph import CalculatorGraph
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.outputs import Poller
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.ports import (
    ANY,
    Input,
    Inputs,
    Output,
    Outputs,
    SideInput,
    SideInputs,
    SideOutput,
    SideOutputs,
)
from pocketgraph.runtime.graph.profile import Profiler
from pocketgraph.runtime.graph.registry import register, register_subgraph
from pocketgraph.runtime.graph.runner import CalculatorRunner
from pocketgraph.runtime.graph.timestamp import Timestamp
from pocketgraph.runtime.graph.validate import validate

__all__ = [
    "ANY",
    "STOP",
    "Calculator",
    "CalculatorGraph",
    "CalculatorRunner",
    "Context",
    "Contract",
    "GraphBuilder",
    "Input",
    "Inputs",
    "OptionsSpec",
    "Output",
    "Outputs",
    "Packet",
    "Poller",
    "Profiler",
    "SideInput",
    "SideInputs",
    "SideOutput",
    "SideOutputs",
    "Timestamp",
    "parse_binary",
    "parse_text",
    "read_graph",
    "register",
    "register_subgraph",
    "set_options",
    "to_text",
    "validate",
    "write_graph",
]
