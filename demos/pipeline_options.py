"""The options of commands that run a pipeline: what to look for, and with which engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pocketgraph.models.grouped_help import option

PIPELINES = ("holistic", "pose", "hands", "face_mesh", "face_detection", "selfie_segmentation")
_DELEGATES = ("auto", "chw", "litert", "onnxruntime")
_FIND, _ENGINE = "What to find (holistic, where nothing else is said)", "Engine"

_OPTIONS = (
    option(_FIND, "--segmentation", is_flag=True, help="Masks of people too; also of pose."),
    option(_FIND, "--no-hands", "hands", flag_value=False, default=True, help="No hands."),
    option(_FIND, "--no-face", "face", flag_value=False, default=True, help="No face."),
    option(_FIND, "--num-people", type=click.IntRange(1, 50), default=1, show_default=True, metavar="N",
           help="Follow up to so many, each with a number; slower by each one seen."),
    option(_FIND, "--hand-model", type=click.Choice(("full", "lite")), default="full", show_default=True,
           help="lite is faster, full more exact; also of hands."),
    option(_FIND, "--hand-confidence", is_flag=True, help="Ask the model which hand it sees, and how sure it is."),
    option(_FIND, "--palm-fallback", is_flag=True,
           help="Look for palms where the body did not lead to a hand; not with --num-people."),
    option(_FIND, "--smooth-hands", is_flag=True, help="Steady hands as the body is."),
    option(_FIND, "--smooth-face", is_flag=True, help="Steady the face as the body is."),
    option(_ENGINE, "--delegate", type=click.Choice(_DELEGATES), default="auto", show_default=True,
           help="auto is the fastest, measured when a model is first used."),
    option(_ENGINE, "--threads", type=click.IntRange(1, 64), default=2, show_default=True, help="How many it may use."),
)  # fmt: skip


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command all of them, under the names of `Settings`; for a command of class `Grouped`."""
    for declare in reversed(_OPTIONS):
        command = declare(command)
    return command
