from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Any

from pocketgraph.models.errors import GraphConfigError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context, OutputView
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.ports import Input, Inputs, Output, Outputs, SideInput
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import DONE, MAX, UNSET, next_allowed


@register("FlowLimiterCalculator")
class FlowLimiter(Calculator):
    """Lets a frame into the graph only once earlier ones have come out, and drops frames meanwhile.

    A frame is in flight from when it is let in until a packet at its timestamp, or a later one, comes on FINISHED.
    At most `max_in_flight` are; up to `max_in_queue` more wait, newer ones pushing out older ones; the rest is dropped.
    Further inputs follow the first: their packets pass where the frame at or before their timestamp did.

    Inputs: at least one without a tag, the first is the frames; FINISHED (anything), marked as a back edge; OPTIONS
    (FlowLimiterCalculatorOptions, optional): new options from its timestamp on.
    Side packets: MAX_IN_FLIGHT (int, optional).
    Outputs: as many without a tag; ALLOW (bool, optional): for each frame, whether it was let in.
    Options (FlowLimiterCalculatorOptions):
        max_in_flight: frames in the graph at once; default 1.
        max_in_queue: frames that may wait; default 0.
        in_flight_timeout: µs after which a frame counts as lost, by the timestamps of frames; default 0, never.
    Policy: Immediate, settled timestamps are processed.

    Example:
        node {
          calculator: "FlowLimiterCalculator"
          input_stream: "frames"
          input_stream: "FINISHED:hands"
          input_stream_info: { tag_index: "FINISHED" back_edge: true }
          output_stream: "some_frames"
        }
    """

    data = Inputs[Any]("")
    finished = Input[Any]("FINISHED")
    new_options = Input[Any]("OPTIONS", optional=True)
    side_in_flight = SideInput("MAX_IN_FLIGHT", int, optional=True)
    passed = Outputs[Any]("", same_as=data)
    allow = Output("ALLOW", bool, optional=True)
    policy = "ImmediateInputStreamHandler"
    process_bounds = True
    Options = OptionsSpec("""
message FlowLimiterCalculatorOptions extends CalculatorOptions at 326963320
  int32 max_in_flight = 1 default 1
  int32 max_in_queue = 2 default 0
  int64 in_flight_timeout = 3 default 0
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.count(cls.data) != contract.count(cls.passed):
            raise GraphConfigError(
                f"it has {contract.count(cls.data)} data inputs, but {contract.count(cls.passed)} data outputs"
            )

    def open(self, context: Context) -> None:
        self._set(self.options)
        if context[self.side_in_flight]:
            self._most_in_flight = context[self.side_in_flight].value
        self._queues: list[deque[Packet]] = [deque() for _ in context[self.data]]
        self._flying: deque[int] = deque()
        # from each timestamp on, whether frames were let in
        self._since = [UNSET]
        self._let_in = [True]
        for source, target in zip(context[self.data], context[self.passed], strict=True):
            if not source.header.empty:
                target.set_header(source.header)

    def _set(self, options: Any) -> None:
        self._most_in_flight = options.max_in_flight
        self._most_in_queue = options.max_in_queue
        self._timeout = options.in_flight_timeout

    def process(self, context: Context) -> None:
        if context[self.new_options]:
            self._set(context[self.new_options].value)
        finished = context[self.finished].packet.timestamp
        if finished == context.timestamp:
            while self._flying and self._flying[0] <= finished:
                self._flying.popleft()
        frames = context[self.data]
        for view, queue in zip(frames, self._queues, strict=True):
            if view:
                queue.append(view.packet)
        latest = frames[0].timestamp
        if self._timeout > 0 and latest == context.timestamp and latest < MAX:
            while self._flying and latest - self._flying[0] > self._timeout:
                self._flying.popleft()
        self._let_frames_in(context)
        self._pass_others(context)
        bound = min(
            queue[0].timestamp if queue else next_allowed(view.timestamp)
            for view, queue in zip(frames, self._queues, strict=True)
        )
        old = bisect_right(self._since, bound) - 1
        del self._since[:old], self._let_in[:old]

    def _let_frames_in(self, context: Context) -> None:
        target, queue = context[self.passed][0], self._queues[0]
        while queue and len(self._flying) < self._most_in_flight:
            packet = queue.popleft()
            target.add(packet)
            self._flying.append(packet.timestamp)
            self._told(context, packet.timestamp, allowed=True)
        while len(queue) > self._most_in_queue:
            self._told(context, queue.popleft().timestamp, allowed=False)
        if queue:
            _advance(target, queue[0].timestamp)
            return
        bound = next_allowed(context[self.data][0].timestamp)
        _advance(target, bound)
        if context[self.allow] is not None:
            _advance(context[self.allow], bound)

    def _told(self, context: Context, timestamp: int, *, allowed: bool) -> None:
        if context[self.allow] is not None:
            context[self.allow].send(allowed, timestamp)
        self._since.append(timestamp)
        self._let_in.append(allowed)

    def _pass_others(self, context: Context) -> None:
        """Let go of packets of the further inputs, up to where it is settled which frames pass."""
        views, targets = context[self.data], context[self.passed]
        settled = targets[0].bound if not targets[0].closed else DONE
        for view, target, queue in zip(views[1:], targets[1:], self._queues[1:], strict=True):
            while queue and queue[0].timestamp < settled:
                packet = queue.popleft()
                if self._let_in[bisect_right(self._since, packet.timestamp) - 1]:
                    target.add(packet)
            _advance(target, queue[0].timestamp if queue else next_allowed(view.timestamp))


def _advance(target: OutputView, bound: int) -> None:
    """Move the bound up to `bound`, which is the end where nothing follows."""
    if target.closed:
        return
    if bound > MAX:
        target.close()
    elif bound > target.bound:
        target.set_bound(bound)
