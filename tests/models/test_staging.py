"""Several output files appear together or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.models.staging import Staging


def everything_in(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_committed_files_replace_the_old_ones_and_leave_nothing_else(tmp_path) -> None:
    old, new = tmp_path / "a.txt", tmp_path / "deep" / "er" / "b.txt"
    old.write_text("old")
    with Staging([old, new]) as staging:
        staging.temporary(old).write_text("A")
        staging.temporary(new).write_text("B")
        assert old.read_text() == "old"
        staging.commit()
    assert everything_in(tmp_path) == {"a.txt": "A", "deep/er/b.txt": "B"}


def test_an_error_names_the_file_asked_for_not_the_one_beside_it(tmp_path) -> None:
    target = tmp_path / "a.txt"

    def fail() -> None:
        with Staging([target]) as staging:
            raise UsageError(f"cannot write {staging.temporary(target)}: no space")

    with pytest.raises(UsageError, match=r"cannot write .*/a\.txt: no space"):
        fail()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_without_commit_nothing_changes(tmp_path, error) -> None:
    old = tmp_path / "a.txt"
    old.write_text("old")

    def fail_half_way() -> None:
        with Staging([old, tmp_path / "new" / "b.txt"]) as staging:
            staging.temporary(old).write_text("half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert everything_in(tmp_path) == {"a.txt": "old"}
    assert not (tmp_path / "new").exists()


def test_where_the_second_move_fails_the_first_is_put_back(tmp_path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("old")
    with Staging([first, second]) as staging:
        staging.temporary(first).write_text("A")
        staging.temporary(second).unlink()
        with pytest.raises(UsageError, match=r"b\.txt"):
            staging.commit()
    assert everything_in(tmp_path) == {"a.txt": "old"}


def test_the_mode_of_a_replaced_file_is_kept_and_a_new_one_is_readable(tmp_path) -> None:
    old, new = tmp_path / "a.txt", tmp_path / "b.txt"
    old.write_text("old")
    old.chmod(0o640)
    with Staging([old, new]) as staging:
        staging.commit()
    assert old.stat().st_mode & 0o777 == 0o640
    assert new.stat().st_mode & 0o400


def test_a_temporary_file_has_the_suffix_of_its_target(tmp_path) -> None:
    with Staging([tmp_path / "a.tflite"]) as staging:
        assert staging.temporary(tmp_path / "a.tflite").suffix == ".tflite"


def test_places_that_cannot_be_written_are_refused_at_once(tmp_path) -> None:
    (tmp_path / "folder.tflite").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="it is a folder"):
        Staging([tmp_path / "folder.tflite"])
    with pytest.raises(UsageError, match="Not a directory"):
        Staging([tmp_path / "new.tflite", tmp_path / "file" / "a.tflite"])
    with pytest.raises(UsageError, match="two outputs go to the same file"):
        Staging([tmp_path / "a.tflite", tmp_path / "a.tflite"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.tflite"]


def test_a_link_stays_a_link(tmp_path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    with Staging([tmp_path / "link.txt"]) as staging:
        staging.temporary(tmp_path / "link.txt").write_text("new")
        staging.commit()
    assert (tmp_path / "link.txt").is_symlink()
    assert everything_in(tmp_path / "real") == {"a.txt": "new"}


def test_a_pipe_is_written_to_and_stays_one(tmp_path) -> None:
    pipe, file = tmp_path / "pipe.json", tmp_path / "a.txt"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with Staging([pipe, file]) as staging:
        staging.temporary(pipe).write_text("through")
        staging.temporary(file).write_text("beside")
        staging.commit()
    reader.join(10)
    assert read == ["through"]
    assert pipe.is_fifo()
    assert file.read_text() == "beside"
    assert {p.name for p in tmp_path.iterdir()} == {"pipe.json", "a.txt"}
