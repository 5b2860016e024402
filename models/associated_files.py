"""Associated files (labels and the like) that TFLite metadata packs as a ZIP archive behind the model."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from pocketgraph.models.errors import FormatError

_END_OF_ARCHIVE = b"PK\x05\x06"
_LONGEST_COMMENT = 65535 + 22
_MOST_FILES = 1000
_LARGEST_TOTAL = 256 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What Python's zipfile raises on archives that were tampered with."""


def read_associated_files(data: bytes) -> dict[str, bytes]:
    """Name -> content of the files packed behind a model; none where there is no archive.

    Raises `FormatError` for a damaged archive, or one that unpacks to more than 256 MiB.
    """
    if data.rfind(_END_OF_ARCHIVE, max(0, len(data) - _LONGEST_COMMENT)) < 0:
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _LARGEST_TOTAL:
                raise FormatError(f"the files behind the model are too many or too large ({len(entries)} files)")
            return {entry.filename: _read(archive, entry) for entry in entries}
    except _DAMAGE as error:
        raise FormatError(f"the archive of files behind the model is damaged: {error}") from error


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        content = file.read(entry.file_size + 1)
    if len(content) > entry.file_size:
        raise FormatError(f"{entry.filename!r} behind the model is larger than it says")
    return content


def pack_associated_files(model: bytes, files: dict[str, bytes]) -> bytes:
    """`model` followed by an archive of `files`, stored uncompressed as the metadata readers expect."""
    if not files:
        return model
    whole = io.BytesIO()
    whole.write(model)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return whole.getvalue()
