"""`pocketgraph.solutions` beyond what is compared with upstream: imports, misuse, odd pictures, threads and time."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict, MessageToJson, Parse

import pocketgraph as mp
from pocketgraph.framework.formats import detection_pb2, landmark_pb2, location_data_pb2
from pocketgraph.graphs.pose import Pose
from pocketgraph.models.errors import MissingExtraError, PocketgraphError
from pocketgraph.solutions import drawing_utils, holistic
from pocketgraph.solutions.solution_base import SolutionBase

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
PERSON = "people/openpose_media/COCO_val2014_000000000241.jpg"


@pytest.fixture(autouse=True)
def _one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SolutionBase, "delegate", "litert")


@pytest.fixture(scope="module")
def person(shared_data: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(shared_data / PERSON)), cv2.COLOR_BGR2RGB)


def _fresh(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.strip()


def test_every_way_to_import_leads_to_one_module() -> None:
    code = """
import pocketgraph.solutions.hands as mp_hands
from pocketgraph.solutions import drawing_utils, hands
import pocketgraph as mp
assert mp.solutions.hands is mp_hands is hands
assert mp.solutions.drawing_utils is drawing_utils
mp_holistic = mp.solutions.holistic
print(mp_holistic.HandLandmark is mp_hands.HandLandmark)
"""
    assert _fresh(code) == "True"


def test_modules_are_loaded_when_first_used() -> None:
    code = """
