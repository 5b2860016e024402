"""The window, drawn into memory by SDL: keys switch parts, and without a display or pygame it says what to do."""

from __future__ import annotations

import builtins
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.demos.window import Window, with_status
from pocketgraph.models.errors import UsageError

needs_pygame = pytest.mark.skipif(
    importlib.util.find_spec("pygame") is None, reason="pygame is not installed: pip install 'pocketgraph[window]'"
)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown = Window("test")
    yield shown
    shown.close()


@needs_pygame
def test_a_picture_is_shown_whole_in_the_window(window: Window) -> None:
    import pygame

    picture = np.zeros((30, 40, 3), np.uint8)
    picture[:, 20:] = (200, 100, 50)
    window.show(picture)
    pixels = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    np.testing.assert_array_equal(pixels, picture)
    window.show(np.full((60, 20, 3), 255, np.uint8))  # another size: black beside it
    pixels = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    assert pixels.shape == (30, 40, 3)
    assert (pixels[:, 15:25] == 255).all()
    assert (pixels[:, :14] == 0).all()


@needs_pygame
def test_a_picture_larger_than_a_screen_is_made_smaller(window: Window) -> None:
    import pygame

    window.show(np.zeros((2000, 4000, 3), np.uint8))
    assert pygame.display.get_surface().get_size() == (1280, 640)


@needs_pygame
def test_keys_are_letters_and_leaving_is_q(window: Window) -> None:
    import pygame

    window.show(np.zeros((30, 40, 3), np.uint8))
    for key in (pygame.K_h, pygame.K_s, pygame.K_ESCAPE):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert window.keys() == ["h", "s", "q", "q"]
    assert window.keys() == []


@needs_pygame
def test_without_a_display_it_says_that_there_is_webcam() -> None:
    environment = {
        name: value for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    }  # fmt: skip
    code = "from pocketgraph.demos.window import Window; Window('x')"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "--show needs a display" in done.stderr
    assert "pocketgraph webcam" in done.stderr


def test_without_pygame_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name == "pygame":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(UsageError, match=r"pip install 'pocketgraph\[window\]'.*pocketgraph webcam"):
        Window("x")


@needs_pygame
def test_keys_switch_parts_and_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    from pocketgraph.demos import session
    from pocketgraph.demos.running import Job, run_job
    from pocketgraph.graphs import Hand, Timed
    from pocketgraph.runtime.vision.landmarks import Landmarks

    points = Landmarks(np.full((21, 3), 0.5, np.float32))

    class Fake:
        name, possible, parts = "hands", ("hands",), ("hands",)

        def __init__(self, *_: Any) -> None:
            self.calls = 0

        def __call__(self, image: Any, timestamp_us: int) -> Timed[list[Hand]]:
            self.calls += 1
            if self.calls == 2:
                pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_h))
            if self.calls == 4:
                pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q))
            return Timed("hands", timestamp_us, [Hand(points, 1.0, side="Left")], image)

        def close(self) -> None: ...

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(session, "Pipeline", Fake)
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "in.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (160, 120))
    for _ in range(9):
        writer.write(np.full((120, 160, 3), 90, np.uint8))
    writer.release()
    ended = run_job(Job("hands", str(tmp_path / "in.mp4"), tmp_path / "out.avi", show=True))
    assert ended.frames == 4
    capture = cv2.VideoCapture(str(tmp_path / "out.avi"))
    drawn = [bool(frame[60, 80].max() > 150) for _, frame in iter(capture.read, (False, None))]
    assert drawn == [True, True, False, False]


def test_the_status_names_rate_and_keys_in_the_corner_only() -> None:
    picture = np.full((480, 640, 3), 120, np.uint8)
    drawn = with_status(picture, 12.3, 45, ("pose", "hands"), {"pose"})
    assert (picture == 120).all()
    assert (drawn[:40] > 200).any()
    assert (drawn[80:] == 120).all()
