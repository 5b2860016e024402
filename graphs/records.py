"""Results as JSON and back, and as tables: one record a frame, one line a record.

A record is an object with `schema` ("pocketgraph.holistic", or the name of another pipeline), `version` (1),
`timestamp_us`, `width` and `height` of the frame in pixels and `source`, the name of the picture, where they are known,
and `found`. What `found` holds follows the pipeline's result:

| schema | found |
|---|---|
| holistic | `pose`, `world`, `left_hand`, `right_hand`, `face`: landmarks or null; `mask`; `left_hand_confidence`, |
| | `right_hand_confidence`, `face_confidence`: `{presence, side}` or null; `id` |
| people | a list of the same |
| pose | `landmarks`, `world`, `mask`, or null |
| hands | a list of `{landmarks, presence, world, side, side_score}` |
| face_mesh | a list of landmarks |
| faces | `boxes` `[n][4]`, `keypoints` `[n][6][2]`, `scores` `[n]` |
| mask | a mask |

Landmarks are `points` `[n][3]` (x, y, z), `visibility` `[n]` or null and `presence` `[n]` or null. A mask is a grey PNG
in base64: its values are rounded to 1/255. Numbers are written so that float32 comes back exactly; what is not a number
becomes null and comes back as NaN. A version is raised when a reader of the old one would misread the new one; members
may be added without.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import types
import typing
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.hand_landmarker import Hand
from pocketgraph.graphs.holistic import HolisticResult
from pocketgraph.graphs.pose import PoseResult
from pocketgraph.graphs.streaming import Timed
from pocketgraph.models.errors import FormatError, MissingExtraError, UsageError
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.picture_size import MOST_PIXELS, claimed_pixels

VERSION = 1
_PREFIX = "pocketgraph."
_FOUND: dict[str, Any] = {
    "holistic": HolisticResult,
    "people": list[HolisticResult],
    "pose": PoseResult | None,
    "hands": list[Hand],
    "face_mesh": list[Landmarks],
    "faces": Detections,
    "mask": None,  # an array
}
_BESIDE = {"timestamp_us", "size", "image"}  # members of results that the record itself has, or leaves out
_SIDES = "width", "height"
_SHAPES: dict[type, dict[str, tuple[int | None, ...]]] = {
    Landmarks: {"points": (None, 3), "visibility": (None,), "presence": (None,)},
    Detections: {"boxes": (None, 4), "keypoints": (None, None, 2), "scores": (None,)},
}

POSE_NAMES = (
    *("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index"),
    *("left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    *("left_heel", "right_heel", "left_foot_index", "right_foot_index"),
)
HAND_NAMES = (
    "wrist",
    *("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
    *(f"{finger}_{joint}" for finger in ("index", "middle", "ring", "pinky") for joint in ("mcp", "pip", "dip", "tip")),
)


def write_record(seen: Timed[Any]) -> str:
    """One line of JSON."""
    record = {"schema": _PREFIX + seen.kind, "version": VERSION, "timestamp_us": seen.timestamp_us}
    if seen.size is not None:
        record |= dict(zip(_SIDES, seen.size, strict=True))
    if seen.source is not None:
        record["source"] = seen.source
    record["found"] = _to_png(seen.found) if seen.kind == "mask" else _plain(seen.found)
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


def write_packet(stream: str, timestamp_us: int, value: Any) -> str:
    """One line of JSON for a packet of a graph, with what a record has for such a value; a plane of floats is a mask.

    Raises `UsageError` for what is no plain data.
    """
    is_mask = isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype == np.float32
    packet = {"stream": stream, "timestamp_us": timestamp_us, "value": _to_png(value) if is_mask else _plain(value)}
    try:
        return json.dumps(packet, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f'what is in stream "{stream}" cannot be written as JSON: {error}') from error


def read_record(text: str | bytes) -> Timed[Any]:
    """What a record tells, of whichever pipeline. Raises `FormatError` where `text` is none."""
    try:
        record = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a record must be JSON: {error}") from error
    schema = record.get("schema") if isinstance(record, dict) else None
    kind = schema.removeprefix(_PREFIX) if isinstance(schema, str) and schema.startswith(_PREFIX) else ""
    if kind not in _FOUND:
        raise FormatError(f"a record has a schema of {', '.join(_PREFIX + name for name in _FOUND)}, got {schema!r}")
    if _whole(record, "version") != VERSION:
        raise FormatError(f"a record of version {record.get('version')!r}: this reads version {VERSION}")
    timestamp = _whole(record, "timestamp_us")
    size = (_whole(record, _SIDES[0]), _whole(record, _SIDES[1])) if any(side in record for side in _SIDES) else None
    source = record.get("source")
    if not isinstance(source, str | None):
        raise FormatError(f"source must be the name of a file, got {source!r}")
    found: Any = record.get("found")
    found = _from_png(found, "found") if kind == "mask" else _typed(_FOUND[kind], found, "found")
    if kind == "holistic":
        found = dataclasses.replace(found, timestamp_us=timestamp, size=size)
    elif kind == "people":
        found = [dataclasses.replace(person, timestamp_us=timestamp, size=size) for person in found]
    return Timed(kind, timestamp, found, size=size, source=source)


def read_holistic(text: str | bytes) -> HolisticResult:
    """The result of a record of Holistic."""
    seen = read_record(text)
    if not isinstance(seen.found, HolisticResult):
        raise FormatError(f"this record is of {_PREFIX}{seen.kind}, expected {_PREFIX}holistic")
    return seen.found


def holistic_table(result: HolisticResult) -> Any:
    """A data frame with a row for each landmark."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("a table of landmarks", "pandas") from error
    columns: dict[str, list[Any]] = {
        name: [] for name in ("part", "index", "name", "x", "y", "z", "visibility", "presence")
    }
    for part in ("pose", "world", "left_hand", "right_hand", "face"):
        landmarks: Landmarks | None = getattr(result, part)
        if landmarks is None:
            continue
        count = len(landmarks)
        names = {"pose": POSE_NAMES, "world": POSE_NAMES, "left_hand": HAND_NAMES, "right_hand": HAND_NAMES}.get(part)
        columns["part"] += [part] * count
        columns["index"] += range(count)
        columns["name"] += names or [f"face_{i}" for i in range(count)]
        for column, values in zip("xyz", landmarks.points.T, strict=True):
            columns[column] += values.tolist()
        for column in ("visibility", "presence"):
            scores = getattr(landmarks, column)
            columns[column] += [np.nan] * count if scores is None else scores.tolist()
    numbers = ("x", "y", "z", "visibility", "presence")
    return pd.DataFrame(columns).astype({"index": "int64", **dict.fromkeys(numbers, "float32")})


