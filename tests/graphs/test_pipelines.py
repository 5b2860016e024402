"""The pipelines on frames without data: what they accept, follow, lose and give back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pocketgraph.graphs
from pocketgraph.graphs import FaceDetection, FaceMesh, Hands, Holistic, HolisticResult, Pose, SelfieSegmentation
from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.face_landmarker import FaceLandmarker
from pocketgraph.graphs.hand_landmarker import HandLandmarker
from pocketgraph.graphs.stage import Stage
from pocketgraph.graphs.tracker import Tracker
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.vision.detections import Detections
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.rect import Rect

FRAME = np.zeros((48, 64, 3), np.uint8)


class Scene:
    """Plays detector and landmarker of a tracker: things at known places, seen where a region is near enough."""

    def __init__(self, *places: float) -> None:
        self.places = list(places)
        self.detections = 0

    def detect(self, _image: Image) -> Detections:
        self.detections += 1
        boxes = np.array([[x - 0.05, 0.4, x + 0.05, 0.6] for x in self.places], np.float32).reshape(-1, 4)
        return Detections(boxes, np.zeros((len(boxes), 1, 2), np.float32), np.ones(len(boxes), np.float32))

    def look(self, _image: Image, rect: Rect) -> float | None:
        return next((x for x in self.places if abs(x - rect.x_center) < 0.1), None)


def _tracker(scene: Scene, most: int, *, static: bool = False) -> Tracker[float]:
    return Tracker(
        scene.detect,
        lambda found, i, _size: Rect(float(found.boxes[i, [0, 2]].mean()), 0.5, 0.2, 0.2),
        scene.look,
        lambda x, _size: Rect(x, 0.5, 0.2, 0.2),
        most=most,
        static=static,
    )


def test_the_detector_rests_while_enough_is_followed() -> None:
    scene = Scene(0.3)
    track = _tracker(scene, 1)
    assert track(FRAME) == [0.3]
    scene.places = [0.35]
    assert track(FRAME) == [0.35]
    assert scene.detections == 1
    scene.places = [0.8]  # jumps away: lost in this frame, found in the next
    assert track(FRAME) == []
    assert track(FRAME) == [0.8]
    assert scene.detections == 2
    track.reset()
    track(FRAME)
    assert scene.detections == 3


def test_what_is_followed_is_not_found_twice() -> None:
    scene = Scene(0.3)
    track = _tracker(scene, 2)
    track(FRAME)
    scene.places = [0.31, 0.7]
    assert track(FRAME) == [0.7, 0.31]
    assert scene.detections == 2


def test_static_pictures_are_detected_anew() -> None:
    scene = Scene(0.3, 0.5, 0.7)
    track = _tracker(scene, 2, static=True)
    assert track(FRAME) == [0.3, 0.5]
    scene.places = [0.9]
    assert track(FRAME) == [0.9]
    assert scene.detections == 2


def test_nothing_is_found_in_a_black_picture() -> None:
    with (
        FaceDetection(delegate="litert") as faces,
        FaceMesh(delegate="litert") as mesh,
        Hands(delegate="litert") as hands,
    ):
        assert len(faces(FRAME)) == 0
        assert mesh(FRAME) == []
        assert hands(FRAME) == []
    with Pose(delegate="litert") as pose:
        assert pose(FRAME) is None
    with SelfieSegmentation(delegate="litert") as selfie:
        assert selfie(FRAME).shape == (48, 64)


def test_a_stream_ends_as_its_frames_do_and_may_be_left() -> None:
    with Holistic(delegate="litert") as holistic:
        assert list(holistic.stream([])) == []
        assert list(holistic.stream([FRAME] * 3)) == [HolisticResult()] * 3
        stream = holistic.stream([FRAME] * 5)
        next(stream)
        stream.close()
        assert holistic(FRAME) == HolisticResult()
        with pytest.raises(UsageError, match="RGB"):
            list(holistic.stream([FRAME, FRAME[..., 0]]))


def test_sizes_may_change_between_frames() -> None:
    with Holistic(delegate="litert", segmentation=True, smooth_segmentation=True) as holistic:
        for shape in ((48, 64, 3), (100, 20, 3), (1, 1, 3)):
            assert holistic(np.zeros(shape, np.uint8)).pose is None


def test_outputs_that_nobody_reads_are_cut_out() -> None:
    whole, part = (
        Stage("hand_landmark_lite", delegate="litert"),
        Stage("hand_landmark_lite", outputs=(0, 1), delegate="litert"),
    )
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    whole(picture)
    part(picture)
    assert len(part.outputs) == 2
    for ours, theirs in zip(part.outputs, whole.outputs[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    whole.close()
    part.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Detector("cats"),
        lambda: Detector("pose", 1.5),
        lambda: HandLandmarker("heavy"),
        lambda: FaceDetection(reach="long"),
        lambda: Hands(num_hands=0),
    ],
)
def test_impossible_settings_are_refused(make) -> None:
    with pytest.raises(UsageError):
        make()


def test_thresholds_at_the_ends() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    rect = Rect(0.5, 0.5, 1, 1)
    never, always = FaceLandmarker(min_presence=1, delegate="litert"), FaceLandmarker(min_presence=0, delegate="litert")
    assert never(picture, rect) is None
    found = always(picture, rect)
    assert found is not None
    assert len(found) == 468


def test_the_public_names_are_these() -> None:
    assert set(pocketgraph.graphs.__all__) == {
        "Confidence",
        "FaceDetection",
        "FaceMesh",
        "Hand",
        "Hands",
        "Holistic",
        "HolisticPeople",
        "HolisticResult",
        "Pose",
        "PoseResult",
        "SelfieSegmentation",
        "Timed",
        "graph_names",
        "load_graph",
        "run_frames",
    }
    assert [field.name for field in dataclasses.fields(HolisticResult)] == [
        *("pose", "world", "left_hand", "right_hand", "face", "mask"),
        *("left_hand_confidence", "right_hand_confidence", "face_confidence", "id", "timestamp_us", "image", "size"),
    ]


pytestmark = pytest.mark.zoo
