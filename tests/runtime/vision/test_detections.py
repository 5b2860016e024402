"""Anchors, decoded boxes, and boxes merged."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.anchors import ssd_anchors
from pocketgraph.runtime.vision.association import associate
from pocketgraph.runtime.vision.detections import Detections, decode_detections, project_detections, remove_letterbox
from pocketgraph.runtime.vision.image_to_tensor import padded
from pocketgraph.runtime.vision.nms import weighted_nms
from pocketgraph.runtime.vision.rect import Rect


@pytest.mark.parametrize(
    ("side", "strides", "extra", "count"),
    [
        (128, (8, 16, 16, 16), True, 896),
        (192, (8, 16, 16, 16), True, 2016),
        (224, (8, 16, 32, 32, 32), True, 2254),
        (192, (4,), False, 2304),
    ],
)
def test_every_detector_has_as_many_anchors_as_outputs(side: int, strides: tuple, extra: bool, count: int) -> None:
    anchors = ssd_anchors((side, side), strides, extra)
    assert anchors.shape == (count, 2)
    assert anchors[0].tolist() == pytest.approx([0.5 * strides[0] / side] * 2)
    assert anchors[-1].tolist() == pytest.approx([1 - 0.5 * strides[-1] / side] * 2)


def test_anchors_run_along_rows_first() -> None:
    anchors = ssd_anchors((16, 8), (8,), extra_scale=False)
    assert anchors.tolist() == [[0.25, 0.5], [0.75, 0.5]]
    with pytest.raises(UsageError, match="strides"):
        ssd_anchors((16, 8), ())


def test_boxes_are_decoded_from_their_anchors() -> None:
    anchors = np.array([[0.25, 0.25], [0.5, 0.5], [0.75, 0.75], [0.5, 0.5]], np.float32)
    raw = np.zeros((4, 6), np.float32)
    raw[1] = 10, 0, 20, 40, -10, 10  # centre, size, one keypoint; pixels of an input of side 100
    raw[2] = 0, 0, 10, 10, 0, 0
    raw[3] = 0, 0, -10, 10, 0, 0  # a box of negative width
    found = decode_detections(raw, np.array([-5, 0.0, 3, 9], np.float32), anchors, 100, 0.5)
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-3)), 0.5], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [[0.7, 0.7, 0.8, 0.8], [0.5, 0.3, 0.7, 0.7]], atol=1e-6)
    np.testing.assert_allclose(found.keypoints[1], [[0.4, 0.6]], atol=1e-6)
    assert len(decode_detections(raw, np.full(4, -9, np.float32), anchors, 100, 0.5)) == 0
    with pytest.raises(UsageError, match="4 anchors"):
        decode_detections(raw, np.zeros(3, np.float32), anchors, 100, 0.5)


def test_extreme_scores_and_thresholds_do_not_overflow() -> None:
    anchors, raw = np.full((2, 2), 0.5, np.float32), np.ones((2, 4), np.float32)
    scores = np.array([1000, -1000], np.float32)
    assert decode_detections(raw, scores, anchors, 1, 0.0).scores.tolist() == [1.0, pytest.approx(0)]
    assert len(decode_detections(raw, scores, anchors, 1, 1.0)) <= 1


def _found(*rows: tuple[float, ...]) -> Detections:
    table = np.array(rows, np.float32)
    return Detections(table[:, :4], table[:, None, :2], table[:, 4])


def test_overlapping_boxes_melt_into_their_weighted_mean() -> None:
    found = _found((0, 0, 10, 10, 0.75), (2, 0, 12, 10, 0.25), (50, 50, 60, 60, 0.5))
    merged = weighted_nms(found)
    np.testing.assert_allclose(merged.boxes, [[0.5, 0, 10.5, 10], [50, 50, 60, 60]])
    np.testing.assert_allclose(merged.keypoints[0], [[0.5, 0]])
    assert merged.scores.tolist() == [0.75, 0.5]


def test_a_box_without_area_ends_the_merging() -> None:
    assert len(weighted_nms(_found((1, 1, 1, 1, 0.9), (5, 5, 9, 9, 0.8)))) == 1
    assert len(weighted_nms(_found((1, 1, 1, 1, 0.9)))) == 1


def test_detections_find_their_way_back_into_the_picture() -> None:
    found = _found((0.25, 0.25, 0.75, 0.5, 0.9))
    inside = remove_letterbox(found, (0.0, 0.25))
    np.testing.assert_allclose(inside.boxes, [[0.25, 0, 0.75, 0.5]])
    crop = padded(Rect(0.5, 0.5, 1, 1), (200, 100), (64, 64))
    np.testing.assert_allclose(project_detections(found, crop.matrix()).boxes, inside.boxes, atol=1e-6)
    quarter = padded(Rect(0.5, 0.5, 0.5, 1.0, np.pi / 2), (200, 100), (64, 64))
    np.testing.assert_allclose(project_detections(found, quarter.matrix()).boxes, [[0.5, 0.25, 0.625, 0.75]], atol=1e-6)
    np.testing.assert_allclose(project_detections(found, quarter.matrix()).keypoints, [[[0.625, 0.25]]], atol=1e-6)


def test_regions_that_are_followed_take_the_place_of_detected_ones() -> None:
    detected = [Rect(0.2, 0.2, 0.2, 0.2), Rect(0.8, 0.8, 0.2, 0.2)]
    followed = [Rect(0.21, 0.2, 0.2, 0.2, 1.0)]
    assert associate(detected, followed) == [detected[1], followed[0]]
    assert associate([], followed) == followed
    assert associate([], []) == []
