"""Results as JSON and as tables: they come back as they were, and what is no record is refused by name."""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pocketgraph.graphs import Confidence, Hand, HolisticResult, PoseResult, Timed
from pocketgraph.graphs.records import write_packet
from pocketgraph.models.errors import FormatError, MissingExtraError, PocketgraphError, UsageError
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.landmarks import Landmarks

_random = np.random.default_rng(3)


def _landmarks(count: int, *, scores: bool = False) -> Landmarks:
    points = _random.normal(size=(count, 3)).astype(np.float32)
    if not scores:
        return Landmarks(points)
    return Landmarks(points, *_random.random((2, count)).astype(np.float32))


_MASK = np.rint(_random.random((5, 7)) * 255).astype(np.float32) / np.float32(255)
_FULL = HolisticResult(
    pose=_landmarks(33, scores=True),
    world=_landmarks(33, scores=True),
    left_hand=_landmarks(21),
    face=_landmarks(468),
    mask=_MASK,
    left_hand_confidence=Confidence(0.9, 0.75),
    face_confidence=Confidence(0.5),
    id=3,
    timestamp_us=12_345,
    image=np.zeros((2, 2, 3), np.uint8),
    size=(7, 5),
)


def _mesh(points: str) -> str:
    return f'{{"schema":"pocketgraph.face_mesh","version":1,"timestamp_us":0,"found":[{{"points":{points}}}]}}'


def _mask(sides: bytes) -> str:
    """A record whose mask has the header of a picture of that size."""
    data = bytearray(cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes())
    data[16:24] = sides
    text = base64.b64encode(data).decode()
    return f'{{"schema":"pocketgraph.mask","version":1,"timestamp_us":0,"found":"{text}"}}'


def _same(one: Any, other: Any) -> None:
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif hasattr(one, "__dataclass_fields__"):
        assert type(one) is type(other)
        for name in one.__dataclass_fields__:
            if name != "image":
                _same(getattr(one, name), getattr(other, name))
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            _same(a, b)
    else:
        assert one == other


@pytest.mark.parametrize("result", [_FULL, HolisticResult(timestamp_us=-5)])
def test_a_holistic_result_comes_back(result: HolisticResult) -> None:
    text = result.to_json()
    assert "\n" not in text
    found = HolisticResult.from_json(text)
    _same(result, found)
    assert found.image is None


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("pose", None),
        ("pose", PoseResult(_landmarks(33, scores=True), _landmarks(33), _MASK)),
        ("hands", []),
        ("hands", [Hand(_landmarks(21), 0.5, _landmarks(21), "Left", 0.75), Hand(_landmarks(21), 1.0)]),
        ("face_mesh", [_landmarks(478)]),
        ("faces", Detections(*(_random.random(s).astype(np.float32) for s in ((2, 4), (2, 6, 2), (2,))))),
        ("faces", Detections(np.zeros((0, 4), np.float32), np.zeros((0, 6, 2), np.float32), np.zeros(0, np.float32))),
        ("mask", _MASK),
        ("people", [_FULL, HolisticResult(id=1)]),
    ],
)
def test_what_other_pipelines_find_comes_back(kind: str, found: Any) -> None:
    back = Timed.from_json(Timed(kind, 7, found, size=(640, 480)).to_json())
    assert (back.kind, back.timestamp_us, back.size) == (kind, 7, (640, 480))
    if kind == "faces" and not len(found):
        assert len(back.found) == 0
    elif kind == "people":
        for one, other in zip(found, back.found, strict=True):
            _same(one.face, other.face)
            assert one.id == other.id
            assert (other.timestamp_us, other.size) == (7, (640, 480))
    else:
        _same(found, back.found)


def test_the_name_of_a_picture_comes_back() -> None:
    text = Timed("hands", 7, [], source="a.jpg").to_json()
    assert Timed.from_json(text).source == "a.jpg"
    with pytest.raises(FormatError, match="source must be the name of a file, got 5"):
        Timed.from_json(text.replace('"a.jpg"', "5"))


def test_the_schema_is_this() -> None:
    record = json.loads(_FULL.to_json())
    assert set(record) == {"schema", "version", "timestamp_us", "width", "height", "found"}
    assert (record["width"], record["height"]) == (7, 5)
    assert "width" not in json.loads(HolisticResult().to_json())
    assert (record["schema"], record["version"], record["timestamp_us"]) == ("pocketgraph.holistic", 1, 12_345)
    found = record["found"]
    assert set(found) == {
        *("pose", "world", "left_hand", "right_hand", "face", "mask", "id"),
        *("left_hand_confidence", "right_hand_confidence", "face_confidence"),
    }
    assert set(found["pose"]) == {"points", "visibility", "presence"}
    assert len(found["pose"]["points"]) == 33
    assert found["right_hand"] is None
    assert found["left_hand_confidence"] == {"presence": 0.9, "side": 0.75}


