"""Coverage-guided fuzzing of recordings: `python tests/fuzz/fuzz_recording.py -runs=100000 [CORPUS]`.

Whatever the bytes, a value read from them is one that is written and read again, or there is `FormatError`. Values are
fuzzed as they lie in a block: around them a checksum guards a recording, which every mutation would break.
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import numpy as np
from plain_package import load_compiled, require_instrumented, use_plain_package

use_plain_package()
load_compiled("runtime.vision._warp")
with atheris.instrument_imports(include=["pocketgraph.runtime.graph.values"]):
    from pocketgraph.models.errors import FormatError
    from pocketgraph.runtime.graph.config import parse_text
    from pocketgraph.runtime.graph.values import decode, encode
    from pocketgraph.runtime.vision.detections import Detections
    from pocketgraph.runtime.vision.landmarks import Landmarks
    from pocketgraph.runtime.vision.rect import Rect

NUMBERS = [0, 1, 2, 3, 255, 2**16, 2**31 - 1, 2**32 - 1]


def seeds() -> list[bytes]:
    """One of each kind of value."""
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    values: list[Any] = [
        None, [True, False], 7, -(2**70), 1.5, "text", b"bytes", (1, (2,)), {"a": [1], 2: "b"}, np.float16(3), rows,
        np.zeros((60, 60)), np.full((5, 4, 3), 9, np.uint8), Rect(0.5, 0.5, 1.0, 1.0), Landmarks(rows, rows[:, 0]),
        [Detections(rows[:, :2], rows[:, None, :2], rows[:, 0])], parse_text('node { calculator: "X" }'),
    ]  # fmt: skip
    return [encode(value) for value in values]


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A number changed to one that hurts, every third time; else any bytes."""
    if seed % 3 or len(data) < 5:
        return bytes(atheris.Mutate(data, max_size))
    choose = random.Random(seed)  # noqa: S311
    at = choose.randrange(len(data) - 3)
    return data[:at] + struct.pack("<I", choose.choice(NUMBERS)) + data[at + 4 :]


def one_input(data: bytes) -> None:
    """What is read is written and read again with the same bytes."""
    try:
        value = decode(data)
    except FormatError:
        return
    written = encode(value)
    assert encode(decode(written)) == written


def main() -> None:
    """Fuzz from the seeds."""
    require_instrumented(decode)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"seed{number}").write_bytes(seed)
        options = ["-rss_limit_mb=3072", "-timeout=20", "-max_len=4096"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], folder], one_input, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
