"""What the two halves of a switch share: names of channels, and the history of which was active when."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import Input, SideInput
from pocketgraph.runtime.graph.timestamp import DONE, UNSTARTED

SwitchContainerOptions = OptionsSpec("""
message SwitchContainerOptions extends CalculatorOptions at 345967970
  repeated CalculatorGraphConfig.Node contained_node = 2
  int32 select = 3
  bool enable = 4
  bool synchronize_io = 5
  bool async_selection = 6
  repeated string tick_input_stream = 7
""")
_CHANNEL = re.compile(r"C(\d+)__(.*)")


def channel_tag(tag: str, channel: int) -> str:
    """The tag of `tag` in one channel, `C1__VIDEO`."""
    return f"C{channel}__{tag}"


def parse_channel_tag(text: str) -> tuple[int, str] | None:
    """The channel and the tag of `C1__VIDEO`, or None."""
    match = _CHANNEL.fullmatch(text)
    return (int(match[1]), match[2]) if match else None


def channels_of(tags: Iterable[str]) -> int:
    """One more than the highest channel among tags."""
    return max((found[0] + 1 for found in map(parse_channel_tag, tags) if found is not None), default=0)


class SwitchHalf(Calculator):
    """Reads which channel is active, and remembers since when."""

    select = Input("SELECT", int, optional=True)
    enable = Input("ENABLE", bool, optional=True)
    side_select = SideInput("SELECT", int, optional=True)
    side_enable = SideInput("ENABLE", bool, optional=True)
    policy = "ImmediateInputStreamHandler"
    process_bounds = True
    Options = SwitchContainerOptions

    def open(self, context: Context) -> None:
        channel = 0
        if self.options.HasField("enable"):
            channel = int(self.options.enable)
        if self.options.HasField("select"):
            channel = self.options.select
        if context[self.side_enable]:
            channel = int(context[self.side_enable].value)
        if context[self.side_select]:
            channel = context[self.side_select].value
        self._starts, self._channels = [UNSTARTED], [channel]

    def _control(self, context: Context) -> Any:
        return context[self.enable] if context[self.enable] is not None else context[self.select]

    def settled(self, context: Context) -> int:
        """Up to which timestamp the active channel is known."""
        control = self._control(context)
        return DONE if control is None else control.timestamp

    def note_channel(self, context: Context) -> None:
        """Remember a channel that has just become active."""
        control = self._control(context)
        if control is not None and control and control.timestamp == context.timestamp:
            channel = int(control.value)
            if channel != self._channels[-1]:
                self._starts.append(context.timestamp)
                self._channels.append(channel)

    def channel_at(self, timestamp: int) -> int:
        """The channel that was active at `timestamp`; -1 where that is forgotten."""
        place = bisect_right(self._starts, timestamp) - 1
        return self._channels[place] if place >= 0 else -1

    def forget_before(self, timestamp: int) -> None:
        old = bisect_right(self._starts, timestamp) - 1
        if old > 0:
            del self._starts[:old], self._channels[:old]
