"""Pictures of people, hands and faces with the landmarks that people marked in them, as mmpose's test data has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.records import POSE_NAMES
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.frames import read_frames
from pocketgraph.runtime.vision.image_to_tensor import Image

Points = npt.NDArray[np.float64]
Pipeline = Literal["holistic", "tracked", "hands", "face_mesh"]

BY_MACHINE = "signing, by OpenPose"
"""The source whose landmarks another program found."""

TRUNK = [11, 12, 23, 24]
"""Shoulders and hips, of the 33 points of a body."""

_MARGIN = 0.25  # of a person's box, left around it when it is cut out; of a face's twice as much
_BOTH: tuple[Pipeline, ...] = ("hands", "holistic")  # look at pictures of hands alone
_LEAST = 8  # points of a hand that must be marked
_TIPS_FIRST = [0, *(4 * finger + joint for finger in range(5) for joint in (4, 3, 2, 1))]
_BODY_25 = [0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]  # OpenPose's, and the same in our 33:
_BODY_33 = [0, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7]
_FACE_98 = [  # the 51 inner points of 68, in a face of 98
    *(33, 34, 35, 36, 37, 42, 43, 44, 45, 46, 51, 52, 53, 54, 55, 56, 57, 58, 59),
    *(60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96)),
]

_COCO_NAMES = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)
_OPENPOSE_PARTS = ("pose", "face", "hand_left", "hand_right")


@dataclass
class Case:
    """One picture and what people marked in it, in pixels; places that were not marked are NaN.

    `hands` `[21, 2]` by side ("left", "right", or "any" where the data do not say), `face` `[51, 2]` (the 68 points
    without the outline), `body` `[33, 2]`.
    """

    source: str
    name: str
    pipeline: Pipeline
    image: Image
    hands: dict[str, Points] = field(default_factory=dict)
    face: Points | None = None
    body: Points | None = None


def cases(people: Path) -> Iterator[Case]:
    """Every case in the folder `people` of the data."""
    data = people / "mmpose_tests_data"
    if not data.is_dir():
        raise UsageError(f"{people} has no folder mmpose_tests_data: expected the folder people/ of the data")
    yield from _persons(data, "coco", "test_coco_wholebody.json")
    yield from _persons(data, "halpe", "test_halpe.json", folder="coco")
    for source in ("aic", "ochuman", "jhmdb"):
        yield from _persons(data, source, f"test_{source}{'_sub1' * (source == 'jhmdb')}.json")
    yield from _panoptic(data)
    yield from _signing(people / "videos")
    for source in ("onehand10k", "freihand", "rhd"):
        yield from _single_hands(data, source)
    yield from _interhand(data / "interhand2.6m")
    yield from _faces(data, "300w", list(range(17, 68)))
    yield from _faces(data, "wflw", _FACE_98)


def groups(people: Path) -> Iterator[tuple[str, Image, list[Points]]]:
    """Whole pictures of several people: source, pixels, and of everyone whose trunk is marked the body `[33, 2]`."""
    for source in ("coco", "aic", "ochuman", "crowdpose"):
        folder = people / "mmpose_tests_data" / source
        content = json.loads((folder / f"test_{source}.json").read_text())
        names = [str(name).lower().replace(" ", "_") for name in content["categories"][0]["keypoints"]]
        for image in content["images"]:
            if (folder / image["file_name"]).exists():
                mine = [person for person in content["annotations"] if person["image_id"] == image["id"]]
                bodies = [_body(names, np.reshape(person["keypoints"], (-1, 3)).astype(float)) for person in mine]
                whole = [body for body in bodies if np.isfinite(body[TRUNK]).all()]
                yield source, _read(folder / image["file_name"]), whole


def _body(names: list[str], marked: npt.NDArray[Any]) -> Points:
    """Marked points under the names of a data set as the 33 of ours."""
    body = np.full((len(POSE_NAMES), 2), np.nan)
    for name, point in zip(names, _marked(marked), strict=True):
        if name in POSE_NAMES:
            body[POSE_NAMES.index(name)] = point
    return body


def _persons(data: Path, source: str, file: str, folder: str = "") -> Iterator[Case]:
    """Each person of a picture on its own, cut out with some room around."""
    content = json.loads((data / source / file).read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    names = [str(name).lower().replace(" ", "_") for name in content["categories"][0]["keypoints"]]
    for person in content["annotations"]:
        case = Case(source, f"{files[person['image_id']]} {person['id']}", "holistic", np.zeros((0, 0, 3), np.uint8))
        marked = np.reshape(person["keypoints"], (-1, 3)).astype(float)
        if source == "halpe":
            parts = {"face": marked[43:94], "left": marked[94:115], "right": marked[115:136]}
            marked = marked[:17]
            names = list(_COCO_NAMES)
        elif source == "coco":
            parts = {
                "face": np.reshape(person["face_kpts"], (-1, 3))[17:] * person["face_valid"],
                "left": np.reshape(person["lefthand_kpts"], (-1, 3)) * person["lefthand_valid"],
                "right": np.reshape(person["righthand_kpts"], (-1, 3)) * person["righthand_valid"],
            }
        else:
            parts = {}
        body = _body(names, marked)
        case.body = None if source == "halpe" else body  # marked once for both
        for part, points in parts.items():
            kept = _marked(points)
            if part == "face" and np.isfinite(kept).all():
                case.face = kept
            elif part != "face" and np.isfinite(kept[:, 0]).sum() >= _LEAST:
                case.hands[part] = kept
        if not np.isfinite(body).any():
            continue
        image = _read(data / (folder or source) / files[person["image_id"]])
        left, top, right, bottom = _around(person["bbox"], image)
        case.image = np.ascontiguousarray(image[top:bottom, left:right])
        corner = np.array([left, top])
        case.hands = {side: hand - corner for side, hand in case.hands.items()}
        case.face = None if case.face is None else case.face - corner
        case.body = None if case.body is None else case.body - corner
        yield case


def _panoptic(data: Path) -> Iterator[Case]:
    """Whole pictures in which one hand is marked; the name says which."""
    for name, image, hand in _hands(data / "panoptic" / "test_panoptic.json"):
        side = "left" if Path(name).stem.endswith("_l") else "right"
        yield Case("panoptic", name, "holistic", image, {side: hand})


def _signing(videos: Path) -> Iterator[Case]:
    """A video whose landmarks OpenPose 1.3 found: no person's word, but another program's."""
    name = "signing_video_9frames"
    for i, (_, image) in enumerate(read_frames(videos / f"{name}.mp4")):
        found = json.loads((videos / f"{name}.openpose_json" / f"video_{i:012d}_keypoints.json").read_text())["people"][
            0
        ]
        parts = {part: np.reshape(found[f"{part}_keypoints_2d"], (-1, 3)) for part in _OPENPOSE_PARTS}
        case = Case(BY_MACHINE, f"{name}/{i}", "tracked", image)
        case.body = np.full((len(POSE_NAMES), 2), np.nan)
        case.body[_BODY_33] = _marked(parts["pose"], 0.3)[_BODY_25]
        face = _marked(parts["face"][17:68], 0.3)
        case.face = face if np.isfinite(face).all() else None
        for side in ("left", "right"):
            hand = _marked(parts[f"hand_{side}"], 0.3)
            if np.isfinite(hand[:, 0]).sum() >= _LEAST:
                case.hands[side] = hand
        yield case


def _single_hands(data: Path, source: str) -> Iterator[Case]:
    content = data / source / f"test_{source}.json"
    sides = {a["image_id"]: a.get("hand_type", "any") for a in json.loads(content.read_text())["annotations"]}
    for (name, image, hand), side in zip(_hands(content), sides.values(), strict=True):
        marked = {side: hand[_TIPS_FIRST] if source == "rhd" else hand}
        for pipeline in _BOTH:
            yield Case(source, name, pipeline, image, marked)


def _hands(file: Path) -> Iterator[tuple[str, Image, Points]]:
    content = json.loads(file.read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    for hand in content["annotations"]:
        name = files[hand["image_id"]]
        yield name, _read(file.parent / name), _marked(np.reshape(hand["keypoints"], (-1, 3)).astype(float))


def _interhand(folder: Path) -> Iterator[Case]:
    """Hands measured in space by many cameras, seen by one."""
    content, cameras, joints = (
        json.loads((folder / f"test_interhand2.6m_{name}.json").read_text()) for name in ("data", "camera", "joint_3d")
    )
    images = {image["id"]: image for image in content["images"]}
    for hands in content["annotations"]:
        image = images[hands["image_id"]]
        camera = {key: np.array(value[image["camera"]]) for key, value in cameras[str(image["capture"])].items()}
        world = np.array(joints[str(image["capture"])][str(image["frame_idx"])]["world_coord"])
        seen = (world - camera["campos"]) @ camera["camrot"].T
        pixels = seen[:, :2] / seen[:, 2:] * camera["focal"] + camera["princpt"]
        pixels[np.ravel(hands["joint_valid"]) == 0] = np.nan
        order = [20, *(4 * finger + joint for finger in range(5) for joint in (3, 2, 1, 0))]
        both = {"right": pixels[:21][order], "left": pixels[21:][order]}
        kept = {side: hand for side, hand in both.items() if np.isfinite(hand[:, 0]).sum() >= _LEAST}
        for pipeline in _BOTH if kept else ():
            yield Case("interhand2.6m", image["file_name"], pipeline, _read(folder / image["file_name"]), kept)


def _faces(data: Path, source: str, inner: list[int]) -> Iterator[Case]:
    """Each face on its own, cut out with room around."""
    content = json.loads((data / source / f"test_{source}.json").read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    for face in content["annotations"]:
        name = files[face["image_id"]]
        image = _read(data / source / name)
        left, top, right, bottom = _around(face["bbox"], image, 2 * _MARGIN)
        points = np.reshape(face["keypoints"], (-1, 3))[inner, :2].astype(float) - (left, top)
        cut = np.ascontiguousarray(image[top:bottom, left:right])
        yield Case(source, f"{name} {face['id']}", "face_mesh", cut, face=points)


def _marked(points: npt.NDArray[Any], least: float = 0.0) -> Points:
    """x and y of points `[n, 3]` whose last number is above `least`, NaN for the others."""
    return np.where(points[:, 2:] > least, points[:, :2], np.nan)


def _around(box: list[float], image: Image, margin: float = _MARGIN) -> tuple[int, int, int, int]:
    x, y, width, height = box
    left, top = max(0, x - margin * width), max(0, y - margin * height)
    right, bottom = x + (1 + margin) * width, y + (1 + margin) * height
    return int(left), int(top), int(min(image.shape[1], right)), int(min(image.shape[0], bottom))


def _read(path: Path) -> Image:
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise UsageError(f"the picture {path} cannot be read")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
