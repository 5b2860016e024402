"""Writes what `mediapipe.solutions` 0.10.21 finds in pictures and videos of people, as small JSON files.

Run by `tests/graphs/test_parity.py` with an interpreter that has mediapipe 0.10.21:
`python mediapipe_solutions.py PEOPLE OUT [--every N]`, where PEOPLE is the folder people/ of the shared data. Pictures
go through one object each in static mode, videos in tracking mode and Holistic in both. Numbers are whole, in units of
1e-5. Of the 468 or 478 face landmarks every N-th is kept (default 9). MediaPipe runs on the CPU, with its own model
files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "graphs"))

import cv2
import mediapipe as mp
from people_data import VIDEOS, checksum, frames, pictures

solutions = mp.solutions
_MASK = 12  # masks are kept as this many cells a side, each the mean of its pixels


def _whole(values: Any) -> list:
    return np.rint(np.asarray(values, np.float64) * 1e5).astype(int).tolist()


def _points(landmarks: Any, every: int = 1, *, visibility: bool = False) -> list | None:
    if landmarks is None:
        return None
    kept = landmarks.landmark[::every]
    return _whole([[p.x, p.y, p.z, p.visibility] if visibility else [p.x, p.y, p.z] for p in kept])


def _mask(mask: np.ndarray | None) -> list | None:
    return None if mask is None else _whole(cv2.resize(mask, (_MASK, _MASK), interpolation=cv2.INTER_AREA))


def _holistic(every: int) -> Callable[[Any], dict]:
    return lambda r: {
        "pose": _points(r.pose_landmarks, visibility=True),
        "left_hand": _points(r.left_hand_landmarks),
        "right_hand": _points(r.right_hand_landmarks),
        "face": _points(r.face_landmarks, every),
    }


def _pose(r: Any) -> dict:
    return {
        "pose": _points(r.pose_landmarks, visibility=True),
        "world": _points(r.pose_world_landmarks),
        "mask": _mask(r.segmentation_mask),
    }


def _hands(r: Any) -> dict:
    return {
        "hands": [_points(hand) for hand in r.multi_hand_landmarks or []],
        "world": [_points(hand) for hand in r.multi_hand_world_landmarks or []],
        "handedness": [
            [h.classification[0].label, _whole(h.classification[0].score)] for h in r.multi_handedness or []
        ],
    }


def _mesh(every: int) -> Callable[[Any], dict]:
    return lambda r: {"faces": [_points(face, every) for face in r.multi_face_landmarks or []]}


def _faces(r: Any) -> dict:
    found = []
    for detection in r.detections or []:
        box = detection.location_data.relative_bounding_box
        keys = [[p.x, p.y] for p in detection.location_data.relative_keypoints]
        box = [box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height]
        found.append({"score": _whole(detection.score[0]), "box": _whole(box), "keypoints": _whole(keys)})
    return {"faces": found}


def _selfie(r: Any) -> dict:
    return {"mask": _mask(r.segmentation_mask)}


def _run(solution: Any, images: Iterable[tuple[str, np.ndarray]], read: Callable[[Any], dict]) -> list[dict]:
    with solution:
        return [
            {"name": name, "size": [image.shape[1], image.shape[0]], "pixels": checksum(image)}
            | read(solution.process(image))
            for name, image in images
        ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("people", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=9)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    every = options.every
    still = list(pictures(options.people))
    static: dict[str, tuple[Any, Callable[[Any], dict]]] = {
        "face_detection_short": (solutions.face_detection.FaceDetection(0.5, 0), _faces),
        "face_detection_full": (solutions.face_detection.FaceDetection(0.6, 1), _faces),
        "face_mesh": (solutions.face_mesh.FaceMesh(True, 2), _mesh(every)),
        "face_mesh_refined": (solutions.face_mesh.FaceMesh(True, 2, True), _mesh(every)),
        "hands": (solutions.hands.Hands(True), _hands),
        "pose": (solutions.pose.Pose(True, enable_segmentation=True), _pose),
        "selfie": (solutions.selfie_segmentation.SelfieSegmentation(0), _selfie),
        "selfie_landscape": (solutions.selfie_segmentation.SelfieSegmentation(1), _selfie),
        "holistic": (solutions.holistic.Holistic(True), _holistic(every)),
        "holistic_refined": (
            solutions.holistic.Holistic(True, refine_face_landmarks=True),
            lambda r: {"face": _points(r.face_landmarks, every)},
        ),
    }
    for name, (solution, read) in static.items():
        _write(options.out, name, _run(solution, still, read))
    for video in VIDEOS:
        images = [(f"{video}/{i}", frame) for i, frame in enumerate(frames(options.people, video))]
        tracking: dict[str, tuple[Any, Callable[[Any], dict]]] = {
            "face_mesh": (solutions.face_mesh.FaceMesh(), _mesh(every)),
            "hands": (solutions.hands.Hands(), _hands),
            "pose": (solutions.pose.Pose(enable_segmentation=True), _pose),
            "holistic": (solutions.holistic.Holistic(), _holistic(every)),
            "holistic_static": (solutions.holistic.Holistic(True), _holistic(every)),
        }
        for name, (solution, read) in tracking.items():
            _write(options.out, f"{name}_{video}", _run(solution, images, read))


def _write(folder: Path, name: str, results: list[dict]) -> None:
    how = f"mediapipe {mp.__version__} solutions on the CPU, by tests/oracles/mediapipe_solutions.py; units of 1e-5"
    lines = ",\n".join(json.dumps(result, separators=(",", ":")) for result in results)
    (folder / f"{name}.json").write_text(f'{{"how":"{how}","results":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
