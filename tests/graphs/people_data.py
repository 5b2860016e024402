"""Which pictures and videos of people the parity tests look at, for the oracle's interpreter and for ours.

Plain standard library and OpenCV: `tests/oracles/mediapipe_solutions.py` imports it in MediaPipe's environment too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

_FOLDERS = {  # folder under people/ -> how many of its pictures, in the order of their names
    "openpose_media": 20,
    "mmpose_tests_data/coco": 4,
    "mmpose_tests_data/freihand": 4,
    "mmpose_tests_data/onehand10k": 3,
    "mmpose_tests_data/mpii": 3,
    "mmpose_tests_data/wflw": 2,
    "mmpose_tests_data/300w": 2,
    "mmpose_tests_data/lapa": 2,
    "mmpose_tests_data/ochuman": 2,
    "mmpose_tests_data/crowdpose": 2,
}
VIDEOS = ("signing_selfie_test_video", "signing_video_9frames")


def pictures(people: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and RGB pixels of every picture."""
    for folder, count in _FOLDERS.items():
        files = sorted(file for file in (people / folder).iterdir() if file.suffix in {".jpg", ".png"})
        for file in files[:count]:
            yield f"{folder}/{file.name}", cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)


def frames(people: Path, video: str) -> Iterator[np.ndarray]:
    """The RGB frames of a video."""
    capture = cv2.VideoCapture(str(people / "videos" / f"{video}.mp4"))
    while True:
        good, frame = capture.read()
        if not good:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def checksum(image: np.ndarray) -> int:
    """Tells whether two decoders gave the same pixels."""
    return zlib.crc32(np.ascontiguousarray(image))
