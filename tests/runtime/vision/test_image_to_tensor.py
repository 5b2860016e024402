"""Crops of a picture in a model's input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.image_to_tensor import ImageToTensor, as_picture, padded
from pocketgraph.runtime.vision.rect import Rect


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)


def test_the_whole_picture_at_its_own_size_is_itself(image: np.ndarray) -> None:
    to_tensor = ImageToTensor((16, 8))
    to_tensor(image)
    np.testing.assert_array_equal(to_tensor.tensor[0], image * np.float32(1 / 255))


def test_values_span_the_range(image: np.ndarray) -> None:
    image[0, 0], image[0, 1] = 0, 255
    to_tensor = ImageToTensor((16, 8), -1.0, 1.0)
    to_tensor(image)
    assert to_tensor.tensor[0, 0, 0].tolist() == [-1, -1, -1]
    np.testing.assert_allclose(to_tensor.tensor[0, 0, 1], 1, atol=1e-6)


def test_a_part_is_cut_out_and_the_buffer_is_kept(image: np.ndarray) -> None:
    to_tensor = ImageToTensor((4, 4))
    before = to_tensor.tensor
    to_tensor(image, Rect(0.5, 0.5, 4 / 16, 4 / 8))
    assert to_tensor.tensor is before
    np.testing.assert_allclose(before[0] * 255, image[2:6, 6:10], atol=1e-4)


def test_a_turned_rectangle_is_upright_in_the_input(image: np.ndarray) -> None:
    to_tensor = ImageToTensor((4, 4))
    to_tensor(image, Rect(0.5, 0.5, 4 / 16, 4 / 8, math.pi / 2))
    # the corner that a quarter turn brings to the top left lies a pixel beside the last column: corners, not centres
    expected = np.stack([image[2:6, 10 - row] for row in range(4)])
    np.testing.assert_allclose(to_tensor.tensor[0] * 255, expected, atol=1e-4)


@pytest.mark.parametrize(("border", "value"), [("zero", 0.0), ("replicate", 1.0)])
def test_outside_the_picture_is_the_border(border: str, value: float) -> None:
    to_tensor = ImageToTensor((8, 8), border=border)
    to_tensor(np.full((8, 8, 3), 255, np.uint8), Rect(-0.5, -0.5, 1, 1))
    assert to_tensor.tensor[0, 0, 0].tolist() == [value] * 3
    assert to_tensor.tensor[0, -1, -1].tolist() == [value] * 3


def test_keeping_the_aspect_pads_the_shorter_side(image: np.ndarray) -> None:
    image[:] = 255
    to_tensor = ImageToTensor((16, 16), keep_aspect=True, border="zero")
    crop = to_tensor(image)
    assert crop.padding == (0.0, 0.25)
    filled = to_tensor.tensor[0, :, 8, 0]
    assert filled.tolist() == [0.0] * 4 + [1.0] * 8 + [0.0] * 4
    assert padded(Rect(0.5, 0.5, 0.25, 1.0), (16, 8), (16, 16)).padding == (0.25, 0.0)


def test_the_matrix_leads_from_the_input_to_the_picture(image: np.ndarray) -> None:
    crop = ImageToTensor((16, 16), keep_aspect=True)(image)
    matrix = crop.matrix()
    np.testing.assert_allclose((matrix @ [0.5, 0.5, 0, 1])[:2], [0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose((matrix @ [0, 0.25, 1, 1]), [0, 0, 1, 1], atol=1e-6)
    turned = padded(Rect(0.5, 0.5, 0.5, 1.0, math.pi / 2), (16, 8), (16, 16)).matrix()
    np.testing.assert_allclose((turned @ [0, 0, 0, 1])[:2], [0.75, 0], atol=1e-6)


@pytest.mark.parametrize("rect", [Rect(0.5, 0.5, 0, 1), Rect(0.5, 0.5, 1, -1), Rect(math.nan, 0.5, 1, 1)])
def test_an_impossible_rectangle_is_refused(rect: Rect, image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="sides above 0"):
        ImageToTensor((4, 4))(image, rect)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), [1, 2]]
)
def test_what_is_no_picture_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(UsageError, match="picture"):
        as_picture(bad)


def test_pixels_that_do_not_lie_side_by_side_are_copied_once(image: np.ndarray) -> None:
    assert as_picture(image) is image
    part = image[2:6, 3:9]
    assert as_picture(part) is part
    flipped = image[..., ::-1]
    assert as_picture(flipped).flags.c_contiguous
    np.testing.assert_array_equal(as_picture(flipped), flipped)
    to_tensor = ImageToTensor((6, 4))
    to_tensor(part)
    np.testing.assert_array_equal(to_tensor.tensor[0], part * np.float32(1 / 255))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="border"):
        ImageToTensor((4, 4), border="mirror")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="rise"):
        ImageToTensor((4, 4), 1.0, 0.0)
