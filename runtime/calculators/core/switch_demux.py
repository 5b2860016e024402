from __future__ import annotations

from collections import deque
from typing import Any

from pocketgraph.runtime.calculators.core.switch_channels import SwitchHalf, channel_tag, channels_of
from pocketgraph.runtime.graph.calculator import STOP
from pocketgraph.runtime.graph.context import Context, InputView, OutputView
from pocketgraph.runtime.graph.packet import Packet
from pocketgraph.runtime.graph.ports import ANY, Inputs, Outputs, SideInputs, SideOutputs
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import DONE, next_allowed, previous_allowed


@register("SwitchDemuxCalculator")
class SwitchDemux(SwitchHalf):
    """The first half of a switch: sends packets and bounds to the active channel alone. `SwitchContainer` makes it.

    Inputs: SELECT (int) or ENABLE (bool); any others, say VIDEO.
    Side packets: SELECT or ENABLE; any others. Outputs: C0__VIDEO, C1__VIDEO, …; side packets go to all channels.
    Policy: Immediate, settled timestamps are processed.

    Example:
        node {
          calculator: "SwitchDemuxCalculator"
          input_stream: "SELECT:which"
          input_stream: "VIDEO:frames"
          output_stream: "C0__VIDEO:frames_a"
          output_stream: "C1__VIDEO:frames_b"
        }
    """

    inputs = Inputs[Any](ANY, optional=True)
    outputs = Outputs[Any](ANY, optional=True)
    sides = SideInputs[Any](ANY, optional=True)
    made_sides = SideOutputs[Any](ANY, optional=True)

    def open(self, context: Context) -> None:
        super().open(context)
        count = channels_of(view.tag for view in context[self.outputs])
        self._queues: list[deque[Packet]] = [deque() for _ in context[self.inputs]]
        self._routes = [
            {channel: place for channel in range(count) for place in self._found(context, view, number, channel)}
            for number, view in enumerate(context[self.inputs])
        ]
        for number, view in enumerate(context[self.inputs]):
            for place in self._routes[number].values():
                if not view.header.empty:
                    context[self.outputs][place].set_header(view.header)
        indexes: dict[str, int] = {}
        for made in context[self.made_sides]:
            index = indexes[made.tag] = indexes.get(made.tag, -1) + 1
            tag = made.tag.partition("__")[2]
            given = [side for side in context[self.sides] if side.tag == tag]
            if index < len(given):
                made.set(given[index].packet)

    def _found(self, context: Context, view: InputView, number: int, channel: int) -> list[int]:
        """Where among the outputs the input `number` goes in `channel`."""
        index = sum(other.tag == view.tag for other in context[self.inputs][:number])
        tag = channel_tag(view.tag, channel)
        return [place for place, target in enumerate(context[self.outputs]) if target.tag == tag][index : index + 1]

    def process(self, context: Context) -> Any:
        if not context.inputs:
            return STOP  # side packets alone are switched; without this it would be a source that never ends
        for view, queue in zip(context[self.inputs], self._queues, strict=True):
            if view.timestamp == context.timestamp:
                queue.append(view.packet)
        self.note_channel(context)
        settled = self.settled(context)
        open_until = DONE
        for view, queue, routes in zip(context[self.inputs], self._queues, self._routes, strict=True):
            while queue and queue[0].timestamp <= settled:
                packet = queue.popleft()
                place = routes.get(self.channel_at(packet.timestamp))
                if place is not None:
                    relay(context[self.outputs][place], packet)
            open_until = min(open_until, view.timestamp)
            if queue:
                open_until = min(open_until, previous_allowed(queue[0].timestamp))
        self.forget_before(next_allowed(open_until))
        return None


def relay(target: OutputView, packet: Packet) -> None:
    """Send a packet, or move the bound past an empty one; not where that would go back."""
    if target.closed:
        return
    if not packet.empty:
        target.add(packet)
    elif next_allowed(packet.timestamp) > target.bound:
        target.set_bound(next_allowed(packet.timestamp))
