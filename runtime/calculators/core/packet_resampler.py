from __future__ import annotations

import random
from typing import Any

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.packet import EMPTY, Packet
from pocketgraph.runtime.graph.ports import Inputs, Outputs, SideInput
from pocketgraph.runtime.graph.registry import register
from pocketgraph.runtime.graph.timestamp import MAX, MIN, PER_SECOND, PRE_STREAM, UNSET


@register("PacketResamplerCalculator")
class PacketResampler(Calculator):
    """Gives packets at a steady rate: at each tick the packet nearest to it, a packet may come twice or not at all.

    The first tick is the first packet, or the tick nearest to it of those counted from `base_timestamp`. With `jitter`
    ticks lie up to that share of a period apart from the steady ones, by a random generator of the given seed.

    Inputs: one, without a tag or DATA.
    Side packets: SEED (str), with jitter.
    Outputs: one, without a tag or DATA.
    Options (PacketResamplerCalculatorOptions):
        frame_rate: packets a second, needed; at most 1,000,000. max_frame_rate: no more than that.
        flush_last_packet: at the end, fill the period that had begun; default true.
        jitter: 0 to 1, default 0. jitter_with_reflection: keep ticks of adjacent periods in order.
        reproducible_sampling: ticks do not depend on where the stream began.
        base_timestamp: see above. start_time, end_time: send nothing before, or from then on (µs).
        round_limits: let limits move by half a period.
        output_header: PASS_HEADER copies the header.

    Example:
        node {
          calculator: "PacketResamplerCalculator"
          input_stream: "frames"
          output_stream: "frames_at_10_hz"
          options: { [mediapipe.PacketResamplerCalculatorOptions.ext] { frame_rate: 10 } }
        }
    """

    inputs = Inputs[Any]("", optional=True)
    data = Inputs[Any]("DATA", optional=True)
    seed = SideInput("SEED", str, optional=True)
    outputs = Outputs[Any]("", optional=True)
    resampled = Outputs[Any]("DATA", optional=True)
    Options = OptionsSpec("""
message PacketResamplerCalculatorOptions extends CalculatorOptions at 95743844
  double frame_rate = 1 default -1.0
  enum OutputHeader NONE=0 PASS_HEADER=1 UPDATE_VIDEO_HEADER=2
  OutputHeader output_header = 2 default NONE
  bool flush_last_packet = 3 default true
  double jitter = 4
  int64 base_timestamp = 5
  int64 start_time = 6
  int64 end_time = 7
  bool round_limits = 8 default false
  bool jitter_with_reflection = 9 default false
  bool reproducible_sampling = 10 default false
  bool use_input_frame_rate = 11 default false
  double max_frame_rate = 12 default -1.0
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        options = contract.options
        if len(contract.inputs) != 1 or len(contract.outputs) != 1:
            raise GraphConfigError("it has one input and one output")
        if not 0 < options.frame_rate <= PER_SECOND:
            raise GraphConfigError(f"frame_rate is above 0 and at most {PER_SECOND}, not {options.frame_rate}")
        if not 0 <= options.jitter <= 1:
            raise GraphConfigError(f"jitter lies between 0 and 1, not at {options.jitter}")
        if options.jitter and not contract.has(cls.seed):
            raise GraphConfigError("jitter needs the side packet SEED")
        if options.use_input_frame_rate or options.output_header == 2:
            raise GraphConfigError("video headers are not known here; use PASS_HEADER and frame_rate")

    def open(self, context: Context) -> None:
        options = self.options
        self._rate = options.frame_rate
        if options.max_frame_rate > 0:
            self._rate = min(self._rate, options.max_frame_rate)
        self._period = int(PER_SECOND / self._rate)
        margin = self._period // 2 if options.round_limits else 0
        self._start = options.start_time - margin if options.HasField("start_time") else MIN
        self._end = options.end_time + margin if options.HasField("end_time") else MAX
        self._last: Packet = EMPTY
        self._first = UNSET
        self._index = 0
        self._emitted = False
        if options.jitter:
            self._random = random.Random(context[self.seed].value)  # noqa: S311 - sampling, not secrets
            self._jitter = int(PER_SECOND * options.jitter / self._rate)
        if options.output_header and not context.inputs[0].header.empty:
            context.outputs[0].set_header(context.inputs[0].header)

    def _tick(self, index: int) -> int:
        return self._first + round(index / self._rate * PER_SECOND)

    def _nearest(self, timestamp: int) -> int:
        """The number of the tick nearest to `timestamp`, halves away from 0."""
        ticks = (timestamp - self._first) / PER_SECOND * self._rate
        return int(ticks + 0.5) if ticks >= 0 else -int(0.5 - ticks)

    def _send(self, context: Context, packet: Packet, timestamp: int) -> None:
        if self._start <= timestamp < self._end:
            context.outputs[0].send(packet.value, timestamp)

    def process(self, context: Context) -> None:
        packet = context.inputs[0].packet
        if packet.timestamp <= PRE_STREAM:
            raise GraphRuntimeError("a packet at PreStream has no place on a time line")
        if self.options.jitter:
            self._with_jitter(context, packet)
        else:
            self._steadily(context, packet)
        self._last = packet

    def _steadily(self, context: Context, packet: Packet) -> None:
        now = packet.timestamp
        if self._first == UNSET:
            self._first = now
            if self.options.HasField("base_timestamp"):
                self._first = self.options.base_timestamp
                self._first = self._tick(self._nearest(now))
        nearest = self._nearest(now)
        if nearest < self._index:
            return
        while nearest > self._index:
            self._send(context, self._last, self._tick(self._index))
            self._index += 1
        tick = self._tick(self._index)
        if now >= tick:
            later = self._last is not EMPTY and now - tick > tick - self._last.timestamp
            self._send(context, self._last if later else packet, tick)
            self._index += 1
        context.outputs[0].set_bound(max(self._tick(self._index), context.outputs[0].bound))

    def _with_jitter(self, context: Context, packet: Packet) -> None:
        """Ticks around the steady ones; `_first` is the beginning of the period, `_next` the tick in it."""
        now = packet.timestamp
        if self._first == UNSET:
            self._first = self._beginning(now)
            self._next = self._first + self._random.randrange(self._period)
            if self.options.reproducible_sampling:
                while self._next < now:
                    self._advance()
        while self._next <= now:
            nearer_before = self._last is not EMPTY and now - self._next > self._next - self._last.timestamp
            self._send(context, self._last if nearer_before else packet, self._next)
            self._advance()
            self._emitted = True
            context.outputs[0].set_bound(max(min(self._next, self._first), context.outputs[0].bound))

    def _beginning(self, now: int) -> int:
        if not self.options.reproducible_sampling:
            return now
        base = self.options.base_timestamp if self.options.HasField("base_timestamp") else 0
        return base + (now - base) // self._period * self._period

    def _advance(self) -> None:
        self._first += self._period
        self._next += self._period + self._random.randint(-self._jitter, self._jitter)
        if self.options.jitter_with_reflection or self.options.reproducible_sampling:
            low, high = self._first, self._first + self._period
            span = 2 * (high - low)
            place = (self._next - low) % span
            self._next = low + (place if place < high - low else span - 1 - place)
        else:
            self._next = max(self._next, self._first - self._period + 1)
        self._emitted = False

    def close(self, context: Context) -> None:
        if context.error is not None or self._last is EMPTY:
            return
        if self.options.jitter:
            if (self.options.jitter_with_reflection or self.options.reproducible_sampling) and not self._emitted:
                self._send(context, self._last, self._next)
        elif self.options.flush_last_packet and self._nearest(self._last.timestamp) == self._index:
            self._send(context, self._last, self._tick(self._index))