def _whole(record: dict[str, Any], name: str) -> int:
    value = record.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise FormatError(f"{name} must be a whole number, got {value!r}")
    return value


def _plain(value: Any) -> Any:
    """`value` in what JSON has."""
    if isinstance(value, np.ndarray):
        return _numbers(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value) if field.name not in _BESIDE)
        return {name: (_to_png if name == "mask" else _plain)(getattr(value, name)) for name in names}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return _numbers(value) if isinstance(value, float) else value


def _numbers(value: Any) -> Any:
    """Floats, in nested lists or alone, with the digits that single precision has."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(f"{value:.9g}") if math.isfinite(value) else None


def _typed(kind: Any, value: Any, where: str) -> Any:
    """`value`, as read from JSON, as an instance of `kind`."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        inner = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else _typed(inner[0], value, where)
    if typing.get_origin(kind) is list:
        if not isinstance(value, list):
            raise FormatError(f"{where} must be a list, got {type(value).__name__}")
        return [_typed(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _object(kind, value, where)
    if typing.get_origin(kind) is typing.Literal:
        if value not in arguments:
            raise FormatError(f"{where} must be one of {', '.join(map(str, arguments))}, got {value!r}")
        return value
    if kind is float and value is None:
        return math.nan
    wanted = (int, float) if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise FormatError(f"{where} must be a number, got {value!r}")
    try:
        return kind(value)
    except OverflowError as error:
        raise FormatError(f"{where} is too large for a number: {error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _object(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise FormatError(f"{where} must be an object, got {type(value).__name__}")
    shapes = _SHAPES.get(kind, {})
    hints = typing.get_type_hints(kind)
    members: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name, inside = field.name, f"{where}.{field.name}"
        if name in _BESIDE or (name not in value and field.default is not dataclasses.MISSING):
            continue
        if name not in value:
            raise FormatError(f"{inside} is missing")
        optional = type(None) in typing.get_args(hints[name])
        if value[name] is None and optional:
            members[name] = None
        elif name == "mask":
            members[name] = _from_png(value[name], inside)
        elif name in shapes:
            members[name] = _array(value[name], shapes[name], inside)
        else:
            members[name] = _typed(hints[name], value[name], inside)
    counts = {len(members[name]) for name in shapes if members.get(name) is not None}
    if len(counts) > 1:
        raise FormatError(f"the members of {where} must be of one length, got {sorted(counts)}")
    return kind(**members)


def _array(value: Any, shape: tuple[int | None, ...], where: str) -> npt.NDArray[np.float32]:
    try:
        with np.errstate(over="raise"):
            others = {type(item) for item in np.array(value, object).flat} - {int, float, types.NoneType}
            array = np.array(value, np.float64).astype(np.float32)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise FormatError(f"{where} must be numbers of single precision in lists of one length: {error}") from error
    if others:
        raise FormatError(f"{where} must be numbers, got {others.pop().__name__}")
    if array.size == 0:
        return np.zeros([0 if side is None else side for side in shape], np.float32)
    fits = array.ndim == len(shape) and all(
        side in (None, found) for side, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = "".join(f"[{'n' if side is None else side}]" for side in shape)
        raise FormatError(f"{where} must be {wanted}, got {list(array.shape)}")
    return array


def _to_png(mask: npt.NDArray[np.float32] | None) -> str | None:
    if mask is None:
        return None
    grey = np.rint(np.clip(np.nan_to_num(mask), 0, 1) * 255).astype(np.uint8)
    return base64.b64encode(cv2.imencode(".png", grey)[1].tobytes()).decode()


def _from_png(value: Any, where: str) -> npt.NDArray[np.float32]:
    try:
        data = base64.b64decode(value, validate=True)
    except (ValueError, TypeError) as error:
        raise FormatError(f"{where} must be a picture in base64: {error}") from error
    grey = None
    if claimed_pixels(data) > MOST_PIXELS:
        raise FormatError(f"{where} claims {claimed_pixels(data)} pixels, more than a frame has")
    if data.startswith(b"\x89PNG"):
        try:
            grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        except cv2.error as error:
            raise FormatError(f"{where} is no sound PNG: {error}") from error
    if grey is None:
        raise FormatError(f"{where} is no sound PNG")
    return np.asarray(grey, np.float32) / np.float32(255)
