"""Every error this project raises on purpose, in one tree.

`PocketgraphError` is what a caller catches; the command line prints its message and exits with code 2. A message says
what was done, the value seen, what was expected, and where there is one, the fix.
"""

from __future__ import annotations


class PocketgraphError(Exception):
    """The base of all errors a user can cause or mend."""


class FormatError(PocketgraphError):
    """A file is not what its format asks for: truncated, damaged, hostile, or of another kind."""


class UnsupportedError(PocketgraphError):
    """A sound model that uses something this operation does not cover."""


class GraphError(PocketgraphError):
    """A graph breaks a rule that every pass relies on."""


class GraphConfigError(PocketgraphError):
    """A calculator graph breaks a rule of names, wiring, types or options; the message names stream and nodes."""


class GraphRuntimeError(PocketgraphError):
    """A calculator graph fails while it runs; `node` and `timestamp` say where, `__cause__` what was raised there."""

    def __init__(self, message: str, *, node: str | None = None, timestamp: int | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.timestamp = timestamp


class GraphCancelledError(GraphRuntimeError):
    """A run ended because `cancel` was called."""


class GraphFullError(GraphRuntimeError):
    """A packet cannot be added now: a queue behind its stream is full, and waiting was not asked for."""


class ZooError(PocketgraphError):
    """A model of the zoo is unknown, cannot be fetched, or fails its checksum."""


class UsageError(PocketgraphError):
    """An option or argument is out of its range, or two do not go together."""


class EngineError(PocketgraphError):
    """An engine that runs in a process of its own cannot do what it was asked, dies, hangs or answers nonsense."""


class MissingExtraError(PocketgraphError):
    """An optional dependency is not installed; the message has the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}: pip install 'pocketgraph[{extra}]'")
