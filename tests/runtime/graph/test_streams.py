"""The queue at a reader and the writer's side: bounds, order, fullness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pocketgraph.models.errors import GraphRuntimeError
from pocketgraph.runtime.graph.packet import EMPTY, Packet
from pocketgraph.runtime.graph.streams import InputStream, OutputStream, offset_bound
from pocketgraph.runtime.graph.timestamp import (
    DONE,
    MAX,
    MIN,
    ONE_OVER_POST_STREAM,
    POST_STREAM,
    PRE_STREAM,
    UNSET,
    UNSTARTED,
)


class Reader:
    name = "reader"
    only_stream = None
    in_flight = status = 0

    def __init__(self) -> None:
        self.scheduled = 0
        self.fullness: list[bool] = []

    def schedule(self) -> None:
        self.scheduled += 1

    def fullness_changed(self, stream: InputStream) -> None:
        self.fullness.append(stream.full)


@pytest.fixture
def stream() -> InputStream:
    return InputStream("s", Reader())


def _fill(stream: InputStream, *timestamps: int) -> None:
    for timestamp in timestamps:
        stream.add(Packet(f"at {timestamp}", timestamp))


def test_a_new_stream_is_empty_and_open(stream: InputStream) -> None:
    assert stream.head() == (PRE_STREAM, True)
    assert not stream.done
    assert stream.header is EMPTY


def test_packets_move_the_bound(stream: InputStream) -> None:
    _fill(stream, 10, 20)
    assert stream.bound == 21
    assert stream.head() == (10, False)
    assert stream.added == 2


@pytest.mark.parametrize("timestamp", [UNSET, UNSTARTED, ONE_OVER_POST_STREAM, DONE])
def test_illegal_timestamps(stream: InputStream, timestamp: int) -> None:
    with pytest.raises(GraphRuntimeError, match='stream "s": a packet cannot have the timestamp'):
        stream.add(Packet(1, timestamp))


@pytest.mark.parametrize("timestamp", [10, 9, MIN, PRE_STREAM])
def test_timestamps_cannot_go_back(stream: InputStream, timestamp: int) -> None:
    _fill(stream, 10)
    with pytest.raises(GraphRuntimeError, match="at least 11 was expected"):
        stream.add(Packet(1, timestamp))


def test_a_packet_below_a_bound_is_refused(stream: InputStream) -> None:
    stream.set_bound(100)
    with pytest.raises(GraphRuntimeError, match="at least 100 was expected, 99 came"):
        stream.add(Packet(1, 99))
    stream.add(Packet(1, 100))


@pytest.mark.parametrize("timestamp", [PRE_STREAM, POST_STREAM, MAX])
def test_nothing_follows_the_last_timestamps(stream: InputStream, timestamp: int) -> None:
    stream.add(Packet(1, timestamp))
    assert stream.bound == ONE_OVER_POST_STREAM
    with pytest.raises(GraphRuntimeError):
        stream.add(Packet(1, POST_STREAM))


def test_a_packet_at_post_stream_must_be_alone(stream: InputStream) -> None:
    _fill(stream, 10)
    with pytest.raises(GraphRuntimeError, match="must be the only one"):
        stream.add(Packet(1, POST_STREAM))


def test_bounds_move_up_alone(stream: InputStream) -> None:
    assert stream.set_bound(10)
    assert not stream.set_bound(10)
    with pytest.raises(GraphRuntimeError, match="went back from 10 to 9"):
        stream.set_bound(9)


def test_a_bound_behind_packets_is_not_noticed(stream: InputStream) -> None:
    _fill(stream, 10)
    assert not stream.set_bound(50)
    assert stream.bound == 50


def test_take_returns_the_packet_at_the_time(stream: InputStream) -> None:
    _fill(stream, 10, 20)
    assert stream.take(10).value == "at 10"
    assert stream.take(20).value == "at 20"
    assert not stream.queue


def test_take_without_a_packet_gives_the_settled_time(stream: InputStream) -> None:
    _fill(stream, 20)
    packet = stream.take(10)
    assert packet.empty
    assert packet.timestamp == 19


def test_take_moves_the_bound(stream: InputStream) -> None:
    assert stream.take(10).timestamp == 10
    assert stream.bound == 11
    with pytest.raises(GraphRuntimeError, match="went back"):
        _fill(stream, 10)


def test_take_does_not_lose_packets(stream: InputStream) -> None:
    _fill(stream, 10, 20)
    with pytest.raises(GraphRuntimeError, match="would lose a packet"):
        stream.take(20)


def test_take_does_not_go_back(stream: InputStream) -> None:
    stream.take(20)
    with pytest.raises(GraphRuntimeError, match="back in time"):
        stream.take(19)


def test_a_done_stream(stream: InputStream) -> None:
    _fill(stream, 10)
    stream.set_bound(DONE)
    assert not stream.done
    stream.take(10)
    assert stream.done


def test_a_closed_stream_drops_what_comes(stream: InputStream) -> None:
    _fill(stream, 10)
    stream.close()
    assert not stream.queue
    _fill(stream, 20)
    assert not stream.queue
    assert not stream.set_bound(30)
    assert stream.done


def test_untimed_streams_take_any_order(stream: InputStream) -> None:
    stream.timed = False
    _fill(stream, 20, 10)
    stream.set_bound(DONE)
    assert [stream.take_head().timestamp for _ in range(3)] == [20, 10, UNSET]


def test_drop_before(stream: InputStream) -> None:
    _fill(stream, 10, 20, 30)
    stream.drop_before(20)
    assert stream.head() == (20, False)


@pytest.mark.parametrize(("count", "earliest"), [(1, 30), (2, 20), (3, 10), (9, 10), (0, UNSET)])
def test_earliest_of_latest(stream: InputStream, count: int, earliest: int) -> None:
    _fill(stream, 10, 20, 30)
    assert stream.earliest_of_latest(count) == earliest


def test_full_and_not_full_are_told_once(stream: InputStream) -> None:
    stream.set_limit(2)
    _fill(stream, 10, 20, 30)
    assert stream.reader.fullness == [True]  # type: ignore[attr-defined]
    stream.take(10)
    assert stream.full
    stream.take(20)
    assert stream.reader.fullness == [True, False]  # type: ignore[attr-defined]


@pytest.mark.parametrize("limit", [-1, 5])
def test_a_larger_limit_empties_a_full_queue(stream: InputStream, limit: int) -> None:
    stream.set_limit(2)
    _fill(stream, 10, 20)
    stream.set_limit(limit)
    assert stream.reader.fullness == [True, False]  # type: ignore[attr-defined]


def test_a_smaller_limit_fills_it(stream: InputStream) -> None:
    _fill(stream, 10, 20)
    stream.set_limit(2)
    assert stream.full


def test_types_are_checked_where_asked(stream: InputStream) -> None:
    stream.type = (int, float)
    stream.add(Packet(1.5, 1))
    with pytest.raises(GraphRuntimeError, match="takes int or float, but a str came"):
        stream.add(Packet("x", 2))


def test_a_reset_stream_is_new(stream: InputStream) -> None:
    _fill(stream, 10)
    stream.close()
    stream.reset()
    assert stream.head() == (PRE_STREAM, True)


@pytest.fixture
def output() -> OutputStream:
    output = OutputStream("s")
    output.readers = [InputStream("s", Reader()), InputStream("s", Reader())]
    return output


def test_every_reader_gets_every_packet(output: OutputStream) -> None:
    output.pass_on([Packet(1, 10), Packet(2, 20)], UNSET)
    for stream in output.readers:
        assert [packet.timestamp for packet in stream.queue] == [10, 20]
        assert stream.bound == 21
        assert stream.reader.scheduled == 1  # type: ignore[attr-defined]
    assert output.bound == 21


def test_a_bound_beyond_the_packets(output: OutputStream) -> None:
    output.pass_on([Packet(1, 10)], 50)
    assert output.bound == 50
    assert {stream.bound for stream in output.readers} == {50}


def test_a_bound_below_the_packets_does_nothing(output: OutputStream) -> None:
    output.pass_on([Packet(1, 10)], 5)
    assert output.bound == 11


def test_only_noticeable_bounds_wake_readers(output: OutputStream) -> None:
    output.move_bound(10)
    output.move_bound(10)
    assert [stream.reader.scheduled for stream in output.readers] == [1, 1]  # type: ignore[attr-defined]


def test_output_bounds_move_up_alone(output: OutputStream) -> None:
    output.move_bound(10)
    with pytest.raises(GraphRuntimeError, match="went back from 10 to 9"):
        output.move_bound(9)


def test_closing_twice_tells_readers_once(output: OutputStream) -> None:
    output.close()
    output.close()
    assert [(stream.bound, stream.reader.scheduled) for stream in output.readers] == [(DONE, 1)] * 2  # type: ignore[attr-defined]


def test_headers_reach_all_readers(output: OutputStream) -> None:
    output.header = Packet("header")
    output.pass_header()
    assert {stream.header.value for stream in output.readers} == {"header"}


@pytest.mark.parametrize(
    ("timestamp", "offset", "bound"),
    [
        (10, 0, 11),
        (10, 5, 16),
        (10, -5, 6),
        (PRE_STREAM, 3, MIN),
        (POST_STREAM, 0, ONE_OVER_POST_STREAM),
        (MAX, 0, POST_STREAM),
    ],
)
def test_offsets(timestamp: int, offset: int, bound: int) -> None:
    assert offset_bound(timestamp, offset) == bound


def test_a_wrong_packet_leaves_the_others(output: OutputStream) -> None:
    calls: list[Callable[[], Any]] = [lambda: output.pass_on([Packet(1, 10), Packet(2, 10)], UNSET)]
    with pytest.raises(GraphRuntimeError, match="went back on stream"):
        calls[0]()
    assert output.readers[0].added == 1
