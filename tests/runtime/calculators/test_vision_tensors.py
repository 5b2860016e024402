"""Calculators of pictures, tensors, models, classes and masks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.models import zoo
from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.models.onnx_write import write_onnx
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime.calculators.vision.resources import HANDEDNESS, find_resource
from pocketgraph.runtime.graph import CalculatorRunner
from pocketgraph.runtime.vision.classification import Classification
from pocketgraph.runtime.vision.rect import Rect

PICTURE = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)


def _run(node: str, inputs: dict[str, Any], sides: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """What each output gives for one packet on each input; None where there is none."""
    found = CalculatorRunner(node, **options).run({name: [(1, value)] for name, value in inputs.items()}, sides)
    return {name: packets[0][1] if packets else None for name, packets in found.items()}


def _one(node: str, inputs: dict[str, Any], sides: dict[str, Any] | None = None, **options: Any) -> Any:
    (value,) = _run(node, inputs, sides, **options).values()
    return value


# pictures


def test_pictures_are_measured_and_handed_on_without_copies() -> None:
    size = 'calculator: "ImagePropertiesCalculator" input_stream: "{}:i" output_stream: "SIZE:o"'
    assert _one(size.format("IMAGE"), {"i": PICTURE}) == _one(size.format("IMAGE_CPU"), {"i": PICTURE}) == (8, 4)
    for node in (
        'calculator: "ToImageCalculator" input_stream: "IMAGE_CPU:i" output_stream: "IMAGE:o"',
        'calculator: "FromImageCalculator" input_stream: "IMAGE:i" output_stream: "IMAGE_CPU:o"',
    ):
        assert _one(node, {"i": PICTURE}) is PICTURE
    for tags in ("[]", '["IMAGE:i", "IMAGE_CPU:j"]'):
        with pytest.raises(GraphConfigError, match="one of IMAGE and IMAGE_CPU"):
            CalculatorRunner(f'calculator: "ImagePropertiesCalculator" input_stream: {tags} output_stream: "SIZE:o"')
    with pytest.raises(GraphConfigError, match="no input stream IMAGE_GPU"):
        CalculatorRunner(size.format("IMAGE_GPU"))


TENSOR = 'calculator: "ImageToTensorCalculator" input_stream: "IMAGE:i" output_stream: ["TENSORS:t", '
TENSOR += '"LETTERBOX_PADDING:p", "MATRIX:m"]'
OPTIONS = {"output_tensor_width": 4, "output_tensor_height": 4, "output_tensor_float_range": {"min": -1.0, "max": 1.0}}


def test_a_picture_is_padded_into_a_tensor() -> None:
    found = _run(TENSOR, {"i": np.full((4, 8, 3), 255, np.uint8)}, **OPTIONS, keep_aspect_ratio=True, border_mode=1)
    (tensor,) = found["t"]
    assert tensor[0, :, 2, 0].tolist() == [-1, 1, 1, -1]
    assert found["p"] == (0.0, 0.25)
    np.testing.assert_allclose((found["m"] @ [0, 0.25, 0, 1])[:2], [0, 0], atol=1e-6)


def test_a_rectangle_is_cut_out_and_tensors_are_fresh() -> None:
    node = TENSOR.replace('"IMAGE:i"', '["IMAGE:i", "NORM_RECT:r"]')
    white = PICTURE * 0
    white[:, :4] = 255
    rects = [(1, Rect(0.25, 0.5, 0.5, 1.0)), (2, Rect(0.75, 0.5, 0.5, 1.0)), (4, Rect(0.0, 0.0, 0.0, 0.0))]
    found = CalculatorRunner(node, **OPTIONS).run({"i": [(time, white) for time in (1, 2, 3, 4)], "r": rects})["t"]
    assert [time for time, _ in found] == [1, 2, 4]
    assert [tensor.mean() for _, (tensor,) in found] == pytest.approx([1, -1, 0], abs=0.01)


@pytest.mark.parametrize(("changed", "message"), [
    ({"output_tensor_width": 0}, "output_tensor_width is 1 to 4096"),
    ({"output_tensor_height": 2_000_000_000}, "output_tensor_height is 1 to 4096"),
    ({"output_tensor_float_range": {"min": 1.0, "max": 1.0}}, "must rise"),
    ({"output_tensor_int_range": {"min": 0, "max": 255}}, "output_tensor_int_range is not carried out"),
])  # fmt: skip
def test_bad_tensors_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphConfigError, match=f"ImageToTensorCalculator.*{message}"):
        CalculatorRunner(TENSOR, **(OPTIONS | changed))


def test_what_has_buffers_works_on_one_time_at_a_time() -> None:
    with pytest.raises(GraphConfigError, match="max_in_flight is 1 here, not 2"):
        CalculatorRunner(TENSOR + " max_in_flight: 2", **OPTIONS)
    with pytest.raises(GraphRuntimeError, match=r"ImageToTensorCalculator.*a picture must be an RGB array"):
        _run(TENSOR, {"i": PICTURE.astype(np.float32)}, **OPTIONS)


# models

A = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)


def _model() -> Model:
    """total = a + b, and product = a * b, on [1, 2, 2, 3]."""
    a, b, total, product = (Tensor(name, (1, 2, 2, 3)) for name in ("a", "b", "total", "product"))
    return Model([Graph("main", [a, b], [total, product], [Op("ADD", [a, b], [total]), Op("MUL", [a, b], [product])])])


INFER = 'calculator: "InferenceCalculator" input_stream: "TENSORS:i" output_stream: "TENSORS:o" '
WITH_MODEL = INFER + 'input_side_packet: "MODEL:m"'


@pytest.mark.parametrize("write", [write_tflite, write_onnx, lambda model: model])
@pytest.mark.parametrize("engine", ["litert", "onnxruntime"])
def test_a_model_runs_in_the_engine_that_is_asked_for(write: Any, engine: str) -> None:
    total, product = _one(WITH_MODEL, {"i": [A, A]}, {"m": write(_model())}, engine=engine)
    np.testing.assert_array_equal(total, A + A)
    np.testing.assert_array_equal(product, A * A)


def test_a_model_runs_from_a_file_and_only_for_the_outputs_that_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    file.write_bytes(write_tflite(_model()))
    (product,) = _one(
        INFER,
        {"i": [A, A]},
        model_path=str(file),
        delegate={"xnnpack": {"num_threads": 2}},
        input_output_config={"output_tensor_indices_map": {"model_tensor_indices": [1]}},
    )
    np.testing.assert_array_equal(product, A * A)
    single = WITH_MODEL.replace('output_stream: "TENSORS', 'output_stream: "TENSOR')
    chosen = {"output_tensor_indices_map": {"model_tensor_indices": [0]}}
    np.testing.assert_array_equal(_one(single, {"i": [A, A]}, {"m": _model()}, input_output_config=chosen), A + A)
    with pytest.raises(GraphRuntimeError, match="the model has 2 outputs, so they go to TENSORS"):
        _one(single, {"i": [A, A]}, {"m": _model()})
    with pytest.raises(GraphRuntimeError, match="outputs 0 to 1, \\[2\\] were asked for"):
        _one(WITH_MODEL, {"i": [A, A]}, {"m": _model()},
             input_output_config={"output_tensor_indices_map": {"model_tensor_indices": [2]}})  # fmt: skip


@pytest.mark.parametrize(("side", "computed"), [({"wanted": True}, True), ({"wanted": False}, False), ({}, False)])
def test_optional_outputs_keep_their_place(side: dict[str, bool], computed: bool) -> None:
    node = WITH_MODEL + ' input_side_packet: "OPTIONAL_OUTPUTS:wanted"'
    total, product = _one(node, {"i": [A, A]}, {"m": _model(), **side}, optional_outputs=[0])
    assert total.size == (12 if computed else 0)
    np.testing.assert_array_equal(product, A * A)
    for wrong in ([0, 1], [2], [0, 0]):
        with pytest.raises(GraphRuntimeError, match="cannot be left out"):
            _one(WITH_MODEL, {"i": [A, A]}, {"m": _model()}, optional_outputs=wrong)
    with pytest.raises(GraphConfigError, match="do not go together"):
        CalculatorRunner(WITH_MODEL, optional_outputs=[1], input_output_config={"output_tensor_indices_map": {}})


def test_results_of_one_packet_are_not_overwritten_by_the_next() -> None:
    runner = CalculatorRunner(WITH_MODEL)
    found = runner.run({"i": [(1, [A, A]), (2, [A, A * 0])]}, {"m": _model()})["o"]
    np.testing.assert_array_equal(found[0][1][0], A + A)
    np.testing.assert_array_equal(found[1][1][0], A)


@pytest.mark.parametrize(("node", "options", "message"), [
    (INFER, {}, "side packet MODEL or the option model_path"),
    (WITH_MODEL, {"model_path": "x"}, "one of them"),
    (WITH_MODEL, {"delegate": {"gpu": {}}}, "no delegate gpu here"),
    (WITH_MODEL, {"delegate": {"nnapi": {}}}, "no delegate nnapi here"),
    (WITH_MODEL, {"use_gpu": True}, "use_gpu is not carried out"),
    (WITH_MODEL, {"engine": "warp"}, "no engine .warp.; there are litert"),
    (WITH_MODEL, {"input_output_config": {"input_tensor_indices_map": {}}}, "input_tensor_indices_map is not carried"),
    (WITH_MODEL.replace("TENSORS:i", "TENSOR:i").replace('output_stream: "TENSORS:o"', ""), {}, "TENSORS and TENSOR"),
])  # fmt: skip
def test_what_no_engine_does_is_refused(node: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphConfigError, match=f"InferenceCalculator.*{message}"):
        CalculatorRunner(node, **options)


@pytest.mark.parametrize(("tensors", "message"), [
    ([A], "1 tensors came, the model takes 2"),
    ([A, A[:, :1]], r"input 'b' must be float32\[1, 2, 2, 3\]"),
    ([A, "x"], "must be a NumPy array"),
])  # fmt: skip
def test_tensors_that_do_not_fit_name_the_node(tensors: list[Any], message: str) -> None:
    with pytest.raises(GraphRuntimeError, match=f"InferenceCalculator.*{message}"):
        _one(WITH_MODEL, {"i": tensors}, {"m": _model()})


# files that graphs name


@pytest.mark.zoo
def test_models_of_the_zoo_are_found_by_name_and_by_their_path_in_the_package() -> None:
    by_path = find_resource("mediapipe/modules/hand_landmark/hand_landmark_lite.tflite")
    assert by_path == find_resource("hand_landmark_lite") == zoo.path("hand_landmark_lite").read_bytes()


@pytest.mark.parametrize(("name", "message"), [
    ("", "without .."),
    ("a\0b", "without .."),
    ("mediapipe/modules/../../secret.tflite", "without .."),
    ("mediapipe/modules/pose_landmark/pose_landmark_heavy.tflite", "neither a model of the zoo .*pose_land"),
    ("nothing_like_it.tflite", "neither a model of the zoo nor a file"),
    ("/dev/zero", "not a regular file"),
    ("/", "not a regular file"),
    ("x" * 5000, "neither a model"),
])  # fmt: skip
def test_names_that_cannot_be_files_are_refused(name: str, message: str) -> None:
    with pytest.raises(GraphRuntimeError, match=message):
        find_resource(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "model.tflite"
    os.mkfifo(pipe)
    with pytest.raises(GraphRuntimeError, match="not a regular file"):
        find_resource(str(pipe))


def test_resources_become_side_packets(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("cat\n")
    node = 'calculator: "ResourceProviderCalculator" input_side_packet: "RESOURCE_ID:n" '
    node += 'output_side_packet: ["RESOURCE:0:a", "RESOURCE:1:b"]'
    runner = CalculatorRunner(node, resource_id=[HANDEDNESS], read_mode=2)
    runner.run(None, {"n": str(file)})
    assert runner.side_outputs == {"a": "cat\n", "b": "Left\nRight\n"}
    with pytest.raises(GraphConfigError, match="2 RESOURCE for 1 names"):
        CalculatorRunner(node)
    file.write_bytes(b"\xff")
    with pytest.raises(GraphRuntimeError, match="is not text"):
        runner.run(None, {"n": str(file)})


def test_bytes_are_taken_for_a_model_only_if_they_are_one() -> None:
    node = 'calculator: "TfLiteModelCalculator" input_side_packet: "MODEL_BLOB:b" output_side_packet: "MODEL:m"'
    content = write_tflite(_model())
    runner = CalculatorRunner(node)
    runner.run(None, {"b": content})
    assert runner.side_outputs["m"] is content
    with pytest.raises(GraphRuntimeError, match=r"TfLiteModelCalculator.*not a \.tflite file: they begin b'PK"):
        CalculatorRunner(node).run(None, {"b": b"PK\x03\x04 and more"})
    resolver = 'calculator: "TfLiteCustomOpResolverCalculator" output_side_packet: "OP_RESOLVER:o"'
    with pytest.raises(GraphConfigError, match="use_gpu"):
        CalculatorRunner(resolver, use_gpu=True)


# numbers and classes

FLOATS = 'calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:t" output_stream: ["FLOAT:f", "FLOATS:g"]'


def test_numbers_come_out_of_a_tensor() -> None:
    tensor = np.array([[0, 2]], np.float32)
    assert _run(FLOATS, {"t": [tensor]}) == {"f": 0.0, "g": [0.0, 2.0]}
    assert _run(FLOATS, {"t": [tensor]}, activation=1)["f"] == 0.5
    for wrong in ([], [tensor, tensor], [tensor[:0]]):
        with pytest.raises(GraphRuntimeError, match="one tensor with numbers is taken"):
            _run(FLOATS, {"t": wrong})


def test_a_number_is_above_a_threshold_or_not() -> None:
    node = (
        'calculator: "ThresholdingCalculator" input_stream: "FLOAT:f" output_stream: ["FLAG:a", "ACCEPT:b", "REJECT:c"]'
    )
    assert _run(node, {"f": 0.6}, threshold=0.5) == {"a": True, "b": True, "c": None}
    assert _run(node, {"f": 0.5}, threshold=0.5) == {"a": False, "b": None, "c": True}
    side = node + ' input_side_packet: "THRESHOLD:t"'
    assert _run(side, {"f": 0.6}, {"t": 0.7})["a"] is False
    with pytest.raises(GraphConfigError, match="one of them"):
        CalculatorRunner(side, threshold=0.5)
    with pytest.raises(GraphConfigError, match="THRESHOLD or the option"):
        CalculatorRunner(node)


CLASSES = 'calculator: "TensorsToClassificationCalculator" input_stream: "TENSORS:t" output_stream: "CLASSIFICATIONS:c"'
SCORES = [np.array([0.25, 0.5, 0.125], np.float32)]
LABELS = {"entries": [{"id": 0, "label": "cat"}, {"id": 1, "label": "dog"}, {"id": 2, "label": "cow"}]}


@pytest.mark.parametrize(("options", "wanted"), [
    ({}, [0, 1, 2]),
    ({"top_k": 2}, [1, 0]),
    ({"sort_by_descending_score": True}, [1, 0, 2]),
    ({"min_score_threshold": 0.2}, [0, 1]),
    ({"allow_classes": [2, 1]}, [1, 2]),
    ({"ignore_classes": [1]}, [0, 2]),
])  # fmt: skip
def test_classes_are_chosen_and_ordered(options: dict[str, Any], wanted: list[int]) -> None:
    assert [item.index for item in _one(CLASSES, {"t": SCORES}, **options)] == wanted


def test_classes_have_labels(tmp_path: Path) -> None:
    best = Classification(1, 0.5, "dog")
    assert _one(CLASSES, {"t": SCORES}, top_k=1, label_map=LABELS) == [best]
    items = [{"key": entry["id"], "value": {"name": entry["label"]}} for entry in LABELS["entries"]]
    assert _one(CLASSES, {"t": SCORES}, top_k=1, label_items=items) == [best]
    file = tmp_path / "labels.txt"
    file.write_text("cat\ndog\ncow\n")
    assert _one(CLASSES, {"t": SCORES}, top_k=1, label_map_path=str(file)) == [best]
    hand = _one(CLASSES, {"t": [SCORES[0][:1]]}, binary_classification=True, top_k=1, label_map_path=HANDEDNESS)
    assert hand == [Classification(1, 0.75, "Right")]
    with pytest.raises(GraphRuntimeError, match="one tensor with 3 scores"):
        _one(CLASSES, {"t": [SCORES[0][:2]]}, label_map=LABELS)
    with pytest.raises(GraphRuntimeError, match="one tensor with 1 scores"):
        _one(CLASSES, {"t": SCORES}, binary_classification=True)


@pytest.mark.parametrize("options", [
    {"allow_classes": [1], "ignore_classes": [2]}, {"allow_classes": [1], "binary_classification": True},
])  # fmt: skip
def test_contradictory_classes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(GraphConfigError, match="classes"):
        CalculatorRunner(CLASSES, **options)


# masks

MASK = (
    'calculator: "TensorsToSegmentationCalculator" input_stream: ["TENSORS:t", "OUTPUT_SIZE:s"] output_stream: "MASK:m"'
)


def test_tensors_become_masks() -> None:
    logits = np.array([[0, 9], [-9, 0]], np.float32).reshape(1, 2, 2, 1)
    assert _one(MASK, {"t": [logits], "s": (2, 2)}).tolist() == [[0, 9], [-9, 0]]
    assert _one(MASK, {"t": [logits], "s": (6, 4)}, activation=1).shape == (4, 6)
    own = MASK.replace(', "OUTPUT_SIZE:s"', "")
    sure = _one(own, {"t": [logits]}, activation=1)
    np.testing.assert_allclose(sure, 1 / (1 + np.exp(-logits[0, :, :, 0])), atol=1e-6)
    two = np.concatenate([logits * 0, logits], axis=-1)
    np.testing.assert_allclose(_one(own, {"t": [two]}, activation=2), sure, atol=1e-6)
    np.testing.assert_allclose(_one(own, {"t": [two]}, activation=2, output_layer_index=0), 1 - sure, atol=1e-6)
    with pytest.raises(GraphRuntimeError, match=r"must be \[1, height, width, 2\]"):
        _one(own, {"t": [logits]}, activation=2)
    with pytest.raises(GraphConfigError, match="output_layer_index is 0 or 1"):
        CalculatorRunner(MASK, output_layer_index=2)


def test_undecided_masks_follow_the_one_before() -> None:
    node = 'calculator: "SegmentationSmoothingCalculator" input_stream: ["MASK:m", "MASK_PREVIOUS:p"] '
    node += 'output_stream: "MASK_SMOOTHED:o"'
    mask, before = np.array([[0.5, 1.0]], np.float32), np.array([[1.0, 0.0]], np.float32)
    np.testing.assert_allclose(
        _one(node, {"m": mask, "p": before}, combine_with_previous_ratio=1.0), [[1.0, 1.0]], atol=0.02
    )
    assert _one(node, {"m": mask, "p": before}).tolist() == mask.tolist()
    assert _one(node, {"m": mask}, combine_with_previous_ratio=1.0) is mask
    assert _one(node, {"p": before}) is None
    with pytest.raises(GraphConfigError, match="0 to 1, not 2"):
        CalculatorRunner(node, combine_with_previous_ratio=2.0)


def test_a_mask_is_warped_by_a_matrix() -> None:
    node = 'calculator: "WarpAffineCalculator" input_stream: ["IMAGE:i", "MATRIX:m", "OUTPUT_SIZE:s"] '
    node += 'output_stream: "IMAGE:o"'
    half = np.eye(4)
    half[0, 0], half[0, 3] = 2.0, -0.5  # the middle half of the result shows all of the image
    mask = np.ones((4, 4), np.float32)
    zero = _one(node, {"i": mask, "m": half, "s": (8, 4)})
    assert zero[1].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert _one(node, {"i": mask, "m": half, "s": (8, 4)}, border_mode=2).tolist() == np.ones((4, 8)).tolist()
    inverse = 'calculator: "InverseMatrixCalculator" input_stream: "MATRIX:m" output_stream: "MATRIX:o"'
    np.testing.assert_allclose(_one(inverse, {"m": half}) @ half, np.eye(4), atol=1e-12)
    with pytest.raises(GraphRuntimeError, match="the matrix has no inverse"):
        _one(inverse, {"m": np.zeros((4, 4))})
