from __future__ import annotations

from collections import deque
from typing import Any

from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.ports import Input, Output
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import MAX, UNSET, UNSTARTED


@register("PreviousLoopbackCalculator")
class PreviousLoopback(Calculator):
    """Gives, beside each packet of MAIN, what came out of the loop for the packet of MAIN before it.

    The first packet of MAIN, and one whose predecessor gave nothing, only move the bound of PREV_LOOP, so readers see
    an empty packet and do not wait. A time of MAIN without a packet moves the bound too.

    Inputs: MAIN (anything); LOOP (anything), marked as a back edge.
    Outputs: PREV_LOOP: the value of LOOP at the timestamp of MAIN.
    Policy: Immediate, settled timestamps are processed.

    Example:
        node {
          calculator: "PreviousLoopbackCalculator"
          input_stream: "MAIN:frames"
          input_stream: "LOOP:hands"
          input_stream_info: { tag_index: "LOOP" back_edge: true }
          output_stream: "PREV_LOOP:hands_before"
        }
    """

    main = Input[Any]("MAIN")
    loop = Input[Any]("LOOP")
    previous = Output[Any]("PREV_LOOP")
    policy = "ImmediateInputStreamHandler"
    process_bounds = True

    def open(self, context: Context) -> None:
        # of MAIN: the timestamp, and the one LOOP must have to match (Unset: none does)
        self._mains: deque[tuple[int, int]] = deque()
        self._loops: deque[Packet] = deque()
        self._last_main = self._last_full_main = UNSTARTED
        self._last_loop = UNSET - 1
        if not context[self.loop].header.empty:
            context[self.previous].set_header(context[self.loop].header)

    def process(self, context: Context) -> None:
        self._remember(context[self.main].packet, context[self.loop].packet)
        target = context[self.previous]
        while self._mains and self._loops:
            timestamp, wanted = self._mains[0]
            candidate = self._loops[0]
            if wanted > candidate.timestamp:
                self._loops.popleft()
            else:
                if wanted == candidate.timestamp:
                    self._loops.popleft()
                self._mains.popleft()
                if target.closed:
                    pass
                elif wanted < candidate.timestamp or candidate.empty:
                    target.set_bound(min(timestamp, MAX - 1) + 1)
                else:
                    target.send(candidate.value, timestamp)
            if timestamp == MAX and not target.closed:
                # nothing can follow on MAIN
                target.close()

    def _remember(self, main: Packet, loop: Packet) -> None:
        if main.timestamp > self._last_main:
            wanted = UNSET
            if not main.empty:
                wanted, self._last_full_main = self._last_full_main, main.timestamp
            self._mains.append((main.timestamp, wanted))
            self._last_main = main.timestamp
        if loop.timestamp > self._last_loop:
            self._loops.append(loop)
            self._last_loop = loop.timestamp
