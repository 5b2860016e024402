"""What `mediapipe.solutions` finds in the pictures of a quality table, for an interpreter that has mediapipe 0.10.21.

`python mediapipe_peer.py FOLDER` reads `jobs.json` there, a list of `{"file", "pipeline"}`, and writes `found.json`:
for each job what was found, in pixels. It needs nothing of this project.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import mediapipe as mp
import numpy as np


def _pixels(landmarks: Any, shape: tuple[int, ...]) -> list[list[float]] | None:
    if landmarks is None:
        return None
    return [[point.x * shape[1], point.y * shape[0]] for point in landmarks.landmark]


def main(folder: Path) -> None:
    """Do the jobs in `folder`."""
    solutions = mp.solutions
    pipelines = {
        "holistic": solutions.holistic.Holistic(static_image_mode=True),
        "tracked": solutions.holistic.Holistic(),
        "hands": solutions.hands.Hands(static_image_mode=True),
        "face_mesh": solutions.face_mesh.FaceMesh(static_image_mode=True),
    }
    answers: list[dict[str, Any]] = []
    for job in json.loads((folder / "jobs.json").read_text()):
        image = cv2.cvtColor(np.asarray(cv2.imread(str(folder / job["file"]))), cv2.COLOR_BGR2RGB)
        pipeline, shape = pipelines[job["pipeline"]], image.shape
        if job["pipeline"] == "holistic":
            pipeline.reset()
        seen = pipeline.process(image)
        if job["pipeline"] == "hands":
            answers.append({"hands": [_pixels(hand, shape) for hand in seen.multi_hand_landmarks or []]})
        elif job["pipeline"] == "face_mesh":
            answers.append({"face": _pixels((seen.multi_face_landmarks or [None])[0], shape)})
        else:
            parts = {"left": "left_hand", "right": "right_hand", "face": "face", "body": "pose"}
            answers.append({ours: _pixels(getattr(seen, f"{part}_landmarks"), shape) for ours, part in parts.items()})
    (folder / "found.json").write_text(json.dumps({"version": mp.__version__, "found": answers}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
