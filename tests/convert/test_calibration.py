"""Calibration inputs from folders, pictures, videos and arrays, and what is said where they are unfit."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketgraph.convert.prune.calibration import Calibration
from pocketgraph.models.errors import UsageError
from pocketgraph.models.graph import DType, Graph, Tensor
from pocketgraph.models.preprocess import Preprocess

PICTURE_MODEL = Graph("main", [Tensor("image", (1, 8, 6, 3))], [], [])
UNIT = Preprocess("stretch", 1 / 255, 0.0)


def save_picture(path: Path, red: int) -> None:
    """A picture of one colour; red goes in as RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[..., 2] = red
    assert cv2.imwrite(str(path), picture)


def save_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (32, 32))
    for number in range(frames):
        writer.write(np.full((32, 32, 3), number * 8, np.uint8))
    writer.release()


def test_a_folder_gives_its_pictures_in_order_as_rgb(tmp_path: Path) -> None:
    for red, name in ((30, "b.png"), (10, "a.png"), (20, "sub/c.PNG")):
        save_picture(tmp_path / name, red)
    found = Calibration.load(tmp_path, PICTURE_MODEL, UNIT)
    assert found.names == ["a.png", "b.png", str(Path("sub/c.PNG"))]
    assert found.inputs["image"].shape == (3, 8, 6, 3)
    assert found.inputs["image"].dtype == np.float32
    np.testing.assert_allclose(found.inputs["image"][:, 0, 0, 0] * 255, [10, 30, 20], atol=1e-4)
    assert found.inputs["image"][..., 1:].max() == 0
    assert [p.shape for p in found.pictures] == [(8, 6, 3)] * 3


def test_too_many_pictures_are_thinned_evenly_and_always_alike(tmp_path: Path) -> None:
    for number in range(10):
        save_picture(tmp_path / f"{number}.png", number)
    first, second = (Calibration.load(tmp_path, PICTURE_MODEL, UNIT, limit=4) for _ in range(2))
    assert first.names == second.names == ["0.png", "2.png", "5.png", "7.png"]


def test_one_picture_is_a_calibration_of_one(tmp_path: Path) -> None:
    save_picture(tmp_path / "only.jpg", 200)
    found = Calibration.load(tmp_path / "only.jpg", PICTURE_MODEL, UNIT)
    assert len(found) == 1
    assert found.split()[0].names == found.split()[1].names == ["only.jpg"]


def test_unreadable_pictures_are_left_out_and_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_picture(tmp_path / "good.png", 9)
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        found = Calibration.load(tmp_path, PICTURE_MODEL, UNIT)
    assert found.names == ["good.png"]
    assert found.skipped == ["bad.jpg", "empty.png"]
    assert "2 of 3 pictures cannot be read: bad.jpg, empty.png" in caplog.text


def test_a_folder_of_unreadable_pictures_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"not a picture")
    with pytest.raises(UsageError, match=r"none of the 1 pictures .*bad\.jpg"):
        Calibration.load(tmp_path, PICTURE_MODEL, UNIT)


def test_a_folder_without_pictures_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found nothing"):
        Calibration.load(tmp_path, PICTURE_MODEL, UNIT)
    for name in ("a.txt", "b.txt", "c.csv", "LICENSE"):
        (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match=r"2 \.txt, 1 files without suffix, 1 \.csv.*\.jpg"):
        Calibration.load(tmp_path, PICTURE_MODEL, UNIT)


def test_frames_are_spread_over_a_video(tmp_path: Path) -> None:
    save_video(tmp_path / "clip.avi", 12)
    found = Calibration.load(tmp_path / "clip.avi", PICTURE_MODEL, UNIT, limit=4)
    assert found.names == [f"clip.avi frame {n}" for n in (0, 3, 6, 9)]
    np.testing.assert_allclose(found.inputs["image"].mean(axis=(1, 2, 3)) * 255, [0, 24, 48, 72], atol=3)
    assert len(Calibration.load(tmp_path / "clip.avi", PICTURE_MODEL, UNIT, limit=100)) == 12


def test_a_video_without_a_frame_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    with pytest.raises(UsageError, match=r"no frame of the video .*clip\.mp4"):
        Calibration.load(tmp_path / "clip.mp4", PICTURE_MODEL, UNIT)


@pytest.mark.parametrize("name", ["notes.txt", "model"])
def test_a_file_of_unknown_kind_is_refused_with_what_would_do(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match=rf"{name} is of no known kind: .*folder .*\.jpg .*\.mp4 .*\.npz"):
        Calibration.load(tmp_path / name, PICTURE_MODEL, UNIT)


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing does not exist"):
        Calibration.load(tmp_path / "missing", PICTURE_MODEL, UNIT)


