"""The subgraph SwitchContainer.

Routes packets to one of several contained nodes, the active one, and its results out again.

Inputs: SELECT (int: the number of the active node) or ENABLE (bool: node 1 or node 0), as stream or side packet; any
others, which the contained nodes have too. Outputs: those of the contained nodes.
Options (SwitchContainerOptions):
    contained_node { calculator … options … }: the nodes, without streams.
    select, enable: the active node where no input says so. async_selection: do not wait for SELECT or ENABLE.
    tick_input_stream: the inputs (by tag) whose timestamps SELECT and ENABLE are put to; default all.

Example:
    node {
      calculator: "SwitchContainer"
      input_stream: "ENABLE:precise"
      input_stream: "IMAGE:frames"
      output_stream: "LANDMARKS:landmarks"
      options: {
        [mediapipe.SwitchContainerOptions.ext] {
          contained_node: { calculator: "FastLandmarks" }
          contained_node: { calculator: "PreciseLandmarks" }
        }
      }
    }
"""

from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.calculators.core.switch_channels import SwitchContainerOptions, channel_tag
from pocketgraph.runtime.graph.registry import register_subgraph
from pocketgraph.runtime.graph.schema import CalculatorGraphConfig
from pocketgraph.runtime.graph.tags import Entry, TagMap, parse_tag_index

_CONTROLS = ("SELECT", "ENABLE")


def switch_container(node: Any) -> Any:
    """The graph that replaces a SwitchContainer node. Raises `GraphConfigError`."""
    options = SwitchContainerOptions.read(node)
    if not options.contained_node:
        raise GraphConfigError("SwitchContainer: the options have no contained_node to switch between")
    if options.HasField("select") and options.HasField("enable"):
        raise GraphConfigError("SwitchContainer: only one of the options select and enable can be given")
    maps = {
        field: TagMap(getattr(node, field))
        for field in ("input_stream", "output_stream", "input_side_packet", "output_side_packet")
    }
    for field in ("input_stream", "input_side_packet"):
        if all(maps[field].count(tag) for tag in _CONTROLS):
            raise GraphConfigError("SwitchContainer: only one of SELECT and ENABLE can be given")
    graph = CalculatorGraphConfig()
    control = _add_sequencer(graph, maps["input_stream"], options)
    demux, mux = graph.node.add(), graph.node.add()
    demux.calculator, mux.calculator = "SwitchDemuxCalculator", "SwitchMuxCalculator"
    for half in (demux, mux):
        kept = SwitchContainerOptions.message()
        kept.CopyFrom(options)
        kept.ClearField("contained_node")
        SwitchContainerOptions.put(half, kept)
        half.input_stream.extend(control)
        half.input_side_packet.extend(["SELECT:gate_select", "ENABLE:gate_enable"])
    graph.input_stream.extend(["SELECT:gate_select", "ENABLE:gate_enable"])
    graph.input_side_packet.extend(["SELECT:gate_select", "ENABLE:gate_enable"])
    contained = []
    for inner in options.contained_node:
        copy = graph.node.add()
        copy.CopyFrom(inner)
        contained.append(copy)
    for field, into, out_of in (
        ("input_stream", demux, "output_stream"),
        ("input_side_packet", demux, "output_side_packet"),
    ):
        for entry in _data(maps[field]):
            getattr(graph, field).append(str(_named(entry)))
            getattr(into, field).append(str(_named(entry)))
            for channel, inner in enumerate(contained):
                inside = f"c{channel}__{_named(entry).name}"
                getattr(into, out_of).append(f"{channel_tag(entry.tag, channel)}:{entry.index}:{inside}")
                getattr(inner, field).append(str(Entry(entry.tag, entry.index, inside)))
    for field, into in (("output_stream", "input_stream"), ("output_side_packet", "input_side_packet")):
        for entry in _data(maps[field]):
            getattr(graph, field).append(str(_named(entry)))
            getattr(mux, field).append(str(_named(entry)))
            for channel, inner in enumerate(contained):
                inside = f"c{channel}__{_named(entry).name}"
                getattr(inner, field).append(str(Entry(entry.tag, entry.index, inside)))
                getattr(mux, into).append(f"{channel_tag(entry.tag, channel)}:{entry.index}:{inside}")
    return graph


def _data(tags: TagMap) -> list[Entry]:
    return [entry for entry in tags if entry.tag not in _CONTROLS]


def _named(entry: Entry) -> Entry:
    """The entry with a name of the inner graph's own: two ports may carry one stream outside."""
    return Entry(entry.tag, entry.index, f"{entry.tag.lower() or 'stream'}_{entry.index}_{entry.name}")


def _add_sequencer(graph: Any, inputs: TagMap, options: Any) -> list[str]:
    """Put SELECT or ENABLE to the timestamps of the data; returns the control streams of both halves."""
    control = {"SELECT": "SELECT:gate_select", "ENABLE": "ENABLE:gate_enable"}
    ticks = [parse_tag_index(text) for text in options.tick_input_stream]
    for tag in _CONTROLS:
        if not inputs.count(tag):
            continue
        name = f"gate_{tag.lower()}"
        node = graph.node.add()
        node.calculator = "PacketSequencerCalculator"
        if not options.async_selection:
            node.input_stream_handler.input_stream_handler = "DefaultInputStreamHandler"
        node.input_stream.append(f"INPUT:{name}")
        node.output_stream.append(f"OUTPUT:{name}_timed")
        data = [entry for entry in _data(inputs) if not ticks or (entry.tag, entry.index) in ticks]
        node.input_stream.extend(f"TICK:{number}:{_named(entry).name}" for number, entry in enumerate(data))
        control[tag] = f"{tag}:{name}_timed"
    return list(control.values())


register_subgraph("SwitchContainer", switch_container)