@given(arrays(np.float32, (21, 3)))
def test_any_numbers_come_back_and_json_has_no_nan(points: np.ndarray) -> None:
    text = HolisticResult(left_hand=Landmarks(points)).to_json()
    json.loads(text, parse_constant=pytest.fail)
    hand = HolisticResult.from_json(text).left_hand
    assert hand is not None
    np.testing.assert_array_equal(hand.points, np.where(np.isfinite(points), points, np.float32(math.nan)))


def _paths(value: Any, path: tuple = ()) -> list[tuple]:
    if not isinstance(value, dict):
        return [path]
    return [path, *(inner for key, item in value.items() for inner in _paths(item, (*path, key)))]


_RECORD = json.loads(Timed("people", 0, [_FULL]).to_json())["found"][0]
_JUNK = st.one_of(
    st.sampled_from([10**400, 1e39, [[1e39, 0, 0]]]),
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    st.lists(st.lists(st.integers(), max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=5), st.none(), max_size=2),
)


@given(st.sampled_from(_paths(_RECORD)), _JUNK)
def test_damaged_records_are_refused_or_read(path: tuple, junk: Any) -> None:
    found = json.loads(json.dumps(_RECORD))
    inside = {"found": found}
    keys = ("found", *path)
    for key in keys[:-1]:
        inside = inside[key]
    inside[keys[-1]] = junk
    record = {"schema": "pocketgraph.holistic", "version": 1, "timestamp_us": 0, "found": found}
    if not path:
        record["found"] = junk
    try:
        assert isinstance(HolisticResult.from_json(json.dumps(record)), HolisticResult)
    except FormatError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be JSON"),
        ("[" * 100_000, "must be JSON"),
        ("[]", "got None"),
        ('{"schema": NaN}', "NaN is no JSON"),
        ('{"schema": "pocketgraph.cats"}', "got 'pocketgraph.cats'"),
        ('{"schema": "pocketgraph.holistic", "version": 2}', "version 2"),
        ('{"schema": "pocketgraph.holistic", "version": true}', "version must be a whole number"),
        ('{"schema": "pocketgraph.holistic", "version": 1}', "timestamp_us must be"),
        (_mesh('[["1", 2, 3]]'), "must be numbers, got str"),
        (_mesh("[[true, 2, 3]]"), "must be numbers, got bool"),
        (_mesh("[[1, 2, 3], [4]]"), "lists of one length"),
        (_mask(struct.pack(">II", 1 << 15, 1 << 15)), "found claims 1073741824 pixels"),
        ('{"schema": "pocketgraph.holistic", "version": 1, "timestamp_us": 0}', "found must be an object"),
        ('{"schema": "pocketgraph.mask", "version": 1, "timestamp_us": 0, "width": 4}', "height must be a whole"),
        ('{"schema": "pocketgraph.pose", "version": 1, "timestamp_us": 0, "found": null}', "expected pocketgraph.hol"),
        (
            '{"schema": "pocketgraph.face_mesh", "version": 1, "timestamp_us": 0, "found": [{"points": [[0]]}]}',
            "got .1, 1",
        ),
    ],
)
def test_what_is_no_record_is_named(text: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        HolisticResult.from_json(text)


def test_packets_of_graphs_are_written_as_in_records() -> None:
    hand = _landmarks(21)
    packet = json.loads(write_packet("hands", 5, [hand]))
    assert (packet["stream"], packet["timestamp_us"]) == ("hands", 5)
    np.testing.assert_array_equal(np.float32(packet["value"][0]["points"]), hand.points)
    mask = json.loads(write_packet("mask", 5, _MASK))["value"]
    assert mask == json.loads(Timed("mask", 0, _MASK).to_json())["found"]
    assert json.loads(write_packet("n", 5, [math.nan, 1.5]))["value"] == [None, 1.5]
    for value in (object(), {"far": math.inf}, [b"bytes"]):
        with pytest.raises(UsageError, match='stream "x" cannot be written as JSON'):
            write_packet("x", 0, value)


def test_a_table_has_a_row_for_each_landmark() -> None:
    table = _FULL.to_pandas()
    assert list(table.columns) == ["part", "index", "name", "x", "y", "z", "visibility", "presence"]
    assert table.part.value_counts().to_dict() == {"pose": 33, "world": 33, "left_hand": 21, "face": 468}
    wrist = table[(table.part == "pose") & (table.name == "left_wrist")].iloc[0]
    assert _FULL.pose is not None
    assert _FULL.pose.visibility is not None
    assert wrist["index"] == 15
    assert [wrist.x, wrist.y, wrist.z, wrist.visibility] == [*_FULL.pose.points[15], _FULL.pose.visibility[15]]
    tip = table[(table.part == "left_hand") & (table.name == "index_tip")].iloc[0]
    assert tip["index"] == 8
    assert math.isnan(tip.visibility)
    assert len(HolisticResult().to_pandas()) == 0


def test_without_pandas_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pocketgraph\[pandas\]'") as caught:
        _FULL.to_pandas()
    assert isinstance(caught.value, PocketgraphError)