def test_arrays_are_taken_as_they_are(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((5, 8, 6, 3), np.float32)
    np.save(tmp_path / "x.npy", array)
    found = Calibration.load(tmp_path / "x.npy", PICTURE_MODEL)
    np.testing.assert_array_equal(found.inputs["image"], array)
    np.save(tmp_path / "one.npy", array[0].astype(np.float64))
    found = Calibration.load(tmp_path / "one.npy", PICTURE_MODEL)
    np.testing.assert_array_equal(found.inputs["image"], array[:1])


def test_uint8_arrays_are_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((2, 16, 12, 3), 51, np.uint8))
    found = Calibration.load(tmp_path / "x.npy", PICTURE_MODEL, UNIT)
    np.testing.assert_allclose(found.inputs["image"], np.full((2, 8, 6, 3), 0.2), atol=1e-6)
    assert found.pictures[1].shape == (8, 6, 3)


TWO_INPUTS = Graph("main", [Tensor("a", (1, 4)), Tensor("b", (1, 2), DType.INT32)], [], [])


def test_several_inputs_come_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.ones((3, 4), np.float32), b=np.ones((3, 2), np.int32), more=np.zeros(1))
    found = Calibration.load(tmp_path / "x.npz", TWO_INPUTS)
    assert {name: array.shape for name, array in found.inputs.items()} == {"a": (3, 4), "b": (3, 2)}


def test_several_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.ones((3, 4), np.float32))
    with pytest.raises(UsageError, match=r"holds 'a'.*'a', 'b'"):
        Calibration.load(tmp_path / "x.npz", TWO_INPUTS)
    np.savez(tmp_path / "x.npz", a=np.ones((3, 4), np.float32), b=np.ones((2, 2), np.int32))
    with pytest.raises(UsageError, match="differ in their number of samples"):
        Calibration.load(tmp_path / "x.npz", TWO_INPUTS)


def test_pictures_cannot_calibrate_a_model_of_other_inputs(tmp_path: Path) -> None:
    save_picture(tmp_path / "a.png", 1)
    for graph in (TWO_INPUTS, Graph("main", [Tensor("sound", (1, 16000))], [], [])):
        with pytest.raises(UsageError, match=r"does not read one picture.*\.npz"):
            Calibration.load(tmp_path, graph)


BAD_ARRAYS = [
    (np.zeros((2, 9, 6, 3), np.float32), r"\[2, 9, 6, 3\]: expected \[samples, 8, 6, 3\]"),
    (np.zeros(5, np.float32), r"expected \[samples, 8, 6, 3\]"),
    (np.float32(1), r"expected \[samples, 8, 6, 3\]"),
    (np.zeros((2, 8, 6, 3), np.int64), "int64: expected float32"),
    (np.full((2, 8, 6, 3), np.nan, np.float32), "NaN"),
    (np.full((2, 8, 6, 3), 200, np.float32), r"200\.\.200: the model reads 0\.\.1"),
    (np.zeros((0, 8, 6, 3), np.float32), "no samples"),
    (np.array([{"a": 1}]), "not a NumPy file of plain numbers"),
]


@pytest.mark.parametrize(("array", "message"), BAD_ARRAYS)
def test_an_unfit_array_is_refused_with_what_was_expected(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(UsageError, match=message):
        Calibration.load(tmp_path / "x.npy", PICTURE_MODEL, UNIT)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_damaged_array_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x93NUMPY\x01\x00 rubbish")
    with pytest.raises(UsageError, match="not a NumPy file"):
        Calibration.load(tmp_path / name, PICTURE_MODEL)


@pytest.mark.parametrize(("count", "back"), [(2, 1), (9, 2), (16, 4), (100, 25)])
def test_a_split_holds_back_an_even_spread(count: int, back: int) -> None:
    whole = Calibration({"x": np.arange(count, dtype=np.float32)[:, None]}, [str(i) for i in range(count)])
    kept, held = whole.split(0.25)
    assert (len(kept), len(held)) == (count - back, back)
    assert sorted([*kept.names, *held.names], key=int) == whole.names
    np.testing.assert_array_equal(held.inputs["x"][:, 0], [int(n) for n in held.names])
    gaps = np.diff([int(n) for n in held.names])
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_split_needs_a_fraction(fraction: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        Calibration({"x": np.zeros((4, 1))}, list("abcd")).split(fraction)
