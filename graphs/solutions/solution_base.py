"""What all solutions share: pictures and settings checked, one frame at a time, results by name."""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from pocketgraph.graphs.closing import Closing
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture

Choice = TypeVar("Choice")


class SolutionValueError(UsageError, ValueError):
    """A picture or a setting that has the right type and is out of range."""


class SolutionTypeError(UsageError, TypeError):
    """A picture or a setting of another type."""


class SolutionOutputs(SimpleNamespace):
    """The results of one frame by name; `_fields` are the names. What was not found is None."""

    @property
    def _fields(self) -> tuple[str, ...]:
        return tuple(vars(self))


class _Pipeline(Protocol):
    def close(self) -> None: ...


Pipeline = TypeVar("Pipeline", bound=_Pipeline)


class SolutionBase(Closing, Generic[Pipeline]):
    """A solution around a pipeline of `pocketgraph.graphs`.

    `delegate` is the engine of solutions made from now on, as in `load_model`: set it on this class or on one below it.
    Calls from several threads wait for each other; for frames side by side make a solution for each thread.
    """

    delegate: ClassVar[DelegateName] = "auto"

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline: Pipeline | None = pipeline
        self._lock = threading.Lock()

    def process(self, image: Image) -> SolutionOutputs:
        """The results for an RGB picture, uint8 `[height, width, 3]`. Frames count as 1/30 s apart.

        Raises ValueError for another shape or after `close`, TypeError for what is no such array.
        """
        picture = _picture(image)
        with self._lock:
            if self._pipeline is None:
                raise SolutionValueError(f"this {type(self).__name__} was closed: make another to process more")
            return self._outputs(self._pipeline, picture)

    @abstractmethod
    def _outputs(self, pipeline: Pipeline, picture: Image) -> SolutionOutputs:
        """What the pipeline finds in the next frame, as messages."""

    def reset(self) -> None:
        """Forget the frames so far."""
        with self._lock:
            forget = getattr(self._pipeline, "reset", None)  # those that look at single pictures have none
            if forget is not None:
                forget()

    def close(self) -> None:
        """Release the engines."""
        with self._lock:
            if self._pipeline is not None:
                self._pipeline.close()
            self._pipeline = None


def _picture(image: Any) -> Image:
    if not isinstance(image, np.ndarray):
        hint = " (cv2 gives None where it cannot read a picture or a frame)" if image is None else ""
        raise SolutionTypeError(f"process takes a picture, a NumPy array of uint8, got {type(image).__name__}{hint}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise SolutionValueError(f"a picture must have three channels, [height, width, 3] in RGB, got {image.shape}")
    if not np.can_cast(image.dtype, np.uint8, "safe"):
        raise SolutionTypeError(f"a picture must be uint8, 0 to 255, got {image.dtype}")
    try:
        return as_picture(image.astype(np.uint8, copy=False))
    except UsageError as error:  # no pixels, or too many
        raise SolutionValueError(str(error)) from error


def confidence(name: str, value: Any) -> float:
    """`value` if it is a number from 0 to 1."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise SolutionTypeError(f"{name} is a number from 0 to 1, got {value!r}") from None
    if isinstance(value, str):
        raise SolutionTypeError(f"{name} is a number from 0 to 1, got the text {value!r}")
    if math.isnan(number) or not 0 <= number <= 1:
        raise SolutionValueError(f"{name} is a number from 0 to 1, got {value!r}")
    return number


def count(name: str, value: Any) -> int:
    """`value` if it is a whole number of at least 1."""
    number = _whole(name, value)
    if number < 1:
        raise SolutionValueError(f"{name} must be at least 1, got {number}")
    return number


def choice(name: str, value: Any, options: Sequence[Choice]) -> Choice:
    """The option that `value` is the index of."""
    index = _whole(name, value)
    if not 0 <= index < len(options):
        raise SolutionValueError(f"{name} is {' or '.join(map(str, range(len(options))))}, got {index}")
    return options[index]


def _whole(name: str, value: Any) -> int:
    try:
        return int(value.__index__())
    except AttributeError:
        hint = ": name the arguments, their order changed over the years" if isinstance(value, float) else ""
        raise SolutionTypeError(f"{name} is a whole number, got {value!r}{hint}") from None


def pose_model(model_complexity: Any) -> None:
    """Refuse the pose models that there are not."""
    complexity = choice("model_complexity", model_complexity, (0, 1, 2))
    if complexity != 1:
        name = "lite" if complexity == 0 else "heavy"
        raise SolutionValueError(
            f"model_complexity {complexity} is the {name} pose model, which was never in the mediapipe package (it was "
            "downloaded when first used); the full model, model_complexity 1, is at hand"
        )
