"""The graph files here and those of MediaPipe's package find what the Python pipelines find, to the last bit.

How near the pipelines are to MediaPipe itself is in `test_parity.py`. Both sides run LiteRT with one thread a model;
the graph files compute what the pipelines compute, in the same order, so results are compared for equality.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pocketgraph.demos.graph_command import graph as graph_command
from pocketgraph.graphs import (
    FaceDetection,
    FaceMesh,
    Hands,
    Holistic,
    Pose,
    SelfieSegmentation,
    graph_names,
    load_graph,
    run_frames,
)
from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError, UsageError
from pocketgraph.runtime.graph import CalculatorGraph, parse_text, read_graph, set_options, to_text, validate
from pocketgraph.runtime.vision.classification import Classification
from pocketgraph.runtime.vision.detections import Detection, Detections
from pocketgraph.runtime.vision.frames import read_frames
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.rect import Rect

sys.path.insert(0, str(Path(__file__).parent))
try:
    from people_data import frames, pictures
    from wheel_graphs import WHEEL_GRAPHS, wheel_graph
finally:
    sys.path.pop(0)

FOLDER = Path(__file__).parents[2] / "graphs"
SIGNING = "signing_video_9frames"
NO_MODELS = "objectron_cpu"  # MediaPipe's package has no models for it
STILLS = (1, 3, 6, 14, 29, 37, 40)  # with faces, hands and people, and one without
Images = list[np.ndarray]
Results = Iterator[dict[str, Any]]


@pytest.fixture(scope="module")
def video(shared_data: Path) -> Images:
    return list(frames(shared_data / "people", SIGNING))


@pytest.fixture(scope="module")
def stills(shared_data: Path) -> Images:
    return [image for place, (_, image) in enumerate(pictures(shared_data / "people")) if place in STILLS]


def _alike(found: Any, wanted: Any) -> None:
    """Equal to the last bit, through lists and landmarks; None and an empty list are both nothing."""
    if wanted is None or (isinstance(wanted, list) and not wanted):
        assert found is None
    elif isinstance(wanted, Landmarks | Detections | Detection):
        for field, value in vars(wanted).items():
            _alike(getattr(found, field), value)
    elif isinstance(wanted, Rect | Classification):
        assert found == wanted
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            _alike(one, other)
    else:
        np.testing.assert_array_equal(found, wanted)


def _compare(
    results: Iterable[Mapping[str, Any]],
    images: Images,
    pipeline: AbstractContextManager[Callable[[np.ndarray], Any]],
    expected: Callable[[Any], dict[str, Any]],
    least: int,
) -> None:
    """Compare frame by frame; in at least so many frames something must be found."""
    seen = 0
    with pipeline as run:
        for result, image in zip(results, images, strict=True):
            wanted = expected(run(image))
            for name, value in wanted.items():
                _alike(result[name], value)
            seen += any(value is not None and len(value) > 0 for value in wanted.values())
    assert seen >= least


def _wheel(name: str, images: Images, sides: Mapping[str, Any] | None = None) -> Results:
    with CalculatorGraph(wheel_graph(name), threads=2) as graph:
        yield from run_frames(graph, images, sides)


def _own(name: str, images: Images, sides: Mapping[str, Any] | None = None, **more: Any) -> Results:
    with load_graph(name, threads=2, **more) as graph:
        yield from run_frames(graph, images, sides)


# files


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.pbtxt")), ids=lambda file: file.stem)
def test_each_graph_file_can_run(file: Path, tmp_path: Path) -> None:
    checked = CliRunner().invoke(graph_command, ["check", str(file)])
    assert checked.exit_code == 0, checked.output
    assert "the wiring is good" in checked.output
    drawing = tmp_path / "graph.svg"
    assert CliRunner().invoke(graph_command, ["show", str(file), "-o", str(drawing)]).exit_code == 0
    assert 'class="unknown"' not in drawing.read_text()


def test_there_is_a_graph_file_for_each_pipeline() -> None:
    assert graph_names() == [
        "face_detection_full",
        "face_detection_short",
        "face_mesh",
        "hands",
        "holistic",
        "pose",
        "selfie_segmentation",
    ]


@pytest.mark.zoo
@pytest.mark.data
def test_a_graph_runs_by_its_name_on_a_video_or_folder(tmp_path: Path, shared_data: Path) -> None:
    people, lines, trace = shared_data / "people", tmp_path / "packets.jsonl", tmp_path / "trace.json"
    video = people / "videos/signing_video_9frames.mp4"
    outputs = ["--json", str(lines), "--trace", str(trace), "--side-packet", "segmentation=true"]
    done = CliRunner().invoke(graph_command, ["run", "pose", "--input", str(video), *outputs])
    assert done.exit_code == 0, done.output
    packets = [json.loads(line) for line in lines.read_text().splitlines()]
    times = [packet["timestamp_us"] for packet in packets if packet["stream"] == "pose_landmarks"]
    assert times == [timestamp for timestamp, _ in read_frames(video)]
    assert {packet["stream"] for packet in packets} == {"pose_landmarks", "pose_world_landmarks", "mask"}
    assert all(len(packet["value"]["points"]) == 33 for packet in packets if packet["stream"] != "mask")
    assert "InferenceCalculator" in trace.read_text()
    folder = people / "mmpose_tests_data/ochuman"
    done = CliRunner().invoke(graph_command, ["run", "selfie_segmentation", "--input", str(folder)])
    assert "mask: 3 packets" in done.output


def test_a_graph_that_is_not_there_is_named(tmp_path: Path) -> None:
    graph = tmp_path / "two.pbtxt"
    graph.write_text('input_stream: "a" input_stream: "b" node { calculator: "PassThroughCalculator" input_stream: "a"'
                     ' output_stream: "c" }')  # fmt: skip
    assert "the graphs are face_detection_full" in str(CliRunner().invoke(graph_command, ["check", "feet"]).exception)
    assert "--input-stream NAME=FILE" in CliRunner().invoke(graph_command, ["run", str(graph), "--input", "x"]).output


@pytest.mark.zoo
@pytest.mark.parametrize("name", [name for name in WHEEL_GRAPHS if name != NO_MODELS])
def test_graphs_of_the_wheel_can_run_and_are_written_as_they_were_read(name: str) -> None:
    file = wheel_graph(name)
    config = read_graph(file)
    assert validate(config).nodes
    assert parse_text(to_text(config)).SerializeToString() == file.read_bytes()
    checked = CliRunner().invoke(graph_command, ["check", str(file)])
    assert checked.exit_code == 0, checked.output


@pytest.mark.zoo
def test_the_graph_without_models_in_the_wheel_says_what_it_lacks() -> None:
    with pytest.raises(GraphConfigError, match=r"ObjectDetectionOidV4Subgraph.*nor are BoxLandmarkSubgraph"):
        validate(read_graph(wheel_graph(NO_MODELS)))


# golden equality


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize("source", ["wheel", "own"])
@pytest.mark.parametrize("reach", ["short", "full"])
def test_faces_are_detected_alike(reach: str, source: str, stills: Images) -> None:
    least = 0.6 if (source, reach) == ("wheel", "full") else 0.5  # what the wheel's graph says

    given = _own(f"face_detection_{reach}", stills)
    if source == "wheel":
        given = _wheel(f"face_detection_{reach}_range_cpu", stills)
    seen = 0
    with FaceDetection(reach=reach, min_confidence=least, delegate="litert") as run:
        for result, image in zip(given, stills, strict=True):
            found, wanted = result["detections"], run(image)
            assert (found is None) == (not len(wanted))
            if found is not None:
                seen += 1
                _alike(found, wanted)
    assert seen >= 4


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize("refine", [False, True], ids=["468", "478"])
@pytest.mark.parametrize("follow", [False, True], ids=["stills", "video"])
def test_face_meshes_are_alike(follow: bool, refine: bool, stills: Images, video: Images) -> None:
    images, count = (video, 1) if follow else (stills, 2)
    sides = {"num_faces": count, "use_prev_landmarks": follow, "with_attention": refine}
    for given, output in (
        (_wheel("face_landmark_front_cpu", images, sides), "multi_face_landmarks"),
        (_own("face_mesh", images, {"num_faces": count, "follow": follow, "refine": refine}), "face_landmarks"),
    ):
        mesh = FaceMesh(static=not follow, num_faces=count, refine=refine, delegate="litert")
        _compare(given, images, mesh, lambda found, name=output: {name: found}, 9 if follow else 3)


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize("follow", [False, True], ids=["stills", "video"])
def test_hands_are_found_alike(follow: bool, stills: Images, video: Images) -> None:
    images = video if follow else stills
    sides = {"num_hands": 2, "use_prev_landmarks": follow, "model_complexity": 1}
    for given, prefix, handedness in (
        (_wheel("hand_landmark_tracking_cpu", images, sides), "multi_hand", "multi_handedness"),
        (_own("hands", images, {"follow": follow}), "hand", "handedness"),
    ):

        def with_sides(results: Results, name: str = handedness) -> Results:
            for result in results:
                sides = [best.label for (best,) in result[name]] if result[name] else None
                yield {**result, "sides": sides}

        def expected(found: Any, prefix: str = prefix) -> dict[str, Any]:
            return {
                f"{prefix}_landmarks": [hand.landmarks for hand in found],
                f"{prefix}_world_landmarks": [hand.world for hand in found],
                "sides": [hand.side for hand in found],
            }

        _compare(with_sides(given), images, Hands(static=not follow, delegate="litert"), expected, 9 if follow else 3)


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize("follow", [False, True], ids=["stills", "video"])
def test_poses_are_alike(follow: bool, stills: Images, video: Images) -> None:
    images = video if follow else stills
    sides = {
        "use_prev_landmarks": follow,
        "smooth_landmarks": follow,
        "enable_segmentation": True,
        "smooth_segmentation": follow,
        "model_complexity": 1,
    }
    own = {"follow": follow, "smooth": follow, "segmentation": True, "smooth_segmentation": follow}
    for given, mask in (
        (_wheel("pose_landmark_cpu", images, sides), "segmentation_mask"),
        (_own("pose", images, own), "mask"),
    ):

        def expected(found: Any, mask: str = mask) -> dict[str, Any]:
            return {
                "pose_landmarks": found and found.landmarks,
                "pose_world_landmarks": found and found.world,
                mask: found and found.mask,
            }

        pose = Pose(static=not follow, segmentation=True, smooth_segmentation=follow, delegate="litert")
        _compare(given, images, pose, expected, 9 if follow else 6)


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize("landscape", [False, True])
def test_selfie_masks_are_alike(landscape: bool, stills: Images) -> None:
    images = stills[:3]
    for given, output in (
        (_wheel("selfie_segmentation_cpu", images, {"model_selection": int(landscape)}), "segmentation_mask"),
        (_own("selfie_segmentation", images, {"landscape": landscape}), "mask"),
    ):
        selfie = SelfieSegmentation(landscape=landscape, delegate="litert")
        _compare(given, images, selfie, lambda mask, name=output: {name: mask}, 3)


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize(("follow", "refine"), [(False, False), (True, False), (True, True)])
def test_bodies_hands_and_faces_are_alike(follow: bool, refine: bool, stills: Images, video: Images) -> None:
    images = video if follow else stills
    sides = {
        "use_prev_landmarks": follow,
        "smooth_landmarks": follow,
        "enable_segmentation": False,
        "smooth_segmentation": False,
        "model_complexity": 1,
        "refine_face_landmarks": refine,
    }

    def expected(found: Any) -> dict[str, Any]:
        return {
            "pose_landmarks": found.pose,
            "pose_world_landmarks": found.world,
            "left_hand_landmarks": found.left_hand,
            "right_hand_landmarks": found.right_hand,
            "face_landmarks": found.face,
        }

    for given in (
        _wheel("holistic_landmark_cpu", images, sides),
        _own("holistic", images, {"follow": follow, "smooth": follow, "refine_face": refine}),
    ):
        body = Holistic(static=not follow, refine_face=refine, delegate="litert", threads=1)
        _compare(given, images, body, expected, 9 if follow else 6)


_EXPAND = """
import pathlib, sys
from mediapipe.python._framework_bindings import validated_graph_config
graph = validated_graph_config.ValidatedGraphConfig()
graph.initialize(binary_graph_path=sys.argv[1])
pathlib.Path(sys.argv[2]).write_text(graph.text_config)
"""
_KERNEL = (
    "poselandmarkcpu__poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation"
    "__RefineLandmarksFromHeatmapCalculator.kernel_size"
)


@pytest.mark.oracle
@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.skipif(
    "POCKETGRAPH_MEDIAPIPE_PYTHON" not in os.environ,
    reason="POCKETGRAPH_MEDIAPIPE_PYTHON does not name an interpreter with mediapipe 0.10.21",
)
@pytest.mark.parametrize(("name", "sides"), [
    ("face_detection_short_range_cpu", {}),
    ("face_landmark_front_cpu", {"num_faces": 1, "use_prev_landmarks": True, "with_attention": True}),
    ("hand_landmark_tracking_cpu", {"num_hands": 2, "use_prev_landmarks": True, "model_complexity": 1}),
    ("holistic_landmark_cpu", {"model_complexity": 1, "refine_face_landmarks": True, "enable_segmentation": True}),
    ("selfie_segmentation_cpu", {"model_selection": 1}),
])  # fmt: skip
def test_mediapipes_expansion_of_its_graphs_runs_alike(
    name: str, sides: dict[str, Any], video: Images, tmp_path: Path
) -> None:
    """MediaPipe replaces the subgraphs by its own; only the kernel that its wheel does not heed is set here."""
    file = tmp_path / f"{name}.pbtxt"
    command = [os.environ["POCKETGRAPH_MEDIAPIPE_PYTHON"], "-c", _EXPAND, str(wheel_graph(name)), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    options = {_KERNEL: 9} if "holistic" in name else None
    with load_graph(file, options=options) as graph:
        found = list(run_frames(graph, video[:3], sides))
    for result, wanted in zip(found, _wheel(name, video[:3], sides), strict=True):
        for output, value in wanted.items():
            _alike(result[output], value)
    assert any(value is not None for value in found[0].values())


# running


@pytest.mark.zoo
@pytest.mark.data
def test_results_do_not_depend_on_threads_or_on_reading_ahead(video: Images) -> None:
    def run(threads: int, ahead: int) -> list[dict[str, Any]]:
        with load_graph("holistic", threads=threads) as graph:
            return list(run_frames(graph, video[:3], ahead=ahead))

    first = run(0, 0)
    assert first[0]["mask"] is None
    assert all(result["face_landmarks"] is not None for result in first)
    for threads, ahead in ((0, 1), (1, 1), (4, 2)):
        for found, wanted in zip(run(threads, ahead), first, strict=True):
            for name, value in wanted.items():
                _alike(found[name], value)


@pytest.mark.zoo
@pytest.mark.data
def test_parts_are_swapped_and_adjusted_by_name(stills: Images) -> None:
    images = stills[-3:]
    threshold = "facelandmarkcpu__ThresholdingCalculator.threshold"
    given = _own("face_mesh", images, {"follow": False}, options={threshold: 1.5})
    assert all(result["face_landmarks"] is None for result in given)
    with load_graph("face_detection_short", engine="onnxruntime") as graph:
        (node,) = [node for node in graph.config.node if node.calculator == "InferenceCalculator"]
        assert "onnxruntime" in to_text(graph.config)
        assert node.name == "facedetectionshortrange__facedetection__InferenceCalculator"
        others = list(run_frames(graph, images))
    for found, wanted in zip(others, _own("face_detection_short", images), strict=True):
        assert (found["detections"] is None) == (wanted["detections"] is None)
        if found["detections"] is not None:
            np.testing.assert_allclose(found["detections"].boxes, wanted["detections"].boxes, atol=1e-4)


def test_options_that_fit_nothing_are_refused() -> None:
    config = read_graph(FOLDER / "hands.pbtxt")
    for options, message in (
        (
            {"palmdetectioncpu__TensorsToDetections.min_score_thresh": 1},
            "near it.*palmdetectioncpu__TensorsToDetectionsCalculator",
        ),
        ({"AssociationNormRectCalculator.threshold": 1}, "no option .threshold.; there are min_similarity_threshold"),
        ({"AssociationNormRectCalculator.min_similarity_threshold": "x"}, "cannot be 'x'"),
        ({"ImagePropertiesCalculator.width": 1}, "takes no options"),
    ):
        with pytest.raises(GraphConfigError, match=message):
            set_options(config, options)
    delegate = "palmdetectioncpu__InferenceCalculator.delegate.xnnpack.num_threads"
    assert "num_threads: 2" in to_text(set_options(config, {delegate: 2}))


@pytest.mark.zoo
@pytest.mark.parametrize(("name", "options"), [
    ("face_detection_short_range_cpu",
     {"facedetectionshortrange__facedetection__TensorsToDetectionsCalculator.min_score_thresh": 0.8125}),
    ("face_landmark_front_cpu",
     {"facedetectionshortrangecpu__facedetectionshortrange__facedetection__TensorsToDetectionsCalculator"
      ".min_score_thresh": 0.8125, "facelandmarkcpu__ThresholdingCalculator.threshold": 0.8125}),
    ("hand_landmark_tracking_cpu",
     {"palmdetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": 0.8125,
      "handlandmarkcpu__ThresholdingCalculator.threshold": 0.8125}),
    ("pose_landmark_cpu",
     {"posedetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": 0.8125,
      "poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation__ThresholdingCalculator.threshold": 0.8125}),
    ("holistic_landmark_cpu",
     {"poselandmarkcpu__posedetectioncpu__TensorsToDetectionsCalculator.min_score_thresh": 0.8125,
      "poselandmarkcpu__poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation__ThresholdingCalculator"
      ".threshold": 0.8125}),
])  # fmt: skip
def test_thresholds_are_set_under_the_names_mediapipes_solutions_use(name: str, options: dict[str, float]) -> None:
    config = set_options(read_graph(wheel_graph(name)), options)
    assert to_text(config).count("0.8125") == len(options)
    assert validate(config).nodes


def test_a_graph_nobody_has_is_refused() -> None:
    with pytest.raises(UsageError, match=r"neither a graph nor a file \"handz\"; the graphs are face_detection_full"):
        load_graph("handz")


@pytest.mark.zoo
@pytest.mark.data
def test_frames_need_not_be_run_to_the_end(video: Images) -> None:
    with load_graph("face_mesh", threads=2) as graph:
        results = run_frames(graph, video)
        assert next(results)["face_landmarks"] is not None
        results.close()
        assert len(list(run_frames(graph, video[:2]))) == 2


@pytest.mark.zoo
@pytest.mark.data
def test_a_frame_that_is_no_picture_names_the_node(video: Images) -> None:
    with (
        load_graph("face_detection_short", threads=1) as graph,
        pytest.raises(GraphRuntimeError, match=r"facedetection__ImageToTensorCalculator.*uint8 \[height, width, 3\]"),
    ):
        list(run_frames(graph, [video[0][:, :, 0]]))


@pytest.mark.parametrize("threads", [0, 2])
def test_a_graph_runs_over_many_frames_again_and_again(threads: int) -> None:
    text = 'input_stream: "in" output_stream: ["all", "odd"] '
    text += 'node { calculator: "PassThroughCalculator" input_stream: "in" output_stream: "all" } '
    text += 'node { calculator: "GateCalculator" input_stream: ["in", "ALLOW:in"] output_stream: "odd" }'
    graph = CalculatorGraph(text.replace("ALLOW", "DISALLOW"), threads=threads)
    for _ in range(2):
        for ahead in (0, 3):
            found = list(run_frames(graph, [True, False] * 75, ahead=ahead))  # type: ignore[list-item]
            assert found == [{"all": True, "odd": None}, {"all": False, "odd": False}] * 75


def test_frames_may_come_from_a_file_and_with_their_times(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4, 3), 9, np.uint8))
    text = 'input_stream: "in" output_stream: "out" '
    text += 'node { calculator: "PassThroughCalculator" input_stream: "in" output_stream: "out" }'
    graph = CalculatorGraph(text, threads=0)
    (found,) = run_frames(graph, tmp_path / "a.png")
    np.testing.assert_array_equal(found["out"], np.full((4, 4, 3), 9))
    times: list[int] = []
    graph.observe("out", lambda packet: times.append(int(packet.timestamp)))
    picture = np.zeros((4, 4, 3), np.uint8)
    assert len(list(run_frames(graph, [(5, picture), (70, picture)]))) == 2
    assert times == [5, 70]
    with pytest.raises(UsageError, match="there is no file"):
        list(run_frames(graph, "none.mp4"))


def test_an_error_at_the_start_is_told_and_survived() -> None:
    text = 'input_stream: "in" output_stream: "out" node { calculator: "InferenceCalculator" '
    text += 'input_stream: "TENSORS:in" output_stream: "TENSORS:out" input_side_packet: "MODEL:model" }'
    graph = CalculatorGraph(text, threads=1)
    for model, message in ((b"no model", "InferenceCalculator"), ("x", "must hold bytes or Model")):
        with pytest.raises(GraphRuntimeError, match=message):
            list(run_frames(graph, [], {"model": model}))
    assert not graph._pollers


def test_frames_go_into_one_input() -> None:
    graph = CalculatorGraph('input_stream: ["a", "b"]')
    with pytest.raises(UsageError, match="frames go into one"):
        next(run_frames(graph, []))


def test_a_side_packet_that_nothing_takes_is_refused() -> None:
    with load_graph("hands") as graph, pytest.raises(UsageError, match=r'"n_hands"; there are .*num_hands'):
        next(run_frames(graph, [np.zeros((8, 8, 3), np.uint8)], {"n_hands": 1}))
