"""A window with the overlay: the extra `window` (pygame) draws it, as OpenCV's headless build has none."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

import numpy as np

from pocketgraph.demos.canvas import write
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.image_to_tensor import Image

KEYS = {"h": "hands", "f": "face", "p": "pose", "s": "segmentation"}
_QUIT = "q"
_INSTEAD = "`pocketgraph webcam` shows the same in a browser and needs neither"
_LARGEST = 1280, 800


class Window:
    """Shows pictures; `keys` are those pressed since the last call. Raises `UsageError` where there is no display."""

    def __init__(self, title: str) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            import pygame
        except ImportError as error:
            raise UsageError(
                f"--show needs the extra 'window': pip install 'pocketgraph[window]'; {_INSTEAD}"
            ) from error
        self._pygame = pygame
        problem = ""
        try:
            pygame.display.init()
        except pygame.error as error:
            problem = str(error)
        # without a display SDL draws into memory, unless that was asked for by name
        if not problem and pygame.display.get_driver() == "offscreen" and "SDL_VIDEODRIVER" not in os.environ:
            problem = "neither DISPLAY nor WAYLAND_DISPLAY leads to one"
        if problem:
            pygame.display.quit()
            raise UsageError(f"--show needs a display: {problem}; {_INSTEAD}")
        pygame.display.set_caption(title)
        self._surface: pygame.Surface | None = None

    def show(self, picture: Image) -> None:
        """Put `picture` into the window, which takes its shape when it is first shown."""
        pygame = self._pygame
        size = picture.shape[1], picture.shape[0]
        if self._surface is None:
            scale = min(1.0, _LARGEST[0] / size[0], _LARGEST[1] / size[1])
            wanted = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
            self._surface = pygame.display.set_mode(wanted, pygame.RESIZABLE)
        surface = pygame.display.get_surface()
        assert surface is not None
        image = pygame.image.frombuffer(np.ascontiguousarray(picture).tobytes(), size, "RGB")
        width, height = surface.get_size()
        scale = min(width / size[0], height / size[1])
        fitted = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        image = image if fitted == size else pygame.transform.smoothscale(image, fitted)
        surface.fill((0, 0, 0))
        surface.blit(image, ((width - fitted[0]) // 2, (height - fitted[1]) // 2))
        pygame.display.flip()

    def keys(self) -> list[str]:
        """The letters pressed, `q` for Escape and for the window's own button."""
        pygame = self._pygame
        pressed = []
        for event in pygame.event.get():
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                pressed.append(_QUIT)
            elif event.type == pygame.KEYDOWN:
                pressed.append(pygame.key.name(event.key).lower())
        return pressed

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()


def with_status(picture: Image, rate: float, latency: float, possible: Sequence[str], shown: Collection[str]) -> Image:
    """A copy of `picture` with frames a second, latency and the keys of the parts in its corner."""
    canvas = picture.copy()
    size = max(0.4, min(canvas.shape[:2]) / 1000)
    step = round(34 * size) + 4
    keys = [f"{letter} {part}{'' if part in shown else ' off'}" for letter, part in KEYS.items() if part in possible]
    lines = [f"{rate:.1f} FPS, {latency:.0f} ms", ", ".join([*keys, "q quit"])]
    canvas[: step * 2 + 8] = (canvas[: step * 2 + 8] * 0.45).astype(np.uint8)
    for number, line in enumerate(lines):
        write(canvas, line, 8, step * (number + 1), size, (245, 245, 245))
    return canvas
