"""The size that a picture's header claims is the one that OpenCV finds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketgraph.runtime.vision.picture_size import claimed_pixels


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", []), (".jpg", []), (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])],
    ids=["PNG", "JPEG", "progressive JPEG"],
)
def test_pixels_are_width_times_height(suffix: str, options: list[int]) -> None:
    data = cv2.imencode(suffix, np.zeros((37, 300, 3), np.uint8), options)[1].tobytes()
    assert claimed_pixels(data) == 37 * 300
    if suffix == ".jpg":  # segments, filling and rubbish before the size, as decoders skip them
        assert claimed_pixels(data[:2] + b"\xff\xe1\x01\x02" + b"\xff\xc0" * 128 + b"ab\xff\xff" + data[2:]) == 37 * 300


def test_other_formats_are_not_told() -> None:
    assert claimed_pixels(cv2.imencode(".bmp", np.zeros((8, 8, 3), np.uint8))[1].tobytes()) == 0


@given(st.sampled_from([b"", b"\x89PNG", b"\xff\xd8"]), st.binary(max_size=200))
def test_anything_has_an_answer(start: bytes, data: bytes) -> None:
    assert claimed_pixels(start + data) >= 0
