"""Files that graphs name: models of the zoo under the paths they have in MediaPipe's package, and files of your own."""

from __future__ import annotations

import difflib
import stat
from pathlib import Path, PurePosixPath

from pocketgraph.models import zoo
from pocketgraph.models.errors import GraphRuntimeError

MOST_BYTES = 1 << 31
"""Of a file that a graph names."""

HANDEDNESS = "mediapipe/modules/hand_landmark/handedness.txt"
_TEXTS = {HANDEDNESS: b"Left\nRight\n"}


def find_resource(name: str) -> bytes:
    """The content of what `name` names in a graph file.

    That is a model of the zoo, by its name (`pose_landmark_full`) or by its path in MediaPipe's package
    (`mediapipe/modules/pose_landmark/pose_landmark_full.tflite`), fetched where it is not yet at hand; or a regular
    file, relative to the working folder or absolute, without `..`. Raises `GraphRuntimeError`, `ZooError`.
    """
    if name in _TEXTS:
        return _TEXTS[name]
    members = {zoo.entry(known).member: known for known in zoo.names()}
    known = members.get(name, name if name in zoo.names() else None)
    if known is not None:
        return zoo.fetch(known).read_bytes()
    if not name or "\0" in name or ".." in PurePosixPath(name).parts:
        raise GraphRuntimeError(f"{name!r} cannot be a file of a graph: it needs a path without ..")
    file = Path(name)
    try:
        about = file.stat()
    except (OSError, ValueError) as error:
        near = difflib.get_close_matches(PurePosixPath(name).stem, zoo.names(), 2, 0.6)
        hint = f"; the zoo has {' and '.join(near)}" if near else ""
        raise GraphRuntimeError(f"{name!r} is neither a model of the zoo nor a file{hint}") from error
    if not stat.S_ISREG(about.st_mode):
        raise GraphRuntimeError(f"{name!r} is not a regular file")
    if about.st_size > MOST_BYTES:
        raise GraphRuntimeError(f"{name!r} has {about.st_size} bytes, more than the {MOST_BYTES} that are read")
    try:
        return file.read_bytes()
    except OSError as error:
        raise GraphRuntimeError(f"{name!r} cannot be read: {error.strerror}") from error
