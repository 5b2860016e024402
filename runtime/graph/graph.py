"""`CalculatorGraph`: a configuration made to run.

    with CalculatorGraph("faces.pbtxt") as graph:
        graph.observe("detections", lambda packet: print(packet.timestamp, packet.value))
        graph.start()
        for timestamp, image in frames:
            graph.add("image", image, timestamp)
        graph.finish()

Streams are called by their names in the file (`image` of `IMAGE:image`). A graph may be started again after it is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from typing_extensions import Self

from pocketgraph.models.errors import GraphConfigError, GraphFullError, GraphRuntimeError, PocketgraphError, UsageError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.config import as_config
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.node import RunningNode
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.outputs import BoundsObserver, Observer, Poller
from pocketgraph.runtime.graph.packet import NOTHING, Packet
from pocketgraph.runtime.graph.ports import INPUT, SIDE_INPUT, type_name
from pocketgraph.runtime.graph.profile import Profiler
from pocketgraph.runtime.graph.scheduler import NOT_STARTED, RUNNING, TERMINATED, Scheduler
from pocketgraph.runtime.graph.schema import Node
from pocketgraph.runtime.graph.streams import CLOSED, PREPARED, InputStream, OutputStream
from pocketgraph.runtime.graph.throttle import Gate
from pocketgraph.runtime.graph.timestamp import DONE, UNSET, next_allowed, text_of
from pocketgraph.runtime.graph.validate import NodePlan, Plan, validate

ThreadPoolOptions = OptionsSpec("""
message ThreadPoolExecutorOptions extends MediaPipeOptions at 157116819
  int32 num_threads = 1
  int32 stack_size = 2
  int32 nice_priority_level = 3
  enum ProcessorPerformance NORMAL=0 LOW=1 HIGH=2
  ProcessorPerformance require_processor_performance = 4
  string thread_name_prefix = 5
