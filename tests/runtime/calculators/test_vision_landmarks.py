"""Calculators of landmarks: decoding, projecting, splitting, steadying, following."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph import CalculatorRunner, Packet
from pocketgraph.runtime.vision.image_to_tensor import Crop
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Rect

SIZE = (200, 100)


def _points(*points: tuple[float, ...], visibility: list[float] | None = None) -> Landmarks:
    seen = None if visibility is None else np.array(visibility, np.float32)
    return Landmarks(np.array([(*point, 0.0)[:3] for point in points], np.float32), seen)


def _one(node: str, inputs: dict[str, Any], **options: Any) -> Any:
    """What the only output gives for one packet on each input; None where there is none."""
    found = CalculatorRunner(node, **options).run({name: [(1, value)] for name, value in inputs.items()})
    ((_, packets),) = found.items()
    return packets[0][1] if packets else None


def _close(landmarks: Landmarks, points: Any) -> None:
    np.testing.assert_allclose(landmarks.points, points, atol=1e-6)


# decoding

DECODE = 'calculator: "TensorsToLandmarksCalculator" input_stream: "TENSORS:t" output_stream: "{}:o"'
TABLE = np.array([[10, 20, 5, 0, 2], [20, 40, 10, -2, 0]], np.float32)


def test_tensors_become_landmarks() -> None:
    sized = {"num_landmarks": 2, "input_image_width": 20, "input_image_height": 40, "normalize_z": 0.5}
    norm = _one(DECODE.format("NORM_LANDMARKS"), {"t": [TABLE]}, **sized, visibility_activation=1)
    _close(norm, [[0.5, 0.5, 0.5], [1, 1, 1]])
    np.testing.assert_allclose(norm.visibility, [0.5, 1 / (1 + math.e**2)], atol=1e-6)
    assert norm.presence.tolist() == [2, 0]
    plain = _one(DECODE.format("LANDMARKS").replace("TENSORS", "TENSOR"), {"t": TABLE[:, :3]}, num_landmarks=2)
    _close(plain, TABLE[:, :3])
    assert plain.visibility is None


@pytest.mark.parametrize(("output", "options", "message"), [
    ("LANDMARKS", {}, "num_landmarks is at least 1"),
    ("NORM_LANDMARKS", {"num_landmarks": 2}, "input_image_width and input_image_height"),
    ("LANDMARKS", {"num_landmarks": 2, "flip_vertically": True}, "flip_vertically is not carried out"),
    ("LANDMARKS", {"num_landmarks": 2, "normalize_z": 0.0}, "normalize_z is above 0"),
])  # fmt: skip
def test_bad_decoding_options_are_refused(output: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphConfigError, match=f"TensorsToLandmarksCalculator.*{message}"):
        CalculatorRunner(DECODE.format(output), **options)


@pytest.mark.parametrize(("tensors", "message"), [([], "without tensors"), ([TABLE[:1, :3]], "cannot be 2 landmarks")])
def test_bad_tensors_are_refused(tensors: list[np.ndarray], message: str) -> None:
    with pytest.raises(GraphRuntimeError, match=f"TensorsToLandmarksCalculator.*{message}"):
        _one(DECODE.format("LANDMARKS"), {"t": tensors}, num_landmarks=2)


# to the picture


def test_letterbox_and_projection() -> None:
    node = 'calculator: "LandmarkLetterboxRemovalCalculator" output_stream: "LANDMARKS:o" '
    node += 'input_stream: ["LANDMARKS:l", "LETTERBOX_PADDING:p"]'
    inside = _one(node, {"l": _points((0.5, 0.25)), "p": (0.0, 0.25)})
    _close(inside, [[0.5, 0, 0]])
    rect = Rect(0.5, 0.5, 0.25, 0.5, math.pi / 2)
    head = 'calculator: "LandmarkProjectionCalculator" output_stream: "NORM_LANDMARKS:o" '
    by_rect = _one(head + 'input_stream: ["NORM_LANDMARKS:l", "NORM_RECT:r"]', {"l": inside, "r": rect})
    sized = 'input_stream: ["NORM_LANDMARKS:l", "NORM_RECT:r", "IMAGE_DIMENSIONS:s"]'
    by_size = _one(head + sized, {"l": inside, "r": rect, "s": SIZE})
    by_matrix = 'input_stream: ["NORM_LANDMARKS:l", "PROJECTION_MATRIX:m"]'
    matrix = Crop(rect, SIZE).matrix()
    _close(by_size, _one(head + by_matrix, {"l": inside, "m": matrix}).points)
    _close(by_rect, [[0.625, 0.5, 0]])
    _close(by_size, [[0.625, 0.5, 0]])
    upright = _one(
        head + 'input_stream: ["NORM_LANDMARKS:l", "NORM_RECT:r"]', {"l": inside, "r": rect}, ignore_rotation=True
    )
    _close(upright, [[0.5, 0.25, 0]])


def test_depth_is_on_the_scale_of_x_by_matrix_too() -> None:
    node = 'calculator: "LandmarkProjectionCalculator" output_stream: "NORM_LANDMARKS:o" '
    node += 'input_stream: ["NORM_LANDMARKS:l", "PROJECTION_MATRIX:m"]'
    given = Landmarks(np.array([[0.5, 0.5, 1.0]], np.float32))
    _close(_one(node, {"l": given, "m": Crop(Rect(0.5, 0.5, 0.25, 0.5), SIZE).matrix()}), [[0.5, 0.5, 0.25]])


@pytest.mark.parametrize(("inputs", "message"), [
    ('"NORM_LANDMARKS:l"', "one of NORM_RECT and PROJECTION_MATRIX"),
    ('"NORM_LANDMARKS:0:l", "NORM_LANDMARKS:1:k", "NORM_RECT:r"', "1 outputs NORM_LANDMARKS for 2"),
    ('"NORM_LANDMARKS:l", "PROJECTION_MATRIX:m", "IMAGE_DIMENSIONS:s"', "goes with NORM_RECT"),
])  # fmt: skip
def test_projection_needs_its_inputs(inputs: str, message: str) -> None:
    node = f'calculator: "LandmarkProjectionCalculator" output_stream: "NORM_LANDMARKS:o" input_stream: [{inputs}]'
    with pytest.raises(GraphConfigError, match=message):
        CalculatorRunner(node)


def test_world_landmarks_turn_with_the_picture() -> None:
    node = 'calculator: "WorldLandmarkProjectionCalculator" output_stream: "LANDMARKS:o" '
    node += 'input_stream: ["LANDMARKS:l", "NORM_RECT:r"]'
    given = Landmarks(np.array([[1, 0, 5]], np.float32))
    _close(_one(node, {"l": given, "r": Rect(0.5, 0.5, 1, 1, math.pi / 2)}), [[0, 1, 5]])


def test_landmarks_become_a_detection_and_a_rectangle() -> None:
    node = 'calculator: "LandmarksToDetectionCalculator" input_stream: "NORM_LANDMARKS:l" output_stream: "DETECTION:o"'
    given = _points((0.25, 0.5), (0.75, 0.25), (0.5, 1.0))
    found = _one(node, {"l": given})
    assert found.box.tolist() == [0.25, 0.25, 0.75, 1.0]
    assert found.keypoints.tolist() == given.points[:, :2].tolist()
    assert _one(node, {"l": given}, selected_landmark_indices=[1]).box.tolist() == [0.75, 0.25, 0.75, 0.25]
    with pytest.raises(GraphRuntimeError, match="selected_landmark_indices asks for"):
        _one(node, {"l": given}, selected_landmark_indices=[3])
    with pytest.raises(GraphRuntimeError, match="no landmarks"):
        _one(node, {"l": _points()})
    hand = 'calculator: "HandLandmarksToRectCalculator" output_stream: "NORM_RECT:o" '
    hand += 'input_stream: ["NORM_LANDMARKS:l", "IMAGE_SIZE:s"]'
    with pytest.raises(GraphRuntimeError, match="a hand has 21 landmarks, 3 came"):
        _one(hand, {"l": given, "s": SIZE})


# visibility


def test_visibility_is_told_and_copied() -> None:
    node = 'calculator: "LandmarkVisibilityCalculator" input_stream: "NORM_LANDMARKS:l" output_stream: "VISIBILITY:o"'
    assert _one(node, {"l": _points((0, 0), visibility=[0.25])}) == 0.25
    for wrong in (_points((0, 0)), _points((0, 0), (1, 1), visibility=[0.5, 0.5])):
        with pytest.raises(GraphRuntimeError, match="one landmark with visibility was expected"):
            _one(node, {"l": wrong})
    copy = 'calculator: "VisibilityCopyCalculator" output_stream: "LANDMARKS_TO:o" '
    copy += 'input_stream: ["NORM_LANDMARKS_FROM:f", "LANDMARKS_TO:t"]'
    seen, alone = _points((0, 0), visibility=[0.25]), _points((1, 2, 3))
    assert _one(copy, {"f": seen, "t": alone}).visibility.tolist() == [0.25]
    assert _one(copy, {"f": seen, "t": alone}, copy_visibility=False).visibility is None
    with pytest.raises(GraphRuntimeError, match="visibility of 1 landmarks cannot go to 2"):
        _one(copy, {"f": seen, "t": _points((0, 0), (1, 1))})
    with pytest.raises(GraphConfigError, match="has the tag of what it copies to"):
        CalculatorRunner(copy.replace('output_stream: "LANDMARKS_TO', 'output_stream: "NORM_LANDMARKS_TO'))


# over time

VISIBLE = 'calculator: "VisibilitySmoothingCalculator" input_stream: "NORM_LANDMARKS:l" '
VISIBLE += 'output_stream: "NORM_FILTERED_LANDMARKS:o"'
STEADY = 'calculator: "LandmarksSmoothingCalculator" input_stream: ["NORM_LANDMARKS:l", "IMAGE_SIZE:s"] '
STEADY += 'output_stream: "NORM_FILTERED_LANDMARKS:o"'
ONE_EURO = {"one_euro_filter": {"min_cutoff": 0.05, "beta": 80.0}}


def test_visibility_is_averaged_past_times_without_landmarks() -> None:
    runner = CalculatorRunner(VISIBLE, low_pass_filter={"alpha": 0.25})
    seen = [(1, _points((0, 0), visibility=[1.0])), Packet().at(2), (3, _points((0, 0), visibility=[0.0]))]
    found = runner.run({"l": seen})["o"]
    assert [(time, item.visibility.tolist()) for time, item in found] == [(1, [1.0]), (3, [0.75])]
    runner = CalculatorRunner(VISIBLE, no_filter={})
    assert runner.run({"l": seen})["o"][1][1].visibility.tolist() == [0.0]


def test_landmarks_are_held_back_and_begin_anew_after_a_loss() -> None:
    runner = CalculatorRunner(STEADY, **ONE_EURO)
    here, there = _points((0.25, 0.5), (0.5, 0.5)), _points((0.26, 0.5), (0.51, 0.5))
    times = [0, 33_333, 66_666, 100_000]
    sizes = [(time, SIZE) for time in times]
    found = runner.run({"l": [(0, here), (33_333, there), Packet().at(66_666), (100_000, there)], "s": sizes})["o"]
    assert [time for time, _ in found] == [0, 33_333, 100_000]
    _close(found[0][1], here.points)
    assert 0.25 < found[1][1].points[0, 0] < 0.26
    _close(found[2][1], there.points)
    plain = CalculatorRunner(STEADY, no_filter={}).run({"l": [(0, here), (1, there)], "s": [(0, SIZE), (1, SIZE)]})["o"]
    _close(plain[1][1], there.points)


def test_a_larger_object_is_held_back_more() -> None:
    node = STEADY.replace('"IMAGE_SIZE:s"', '"IMAGE_SIZE:s", "OBJECT_SCALE_ROI:r"')
    here, there = _points((0.25, 0.5)), _points((0.26, 0.5))

    def second(side: float) -> float:
        packets = {"l": [(0, here), (33_333, there)], "s": [(0, SIZE), (33_333, SIZE)]}
        packets["r"] = [(0, Rect(0.5, 0.5, side, side)), (33_333, Rect(0.5, 0.5, side, side))]
        found = CalculatorRunner(node, **ONE_EURO).run(packets)["o"]
        return float(found[1][1].points[0, 0])

    assert second(0.9) < second(0.1)


@pytest.mark.parametrize(("node", "options", "message"), [
    (VISIBLE, {}, "one of the filters no_filter, low_pass_filter"),
    (VISIBLE, {"low_pass_filter": {"alpha": 2.0}}, "alpha is 0 to 1"),
    (VISIBLE.replace("NORM_FILTERED", "FILTERED"), {"no_filter": {}}, "NORM_LANDMARKS go out as"),
    (STEADY, {}, "one of the filters"),
    (STEADY, {"velocity_filter": {}}, "velocity_filter is not carried out"),
    (STEADY, {"one_euro_filter": {"min_cutoff": 0.0}}, "above 0"),
    (STEADY.replace(', "IMAGE_SIZE:s"', ""), ONE_EURO, "IMAGE_SIZE goes with NORM_LANDMARKS"),
])  # fmt: skip
def test_bad_filters_are_refused(node: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        CalculatorRunner(node, **options)


def test_another_number_of_landmarks_is_told() -> None:
    one, two = _points((0.25, 0.5), (0, 0)), _points((0.25, 0.5), (0, 0), (1, 1))
    with pytest.raises(GraphRuntimeError, match=r"LandmarksSmoothingCalculator.*reset in between"):
        CalculatorRunner(STEADY, **ONE_EURO).run({"l": [(0, one), (1, two)], "s": [(0, SIZE), (1, SIZE)]})


# splitting and refining


def test_landmarks_are_split_and_joined() -> None:
    node = 'calculator: "SplitNormalizedLandmarkListCalculator" input_stream: "l" {} '
    node += "options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{ {} }} }}"
    given = _points((0, 0), (1, 1), (2, 2), visibility=[0, 0.5, 1])
    ranges = "ranges { begin: 2 end: 3 } ranges { begin: 0 end: 1 }"
    apart = CalculatorRunner(node.format('output_stream: ["a", "b"]', ranges)).run({"l": [(1, given)]})
    _close(apart["a"][0][1], [[2, 2, 0]])
    assert apart["b"][0][1].visibility.tolist() == [0]
    joined = _one(node.format('output_stream: "a"', ranges + " combine_outputs: true"), {"l": given})
    assert joined.visibility.tolist() == [1, 0]
    with pytest.raises(GraphRuntimeError, match="2 landmarks came, ranges reach to 3"):
        CalculatorRunner(node.format('output_stream: ["a", "b"]', ranges)).run({"l": [(1, given.take([0, 1]))]})
    join = 'calculator: "ConcatenateNormalizedLandmarkListCalculator" input_stream: ["a", "b"] output_stream: "o"'
    assert _one(join, {"a": given, "b": given}).visibility.tolist() == [0, 0.5, 1] * 2
    assert _one(join, {"a": given, "b": _points((0, 0))}).visibility is None
    assert len(_one(join, {"a": given})) == 3
    assert _one(join, {"a": given}, only_emit_if_all_present=True) is None


def test_a_heatmap_pulls_landmarks() -> None:
    node = 'calculator: "RefineLandmarksFromHeatmapCalculator" output_stream: "NORM_LANDMARKS:o" '
    node += 'input_stream: ["NORM_LANDMARKS:l", "TENSORS:t"]'
    heatmap = np.full((1, 8, 8, 1), -99, np.float32)
    heatmap[0, 2, 4] = 5
    found = _one(node, {"l": _points((0.45, 0.45)), "t": [heatmap]}, kernel_size=7)
    _close(found, [[0.5, 0.25, 0]])
    _close(_one(node, {"l": _points((0.45, 0.45)), "t": [heatmap]}, min_confidence_to_refine=1.0), [[0.45, 0.45, 0]])
    with pytest.raises(GraphConfigError, match="kernel_size is odd"):
        CalculatorRunner(node, kernel_size=4)
    with pytest.raises(GraphConfigError, match="1 to 99"):
        CalculatorRunner(node, kernel_size=100_001)
    with pytest.raises(GraphRuntimeError, match="2 landmarks"):
        _one(node, {"l": _points((0, 0), (1, 1)), "t": [heatmap]})
    with pytest.raises(GraphRuntimeError, match=r"a heatmap .* was expected"):
        _one(node, {"l": _points((0, 0)), "t": []})


REFINE = 'calculator: "LandmarksRefinementCalculator" output_stream: "REFINED_LANDMARKS:o" '
REFINE += 'input_stream: ["LANDMARKS:0:a", "LANDMARKS:1:b", "LANDMARKS:2:c"]'
PARTS = [
    {"indexes_mapping": [0, 1, 2], "z_refinement": {"copy": {}}},
    {"indexes_mapping": [2, 0], "z_refinement": {"none": {}}},
    {"indexes_mapping": [3], "z_refinement": {"assign_average": {"indexes_for_average": [0, 1]}}},
]


def test_fine_landmarks_are_laid_over_a_mesh() -> None:
    mesh, fine, iris = _points((1, 1, 1), (2, 2, 2), (3, 3, 3)), _points((9, 9, 9), (8, 8, 8)), _points((5, 5, 5))
    found = _one(REFINE, {"a": mesh, "b": fine, "c": iris}, refinement=PARTS)
    _close(found, [[8, 8, 1], [2, 2, 2], [9, 9, 3], [5, 5, 1.5]])
    assert _one(REFINE, {"a": mesh, "b": fine}, refinement=PARTS) is None
    with pytest.raises(GraphRuntimeError, match="2 landmarks came to refine 3"):
        _one(REFINE, {"a": fine, "b": fine, "c": iris}, refinement=PARTS)


@pytest.mark.parametrize(("parts", "message"), [
    (PARTS[:2], "2 refinement for 3 LANDMARKS"),
    ([*PARTS[:2], {"indexes_mapping": [4], "z_refinement": {"none": {}}}], "without a gap"),
    ([*PARTS[:2], {"indexes_mapping": [3]}], "needs indexes_mapping and one z_refinement"),
    ([*PARTS[:2], {"indexes_mapping": [3], "z_refinement": {"assign_average": {"indexes_for_average": [7]}}}],
     "indexes_for_average"),
])  # fmt: skip
def test_bad_refinements_are_refused(parts: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        CalculatorRunner(REFINE, refinement=parts)


# following

TRACK = 'calculator: "RoiTrackingCalculator" output_stream: "TRACKING_RECT:o" '
TRACK += 'input_stream: ["PREV_LANDMARKS:l", "PREV_LANDMARKS_RECT:p", "RECROP_RECT:f", "IMAGE_SIZE:s"]'
FRESH = Rect(0.5, 0.5, 0.2, 0.4)
INSIDE, OUTSIDE = _points((0.5, 0.5)), _points((0.1, 0.1))


@pytest.mark.parametrize(("previous", "landmarks", "options", "kept"), [
    (Rect(0.51, 0.5, 0.2, 0.4), INSIDE, {"rect_requirements": {"rotation_degrees": 40.0}}, True),
    (Rect(0.6, 0.5, 0.2, 0.4), INSIDE, {"rect_requirements": {"rotation_degrees": 40.0}}, False),
    (Rect(0.5, 0.5, 0.2, 0.4, 0.3), INSIDE, {"rect_requirements": {"rotation_degrees": 10.0}}, False),
    (Rect(0.9, 0.9, 0.2, 0.4), INSIDE, {}, True),
    (Rect(0.9, 0.9, 0.2, 0.4), OUTSIDE, {"landmarks_requirements": {"recrop_rect_margin": 0.0}}, False),
    (Rect(0.9, 0.9, 0.2, 0.4), INSIDE, {"landmarks_requirements": {}}, True),
    (Rect(0.9, 0.9, 0.2, 0.4), INSIDE, {"iou_requirements": {"min_iou": 0.1}}, False),
    (Rect(0.51, 0.5, 0.2, 0.4), INSIDE, {"iou_requirements": {"min_iou": 0.8}}, True),
])  # fmt: skip
def test_the_last_region_is_kept_while_it_fits(
    previous: Rect, landmarks: Landmarks, options: dict[str, Any], kept: bool
) -> None:
    found = _one(TRACK, {"l": landmarks, "p": previous, "f": FRESH, "s": SIZE}, **options)
    assert found == (previous if kept else FRESH)


def test_without_a_fresh_region_there_is_none() -> None:
    assert _one(TRACK, {"l": INSIDE, "p": FRESH, "s": SIZE}) is None
    assert _one(TRACK, {"f": FRESH, "s": SIZE}) == FRESH
