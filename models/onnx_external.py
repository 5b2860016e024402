"""Constants that an ONNX file keeps in files beside it: nothing outside the model's folder is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pocketgraph.models.errors import FormatError, UnsupportedError


class ExternalData:
    """Reads pieces of files in `folder` (None: refuses). A piece read twice is kept; pieces of one file that together
    are longer than the file are refused.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.resolve()
        self._pieces: dict[tuple[Path, int, int], bytes] = {}
        self._taken: dict[Path, int] = {}

    def read(self, entries: Mapping[str, str], count: int, what: str) -> bytes:
        """The `count` bytes that `entries` (location, offset, length) point at, for the constant `what`."""
        location = entries.get("location", "")
        path = self._path(location, what)
        offset = _number(entries.get("offset", "") or "0", what)
        length = _number(entries.get("length", "") or str(count), what)
        if length != count:
            raise FormatError(f"constant {what!r} needs {count} bytes and names {length} of {location!r}")
        key = (path, offset, count)
        if key not in self._pieces:
            try:
                self._pieces[key] = self._piece(path, offset, count, what)
            except OSError as error:
                raise FormatError(f"constant {what!r}: cannot read {location!r}: {error.strerror}") from error
        return self._pieces[key]

    def _piece(self, path: Path, offset: int, count: int, what: str) -> bytes:
        size = path.stat().st_size
        taken = self._taken[path] = self._taken.get(path, 0) + count
        if offset + count > size or taken > size:
            raise FormatError(
                f"constant {what!r} needs bytes {offset} to {offset + count} of {path.name!r} ({size} bytes)"
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def _path(self, location: str, what: str) -> Path:
        if self._folder is None:
            raise UnsupportedError(
                f"constant {what!r} lies in another file, {location!r}: read the model from its path"
            )
        if not location or "\0" in location:
            raise FormatError(f"constant {what!r} lies in a file named {location!r}")
        try:
            path = (self._folder / location).resolve()
            inside = path.is_relative_to(self._folder) and path.is_file()
        except OSError as error:
            raise FormatError(f"constant {what!r}: cannot read {location!r}: {error.strerror}") from error
        if not inside:
            raise FormatError(f"constant {what!r} lies in {location!r}, which is no file in the model's folder")
        return path


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise FormatError(f"constant {what!r} has the offset or length {text!r}")
    return int(text)
