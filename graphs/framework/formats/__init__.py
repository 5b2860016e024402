"""Messages as `mediapipe.framework.formats` 0.10.21 has them: names, fields and numbers, so bytes are the same.

Modules: `landmark_pb2`, `detection_pb2`, `classification_pb2` and `location_data_pb2`. Messages are described at run
time, in a pool of their own: mediapipe may be imported beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pocketgraph.runtime.graph.schema import describe, message_class


def classes(messages: str, file: str, module: str) -> Iterator[Any]:
    """The classes of `messages` (notation: `schema.describe`), as members of `module`, so that they can be pickled."""
    for name in describe(messages, f"mediapipe/framework/formats/{file}.proto"):
        found: Any = message_class(name)
        found.__module__ = module
        yield found
