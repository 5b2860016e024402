"""Runs a script of this folder with a camera that plays a file and windows that nobody sees.

`python fake_camera.py PACKAGE SCRIPT FILE`: PACKAGE takes the place of mediapipe in the script's import lines; nothing
else is changed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cv2

package, script, media = sys.argv[1:]
open_file = cv2.VideoCapture


def show(title: str, image: object) -> None:
    assert title
    assert getattr(image, "size", 0), "an empty window"


cv2.VideoCapture = lambda _camera: open_file(media)
cv2.imshow = show
cv2.waitKey = lambda _milliseconds=0: -1
cv2.destroyAllWindows = lambda: None
sys.argv = [script, media]
source = re.sub(r"^(import|from) mediapipe\b", rf"\1 {package}", Path(script).read_text(), flags=re.MULTILINE)
exec(compile(source, script, "exec"), {"__name__": "__main__"})  # noqa: S102
