"""Runs a pipeline over many frames and looks at memory: `python tests/soak/soak_pipeline.py holistic VIDEO`.

Frames of VIDEO are played forth and back, small; overlay and JSON lines are made as `pocketgraph run` makes them.
Prints the resident memory along the way; ends with 1 where it grew by more than `--most` MiB after the first tenth.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt

from pocketgraph.demos.overlay import overlay
from pocketgraph.demos.pipelines import PIPELINES, Settings
from pocketgraph.demos.session import Session
from pocketgraph.runtime.vision.frames import read_frames

_MIB = 1 << 20


def resident() -> float:
    """MiB that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / _MIB


def played(video: Path, width: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The frames of `video` at `width`, forth and back without end."""
    frames = []
    for _, frame in read_frames(video):
        size = width, round(frame.shape[0] * width / frame.shape[1])
        frames.append(np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8))
    return cycle([*frames, *frames[-2:0:-1]])


@click.command()
@click.argument("pipeline", type=click.Choice(list(PIPELINES)))
@click.argument("video", type=click.Path(exists=True, path_type=Path))
@click.option("--frames", default=10_000, show_default=True)
@click.option("--width", default=320, show_default=True, help="Of the frames.")
@click.option("--most", default=8.0, show_default=True, help="MiB by which memory may grow after the first tenth.")
def main(pipeline: str, video: Path, frames: int, width: int, most: float) -> None:
    """Run PIPELINE over VIDEO again and again."""
    marks = sorted({1, frames // 10, frames // 4, frames // 2, frames})
    memory: dict[int, float] = {}
    began = time.monotonic()
    masks = "segmentation" in PIPELINES[pipeline].options
    with Session(pipeline, Settings(segmentation=masks, delegate="litert")) as session:
        for number, frame in enumerate(islice(played(video, width), frames), 1):
            seen = session(frame, number * 33_333)
            overlay(frame, seen)
            seen.to_json()
            if number in marks:
                memory[number] = resident()
                print(f"{number} frames, {time.monotonic() - began:.0f} s: {memory[number]:.1f} MiB", flush=True)
    print("\n".join(session.summary()))
    grown = memory[frames] - memory[frames // 10]
    if grown > most:
        sys.exit(f"memory grew by {grown:.1f} MiB after the first tenth")


if __name__ == "__main__":
    main()
