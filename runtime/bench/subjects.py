"""What is benched: a model file, a model of the zoo, or one of our architectures with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketgraph.models import zoo
from pocketgraph.models.errors import UnsupportedError, UsageError
from pocketgraph.models.files import read_model
from pocketgraph.models.graph import Model

Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`, told again and again."""
_PREFIX = "arch:"
_READABLE = {".tflite", ".onnx"}


@dataclass(frozen=True)
class Subject:
    """A model to bench: `name` as shown, `path` of a .tflite or .onnx file as given (None where there is none).

    `model` is its graph, None where the file is beyond our reader: engines of its own format may run it all the same.
    """

    name: str
    path: Path | None
    model: Model | None


def architectures() -> list[str]:
    """The names that `arch:NAME` takes."""
    return sorted(_builders())


def open_subject(text: str, progress: Progress = lambda *_: None) -> Subject:
    """Read what `text` names, fetched first where it is the zoo's. Raises `UsageError`, `ZooError` or `FormatError`."""
    if text.startswith(_PREFIX):
        builders, name = _builders(), text.removeprefix(_PREFIX)
        if name not in builders:
            raise UsageError(f"no architecture {name!r}; there are {', '.join(sorted(builders))}")
        return Subject(text, None, builders[name]())
    path = Path(text)
    if text in zoo.names() and not path.exists():
        model = zoo.load(text, lambda done, total: progress(f"fetch {zoo.entry(text).package}", done, total))
        file = zoo.path(text)
        return Subject(text, file if file.suffix in _READABLE else None, model)
    if not path.exists():
        if not path.suffix and "/" not in text:
            zoo.entry(text)  # raises with the nearest names
        raise UsageError(f"there is no file {text}; give a model file, a zoo name or arch:NAME")
    if path.suffix.lower() not in _READABLE:
        raise UsageError(f"cannot bench {text}: give a .tflite or .onnx file (`pocketgraph convert` makes them)")
    try:
        return Subject(path.name, path.resolve(), read_model(path))
    except UnsupportedError:
        return Subject(path.name, path.resolve(), None)


def open_subjects(texts: list[str], progress: Progress = lambda *_: None) -> list[Subject]:
    """`open_subject` for each; where two files have the same name, they are shown as they were given."""
    found = [open_subject(text, progress) for text in texts]
    names = [subject.name for subject in found]
    named = [
        subject if names.count(subject.name) == 1 else Subject(text, subject.path, subject.model)
        for text, subject in zip(texts, found, strict=True)
    ]
    twice = {subject.name for subject in named if [s.name for s in named].count(subject.name) > 1}
    if twice:
        raise UsageError(f"{twice.pop()} is given twice")
    return named


def _builders() -> dict[str, Callable[[], Model]]:
    from pocketgraph.models.architectures.efficientnet_lite import random_efficientnet_lite0
    from pocketgraph.models.architectures.mobilenet_v1 import mobilenet_v1
    from pocketgraph.models.architectures.mobilenet_v2 import mobilenet_v2
    from pocketgraph.models.architectures.mobilenet_v3 import mobilenet_v3_large

    return {
        "efficientnet_lite0": random_efficientnet_lite0,
        "mobilenet_v1": mobilenet_v1,
        "mobilenet_v2": mobilenet_v2,
        "mobilenet_v3_large": mobilenet_v3_large,
    }