import sys, pocketgraph as mp
mp.solutions
print("numpy" in sys.modules, dir(mp.solutions)[:2])
"""
    assert _fresh(code).startswith("False ['drawing_styles', 'drawing_utils'")


@pytest.mark.parametrize("name", ["solutions", "framework"])
def test_a_folder_has_no_second_name(name: str) -> None:
    code = f"try:\n import pocketgraph.graphs.{name}\nexcept ImportError:\n print('refused')"
    assert _fresh(code) == "refused"


def test_what_there_is_not_says_so() -> None:
    with pytest.raises(AttributeError, match="mediapipe downloaded"):
        _ = mp.solutions.objectron
    with pytest.raises(AttributeError, match="holistics"):
        _ = mp.solutions.holistics


def test_messages_are_copied_pickled_and_written_as_json() -> None:
    points = landmark_pb2.NormalizedLandmarkList()
    points.landmark.extend([landmark_pb2.NormalizedLandmark(x=0.5, y=0.25, visibility=0.125)])
    assert copy.deepcopy(points) == points
    assert pickle.loads(pickle.dumps(points)) == points  # noqa: S301
    assert Parse(MessageToJson(points), landmark_pb2.NormalizedLandmarkList()) == points
    assert MessageToDict(points) == {"landmark": [{"x": 0.5, "y": 0.25, "visibility": 0.125}]}
    assert type(points).__module__ == "pocketgraph.framework.formats.landmark_pb2"


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: mp.solutions.pose.Pose(model_complexity=2), ValueError, "heavy pose model, which was never in"),
        (lambda: holistic.Holistic(model_complexity=0), ValueError, "lite pose model, which was never in"),
        (lambda: holistic.Holistic(model_complexity=3), ValueError, "0 or 1 or 2"),
        (lambda: mp.solutions.hands.Hands(model_complexity=2), ValueError, "0 or 1, got 2"),
        (lambda: mp.solutions.hands.Hands(False, 2, 0.5, 0.5), TypeError, "name the arguments"),
        (lambda: mp.solutions.hands.Hands(max_num_hands=0), ValueError, "at least 1"),
        (lambda: mp.solutions.face_mesh.FaceMesh(max_num_faces="2"), TypeError, "whole number"),
        (lambda: mp.solutions.hands.Hands(min_tracking_confidence=float("nan")), ValueError, "0 to 1"),
        (lambda: mp.solutions.face_detection.FaceDetection(50), ValueError, "0 to 1, got 50"),
        (lambda: mp.solutions.face_detection.FaceDetection("0.5"), TypeError, "the text"),
        (lambda: mp.solutions.face_detection.FaceDetection(None), TypeError, "None"),
        (lambda: mp.solutions.selfie_segmentation.SelfieSegmentation(2), ValueError, "model_selection"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        make()
    assert isinstance(caught.value, PocketgraphError)


@pytest.mark.zoo
def test_what_is_no_picture_is_refused() -> None:
    with mp.solutions.face_detection.FaceDetection() as faces:
        for picture, kind, message in (
            (None, TypeError, "cv2 gives None"),
            (NOISE.tolist(), TypeError, "list"),
            (NOISE[..., 0], ValueError, "three channels"),
            (NOISE[..., :2], ValueError, "three channels"),
            (NOISE[None], ValueError, "three channels"),
            (NOISE / 255, TypeError, "float64"),
            (NOISE.astype(np.uint16), TypeError, "uint16"),
            (NOISE[:0], ValueError, "1 to"),
        ):
            with pytest.raises(kind, match=message):
                faces.process(picture)
        assert faces.process(NOISE).detections is None


@pytest.mark.zoo
def test_a_closed_solution_says_so() -> None:
    selfie = mp.solutions.selfie_segmentation.SelfieSegmentation()
    with selfie as entered:
        assert entered is selfie
        assert selfie.process(NOISE).segmentation_mask.shape == (48, 64)
        selfie.close()
    with pytest.raises(ValueError, match="closed"):
        selfie.process(NOISE)
    selfie.reset()
    selfie.close()


@pytest.mark.zoo
def test_results_have_names_and_no_one_is_none() -> None:
    with holistic.Holistic(enable_segmentation=True) as body:
        results = body.process(np.zeros((48, 64, 3), np.uint8))
    assert results._fields == (
        *("pose_landmarks", "pose_world_landmarks", "left_hand_landmarks", "right_hand_landmarks"),
        *("face_landmarks", "segmentation_mask"),
    )
    assert not any(getattr(results, name) for name in results._fields)
    results.pose_landmarks = "smoothed"  # scripts put their own in place
    assert results.pose_landmarks == "smoothed"


@pytest.mark.zoo
@pytest.mark.data
def test_pictures_may_lie_in_memory_as_they_like(person: np.ndarray) -> None:
    apart = np.zeros((person.shape[0], 2 * person.shape[1], 3), np.uint8)
    apart[:, ::2] = person
    locked = person.copy()
    locked.flags.writeable = False
    shapes = [np.asfortranarray(person), person[..., ::-1].copy()[..., ::-1], apart[:, ::2], locked]
    with mp.solutions.face_detection.FaceDetection() as faces:
        expected = faces.process(person).detections
        assert len(expected) == 1
        assert all(faces.process(picture).detections == expected for picture in shapes)
        assert faces.process(person > 255).detections is None  # truth values, which upstream takes too
    np.testing.assert_array_equal(locked, person)


@pytest.mark.zoo
@pytest.mark.data
def test_solutions_run_side_by_side_and_one_serves_several_threads(person: np.ndarray) -> None:
    def hands_of(_: int) -> bytes:
        with mp.solutions.hands.Hands(static_image_mode=True) as hands:
            return _bytes(hands.process(person).multi_hand_landmarks)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(hands_of, range(4)))) == 1
        with mp.solutions.hands.Hands(static_image_mode=True) as shared:
            found = pool.map(shared.process, [person, person[:, ::-1]] * 4)
            results = [_bytes(result.multi_hand_landmarks) for result in found]
    assert len(set(results[::2])) == len(set(results[1::2])) == 1
    assert results[0] != results[1]


@pytest.mark.zoo
@pytest.mark.data
def test_frames_count_as_a_thirtieth_of_a_second_and_reset_starts_anew(person: np.ndarray) -> None:
    frames = [np.roll(person, shift, axis=1) for shift in (0, 4, 8)]
    with mp.solutions.pose.Pose() as solution, Pose(delegate="litert") as pipeline:
        for i, frame in enumerate(frames):
            results = solution.process(frame)
            wanted = pipeline(frame, timestamp_us=33_333 * (i + 1))
            assert wanted is not None
            points = [[point.x, point.y, point.z] for point in results.pose_landmarks.landmark]
            np.testing.assert_array_equal(np.float32(points), wanted.landmarks.points)
        later = _bytes([solution.process(frames[0]).pose_landmarks])
        solution.reset()
        first = _bytes([solution.process(frames[0]).pose_landmarks])
    with mp.solutions.pose.Pose() as fresh:
        assert _bytes([fresh.process(frames[0]).pose_landmarks]) == first
    assert later != first


def _bytes(messages: list[Any]) -> bytes:
    return b"".join(message.SerializeToString() for message in messages)


def _face(left: float) -> Any:
    detection = detection_pb2.Detection(score=[0.5])
    detection.location_data.format = location_data_pb2.LocationData.RELATIVE_BOUNDING_BOX
    box = detection.location_data.relative_bounding_box
    box.xmin, box.ymin, box.width, box.height = left, 0.2, 0.5, 0.5
    detection.location_data.relative_keypoints.add(x=left, y=0.2)
    return detection


def test_a_face_partly_beside_the_picture_is_drawn_cut_off() -> None:
    inside, outside = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80, 3), np.uint8)
    drawing_utils.draw_detection(inside, _face(0.2))
    drawing_utils.draw_detection(outside, _face(-0.2))
    assert 0 < np.count_nonzero(outside) < np.count_nonzero(inside)
    assert not outside[:, 40:].any()
    whole = detection_pb2.Detection()
    whole.location_data.format = location_data_pb2.LocationData.GLOBAL
    with pytest.raises(ValueError, match="relative bounding box"):
        drawing_utils.draw_detection(inside, whole)


def test_a_connection_of_landmarks_that_there_are_not_is_refused() -> None:
    points = landmark_pb2.NormalizedLandmarkList(landmark=[landmark_pb2.NormalizedLandmark(x=0.5, y=0.5)] * 2)
    drawing_utils.draw_landmarks(NOISE.copy(), points, [(0, 1)])
    with pytest.raises(ValueError, match=r"connection \(1, 2\) is out of range: there are 2"):
        drawing_utils.draw_landmarks(NOISE.copy(), points, [(0, 1), (1, 2)])


def test_pixels_of_parts_of_a_picture() -> None:
    pixel = drawing_utils._normalized_to_pixel_coordinates
    assert pixel(0.0, 1.0, 640, 480) == (0, 479)
    assert pixel(0.5, 0.25, 640, 480) == (320, 120)
    assert pixel(1.0001, 0.5, 640, 480) is None
    assert pixel(0.5, -0.0001, 640, 480) is None
    assert pixel(float("nan"), 0.5, 640, 480) is None


@pytest.fixture
def _no_window() -> Iterator[None]:
    import matplotlib as mpl

    mpl.use("Agg")
    yield
    from matplotlib import pyplot as plt

    plt.close("all")


@pytest.mark.usefixtures("_no_window")
def test_landmarks_are_plotted_where_they_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot as plt

    monkeypatch.setattr(plt, "show", lambda: None)
    points = landmark_pb2.LandmarkList()
    for i, visibility in enumerate((1.0, 0.9, 0.1)):
        points.landmark.add(x=0.1 * i, y=0.2, z=0.3 * i, visibility=visibility)
    drawing_utils.plot_landmarks(points, [(0, 1), (1, 2)], elevation=20)
    axes: Any = plt.gca()
    assert len(axes.collections) == 2
    assert [np.round(values, 3).tolist() for values in axes.lines[0].get_data_3d()] == [
        [0, -0.3],
        [0, 0.1],
        [-0.2, -0.2],
    ]
    assert len(axes.lines) == 1
    assert axes.elev == 20
    with pytest.raises(ValueError, match="out of range"):
        drawing_utils.plot_landmarks(points, [(0, 3)])


def test_plotting_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pocketgraph\[plot\]"):
        drawing_utils.plot_landmarks(landmark_pb2.LandmarkList())
