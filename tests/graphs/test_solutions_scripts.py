"""Scripts written for `mediapipe.solutions` run with another import line, and print what they printed.

`scripts/*.py` are of the kinds that people publish: still pictures, hands of a webcam, an arm's angle, raised fingers,
eyes and irises, a blurred background. `scripts/fake_camera.py` plays a file as their camera. What they print with
mediapipe 0.10.21 is kept in `scripts/printed.json`; with POCKETGRAPH_MEDIAPIPE_PYTHON set to an interpreter that has
it, each is run there, unchanged, and must print that again. Numbers may differ by 1 % or by one in the last place,
whole numbers under 10 not at all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"
PRINTED: dict[str, list[str]] = json.loads((SCRIPTS / "printed.json").read_text())
VIDEO = "videos/signing_video_9frames.mp4"
PICTURE = "openpose_media/COCO_val2014_000000000241.jpg"
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def _run(python: str, package: str, script: str, people: Path) -> list[str]:
    media = people / (PICTURE if script == "holistic_pictures" else VIDEO)
    command = [python, SCRIPTS / "fake_camera.py", package, SCRIPTS / f"{script}.py", media]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def _near(wanted: str, found: str) -> bool:
    places = len(wanted.partition(".")[2])
    least = 0.0 if places == 0 and abs(float(wanted)) < 10 else 1.01 * 10**-places
    return abs(float(wanted) - float(found)) <= max(least, 0.01 * abs(float(wanted)) if least else 0.0)


def test_every_script_has_its_print() -> None:
    assert set(PRINTED) == {file.stem for file in SCRIPTS.glob("*.py")} - {"fake_camera"}
    assert min(map(len, PRINTED.values())) >= 7


@pytest.mark.data
@pytest.mark.zoo
@pytest.mark.parametrize("script", PRINTED)
def test_a_script_prints_the_same_with_another_import_line(script: str, shared_data: Path) -> None:
    printed = _run(sys.executable, "pocketgraph", script, shared_data / "people")
    assert len(printed) == len(PRINTED[script])
    for wanted, found in zip(PRINTED[script], printed, strict=True):
        assert _NUMBER.sub("#", wanted) == _NUMBER.sub("#", found)
        for number, other in zip(_NUMBER.findall(wanted), _NUMBER.findall(found), strict=True):
            assert _near(number, other), (wanted, found)


@pytest.mark.oracle
@pytest.mark.data
@pytest.mark.skipif(
    "POCKETGRAPH_MEDIAPIPE_PYTHON" not in os.environ,
    reason="POCKETGRAPH_MEDIAPIPE_PYTHON does not name an interpreter with mediapipe 0.10.21",
)
@pytest.mark.parametrize("script", PRINTED)
def test_the_oracle_still_prints_it(script: str, shared_data: Path) -> None:
    assert (
        _run(os.environ["POCKETGRAPH_MEDIAPIPE_PYTHON"], "mediapipe", script, shared_data / "people") == PRINTED[script]
    )
