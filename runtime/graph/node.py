"""A node at run time: its calculator, its streams, its contexts, and when it is due.

Everything here but the calculator's own methods runs under the lock of the scheduler.
"""

from __future__ import annotations

from collections import deque
from heapq import heappush
from typing import TYPE_CHECKING, Any, Final

from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context, InputView, OutputView, SideInputView, SideOutputView
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.packet import EMPTY, Packet
from pocketgraph.runtime.graph.policies import NOT_READY, PROCESS, DefaultOfOne, Policy, make_policy
from pocketgraph.runtime.graph.ports import INPUT, OUTPUT, SIDE_INPUT, SIDE_OUTPUT
from pocketgraph.runtime.graph.streams import CLOSED, OPENED, PREPARED, InputStream, OutputStream, offset_bound
from pocketgraph.runtime.graph.timestamp import DONE, MAX, UNSET, UNSTARTED, is_range, shifted

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.scheduler import Executor, Scheduler
    from pocketgraph.runtime.graph.throttle import Gate
    from pocketgraph.runtime.graph.validate import NodePlan

SOURCE_PRIORITY: Final = 1 << 40
"""Of tasks: smaller runs first. Opening comes first, then nodes near the output, sources last."""


class RunningNode:
    """One node of a run. `waits` counts what must happen before it opens: side packets, and writers that open."""

    def __init__(self, scheduler: Scheduler, plan: NodePlan, executor: Executor) -> None:
        self.scheduler = scheduler
        self.executor = executor
        self.name = plan.name
        self.kind: str = plan.config.calculator
        self.number = plan.number
        self.contract: Contract = plan.contract
        self.plan = plan
        self.is_source = plan.is_source
        self.layer: int = plan.config.source_layer
        self.max_in_flight: int = plan.config.max_in_flight or 1
        self.priority = SOURCE_PRIORITY if self.is_source else -self.number
        self.inputs: list[InputStream] = []
        self.outputs: list[OutputStream] = []
        self.gates: list[Gate] = []
        self.policy: Policy
        self.waits = 0
        self.status = PREPARED
        self.in_flight = 0
        self.side_values: dict[str, Packet] = {}

    def prepare(self, calculator: Calculator) -> None:
        """Take a fresh calculator and fresh contexts for a run."""
        self.calculator = calculator
        self.process = calculator.process
        self.policy = make_policy(
            self.plan.policy, self.plan.policy_config, self.inputs, self.contract.inputs, self.name,
            bounds=self.contract.process_bounds,
        )  # fmt: skip
        self.side_outputs = [
            SideOutputView(entry.name, kind, entry.tag)
            for entry, kind in zip(self.contract.side_outputs, self.contract.types[SIDE_OUTPUT], strict=True)
        ]
        self.context = self._make_context()
        only = type(self.policy) is DefaultOfOne and self.max_in_flight == 1
        self.only_stream = self.inputs[0] if only else None
        self.lean_view: OutputView | None = None
        self.spare = [self.context]  # more are made when they are needed: a graph may allow any number
        self.flying: deque[tuple[Context, int]] = deque()
        self.finished: set[int] = set()
        self.has_offset = False
        self.last_bound = UNSET
        self.status = PREPARED
        self.in_flight = 0

    def _make_context(self) -> Context:
        contract = self.contract
        context = Context(self.name)
        sides = [
            SideInputView(entry.name, self.side_values.get(entry.name, EMPTY), entry.tag)
            for entry in contract.side_inputs
        ]
        context.inputs = [InputView(entry.name, entry.tag) for entry in contract.inputs]
        for view, stream in zip(context.inputs, self.inputs, strict=True):
            view.header = stream.header
        types = contract.types[OUTPUT]
        context.outputs = [
            OutputView(stream, object if place in contract.same_as else types[place], context, entry.tag)
            for place, (entry, stream) in enumerate(zip(contract.outputs, self.outputs, strict=True))
        ]
        views: dict[str, list[Any]] = {
            INPUT: context.inputs, OUTPUT: context.outputs, SIDE_INPUT: sides, SIDE_OUTPUT: self.side_outputs,
        }  # fmt: skip
        for port, places in contract.places.items():
            found = [views[port.kind][place] for place in places]
            context[port] = found if port.many else found[0] if found else None
        return context

    def open(self) -> None:
        """Run the calculator's `open`; without the lock."""
        context = self.context
        for view, stream in zip(context.inputs, self.inputs, strict=True):
            view.header = stream.header
        for port in self.contract.places:
            if port.kind == SIDE_INPUT:
                given: Any = dict.__getitem__(context, port)
                for side in given if port.many else [given] if given is not None else []:
                    side.packet = self.side_values.get(side.name, EMPTY)
        context.timestamp = UNSTARTED
        self.calculator.open(context)

    def opened(self) -> None:
        """What follows opening: side packets, headers, offsets and packets go to those who wait."""
        context = self.context
        for view in context.outputs:
            stream = view.stream
            stream.offset = view.offset if view.offset is not None else self.calculator.offset
            self.has_offset |= stream.offset is not None
            stream.header = view.header
        if self.only_stream is not None and len(context.outputs) == 1:
            self.lean_view = context.outputs[0]
        self.status = OPENED
        for side in self.side_outputs:
            if not side.packet.empty:
                self.scheduler.side_packet_set(side.name, side.packet)
        for view in context.outputs:
            view.stream.pass_header()
        self.emit(context, UNSTARTED)
        self.scheduler.node_opened(self)
        if self.is_source:
            context.timestamp = 0
        else:
            self.schedule()

    def _another_context(self) -> Context:
        """A context beside the first one, with the headers and side packets that it opened with."""
        other = self._make_context()
        for view, copy in zip(self.context.inputs, other.inputs, strict=True):
            copy.header = view.header
        for port, views in self.context.items():
            if port.kind in (SIDE_INPUT, SIDE_OUTPUT):
                other[port] = views
        return other

    def schedule(self) -> None:
        """Hand every invocation that is due to the executor; pass bounds on where none is."""
        if self.status != OPENED or self.in_flight >= self.max_in_flight:
            return
        stream = self.only_stream
        if stream is not None and stream.queue and not stream.full:
            packet = stream.queue.popleft()
            self.take(stream, packet, packet[1])
            return
        policy = self.policy
        while self.in_flight < self.max_in_flight:
            ready = policy.readiness()
            if ready == PROCESS:
                context = self.context if self.max_in_flight == 1 else self._next_context(policy.timestamp)
                context.timestamp = policy.timestamp
                policy.fill(policy.timestamp, context.inputs)
                self.in_flight += 1
                self.scheduler.push(self, context, self.priority)
            elif ready == NOT_READY:
                if self.has_offset:
                    self.last_bound = policy.timestamp
                    if not self.in_flight:
                        self.pass_bound()
                return
            else:
                if not self.in_flight:
                    self.in_flight = self.max_in_flight
                    self.context.timestamp = DONE
                    self.scheduler.push(self, self.context, self.priority)
                return

    def take(self, stream: InputStream, packet: Packet, timestamp: int) -> None:
        """The usual case of `schedule`: one stream that is read in order, whose next packet this is."""
        context = self.context
        view = context.inputs[0]
        view.packet = packet
        view.done = stream.bound == DONE and not stream.queue
        context.timestamp = stream.last_taken = timestamp
        self.in_flight = 1
        scheduler, executor = self.scheduler, self.executor
        scheduler.busy += 1
        scheduler.number += 1
        heappush(executor.heap, (self.priority, scheduler.number, self, context, True))
        if executor.idle:
            scheduler.wake(executor)

    def _next_context(self, timestamp: int) -> Context:
        context = self.spare.pop() if self.spare else self._another_context()
        for view in context.outputs:
            view.closed = view.stream.closed
        self.flying.append((context, timestamp))
        return context

    def schedule_source(self) -> None:
        """Let a source run once more, unless a full queue holds it back. Smaller output bounds go first."""
        if self.status == OPENED and not self.in_flight and not any(gate.full for gate in self.gates):
            self.in_flight = 1
            order = min((stream.bound for stream in self.outputs), default=0) - UNSET
            priority = ((SOURCE_PRIORITY + self.layer) << 65) + (order << 1)
            self.scheduler.push(self, self.context, priority)

    def schedule_source_if_active(self) -> None:
        """A gate has opened: go on, where the layer of this source has begun."""
        if self in self.scheduler.active_sources:
            self.schedule_source()

    def fullness_changed(self, stream: InputStream) -> None:
        self.scheduler.throttle.changed(stream)

    def processed(self, context: Context) -> None:
        """What follows processing: outputs go out in the order of the inputs, and the next invocation is looked for."""
        if self.max_in_flight == 1:
            view = self.lean_view
            if view is not None and len(view.packets) == 1 and view.updated == UNSET:
                target = view.stream
                if view.packets[0][1] == context.timestamp and not target.offset and not target.closed:
                    # one stream in, one packet out at its timestamp: what `emit` does, without the loop
                    target.pass_one(view.packets.pop())
                    self.in_flight = 0
                    only = self.inputs[0]
                    if only.queue or only.bound != target.bound or only.bound > MAX:
                        self.schedule()
                    return
            self.emit(context, context.timestamp)
            self.in_flight = 0
            stream = self.only_stream
            if (
                stream is None
                or stream.queue
                or len(self.outputs) != 1
                or stream.bound != self.outputs[0].bound
                or stream.bound > MAX
            ):
                self.schedule()
            return
        self.finished.add(id(context))
        while self.flying and id(self.flying[0][0]) in self.finished:
            done, timestamp = self.flying.popleft()
            self.finished.remove(id(done))
            self.emit(done, timestamp)
            self.spare.append(done)
            self.in_flight -= 1
        self.schedule()

    def emit(self, context: Context, timestamp: int) -> None:
        """Pass on what a call sent, and the bounds that follow from it and from the offset."""
        for view in context.outputs:
            stream = view.stream
            if stream.closed:
                continue
            packets = view.packets
            bound = view.updated
            offset = stream.offset
            if bound == UNSET and not offset and len(packets) == 1 and packets[0][1] == timestamp:
                # neither a bound of its own nor the offset can be above the one the packet makes
                stream.pass_one(packets.pop())
                continue
            if offset is not None and timestamp > UNSTARTED:
                settled = offset_bound(timestamp, offset)
                if settled > bound and settled > stream.bound:
                    bound = settled
            if packets:
                stream.pass_on(packets, bound)
                packets.clear()
            elif bound != UNSET and not view.closed:
                stream.pass_on(packets, bound)
            view.updated = UNSET
            if view.closed:
                stream.close()

    def pass_bound(self) -> None:
        """With an offset, what is settled at the inputs is settled at the outputs too."""
        bound = self.last_bound
        if is_range(bound):
            for stream in self.outputs:
                offset = stream.offset
                if offset is not None and not stream.closed:
                    moved = shifted(bound, offset) if offset else bound
                    if moved > stream.bound:
                        self.scheduler.later(stream, moved)

    def close(self, error: BaseException | None) -> None:
        """Run the calculator's `close`; without the lock."""
        context = self.context
        context.timestamp = DONE
        context.error = error
        self.calculator.close(context)

    def closed(self) -> None:
        """What follows closing: the last packets go out and all outputs end."""
        for reader in self.inputs:
            reader.close()
        self.status = CLOSED
        self.in_flight = 0
        for view in self.context.outputs:
            stream = view.stream
            if not stream.closed and view.packets:
                stream.pass_on(view.packets, UNSET)
            view.packets = []
            stream.close()
        for side in self.side_outputs:
            if not side.packet.empty:
                self.scheduler.side_packet_set(side.name, side.packet)
