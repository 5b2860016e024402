"""The face model with attention: options of its operators, the operators, and the model between them."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from pocketgraph.models.errors import FormatError
from pocketgraph.runtime.vision.attention import (
    landmarks_to_matrix,
    load_vision_model,
    transform_landmarks,
    transform_tensor,
)
from pocketgraph.runtime.vision.flexbuffer import read_map

SMALL = b"output_height\0output_width\0\x02\x1c\x0f\x02\x01\x02\x10\x10\x04\x04\x04$\x01"


def test_options_are_read() -> None:
    assert read_map(SMALL) == {"output_height": 16, "output_width": 16}
    assert read_map(b"") == {}


def test_damaged_options_are_refused_not_followed() -> None:
    draw = random.Random(0)  # noqa: S311
    for _ in range(3000):
        data = bytearray(SMALL)
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            read_map(bytes(data[: draw.randint(1, len(data))]))
        except FormatError:
            continue


OPTIONS = {
    "left_rotation_idx": 0,
    "right_rotation_idx": 1,
    "target_rotation_radians": 0.0,
    "output_width": 4,
    "output_height": 4,
    "scale_x": 1.0,
    "scale_y": 1.0,
    "subset_idxs": [0, 1, 2, 3],
}


def test_a_patch_covers_the_listed_landmarks() -> None:
    corners = np.array([[[10, 20, 0], [18, 20, 0], [10, 24, 0], [18, 24, 0]]], np.float32)
    matrix = landmarks_to_matrix(corners, OPTIONS)[0]
    np.testing.assert_allclose(matrix @ [0, 0, 0, 1], [10, 20, 0, 1], atol=1e-5)
    np.testing.assert_allclose(matrix @ [4, 4, 0, 1], [18, 24, 0, 1], atol=1e-5)
    turned = np.array([[[10, 20, 0], [10, 28, 0], [6, 20, 0], [6, 28, 0]]], np.float32)  # the same, a quarter turn on
    matrix = landmarks_to_matrix(turned, OPTIONS)[0]
    np.testing.assert_allclose(matrix @ [0, 0, 0, 1], [10, 20, 0, 1], atol=1e-5)
    np.testing.assert_allclose(matrix @ [4, 4, 0, 1], [6, 28, 0, 1], atol=1e-5)
    with pytest.raises(FormatError, match="subset_idxs"):
        landmarks_to_matrix(corners, OPTIONS | {"subset_idxs": []})
    with pytest.raises(FormatError, match="scale_x"):
        landmarks_to_matrix(corners, {name: v for name, v in OPTIONS.items() if name != "scale_x"})


def test_a_patch_is_bilinear_and_zero_outside() -> None:
    features = np.random.default_rng(0).random((1, 6, 5, 3), np.float32)
    angle = 0.4
    matrix = np.eye(4, dtype=np.float32)[None]
    matrix[0, :2, :2] = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * 0.8
    matrix[0, :2, 3] = 1.5, -0.25
    found = transform_tensor(features, matrix, {"output_width": 7, "output_height": 6})
    expected = np.zeros((6, 7, 3))
    for row in range(6):
        for column in range(7):
            x, y = (matrix[0, :2, :2].astype(float) @ [column + 0.5, row + 0.5] + matrix[0, :2, 3]) - 0.5
            if 0 <= x <= 4 and 0 <= y <= 5:
                left, top = int(x), int(y)
                for j, i in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    weight = (1 - abs(x - left - i)) * (1 - abs(y - top - j))
                    if weight > 0:
                        expected[row, column] += weight * features[0, top + j, left + i]
    assert (expected == 0).all(axis=-1).any()
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_landmarks_go_through_the_matrix_and_keep_their_depth() -> None:
    matrix = np.eye(4, dtype=np.float32)[None]
    matrix[0, :2, 3] = 1, 2
    assert transform_landmarks(np.array([[[1, 1, 5]]], np.float32), matrix, {}).tolist() == [[[2, 3, 5]]]


@pytest.mark.zoo
def test_the_model_runs_in_parts() -> None:
    with load_vision_model("face_landmark_with_attention", delegate="litert") as model:
        picture = np.random.default_rng(0).random((1, 192, 192, 3), np.float32)
        buffer = np.zeros((1, 1, 1, 160), np.float32)
        results = model.run({"input_1": picture}, {"output_lips": buffer})
        assert results["output_lips"] is buffer
        assert [results[spec.name].size for spec in model.outputs] == [1404, 160, 142, 142, 10, 10, 1]
        assert all(np.isfinite(value).all() for value in results.values())
