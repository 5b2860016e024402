"""Files are read by what they hold and written whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from pocketgraph.models import files
from pocketgraph.models.architectures.builder import NetBuilder
from pocketgraph.models.errors import FormatError, PocketgraphError, UnsupportedError, UsageError
from pocketgraph.models.files import read_model, write_atomically, write_model
from pocketgraph.models.graph import Model


def _double() -> Model:
    net = NetBuilder((1, 2, 2, 1), "x")
    net.multiply(net.input, net.constant("two", np.full(1, 2, np.float32)), "y")
    return net.model()


def _listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("data", "stored"), [(b"\x00\xff", b"\x00\xff"), ("π\n", "π\n".encode())])
def test_bytes_and_text_are_written_as_they_are(tmp_path: Path, data: bytes | str, stored: bytes) -> None:
    write_atomically(tmp_path / "a", data)
    assert _listing(tmp_path) == {"a": stored}


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, step: str
) -> None:
    (tmp_path / "model.tflite").write_bytes(b"old")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(UsageError if isinstance(failure, OSError) else KeyboardInterrupt):
        write_atomically(tmp_path / "model.tflite", b"new")
    assert _listing(tmp_path) == {"model.tflite": b"old"}


def test_a_missing_folder_and_a_folder_in_place_of_the_file_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the folder .*nowhere does not exist"):
        write_atomically(tmp_path / "nowhere" / "a", b"")
    with pytest.raises(UsageError, match="it is a folder"):
        write_atomically(tmp_path, b"")
    with pytest.raises(UsageError, match="cannot write"):
        write_atomically(tmp_path / "nul\0", b"")
    assert not _listing(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="modes and links are POSIX")
def test_modes_are_kept_and_links_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640
    old_mask = os.umask(0o022)
    try:
        write_atomically(tmp_path / "fresh", b"")
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o644


@pytest.mark.skipif(sys.platform != "linux", reason="uses /dev/null")
def test_what_is_no_ordinary_file_is_written_to_and_not_replaced() -> None:
    write_atomically("/dev/null", b"gone")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("suffix", [".tflite", ".onnx", ".TFLITE"])
def test_a_model_comes_back_from_the_format_of_its_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"double{suffix}"
    write_model(_double(), path)
    again = read_model(str(path))
    assert [op.kind for op in again.main.ops] == ["MUL"]
    assert [(t.name, t.shape) for t in again.main.inputs] == [("x", (1, 2, 2, 1))]


def test_a_tflite_file_is_known_by_its_first_bytes_whatever_its_name(tmp_path: Path) -> None:
    write_model(_double(), tmp_path / "double.tflite")
    other = (tmp_path / "double.tflite").rename(tmp_path / "weights.onnx")
    assert read_model(other).main.ops[0].kind == "MUL"


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"suffix '.h5'; expected .tflite, .onnx"):
        write_model(_double(), tmp_path / "a.h5")
    assert not _listing(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("empty.tflite", b"", FormatError, "is empty; expected .tflite"),
        ("notes.txt", b"hello, this is text", FormatError, "is no model that pocketgraph knows.*b'hello, t'"),
        ("notes.tflite", b"hello, this is text", FormatError, "."),
        ("notes.onnx", b"hello, this is text", FormatError, "."),
        ("notes.json", b"hello, this is text", FormatError, "not valid JSON"),
        ("weights.pth", b"\x80\x02\x8a\nlegacy pickle", UnsupportedError, "no graph; export"),
        ("x.zip", b"PK\x03\x04 some archive", FormatError, "is no model that pocketgraph knows"),
    ],
)
def test_what_is_no_model_is_said_to_be_none(
    tmp_path: Path, name: str, content: bytes, error: type[PocketgraphError], message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        read_model(tmp_path / name)


def test_a_missing_file_and_an_ordinary_folder_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"there is no file .*gone.tflite"):
        read_model(tmp_path / "gone.tflite")
    with pytest.raises(FormatError, match=r"folder without saved_model.pb"):
        read_model(tmp_path)
    with pytest.raises(FormatError, match="cannot read"):
        read_model("nul\0.tflite")
