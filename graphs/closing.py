"""`Closing`: a pipeline that holds engines and lets go of them at the end of a `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod

from typing_extensions import Self


class Closing(ABC):
    """Makes `close` the end of a `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Release the engines."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
