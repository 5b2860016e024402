"""Calculators from detector outputs to rectangles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph import CalculatorRunner
from pocketgraph.runtime.vision.detections import Detection, Detections
from pocketgraph.runtime.vision.image_to_tensor import Crop
from pocketgraph.runtime.vision.rect import Rect

SIZE = (200, 100)


def _detection(box: list[float], keypoints: Any = (), score: float = 0.5) -> Detection:
    return Detection(np.array(box, np.float32), np.array(keypoints, np.float32).reshape(-1, 2), score)


def _one(node: str, inputs: dict[str, Any], sides: dict[str, Any] | None = None, **options: Any) -> Any:
    """What the only output gives for one packet on each input; None where there is none."""
    found = CalculatorRunner(node, **options).run({name: [(1, value)] for name, value in inputs.items()}, sides)
    ((_, packets),) = found.items()
    return packets[0][1] if packets else None


# anchors and decoding

ANCHORS = 'calculator: "SsdAnchorsCalculator" output_side_packet: "anchors"'
GOOD_ANCHORS = {"input_size_width": 16, "input_size_height": 8, "num_layers": 1, "strides": [8], "aspect_ratios": [1.0],
                "fixed_anchor_size": True}  # fmt: skip


def test_anchors_lie_in_the_middle_of_their_cells() -> None:
    runner = CalculatorRunner(ANCHORS, **GOOD_ANCHORS)
    runner.run()
    assert runner.side_outputs["anchors"].tolist() == [[0.25, 0.5], [0.25, 0.5], [0.75, 0.5], [0.75, 0.5]]
    runner = CalculatorRunner(ANCHORS, **GOOD_ANCHORS, interpolated_scale_aspect_ratio=0.0)
    runner.run()
    assert len(runner.side_outputs["anchors"]) == 2


@pytest.mark.parametrize(("changed", "message"), [
    ({"fixed_anchor_size": False}, "fixed_anchor_size must be True"),
    ({"aspect_ratios": [1.0, 2.0]}, "aspect_ratios must be 1"),
    ({"num_layers": 2}, "a stride of at least 1 for each of the 2 layers"),
    ({"strides": [0]}, "a stride of at least 1"),
    ({"input_size_width": 0}, "input_size_width is 1 to 4096"),
    ({"input_size_width": 4096, "input_size_height": 4096, "strides": [1]}, "more than the 1048576 that are handled"),
    ({"reduce_boxes_in_lowest_layer": True}, "reduce_boxes_in_lowest_layer is not carried out"),
    ({"feature_map_width": [3]}, "not carried out"),
    ({"anchor_offset_x": 0.25}, "anchor_offset_x must be 0.5"),
])  # fmt: skip
def test_anchors_of_other_detectors_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphConfigError, match=f"SsdAnchorsCalculator.*{message}"):
        CalculatorRunner(ANCHORS, **(GOOD_ANCHORS | changed))


DECODE = 'calculator: "TensorsToDetectionsCalculator" input_stream: "TENSORS:t" input_side_packet: "ANCHORS:a" '
DECODE += 'output_stream: "DETECTIONS:d"'
GOOD_DECODE = {"num_classes": 1, "num_boxes": 2, "num_coords": 6, "num_keypoints": 1, "keypoint_coord_offset": 4,
               "x_scale": 100.0, "y_scale": 50.0, "w_scale": 100.0, "h_scale": 50.0, "sigmoid_score": True,
               "reverse_output_order": True, "min_score_thresh": 0.5}  # fmt: skip
CELLS = np.array([[0.5, 0.5], [0.25, 0.5]], np.float32)


def _tensors(scores: list[float], count: int = 2) -> list[np.ndarray]:
    boxes = np.array([[[10, 5, 20, 10, 30, 10]] * count], np.float32).reshape(1, count, 6)
    return [boxes, np.array(scores, np.float32).reshape(1, -1, 1)]


def test_boxes_are_decoded_around_their_anchors_best_first() -> None:
    found = _one(DECODE, {"t": _tensors([0.5, 3.0])}, {"a": CELLS}, **GOOD_DECODE)
    np.testing.assert_allclose(found.boxes, [[0.25, 0.5, 0.45, 0.7], [0.5, 0.5, 0.7, 0.7]], atol=1e-6)
    np.testing.assert_allclose(found.keypoints[:, 0], [[0.55, 0.7], [0.8, 0.7]], atol=1e-6)
    assert found.scores[0] > 0.95 > found.scores[1]
    assert len(_one(DECODE, {"t": _tensors([0.5, 3.0])}, {"a": CELLS}, **GOOD_DECODE, max_results=1)) == 1
    assert len(_one(DECODE, {"t": _tensors([-9.0, -9.0])}, {"a": CELLS}, **GOOD_DECODE)) == 0


@pytest.mark.parametrize(("changed", "message"), [
    ({"num_classes": 2}, "num_classes must be 1"),
    ({"sigmoid_score": False}, "sigmoid_score true"),
    ({"num_coords": 8}, "num_coords 4 \\+ 2 num_keypoints"),
    ({"num_boxes": 0}, "num_boxes is at least 1"),
    ({"keypoint_coord_offset": 0}, "keypoint_coord_offset must be 4"),
    ({"w_scale": 1.0}, "w_scale and h_scale the same"),
    ({"score_clipping_thresh": 1.0}, "at least 20"),
    ({"apply_exponential_on_box_size": True}, "not carried out"),
    ({"ignore_classes": [1]}, "not carried out"),
    ({"tensor_mapping": {"scores_tensor_index": 1}}, "not carried out"),
])  # fmt: skip
def test_other_ways_to_decode_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphConfigError, match=f"TensorsToDetectionsCalculator.*{message}"):
        CalculatorRunner(DECODE, **(GOOD_DECODE | changed))


@pytest.mark.parametrize("tensors", [[], _tensors([1.0, 1.0])[:1], _tensors([1.0, 1.0, 1.0], 3)])
def test_tensors_of_another_model_are_refused(tensors: list[np.ndarray]) -> None:
    with pytest.raises(GraphRuntimeError, match=r"TensorsToDetectionsCalculator.*tensors \[1, 2, 6\]"):
        _one(DECODE, {"t": tensors}, {"a": CELLS}, **GOOD_DECODE)


# non-maximum suppression

NMS = 'calculator: "NonMaxSuppressionCalculator" input_stream: "d" output_stream: "o"'
IOU = {"overlap_type": 3, "min_suppression_threshold": 0.3}
CROWD = [
    _detection([0, 0, 0.5, 1], [[0, 0]], 0.75),
    _detection([0.1, 0, 0.6, 1], [[1, 1]], 0.25),
    _detection([0.7, 0, 1, 1], [[0, 1]], 0.5),
]


def test_overlapping_detections_melt_or_go() -> None:
    ordered = Detections.of(CROWD).sorted()
    best = _one(NMS, {"d": ordered}, **IOU)
    np.testing.assert_allclose(best.boxes[0], CROWD[0].box)
    assert best.scores.tolist() == [0.75, 0.5]
    mean = _one(NMS, {"d": ordered}, **IOU, algorithm=1)
    np.testing.assert_allclose(mean.boxes[0], [0.025, 0, 0.525, 1], atol=1e-6)
    np.testing.assert_allclose(mean.keypoints[0], [[0.25, 0.25]], atol=1e-6)
    assert len(_one(NMS, {"d": ordered}, **IOU, max_num_detections=1)) == 1
    assert len(_one(NMS, {"d": ordered}, **IOU, min_score_threshold=0.6)) == 1


def test_nothing_to_suppress_gives_nothing_unless_asked_for() -> None:
    assert _one(NMS, {"d": []}, **IOU) is None
    assert len(_one(NMS, {"d": []}, **IOU, return_empty_detections=True)) == 0


def test_detections_of_several_streams_are_ordered_first() -> None:
    node = 'calculator: "NonMaxSuppressionCalculator" input_stream: ["a", "b"] output_stream: "o"'
    found = _one(node, {"a": CROWD[1:], "b": CROWD[:1]}, **IOU, num_detection_streams=2)
    assert found.scores.tolist() == [0.75, 0.5]
    with pytest.raises(GraphConfigError, match="2 inputs, num_detection_streams says 1"):
        CalculatorRunner(node, **IOU)
    with pytest.raises(GraphConfigError, match="INTERSECTION_OVER_UNION"):
        CalculatorRunner(NMS)
    with pytest.raises(GraphConfigError, match="max_num_detections"):
        CalculatorRunner(NMS, **IOU, max_num_detections=0)


# back to the picture


def test_letterbox_removal_and_projection_agree() -> None:
    crop = Crop(Rect(0.5, 0.5, 1.0, 2.0), SIZE, (0.0, 0.25))
    letterbox = 'calculator: "DetectionLetterboxRemovalCalculator" output_stream: "DETECTIONS:o" '
    letterbox += 'input_stream: ["DETECTIONS:d", "LETTERBOX_PADDING:p"]'
    projection = 'calculator: "DetectionProjectionCalculator" output_stream: "DETECTIONS:o" '
    projection += 'input_stream: ["DETECTIONS:d", "PROJECTION_MATRIX:m"]'
    given = [_detection([0.25, 0.25, 0.5, 0.75], [[0.5, 0.5]])]
    inside = _one(letterbox, {"d": given, "p": crop.padding})
    np.testing.assert_allclose(inside.boxes, [[0.25, 0, 0.5, 1]], atol=1e-6)
    projected = _one(projection, {"d": given, "m": crop.matrix()})
    np.testing.assert_allclose(projected.boxes, inside.boxes, atol=1e-6)
    np.testing.assert_allclose(projected.keypoints, inside.keypoints, atol=1e-6)


# rectangles

TURNED = {"rotation_vector_start_keypoint_index": 0, "rotation_vector_end_keypoint_index": 1,
          "rotation_vector_target_angle_degrees": 0.0}  # fmt: skip
FACE = _detection([0.25, 0.25, 0.5, 0.75], [[0.25, 0.25], [0.25, 0.5]])


def _to_rects(inputs: str, outputs: str, calculator: str = "DetectionsToRectsCalculator") -> str:
    return f'calculator: "{calculator}" input_stream: [{inputs}] output_stream: "{outputs}:o"'


def test_a_box_becomes_a_turned_rectangle() -> None:
    rect = _one(_to_rects('"DETECTION:d", "IMAGE_SIZE:s"', "NORM_RECT"), {"d": FACE, "s": SIZE}, **TURNED)
    assert rect == Rect(0.375, 0.5, 0.25, 0.5, pytest.approx(math.pi / 2))
    radians = {**TURNED, "rotation_vector_target_angle": 0.0}
    del radians["rotation_vector_target_angle_degrees"]
    rects = _one(_to_rects('"DETECTIONS:d", "IMAGE_SIZE:s"', "NORM_RECTS"), {"d": [FACE, FACE], "s": SIZE}, **radians)
    assert rects == [rect, rect]
    upright = _one(_to_rects('"DETECTIONS:d"', "NORM_RECT"), {"d": Detections.of([FACE])}, conversion_mode=2)
    assert upright == Rect(0.25, 0.375, 0.0, 0.25)


def test_no_detection_gives_no_rectangle_unless_asked_for() -> None:
    for output in ("NORM_RECT", "NORM_RECTS"):
        node = _to_rects('"DETECTIONS:d"', output)
        assert _one(node, {"d": []}) is None
        zero = _one(node, {"d": []}, output_zero_rect_for_empty_detections=True)
        assert zero in (Rect(0, 0, 0, 0), [Rect(0, 0, 0, 0)])


@pytest.mark.parametrize(("node", "options", "message"), [
    (_to_rects('"DETECTION:d", "DETECTIONS:e"', "NORM_RECT"), {}, "one of DETECTION and DETECTIONS"),
    (_to_rects('"DETECTION:d"', "NORM_RECT"), TURNED, "needs IMAGE_SIZE"),
    (_to_rects('"DETECTION:d", "IMAGE_SIZE:s"', "NORM_RECT"), {"rotation_vector_start_keypoint_index": 0}, "both"),
    (_to_rects('"DETECTION:d", "IMAGE_SIZE:s"', "RECT"), {}, "no output stream RECT"),
    (_to_rects('"DETECTION:d"', "NORM_RECT", "AlignmentPointsRectsCalculator"), {}, "both keypoints"),
    (_to_rects('"DETECTION:d"', "NORM_RECT", "HandDetectionsFromPoseToRectsCalculator"), {}, "needs IMAGE_SIZE"),
])  # fmt: skip
def test_rectangles_need_their_inputs(node: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphConfigError, match=message):
        CalculatorRunner(node, **options)


def test_missing_keypoints_are_told() -> None:
    node = _to_rects('"DETECTION:d", "IMAGE_SIZE:s"', "NORM_RECT")
    with pytest.raises(GraphRuntimeError, match="has 0 keypoints"):
        _one(node, {"d": _detection([0, 0, 1, 1]), "s": SIZE}, **TURNED)
    node = _to_rects('"DETECTION:d", "IMAGE_SIZE:s"', "NORM_RECT", "HandDetectionsFromPoseToRectsCalculator")
    with pytest.raises(GraphRuntimeError, match="three keypoints, 2 came"):
        _one(node, {"d": FACE, "s": SIZE})


def test_alignment_points_make_a_square_in_pixels() -> None:
    node = _to_rects('"DETECTION:d", "IMAGE_SIZE:s"', "NORM_RECT", "AlignmentPointsRectsCalculator")
    rect = _one(node, {"d": FACE, "s": SIZE}, **TURNED)
    assert rect == Rect(0.25, 0.25, 0.25, 0.5, pytest.approx(math.pi / 2))


def test_a_hand_lies_between_pinky_and_index() -> None:
    node = _to_rects('"DETECTION:d", "IMAGE_SIZE:s"', "NORM_RECT", "HandDetectionsFromPoseToRectsCalculator")
    hand = _detection([0, 0, 1, 1], [[0.5, 0.9], [0.5, 0.5], [0.5, 0.5]])
    rect = _one(node, {"d": hand, "s": SIZE})
    assert (rect.x_center, rect.y_center, rect.rotation) == pytest.approx((0.5, 0.5, 0), abs=1e-6)
    assert (rect.width * 200, rect.height * 100) == pytest.approx((80, 80))


TRANSFORM = (
    'calculator: "RectTransformationCalculator" input_stream: ["NORM_RECT:r", "IMAGE_SIZE:s"] output_stream: "o"'
)


@pytest.mark.parametrize(("options", "wanted"), [
    ({}, Rect(0.5, 0.5, 0.25, 0.25)),
    ({"scale_x": 2.0}, Rect(0.5, 0.5, 0.5, 0.25)),
    ({"shift_x": 1.0}, Rect(0.75, 0.5, 0.25, 0.25)),
    ({"square_long": True}, Rect(0.5, 0.5, 0.25, 0.5)),
    ({"square_short": True}, Rect(0.5, 0.5, 0.125, 0.25)),
    ({"shift_x": 1.0, "rotation_degrees": 90}, Rect(0.5, 1.0, 0.25, 0.25)),
    ({"shift_x": 1.0, "rotation": math.pi / 2}, Rect(0.5, 1.0, 0.25, 0.25)),
])  # fmt: skip
def test_rectangles_are_shifted_squared_and_scaled(options: dict[str, Any], wanted: Rect) -> None:
    rect = _one(TRANSFORM, {"r": Rect(0.5, 0.5, 0.25, 0.25), "s": SIZE}, **options)
    assert list(vars(rect).values()) == pytest.approx(list(vars(wanted).values()), abs=1e-6)


def test_several_rectangles_are_transformed_alike() -> None:
    node = TRANSFORM.replace("NORM_RECT:", "NORM_RECTS:")
    assert _one(node, {"r": [Rect(0.5, 0.5, 0.5, 0.5)] * 2, "s": SIZE}, scale_x=2.0) == [Rect(0.5, 0.5, 1, 0.5)] * 2
    assert _one(node, {"r": [], "s": SIZE}) == []


@pytest.mark.parametrize("pair", ["rotation rotation_degrees", "square_long square_short"])
def test_contradictory_transformations_are_refused(pair: str) -> None:
    with pytest.raises(GraphConfigError, match="only one of"):
        CalculatorRunner(TRANSFORM, **dict.fromkeys(pair.split(), 1))


def test_followed_regions_replace_detected_ones() -> None:
    node = 'calculator: "AssociationNormRectCalculator" input_stream: ["a", "b"] output_stream: "o"'
    near, same, far = Rect(0.3, 0.3, 0.2, 0.2), Rect(0.31, 0.3, 0.2, 0.2), Rect(0.8, 0.8, 0.2, 0.2)
    runner = CalculatorRunner(node, min_similarity_threshold=0.5)
    found = runner.run({"a": [(1, [near, far]), (2, [near])], "b": [(1, [same]), (3, [])]})
    assert found == {"o": [(1, [far, same]), (2, [near]), (3, [])]}
    assert CalculatorRunner(node).run({"a": [(1, [near])], "b": [(1, [same])]}) == {"o": [(1, [near, same])]}


def test_a_list_has_enough_or_not() -> None:
    node = 'calculator: "NormalizedRectVectorHasMinSizeCalculator" input_stream: "ITERABLE:a" output_stream: "o"'
    lists = [(1, []), (2, [1]), (3, [1, 2])]
    found = CalculatorRunner(node, min_size=1).run({"a": lists})
    assert found == {"o": [(1, False), (2, True), (3, True)]}
    runner = CalculatorRunner(node + ' input_side_packet: "least"')
    assert runner.run({"a": lists}, {"least": 2}) == {"o": [(1, False), (2, False), (3, True)]}
    with pytest.raises(GraphConfigError, match="at least 0"):
        CalculatorRunner(node, min_size=-1)


def test_detections_are_a_list_for_the_core_calculators() -> None:
    given = Detections.of(CROWD)
    clip = 'calculator: "ClipDetectionVectorSizeCalculator" input_stream: "a" output_stream: "o"'
    assert _one(clip, {"a": given}, max_vec_size=2).scores.tolist() == [0.75, 0.25]
    split = 'calculator: "SplitDetectionVectorCalculator" input_stream: "a" output_stream: "o" '
    options = "ranges {{ begin: 1 end: 2 }} element_only: {}"
    text = "options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{ {} }} }}"
    assert _one(split + text.format(options.format("true")), {"a": given}).score == 0.25
    assert _one(split + text.format(options.format("false")), {"a": given}).scores.tolist() == [0.25]
    join = 'calculator: "ConcatenateDetectionVectorCalculator" input_stream: ["a", "b"] output_stream: "o"'
    assert [item.score for item in _one(join, {"a": given, "b": given[:1]})] == [0.75, 0.25, 0.5, 0.75]
    texts = 'calculator: "ConcatenateStringVectorCalculator" input_stream: ["a", "b"] output_stream: "o"'
    assert _one(texts, {"a": "one", "b": ["two"]}) == ["one", "two"]
