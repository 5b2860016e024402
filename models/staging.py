"""Several output files that appear together: written beside their places, moved there at the end, or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from pocketgraph.models.errors import UsageError


class Staging:
    """Collects files to write; `commit` puts all in place, leaving the block without it puts none and cleans up.

    A link is followed, and what is no ordinary file (a device, a pipe) is written to and stays what it is.

    Use in a `with` block. Creating it checks that every place can be written, before any work is done::

        with Staging([Path("out/a.tflite"), Path("out/a.html")]) as staging:
            staging.temporary(Path("out/a.tflite")).write_bytes(data)
            ...
            staging.commit()
    """

    def __init__(self, targets: list[Path]) -> None:
        """Check the places. Folders that are missing are made, and removed again where nothing gets written."""
        doubled = {target for target in targets if targets.count(target) > 1}
        if doubled:
            raise UsageError(f"two outputs go to the same file {doubled.pop()}: give each its own name")
        self._made: list[Path] = []
        self._parts: dict[Path, Path] = {}
        self._committed = False
        try:
            for target in targets:
                self._prepare(target)
        except BaseException:
            self._clean()
            raise

    def temporary(self, target: Path) -> Path:
        """Where to write what will become `target`; it has the same suffix."""
        return self._parts[target]

    def commit(self) -> None:
        """Move every file to its place. Where one cannot be, those moved before it are put back."""
        moved: list[tuple[Path, Path | None]] = []
        try:
            for name, part in self._parts.items():
                target = Path(os.path.realpath(name))  # a link stays one, what it points to is replaced
                backup = None
                if _is_special(target):
                    continue
                if target.exists():
                    backup = _beside(target)
                    target.rename(backup)
                moved.append((target, backup))
                part.rename(target)
                target.chmod(0o666 & ~_umask() if backup is None else backup.stat().st_mode & 0o777)
            for name, part in self._parts.items():
                target = Path(os.path.realpath(name))
                if _is_special(target):
                    target.write_bytes(part.read_bytes())
        except BaseException as error:
            for done, backup in reversed(moved):
                done.unlink(missing_ok=True)
                if backup is not None:
                    backup.rename(done)
            if isinstance(error, OSError):
                raise UsageError(f"cannot write {target}: {error.strerror}") from error
            raise
        self._committed = True
        for _, backup in moved:
            if backup is not None:
                backup.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean()
        if isinstance(error, OSError):
            raise UsageError(f"cannot write the output: {error.strerror or error}") from error
        if isinstance(error, UsageError):
            message = str(error)
            for target, part in self._parts.items():
                message = message.replace(str(part), str(target))
            raise UsageError(message) from error

    def _prepare(self, target: Path) -> None:
        if target.is_dir():
            raise UsageError(f"cannot write {target}: it is a folder; give the name of a file, in it for instance")
        try:
            for folder in reversed([target.parent, *target.parent.parents]):
                if not folder.exists():
                    folder.mkdir()
                    self._made.append(folder)
            real = Path(os.path.realpath(target))
            part = _beside(Path(tempfile.gettempdir()) / real.name if _is_special(real) else real)
            part.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise UsageError(
                f"cannot write {target}: {error.strerror}; choose another place or make the folder writable"
            ) from error
        self._parts[target] = part

    def _clean(self) -> None:
        for part in self._parts.values():
            part.unlink(missing_ok=True)
        if not self._committed:
            for folder in reversed(self._made):
                if not any(folder.iterdir()):
                    folder.rmdir()


def _is_special(target: Path) -> bool:
    return target.exists() and not target.is_file()


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.stem[:80]}.{secrets.token_hex(6)}.part{target.suffix}")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
