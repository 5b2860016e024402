"""Holds back chatter that native libraries write to standard error, and lets everything else through."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator

TENSORFLOW_CHATTER = (
    rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} |E\d{4} .* cuInit|"
    rb"To enable the following instructions:"
)


@contextlib.contextmanager
def without_lines(pattern: bytes) -> Iterator[None]:
    """Within the block, lines on file descriptor 2 that `pattern` (a regular expression) matches are dropped.

    The other lines appear when the block ends. For short blocks that load a library, not for work.
    """
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not re.match(pattern, line):
                    os.write(2, line)
