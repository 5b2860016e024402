"""Builds graphs in Python; what comes out is the same CalculatorGraphConfig a file would give.

    graph = GraphBuilder()
    frames = graph.input("frames")
    some = graph.node("FlowLimiterCalculator", max_in_flight=2)
    some.input(frames)
    graph.output(some.output(), "some_frames")

Streams need no names, they get one; back edges are connected with `Stream.later`.
"""

from __future__ import annotations

from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.config import CalculatorGraphConfig, Node
from pocketgraph.runtime.graph.registry import find_calculator, unknown
from pocketgraph.runtime.graph.tags import check_name, check_tag


class Stream:
    """A stream or side packet of a graph that is being built."""

    def __init__(self, name: str = "", *, side: bool = False) -> None:
        self.name = name
        self.side = side


class NodeBuilder:
    """One node; each call connects one more entry. Entries of one tag are numbered in the order of the calls."""

    def __init__(self, graph: GraphBuilder, config: Any) -> None:
        self._graph = graph
        self.config = config
        self._entries: list[tuple[str, str, Stream]] = []
        self._back: list[tuple[str, int]] = []

    def input(self, stream: Stream, tag: str = "", *, back_edge: bool = False) -> NodeBuilder:
        """Read a stream, or a side packet."""
        field = "input_side_packet" if stream.side else "input_stream"
        if back_edge:
            self._back.append((tag, self._count(field, tag)))
        self._connect(field, tag, stream)
        return self

    def output(self, tag: str = "", name: str = "") -> Stream:
        """A stream this node writes."""
        return self._connect("output_stream", tag, Stream(name))

    def side_output(self, tag: str = "", name: str = "") -> Stream:
        """A side packet this node makes."""
        return self._connect("output_side_packet", tag, Stream(name, side=True))

    def writes(self, stream: Stream, tag: str = "") -> NodeBuilder:
        """Write the stream that was promised with `GraphBuilder.later`."""
        self._connect("output_stream", tag, stream)
        return self

    def policy(self, name: str) -> NodeBuilder:
        """Choose the input policy."""
        self.config.input_stream_handler.input_stream_handler = name
        return self

    def _count(self, field: str, tag: str) -> int:
        return sum(entry[:2] == (field, tag) for entry in self._entries)

    def _connect(self, field: str, tag: str, stream: Stream) -> Stream:
        if tag:
            check_tag(tag)
        self._entries.append((field, tag, stream))
        return stream

    def finish(self) -> None:
        """Write the entries into the configuration, now that all streams have names."""
        seen: dict[tuple[str, str], int] = {}
        for field in ("input_stream", "output_stream", "input_side_packet", "output_side_packet"):
            del getattr(self.config, field)[:]
        del self.config.input_stream_info[:]
        for field, tag, stream in self._entries:
            index = seen[field, tag] = seen.get((field, tag), -1) + 1
            many = self._count(field, tag) > 1
            text = f"{tag}:{index}:{stream.name}" if tag and many else f"{tag}:{stream.name}" if tag else stream.name
            getattr(self.config, field).append(text)
        for tag, index in self._back:
            self.config.input_stream_info.add(tag_index=f"{tag}:{index}" if index or not tag else tag, back_edge=True)


class GraphBuilder:
    """A graph in the making; `build` gives the configuration, which may be called more than once."""

    def __init__(self, **fields: Any) -> None:
        self.config = CalculatorGraphConfig(**fields)
        self._nodes: list[NodeBuilder] = []
        self._edges: list[tuple[str, str, Stream]] = []
        self._names: dict[str, Stream] = {}

    def input(self, name: str, tag: str = "") -> Stream:
        """An input stream of the graph."""
        return self._edge("input_stream", tag, Stream(name))

    def side_input(self, name: str, tag: str = "") -> Stream:
        """An input side packet of the graph."""
        return self._edge("input_side_packet", tag, Stream(name, side=True))

    def output(self, stream: Stream, name: str = "", tag: str = "") -> Stream:
        """Make a stream, or a side packet, an output of the graph, under this name."""
        if name and stream.name and stream.name != name:
            raise GraphConfigError(f'the stream "{stream.name}" cannot leave the graph as "{name}"; it has one name')
        stream.name = stream.name or name
        return self._edge("output_side_packet" if stream.side else "output_stream", tag, stream)

    def later(self, name: str = "") -> Stream:
        """A stream that is read before the node that writes it is there: for back edges."""
        return Stream(name)

    def node(self, calculator: str, name: str = "", *, executor: str = "", **options: Any) -> NodeBuilder:
        """Add a node; keyword arguments are its options. Raises `GraphConfigError` for options nobody knows."""
        config = Node(calculator=calculator, name=name or None, executor=executor or None)
        if options:
            kind = find_calculator(calculator, self.config.package)
            if kind is None:
                raise unknown(calculator, name or calculator)
            if kind.Options is None:
                raise GraphConfigError(f"{calculator} takes no options, {', '.join(options)} were given")
            kind.Options.put(config, options)
        builder = NodeBuilder(self, config)
        self._nodes.append(builder)
        return builder

    def _edge(self, field: str, tag: str, stream: Stream) -> Stream:
        self._edges.append((field, check_tag(tag) if tag else "", stream))
        return stream

    def build(self) -> Any:
        """The configuration. Raises `GraphConfigError` for a bad name."""
        streams = [stream for _, _, stream in self._edges]
        streams += [stream for node in self._nodes for _, _, stream in node._entries]  # noqa: SLF001 - one builder
        taken = {stream.name for stream in streams if stream.name}
        number = 0
        for stream in streams:
            while not stream.name:
                if f"stream_{number}" not in taken:
                    stream.name = f"stream_{number}"
                number += 1
            check_name(stream.name)
        config = CalculatorGraphConfig()
        config.CopyFrom(self.config)
        for field, tag, stream in self._edges:
            same = [other for other in self._edges if other[:2] == (field, tag)]
            index = [id(other[2]) for other in same].index(id(stream))
            prefix = (f"{tag}:{index}:" if len(same) > 1 else f"{tag}:") if tag else ""
            getattr(config, field).append(prefix + stream.name)
        for node in self._nodes:
            node.finish()
            config.node.add().CopyFrom(node.config)
        return config
