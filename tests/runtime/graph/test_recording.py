"""Recordings: what goes in comes out bit for bit, damage is told, and a replayed graph gives the same results."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pocketgraph.__main__ import main
from pocketgraph.models.errors import FormatError, GraphRuntimeError, UsageError
from pocketgraph.runtime.graph import CalculatorGraph, Packet, Timestamp, parse_text, testing, values
from pocketgraph.runtime.graph.feed import feed, source_of
from pocketgraph.runtime.graph.recording import MAGIC, Recorder, Recording, replay
from pocketgraph.runtime.graph.values import decode, encode
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Rect

assert testing  # makes LambdaCalculator known
GRAPH = """
input_stream: "image" input_stream: "boost" output_stream: "sum" num_threads: 4
node { calculator: "LambdaCalculator" input_stream: "image" input_stream: "boost" output_stream: "sum"
       input_side_packet: "PROCESS:work" }
"""
PASSING = (
    'input_stream: "in" output_stream: "out" '
    'node { calculator: "PassThroughCalculator" input_stream: "in" output_stream: "out" }'
)


def same(first: Any, second: Any) -> bool:
    """Equal in type and in every bit."""
    if isinstance(first, np.ndarray | np.generic):
        alike = type(first) is type(second) and first.dtype == second.dtype and first.shape == second.shape
        return alike and first.tobytes() == second.tobytes()
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, float) and math.isnan(first):
        return math.isnan(second)
    if hasattr(first, "__dataclass_fields__"):
        return type(first) is type(second) and same(vars(first), vars(second))
    return type(first) is type(second) and first == second


_ARRAYS = st.one_of(
    *(hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
      for kind in ("u1", "<i2", ">i4", "<i8", "<f2", "<f4", ">f8", "<c8", "?")),
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3))),
)  # fmt: skip
_PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    _ARRAYS,
    st.floats(width=32).map(np.float32),
)
_KEYS = st.one_of(st.text(), st.integers(), st.booleans())
VALUES = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(_KEYS, inner, max_size=4)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_any_plain_value_comes_back(value: Any) -> None:
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        Rect(0.5, 0.25, 1.0, 1, 0.1),
        Landmarks(np.arange(9, dtype=np.float32).reshape(3, 3), np.ones(3, np.float32), None),
        Detections(np.zeros((2, 4), np.float32), np.zeros((2, 6, 2), np.float32), np.ones(2, np.float32)),
        [Landmarks(np.zeros((0, 3), np.float32))],
        np.zeros((200, 300), np.float32),
        np.arange(12, dtype=np.uint8).reshape(2, 2, 3)[:, ::-1],
    ],
)
def test_what_vision_sends_comes_back(value: Any) -> None:
    assert same(decode(encode(value)), np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value)


def test_a_message_comes_back_as_its_type() -> None:
    config = parse_text(GRAPH)
    again = decode(encode(config))
    assert type(again) is type(config)
    assert again == config


@pytest.mark.parametrize("value", [object(), print, {1, 2}, np.array(["text"]), np.array([object()]), ValueError("x")])
def test_what_is_no_plain_data_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="cannot be recorded"):
        encode(value)


def test_a_value_nested_too_deeply_is_refused_both_ways() -> None:
    value: Any = 1
    for _ in range(40):
        value = [value]
    with pytest.raises(UsageError, match="nested deeper"):
        encode(value)
    with pytest.raises(FormatError, match="nested deeper"):
        decode(b"l\x01\x00\x00\x00" * 100_000 + b"N")


@settings(max_examples=300)
@given(st.data())
def test_damaged_values_are_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(
        encode([1, {"a": np.eye(3)}, np.full((9, 8, 3), 7, np.uint8), Rect(1.0, 2.0, 3.0, 4.0), "text", 2**80])
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except FormatError:
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except FormatError:
        return


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a\x03\x00\x00\x00<f4\x02" + struct.pack("<II", 2**31, 2**31) + b"\x00\x00\x00\x00\x00", "no array is"),
        (b"a\x03\x00\x00\x00<f8\x03" + struct.pack("<III", 0, 2**31, 2**31) + b"\x00\x00\x00\x00\x00", "no array is"),
        (b"a\x03\x00\x00\x00|O8", "dtype"),
        (b"a\x03\x00\x00\x00|u1\x01" + struct.pack("<IBI", 5, 1, 9) + zlib.compress(b"x" * 9999)[:9], "unpack"),
        (b"p" + struct.pack("<III", 30_000, 30_000, 0), "larger than any"),
        (b"l\xff\xff\xff\xff", "cannot follow"),
        (b"r\x04\x00\x00\x00Rect\x01\x00\x00\x00N", "other types"),
        (b"r\x05\x00\x00\x00Popen\x00\x00\x00\x00", "no record"),
        (b"P\x01\x00\x00\x00x\x00\x00\x00\x00", "not known"),
        (b"m\x01\x00\x00\x00l\x00\x00\x00\x00N", "cannot be a key"),
        (b"NN", "follow the value"),
    ],
)
def test_what_lies_about_itself_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode(data)


def test_many_small_bytes_do_not_unpack_to_more_than_a_value_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "LARGEST", 100_000)
    zeros = np.zeros(40_000, np.uint8)
    assert [part.sum() for part in decode(encode([zeros, zeros]))] == [0, 0]
    with pytest.raises(UsageError, match="more than 100000 bytes"):
        encode([zeros] * 3)
    with pytest.raises(FormatError, match="larger than any"):
        decode(b"l\x03\x00\x00\x00" + 3 * encode(zeros))
    with pytest.raises(FormatError, match="larger than any"):
        decode(b"l\x03\x00\x00\x00" + 3 * encode(zeros[:39_999].reshape(1, -1, 3)))


def _write(file: Path, count: int = 5) -> list[tuple[str, int, Any]]:
    written = []
    with Recorder(file, {"what": "a test"}) as recorder:
        for number in range(count):
            for stream, value in (("image", np.full((4, 4, 3), number, np.uint8)), ("boost", number * 10)):
                recorder.write(stream, Packet(value, number * 1000))
                written.append((stream, number * 1000, value))
    return written


def test_packets_are_read_in_the_order_they_were_written(tmp_path: Path) -> None:
    written = _write(tmp_path / "a.pgrec")
    recording = Recording(tmp_path / "a.pgrec")
    assert recording.about == {"what": "a test"}
    assert same([(stream, packet.timestamp, packet.value) for stream, packet in recording], written)
    assert not recording.cut
    assert recording.streams() == {"image": 5, "boost": 5}


def test_special_timestamps_are_kept_and_empty_packets_left_out(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.pgrec") as recorder:
        recorder.write("head", Packet("only", Timestamp.PRE_STREAM))
        recorder.write("none", Packet())
    assert [(name, p.timestamp) for name, p in Recording(tmp_path / "a.pgrec")] == [("head", Timestamp.PRE_STREAM)]


def test_a_recording_cut_anywhere_is_read_up_to_the_cut(tmp_path: Path) -> None:
    written = _write(tmp_path / "a.pgrec", 3)
    whole = (tmp_path / "a.pgrec").read_bytes()
    lengths = []
    for end in range(len(MAGIC), len(whole) + 1):
        (tmp_path / "b.pgrec").write_bytes(whole[:end])
        recording = Recording(tmp_path / "b.pgrec")
        read = [(stream, packet.timestamp, packet.value) for stream, packet in recording]
        assert same(read, written[: len(read)])
        lengths.append(len(read))
        assert recording.cut or sum(1 for _ in recording._blocks()) >= len(read)
    assert lengths == sorted(lengths)
    assert lengths[-1] == len(written)
    assert lengths[-2] == len(written) - 1


def test_a_changed_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    written = _write(tmp_path / "a.pgrec", 2)
    whole = (tmp_path / "a.pgrec").read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        (tmp_path / "b.pgrec").write_bytes(damaged)
        try:
            recording = Recording(tmp_path / "b.pgrec")
            read = [(stream, packet.timestamp, packet.value) for stream, packet in recording]
        except FormatError:
            continue
        # a length that points beyond the end looks like a cut
        assert recording.cut
        assert same(read, written[: len(read)])


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pgrec").write_bytes(b"RIFF")
    with pytest.raises(FormatError, match="no recording"):
        Recording(tmp_path / "a.pgrec")


def _work(context: Any) -> None:
    image, boost = context.inputs
    if image and boost:
        context.outputs[0].send(np.sqrt(image.value.astype(np.float32)) * np.float32(boost.value / 3))


def test_a_graph_recorded_and_replayed_gives_the_same_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with Recorder(tmp_path / "a.pgrec") as recorder, CalculatorGraph(GRAPH) as graph:
        recorder.watch(graph)
        graph.start({"work": _work})
        for time in range(20):
            graph.add("image", rng.integers(0, 255, (20, 30, 3), np.uint8), time)
            if time % 3:
                graph.add("boost", time, time)
        graph.finish()
    with Recorder(tmp_path / "b.pgrec") as recorder, CalculatorGraph(GRAPH) as graph:
        recorder.watch(graph)
        replay(graph, tmp_path / "a.pgrec", side_packets={"work": _work})
    first, second = (
        {(stream, packet.timestamp): packet.value for stream, packet in Recording(tmp_path / name)}
        for name in ("a.pgrec", "b.pgrec")
    )
    assert len([place for place in first if place[0] == "sum"]) == 13
    assert first.keys() == second.keys()
    assert all(same(first[place], second[place]) for place in first)


def test_replaying_what_is_for_another_graph_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a.pgrec")
    with pytest.raises(UsageError, match="none of which is an input"):
        replay(PASSING, tmp_path / "a.pgrec")


def test_a_packet_that_cannot_be_recorded_ends_the_run_with_the_streams_name(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.pgrec") as recorder, CalculatorGraph(PASSING, threads=0) as graph:
        recorder.watch(graph, ["in"])
        graph.start()
        with pytest.raises(GraphRuntimeError, match=r"observer of in.*at timestamp 3.*cannot be recorded"):
            graph.add("in", object(), 3)


def test_the_commands_run_record_trace_and_replay_a_graph(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "picture.png"), np.full((20, 30, 3), 9, np.uint8))
    graph = tmp_path / "g.pbtxt"
    graph.write_text(
        'input_stream: "image" output_stream: "out" node { name: "pass" calculator: "PassThroughCalculator" '
        'input_stream: "image" output_stream: "out" }'
    )
    recording, trace = tmp_path / "a.pgrec", tmp_path / "t.json"
    assert main(["graph", "run", str(graph), "--input-stream", f"image={tmp_path / 'picture.png'}",
                 "--record", str(recording), "--trace", str(trace)]) == 0  # fmt: skip
    assert Recording(recording).streams() == {"image": 1, "out": 1}
    assert "pass" in trace.read_text()
    assert main(["replay", str(recording), "--graph", str(graph)]) == 0
    assert main(["graph", "run", str(graph), "--input-stream", f"image={recording}"]) == 0
    assert main(["replay", str(recording)]) == 2
    assert main(["graph", "run", str(graph), "--input-stream", f"picture={recording}"]) == 2


def test_a_recording_without_the_stream_asked_for_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "g.pbtxt"
    graph.write_text(PASSING)
    with Recorder(tmp_path / "a.pgrec") as recorder:
        recorder.write("image", Packet(1, 0))
    assert main(["graph", "run", str(graph), "--input-stream", f"in={tmp_path / 'a.pgrec'}"]) == 2
    assert 'no packet of a stream "in"; its streams are image' in capsys.readouterr().err


def test_an_input_given_twice_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "g.pbtxt"
    graph.write_text(PASSING)
    assert main(["graph", "run", str(graph), "--input-stream", "in=a.mp4", "--input-stream", "in=b.mp4"]) == 2
    assert "'in' is given twice: a.mp4 and b.mp4" in capsys.readouterr().err


def test_inputs_that_nothing_goes_into_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "g.pbtxt"
    graph.write_text(PASSING)
    assert main(["graph", "run", str(graph)]) == 2
    assert "nothing goes into in: give --input-stream" in capsys.readouterr().err


def test_what_was_recorded_until_a_graph_failed_is_kept(tmp_path: Path) -> None:
    graph, old, new = tmp_path / "g.pbtxt", tmp_path / "a.pgrec", tmp_path / "b.pgrec"
    graph.write_text(PASSING)
    with Recorder(old) as recorder:
        for time in (0, 1, 1):
            recorder.write("in", Packet(time, time))
    inputs = ["--input-stream", f"in={old}", "--threads", "0"]
    assert main(["graph", "run", str(graph), *inputs, "--record", str(new)]) == 2
    assert Recording(new).streams() == {"in": 2, "out": 2}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pgrec", "b.pgrec", "g.pbtxt"]


@pytest.mark.parametrize("about", [{"pipeline": ["hands"]}, {"pipeline": "hands", "threads": "many"}])
def test_what_a_recording_says_it_is_about_is_not_believed(tmp_path: Path, about: dict[str, Any]) -> None:
    Recorder(tmp_path / "a.pgrec", about).close()
    assert main(["replay", str(tmp_path / "a.pgrec")]) == 2


def test_files_for_several_inputs_go_in_by_timestamp(tmp_path: Path) -> None:
    for name, times in (("image", (1, 4)), ("boost", (0, 4, 9))):
        with Recorder(tmp_path / name) as recorder:
            for time in times:
                recorder.write(name, Packet(f"{name} {time}", time))
    seen: list[tuple[int, str]] = []

    def work(context: Any) -> None:
        seen.extend((context.timestamp, view.value) for view in context.inputs if view)

    with CalculatorGraph(GRAPH, threads=0) as graph:
        graph.start({"work": work})
        feed(graph, {name: source_of(graph, name, str(tmp_path / name)) for name in ("image", "boost")})
    assert seen == [(0, "boost 0"), (1, "image 1"), (4, "image 4"), (4, "boost 4"), (9, "boost 9")]
