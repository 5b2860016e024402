"""Associated files (labels and the like) that TFLite metadata packs as a ZIP archive behind the model."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from pocketgraph.models.errors import FormatError

_END_OF_ARCHIVE = b"PK\x05\x06"
_LONGEST_COMMENT = 65535
_MOST_FILES = 1000
_ALWAYS_FINE = 16 << 20
_MOST_COMPRESSION = 20
_LENGTH_OF_END = 22
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

    Raises `FormatError` for a damaged archive, or one that unpacks to more than 16 MiB and 20 times the file's size.
    """
    if not _ends_with_archive(data):
        return {}
    most = _ALWAYS_FINE + _MOST_COMPRESSION * len(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > most:
                raise FormatError(f"the files behind the model are too many or too large ({len(entries)} files)")
            if odd := {entry.compress_type for entry in entries} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise FormatError(
                    f"the files behind the model are packed by method {min(odd)}, expected 0 or 8 (deflate)"
                )
            return {entry.filename: _read(archive, entry) for entry in entries}
    except _DAMAGE as error:
        raise FormatError(f"the archive of files behind the model is damaged: {error}") from error


def _ends_with_archive(data: bytes) -> bool:
    """Whether the archive's end record, with the comment it announces, closes the file; its mark alone is chance."""
    at = len(data)
    first = max(0, len(data) - _LENGTH_OF_END - _LONGEST_COMMENT)
    while (at := data.rfind(_END_OF_ARCHIVE, first, at)) >= 0:
        if int.from_bytes(data[at + 20 : at + 22], "little") == len(data) - at - _LENGTH_OF_END:
            return True
    return False


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
    whole = io.BytesIO(model)
    whole.seek(0, io.SEEK_END)
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:  # "a" would take up an archive inside the model
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return whole.getvalue()
