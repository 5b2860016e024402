from __future__ import annotations

from collections import deque
from typing import Any

from pocketgraph.runtime.calculators.core.switch_channels import SwitchHalf, channel_tag
from pocketgraph.runtime.calculators.core.switch_demux import relay
from pocketgraph.runtime.graph.calculator import STOP
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.ports import ANY, Inputs, Outputs, SideInputs, SideOutputs
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import DONE, next_allowed


@register("SwitchMuxCalculator")
class SwitchMux(SwitchHalf):
    """The second half of a switch: hands on what the active channel gives. `SwitchContainer` makes it.

    Inputs: SELECT (int) or ENABLE (bool); C0__VIDEO, C1__VIDEO, …. Side packets: likewise.
    Outputs: VIDEO, …; side packets of the channel that is active at the start.
    Policy: Immediate, settled timestamps are processed.

    Example:
        node {
          calculator: "SwitchMuxCalculator"
          input_stream: "SELECT:which"
          input_stream: "C0__VIDEO:frames_a"
          input_stream: "C1__VIDEO:frames_b"
          output_stream: "VIDEO:frames"
        }
    """

    inputs = Inputs[Any](ANY, optional=True)
    outputs = Outputs[Any](ANY, optional=True)
    sides = SideInputs[Any](ANY, optional=True)
    made_sides = SideOutputs[Any](ANY, optional=True)

    def open(self, context: Context) -> None:
        super().open(context)
        views = context[self.inputs]
        self._queues: list[deque[Packet]] = [deque() for _ in views]
        self._feeds: list[dict[str, int]] = []
        indexes: dict[str, int] = {}
        for target in context[self.outputs]:
            index = indexes[target.tag] = indexes.get(target.tag, -1) + 1
            found: dict[str, int] = {}
            seen: dict[str, int] = {}
            for place, view in enumerate(views):
                seen[view.tag] = seen.get(view.tag, -1) + 1
                if seen[view.tag] == index and view.tag.partition("__")[2] == target.tag:
                    found[view.tag] = place
            self._feeds.append(found)
        indexes = {}
        for made in context[self.made_sides]:
            index = indexes[made.tag] = indexes.get(made.tag, -1) + 1
            tag = channel_tag(made.tag, self._channels[0])
            given = [side for side in context[self.sides] if side.tag == tag]
            if index < len(given):
                made.set(given[index].packet)

    def process(self, context: Context) -> Any:
        if not context.inputs:
            return STOP  # side packets alone are switched; without this it would be a source that never ends
        self.note_channel(context)
        views = context[self.inputs]
        for view, queue in zip(views, self._queues, strict=True):
            if view.timestamp == context.timestamp:
                queue.append(view.packet)
        expired = 0
        for number, channel in enumerate(self._channels):
            start = self._starts[number]
            last = number + 1 == len(self._channels)
            end = next_allowed(self.settled(context)) if last else self._starts[number + 1]
            settled = DONE
            for target, feeds in zip(context[self.outputs], self._feeds, strict=True):
                place = feeds.get(channel_tag(target.tag, channel))
                if place is None:
                    continue
                queue = self._queues[place]
                while queue and queue[0].timestamp < end:
                    packet = queue.popleft()
                    if packet.timestamp >= start:
                        relay(target, packet)
                settled = min(settled, views[place].timestamp)
            if last or next_allowed(settled) < end:
                break
            expired = number + 1
            for queue in self._queues:
                while queue and queue[0].timestamp < end:
                    queue.popleft()
        del self._starts[:expired], self._channels[:expired]
        return None
