"""`pocketgraph webcam` in a real browser: its camera (played from a file) to landmarks on a canvas, and a stream."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pocketgraph.graphs import HolisticResult, Timed
from pocketgraph.runtime.vision.frames import read_frames

pytestmark = [pytest.mark.browser, pytest.mark.data, pytest.mark.zoo]
DRIVER = Path(__file__).with_name("webcam.mjs")


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The address of a `pocketgraph webcam` that runs as a process of its own, and ends well on Ctrl-C."""
    command = [sys.executable, "-m", "pocketgraph", "webcam", "--delegate", "litert", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        match = re.search(r"http://\S+", line)
        assert match, line + process.communicate(timeout=10)[1]
        yield match.group()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "frame" in out
        assert not err
    finally:
        process.kill()
        process.communicate()


def visit(tmp_path: Path, url: str, **wishes: Any) -> dict[str, Any]:
    spec = {"chromium": shutil.which("chromium"), "url": url, "camera": None, "frames": 5, "width": 1100, "height": 800,
            "toggle": None, "message": False, "screenshot": None} | wishes  # fmt: skip
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(spec))
    done = subprocess.run(["node", DRIVER, file], capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Chromium's fake camera shows this: a person who signs, as raw video."""
    file = tmp_path_factory.mktemp("camera") / "person.y4m"
    with file.open("wb") as stream:
        for number, (_, frame) in enumerate(read_frames(shared_data / "people/videos/signing_video_9frames.mp4")):
            small = cv2.resize(frame, (640, 360), interpolation=cv2.INTER_AREA)
            if not number:
                stream.write(b"YUV4MPEG2 W640 H360 F10:1 Ip A1:1 C420jpeg\n")
            stream.write(b"FRAME\n" + cv2.cvtColor(small, cv2.COLOR_RGB2YUV_I420).tobytes())
    return file


def test_the_browsers_camera_comes_back_as_landmarks_drawn_on_the_canvas(tmp_path: Path, camera: Path) -> None:
    picture = tmp_path / "page.png"
    with served("holistic") as url:
        seen = visit(tmp_path, url, camera=str(camera), frames=8, screenshot=str(picture))
    result = HolisticResult.from_json(json.dumps(seen["record"]))
    assert result.size == (640, 360)
    assert len(result.pose) == 33
    assert len(result.face) == 468
    for colour in ("left", "right", "middle", "face"):
        assert seen["painted"][colour] > 100, seen["painted"]
    assert float(seen["rate"]) > 0
    assert set(seen["pressed"]) == {"pose", "hands", "face"}
    assert seen["message"] == ""
    assert seen["errors"] == []
    assert cv2.imread(str(picture)) is not None


def test_a_part_switched_off_is_drawn_no_longer_also_in_a_phones_window(tmp_path: Path, camera: Path) -> None:
    with served("holistic") as url:
        seen = visit(
            tmp_path,
            url,
            camera=str(camera),
            width=390,
            height=780,
            toggle="face",
            screenshot=str(tmp_path / "page.png"),
        )
    assert seen["painted"]["face"] < 20  # hundreds with it
    assert seen["painted"]["left"] > 100
    assert "face" not in seen["pressed"]
    assert not seen["wide"]


def test_several_people_have_their_colours_and_the_background_is_darkened(tmp_path: Path, camera: Path) -> None:
    with served("holistic", "--num-people", "2", "--segmentation") as url:
        seen = visit(tmp_path, url, camera=str(camera), frames=6, screenshot=str(tmp_path / "page.png"))
    person = Timed.from_json(json.dumps(seen["record"])).found[0]
    assert (person.id, len(person.pose), person.mask.shape) == (0, 33, (360, 640))
    assert seen["painted"]["face"] < 20
    assert seen["painted"]["left"] > 1000  # the colour of number 0
    assert seen["dark"] > 0.2
    assert seen["errors"] == []


def test_a_browser_without_a_camera_says_so(tmp_path: Path) -> None:
    with served("face_detection") as url:
        seen = visit(tmp_path, url, frames=0, message=True)
    assert seen["message"].startswith("The browser found no camera: plug one in"), seen["message"]


def test_the_servers_camera_is_shown_as_a_stream(tmp_path: Path, shared_data: Path) -> None:
    picture = tmp_path / "page.png"
    video = shared_data / "people/videos/signing_selfie_test_video.mp4"
    with served("face_detection", "--input", str(video)) as url:
        seen = visit(tmp_path, url, frames=20, screenshot=str(picture))
    assert seen["frames"] >= 20
    assert seen["pressed"] == ["face"]
    assert seen["errors"] == []
    page = cv2.imread(str(picture))[..., ::-1].astype(int)
    assert (np.abs(page - (130, 230, 190)).max(axis=2) < 12).sum() > 300  # the box around the face