""")
USUAL_QUEUE_SIZE = 100
"""Packets at which a queue is full where the graph says 0."""


class CalculatorGraph:
    """Runs a graph; `threads` overrides the file's number (0: synchronous, in the caller's thread).

    `graph` is a configuration, a builder, a path or text. Raises `GraphConfigError` for a graph that cannot run.
    Errors of calculators end the run and are raised, as `GraphRuntimeError`, by the next call that waits or adds.
    """

    def __init__(self, graph: Any, *, threads: int | None = None, profile: bool = False) -> None:
        self.plan: Plan = validate(as_config(graph))
        self.config = self.plan.config
        self.scheduler = Scheduler(report_deadlock=self.config.report_deadlock)
        self.profiler = Profiler() if profile or self.config.profiler_config.enable_profiler else None
        self.scheduler.profiler = self.profiler
        self.max_queue_size = self.config.max_queue_size or USUAL_QUEUE_SIZE
        self._own_sizes: dict[str, int] = {}
        self._make_executors(threads)
        self._streams = {name: OutputStream(name) for name in self.plan.producers}
        self._inputs = {name: self._streams[name] for name in self.plan.inputs.names()}
        self._gates = {
            name: Gate(name, self.scheduler.changed.notify_all, is_input=True) for name in self.plan.inputs.names()
        }
        self.scheduler.throttle.input_gates = list(self._gates.values())
        self._nodes = [self._make_node(node) for node in self.plan.nodes]
        self._source_gates = {
            node.number: Gate(node.name, node.schedule_source_if_active, is_input=False)
            for node in self._nodes
            if node.is_source
        }
        for node in self._nodes:
            if node.is_source:
                node.gates = [self._source_gates[node.number]]
            for stream in node.inputs:
                self._watch(stream)
        self._observers: list[RunningNode] = []
        self._observer_makers: dict[RunningNode, Callable[[], Calculator]] = {}
        self._pollers: list[Poller] = []
        self._finished = True

    # setting up

    def _make_executors(self, threads: int | None) -> None:
        declared = {executor.name: executor for executor in self.config.executor}
        default = declared.pop("", None)
        if threads is None:
            threads = self.config.num_threads
            if default is not None and default.type == "ApplicationThreadExecutor":
                threads = 0
            elif default is not None:
                threads = ThreadPoolOptions.read(default).num_threads
            if threads < 0:
                raise GraphConfigError(f"a graph cannot have {threads} threads")
            if default is None or default.type != "ApplicationThreadExecutor":
                threads = threads or max(1, min(os.cpu_count() or 1, len(self.plan.nodes)))
        if threads < 0:
            raise UsageError(f"a graph cannot have {threads} threads; 0 is the caller's alone")
        self.scheduler.synchronous = not threads
        self.scheduler.add_executor("", threads)
        for name, executor in declared.items():
            if threads:
                self.scheduler.add_executor(name, max(1, ThreadPoolOptions.read(executor).num_threads))

    def _make_node(self, plan: NodePlan) -> RunningNode:
        executors = self.scheduler.executors
        node = RunningNode(self.scheduler, plan, executors.get(plan.config.executor, executors[""]))
        for place, entry in enumerate(plan.contract.inputs):
            stream = InputStream(entry.name, node, tag=entry.tag, back_edge=place in plan.back_edges)
            takes = plan.contract.types[INPUT][place]
            if self._needs_check(entry.name, takes):
                stream.type = takes
            node.inputs.append(stream)
            self._streams[entry.name].readers.append(stream)
        node.outputs = [self._streams[entry.name] for entry in plan.contract.outputs]
        self.scheduler.nodes.append(node)
        return node

    def _needs_check(self, name: str, takes: Any) -> bool:
        """Whether a reader must look at each value, or its writer's type says enough."""
        producer = self.plan.producers[name]
        if takes is object:
            return False
        if producer is None:
            return True
        place = producer.contract.outputs.names().index(name)
        gives = producer.contract.types["output stream"][place]
        return place in producer.contract.same_as or isinstance(gives, tuple) or not issubclass(gives, takes)

    def _watch(self, stream: InputStream) -> None:
        producer = self.plan.producers[stream.name]
        sources: set[str | int] = {stream.name} if producer is None else producer.sources
        gates: dict[str | int, Gate] = {**dict[Any, Gate](self._gates), **dict[Any, Gate](self._source_gates)}
        self.scheduler.throttle.gates_of[stream] = [gates[source] for source in sorted(sources, key=str)]

    def _require(self, name: str) -> str:
        if name not in self._streams:
            raise UsageError(f'there is no stream "{name}" in the graph; there are {", ".join(sorted(self._streams))}')
        return name

    def observe(self, stream: str, callback: Callable[[Packet], Any], *, bounds: bool = False) -> None:
        """Call `callback` with each packet of a stream, in order, never two at once. Before `start`.

        With `bounds` it also gets an empty packet for each time that is settled without one.
        """
        self._refuse_running("observers are attached")
        kind = BoundsObserver if bounds else Observer
        config = Node(calculator="Observer", input_stream=[self._require(stream)])
        name = f"observer of {stream}"
        plan = NodePlan(name, config, Contract(kind, config, name), "DefaultInputStreamHandler", None, set())
        plan.number = len(self.plan.nodes) + len(self._observers)
        node = self._make_node(plan)
        self._watch(node.inputs[0])
        self._observers.append(node)
        self._observer_makers[node] = lambda: kind(callback, self._emitted)

    def _emitted(self) -> None:
        with self.scheduler.lock:
            self.scheduler.observed += 1
            self.scheduler.changed.notify_all()

    def poller(self, stream: str, *, bounds: bool = False, queue_size: int | None = None) -> Poller:
        """Something to ask for the packets of a stream one by one. Before `start`."""
        self._refuse_running("pollers are attached")
        size = self.max_queue_size if queue_size is None else queue_size
        poller = Poller(self._require(stream), self.scheduler, bounds=bounds, queue_size=size)
        self._streams[stream].readers.append(poller.stream)
        self._watch(poller.stream)
        self.scheduler.throttle.fixed.add(poller.stream)
        self._pollers.append(poller)
        return poller

    def detach(self, poller: Poller) -> None:
        """Forget a poller, between runs: nobody reads it any more."""
        self._refuse_running("pollers are detached")
        self._pollers.remove(poller)
        self._streams[poller.stream.name].readers.remove(poller.stream)
        self.scheduler.throttle.fixed.discard(poller.stream)
        del self.scheduler.throttle.gates_of[poller.stream]

    def on_error(self, callback: Callable[[GraphRuntimeError], None]) -> None:
        """Call `callback` as soon as an error is recorded, on whatever thread that is."""
        self._refuse_running("an error callback is set")
        self.scheduler.on_error = callback

    def set_max_queue_size(self, stream: str, size: int) -> None:
        """How many packets may wait at readers of a graph input before `add` waits; -1 for any number."""
        if stream not in self._inputs:
            raise UsageError(f'"{stream}" is not an input stream of the graph; those are {list(self._inputs)}')
        self._own_sizes[stream] = size

    def _refuse_running(self, what: str) -> None:
        if self.scheduler.state == RUNNING:
            raise UsageError(f"{what} before the graph is started")

    # running

    def start(self, side_packets: Mapping[str, Any] | None = None, headers: Mapping[str, Any] | None = None) -> None:
        """Begin a run with these side packets, and headers of graph inputs. Raises `GraphRuntimeError`."""
        if not self._finished:
            raise UsageError("the graph is running; finish it before it is started again")
        scheduler = self.scheduler
        given = {
            name: value if isinstance(value, Packet) else Packet(value) for name, value in (side_packets or {}).items()
        }
        self._check_side_packets(given)
        scheduler.prepare(inputs_closed=not self._inputs)
        scheduler.throttle.reset()
        for stream in self._streams.values():
            stream.reset()
        for node in [*self._nodes, *self._observers]:
            for reader in node.inputs:
                reader.reset()
                reader.set_limit(self._own_sizes.get(reader.name, self.max_queue_size))
        for poller in self._pollers:
            poller.prepare()
        for name, header in (headers or {}).items():
            stream = self._inputs[name]
            stream.header = _packed(header)
            stream.pass_header()
        scheduler.side_packets = dict(given)
        for node in [*self._nodes, *self._observers]:
            node.side_values = {name: given[name] for name in node.contract.side_inputs.names() if name in given}
            calculator = self._observer_makers[node]() if node in self._observer_makers else node.contract.calculator()
            calculator.options = node.contract.options
            node.prepare(calculator)
            node.waits = self._waits(node, given)
        if self.profiler is not None:
            self.profiler.begin(self._nodes)
        self._finished = False
        scheduler.start()

    def _check_side_packets(self, given: Mapping[str, Packet]) -> None:
        for node in self.plan.nodes:
            contract = node.contract
            for place, entry in enumerate(contract.side_inputs):
                kind = contract.types[SIDE_INPUT][place]
                if entry.name in given:
                    if kind is not object and not isinstance(given[entry.name].value, kind):
                        raise GraphRuntimeError(
                            f'side packet "{entry}" of {node} must hold {type_name(kind)}, '
                            f"a {type(given[entry.name].value).__name__} was given", node=node.name,
                        )  # fmt: skip
                elif entry.name not in self.plan.side_producers and not contract.is_optional(SIDE_INPUT, place):
                    raise GraphRuntimeError(f'side packet "{entry}" of {node} was not given', node=node.name)
        for name, packet in given.items():
            if name in self.plan.side_producers:
                raise GraphRuntimeError(
                    f'side packet "{name}" was given, but {self.plan.side_producers[name]} makes it'
                )
            if packet.timestamp != UNSET:
                raise GraphRuntimeError(f'side packet "{name}" has a timestamp, {text_of(packet.timestamp)}')

    def _waits(self, node: RunningNode, given: Mapping[str, Packet]) -> int:
        writers = [self.plan.producers[stream.name] is not None for stream in node.inputs if not stream.back_edge]
        sides = [name in self.plan.side_producers and name not in given for name in node.contract.side_inputs.names()]
        return sum(writers) + sum(sides)

    def run(self, side_packets: Mapping[str, Any] | None = None) -> None:
        """Run a graph that has no inputs, from its sources, to the end."""
        if self._inputs:
            raise UsageError("a graph with inputs is started, given packets and finished; `run` is for one without")
        self.start(side_packets)
        self.wait_until_done()

    def add(self, stream: str, value: Any, timestamp: int) -> None:
        """Add a value to a graph input, waiting while queues behind it are full."""
        self.add_packet(stream, Packet(value, timestamp))

    def add_packet(self, stream: str, packet: Packet, *, wait: bool = True) -> None:
        """Add a packet; without `wait`, raise `GraphFullError` where a queue behind the input is full."""
        target = self._inputs.get(stream)
        if target is None:
            raise UsageError(f'"{stream}" is not an input stream of the graph; those are {list(self._inputs)}')
        scheduler = self.scheduler
        if scheduler.state == NOT_STARTED:
            raise UsageError("packets are added after the graph is started")
        if self._gates[stream].full:
            self._wait_for_room(stream, wait=wait)
        with scheduler.lock:
            if scheduler.errors:
                raise self._error()
            if target.closed or scheduler.state == TERMINATED:
                raise UsageError(f'a packet was added to the closed stream "{stream}"')
            try:
                if packet[0] is NOTHING:
                    target.move_bound(next_allowed(int(packet.timestamp)))
                else:
                    target.pass_one(packet if packet[1].__class__ is int else Packet(packet[0], int(packet[1])))
                scheduler.finish_step()
            except PocketgraphError as error:
                scheduler.fail(None, None, error)
                scheduler.finish_step()
        if scheduler.synchronous:
            scheduler.run(sources=False)
        if scheduler.errors:
            raise self._error()

    def _wait_for_room(self, stream: str, *, wait: bool) -> None:
        gate = self._gates[stream]
        scheduler = self.scheduler

        def room() -> bool:
            return not gate.full or bool(scheduler.errors) or scheduler.state == TERMINATED

        if not wait:
            raise GraphFullError(f'stream "{stream}" is held back: {", ".join(s.name for s in gate.full)} is full')
        scheduler.wait(room, None, f'adding to stream "{stream}"')

    def set_bound(self, stream: str, timestamp: int) -> None:
        """Promise that no packet before `timestamp` is added to a graph input."""
        if stream not in self._inputs:
            raise UsageError(f'"{stream}" is not an input stream of the graph; those are {list(self._inputs)}')
        with self.scheduler.lock:
            self._inputs[stream].move_bound(int(timestamp))
            self.scheduler.finish_step()
        if self.scheduler.synchronous:
            self.scheduler.run(sources=False)

    def close_input(self, stream: str) -> None:
        """Promise that nothing more is added to a graph input."""
        if stream not in self._inputs:
            raise UsageError(f'"{stream}" is not an input stream of the graph; those are {list(self._inputs)}')
        scheduler = self.scheduler
        with scheduler.lock:
            self._inputs[stream].close()
            scheduler.finish_step()
            if all(target.closed for target in self._inputs.values()):
                scheduler.close_inputs()
        if scheduler.synchronous:
            scheduler.run(sources=False)

    def close_inputs(self) -> None:
        """Close all graph inputs; the run ends once everything is worked off."""
        for name in self._inputs:
            self.close_input(name)

    def close_sources(self) -> None:
        """Close graph inputs and sources alike."""
        self.close_inputs()
        with self.scheduler.lock:
            self.scheduler.stop_sources()
            if not self.scheduler.busy:
                self.scheduler._idle()  # noqa: SLF001 - one machine in two files

    def pause(self) -> None:
        """Start nothing more; packets can still be added."""
        self.scheduler.set_paused(paused=True)

    def resume(self) -> None:
        """Go on after `pause`."""
        self.scheduler.set_paused(paused=False)
        if self.scheduler.synchronous:
            self.scheduler.run(sources=False)

    def cancel(self) -> None:
        """End the run now; `wait_until_done` raises `GraphCancelledError`."""
        self.scheduler.cancel()

    def wait_until_idle(self, timeout: float | None = None) -> None:
        """Block until everything added has been worked off. Raises the run's error; after `timeout` s as well."""
        scheduler = self.scheduler
        self._refuse_unstarted()
        scheduler.wait(lambda: not scheduler.busy or scheduler.state == TERMINATED, timeout, "waiting until idle")
        if scheduler.errors:
            raise self._error()

    def wait_until_done(self, timeout: float | None = None) -> None:
        """Block until the run has ended, which takes closed inputs, and close what is open. Raises the run's error."""
        scheduler = self.scheduler
        self._refuse_unstarted()
        if self._finished:
            return
        scheduler.wait(lambda: scheduler.state == TERMINATED, timeout, "waiting until the graph is done")
        self._clean_up()
        if scheduler.errors:
            raise self._error()

    def wait_for_observed_output(self, timeout: float | None = None) -> bool:
        """Block until an observer was called since the last time; False where the run ended first."""
        scheduler = self.scheduler
        self._refuse_unstarted()
        scheduler.wait(lambda: bool(scheduler.observed) or scheduler.state == TERMINATED, timeout, "waiting for output")
        seen = bool(scheduler.observed)
        scheduler.observed = 0
        return seen

    def finish(self, timeout: float | None = None) -> None:
        """Close all inputs and wait until the run is done."""
        self._refuse_unstarted()
        self.close_inputs()
        self.wait_until_done(timeout)

    def close(self) -> None:
        """End the run whatever it is doing; raises nothing."""
        if not self._finished:
            self.cancel()
            self.scheduler.wait(lambda: self.scheduler.state == TERMINATED, None, "closing")
            self._clean_up()

    def _refuse_unstarted(self) -> None:
        if self.scheduler.state == NOT_STARTED:
            raise UsageError("the graph has not been started")

    def _clean_up(self) -> None:
        """Close calculators that are still open, in topological order, and the threads."""
        scheduler = self.scheduler
        scheduler.join()
        error = scheduler.errors[0] if scheduler.errors else None
        for stream in self._inputs.values():
            stream.closed = True
        for node in [*self._nodes, *self._observers]:
            if node.status not in (PREPARED, CLOSED):
                try:
                    node.close(error)
                except Exception as raised:  # noqa: BLE001 - the first error of the run is the one to tell
                    scheduler.fail(node, node.context, raised)
                node.status = CLOSED
                for side in node.side_outputs:
                    if not side.packet.empty:
                        scheduler.side_packets.setdefault(side.name, side.packet)
        for poller in self._pollers:
            poller.stream.bound = DONE
        if self.profiler is not None:
            self.profiler.end()
        self._finished = True

    def _error(self) -> GraphRuntimeError:
        first, *others = self.scheduler.errors
        if not others:
            return first
        texts = "; ".join(dict.fromkeys(str(error) for error in self.scheduler.errors))
        error = type(first)(texts, node=first.node, timestamp=first.timestamp)
        error.__cause__ = first.__cause__
        return error

    # looking at it

    @property
    def state(self) -> Literal["not started", "running", "terminated"]:
        return self.scheduler.state  # type: ignore[return-value]

    @property
    def errors(self) -> list[GraphRuntimeError]:
        """What was recorded in this run."""
        return list(self.scheduler.errors)

    def side_packet(self, name: str) -> Any:
        """The value of a side packet, given or made by a calculator. Raises `GraphRuntimeError` for none."""
        if name not in self.plan.side_producers and name not in self.plan.side_inputs.names():
            raise UsageError(f'there is no side packet "{name}" in the graph')
        packet = self.scheduler.side_packets.get(name)
        if packet is None:
            raise GraphRuntimeError(f'the side packet "{name}" is not there (yet)')
        return packet.value

    def queue_sizes(self) -> dict[str, int]:
        """How many packets wait at each reader, as `node: stream`."""
        with self.scheduler.lock:
            return {f"{node.name}: {stream.name}": len(stream.queue) for node in self._nodes for stream in node.inputs}

    def input_names(self) -> list[str]:
        return self.plan.inputs.names()

    def output_names(self) -> list[str]:
        return self.plan.outputs.names()

    def side_packet_names(self) -> list[str]:
        """Those that the graph declares or some node takes. A run ignores others, as MediaPipe's does."""
        inner = (name for node in self.plan.nodes for name in node.contract.side_inputs.names())
        return list(dict.fromkeys([*self.plan.side_inputs.names(), *inner]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _packed(value: Any) -> Packet:
    return value if isinstance(value, Packet) else Packet(value)


def load_graph(file: str | Path, **options: Any) -> CalculatorGraph:
    """The graph of a file, ready to start."""
    return CalculatorGraph(Path(file), **options)
