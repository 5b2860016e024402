"""A person's pose: 33 landmarks in the picture and in metres, followed and steadied through a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pocketgraph.graphs.detector import Detector
from pocketgraph.graphs.pose_landmarker import PoseLandmarker, RawPose, pose_rect
from pocketgraph.graphs.streaming import Streaming
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.comparable import Comparable
from pocketgraph.runtime.vision.image_to_tensor import Image, as_picture
from pocketgraph.runtime.vision.landmarks import Landmarks
from pocketgraph.runtime.vision.mask import MaskSmoothing
from pocketgraph.runtime.vision.rect import Rect, Size, rect_from_alignment
from pocketgraph.runtime.vision.smoothing import LandmarkSmoothing, VisibilitySmoothing


@dataclass(frozen=True, eq=False)
class PoseResult(Comparable):
    """`landmarks` 33, normalised to the picture, `world` the same in metres around the hips.

    Both have visibility and presence. `mask` `[height, width]`, 0..1, where asked for.
    """

    landmarks: Landmarks
    world: Landmarks
    mask: npt.NDArray[np.float32] | None = None


class Pose(Streaming["PoseResult | None"]):
    """The pose of one person. MediaPipe: `solutions.pose` with `model_complexity` 1.

    `static` treats each picture on its own, without smoothing. `smooth` steadies landmarks, `smooth_segmentation` the
    mask: off by default, because upstream's, though on by default there, has no effect in the 0.10.21 wheel.
    """

    kind = "pose"

    def __init__(
        self,
        *,
        static: bool = False,
        smooth: bool = True,
        segmentation: bool = False,
        smooth_segmentation: bool = False,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
        delegate: DelegateName = "auto",
        threads: int = 1,
    ) -> None:
        self._detector = Detector("pose", min_detection_confidence, delegate, threads)
        self._landmarker = PoseLandmarker(
            segmentation=segmentation, min_presence=min_tracking_confidence, delegate=delegate, threads=threads
        )
        self._track = PoseTrack(
            follow=not static, smooth=smooth, smooth_segmentation=segmentation and smooth_segmentation
        )

    def reset(self) -> None:
        """Forget the person followed so far."""
        self._track.reset()

    def __call__(self, image: Image, timestamp_us: int | None = None) -> PoseResult | None:
        """The pose in the next frame, or None. Without `timestamp_us` frames count as 1/30 s apart."""
        image = as_picture(image)
        size = image.shape[1], image.shape[0]
        timestamp = self._time(timestamp_us)
        rect = self._track.rect if self._track.rect is not None else self._detect(image, size)
        raw = None if rect is None else self._landmarker(image, rect)
        if raw is None:
            self._track.lose()
            return None
        return self._track(raw, timestamp, size)

    def _look(self, image: Image, timestamp_us: int) -> PoseResult | None:
        return self(image, timestamp_us)

    def _detect(self, image: Image, size: Size) -> Rect | None:
        found = self._detector(image)
        return pose_rect(found.keypoints[0], size) if len(found) else None

    def close(self) -> None:
        """Release the engines."""
        super().close()
        self._detector.close()
        self._landmarker.close()


class PoseTrack:
    """One person followed: `rect` is where to look in the next frame, None where the person is not known.

    Without `follow` each frame stands on its own: nothing is kept and nothing is smoothed.
    """

    def __init__(self, *, follow: bool = True, smooth: bool = True, smooth_segmentation: bool = False) -> None:
        self._follow = follow
        self._smoothing = _Smoothing() if smooth and follow else None
        self._mask_smoothing = MaskSmoothing() if smooth_segmentation and follow else None
        self._alignment_visibility = VisibilitySmoothing()
        self._alignment = LandmarkSmoothing(0.01, 10.0)
        self.rect: Rect | None = None

    def reset(self) -> None:
        """Forget the person."""
        self.rect = None
        self._alignment.reset()
        self._alignment_visibility.reset()
        if self._smoothing is not None:
            self._smoothing.reset()
        if self._mask_smoothing is not None:
            self._mask_smoothing.reset()

    def lose(self) -> None:
        """Forget what upstream forgets in a frame without a pose: places in the picture, not in the world."""
        self.rect = None
        self._alignment.reset()
        if self._smoothing is not None:
            self._smoothing.lose()

    def __call__(self, raw: RawPose, timestamp_us: int, size: Size) -> PoseResult:
        """What the model saw, steadied."""
        landmarks, world, mask = raw.landmarks, raw.world, raw.mask
        if self._follow:
            extent = rect_from_alignment(raw.alignment.points[0], raw.alignment.points[1], 90.0, size)
            steady = self._alignment(self._alignment_visibility(raw.alignment), timestamp_us, size, extent)
            self.rect = pose_rect(steady.points, size)
            if self._smoothing is not None:
                landmarks, world = self._smoothing(raw, timestamp_us, size, extent)
        if mask is not None and self._mask_smoothing is not None:
            mask = self._mask_smoothing(mask)
        return PoseResult(landmarks, world, mask)


class _Smoothing:
    """The four filters of a pose (constants of MediaPipe's `pose_landmark_filtering.pbtxt`)."""

    def __init__(self) -> None:
        self._visibility, self._world_visibility = VisibilitySmoothing(), VisibilitySmoothing()
        self._places = LandmarkSmoothing(0.05, 80.0)
        self._world = LandmarkSmoothing(0.1, 40.0, by_size=False)

    def reset(self) -> None:
        for part in (self._visibility, self._world_visibility, self._places, self._world):
            part.reset()

    def lose(self) -> None:
        self._places.reset()

    def __call__(self, raw: RawPose, timestamp_us: int, size: Size, extent: Rect) -> tuple[Landmarks, Landmarks]:
        landmarks = self._places(self._visibility(raw.landmarks), timestamp_us, size, extent)
        world = self._world(self._world_visibility(raw.world), timestamp_us)
        return landmarks, world
