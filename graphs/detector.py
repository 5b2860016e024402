"""The detectors of faces, palms and people: which model, which anchors, which pixels."""

from __future__ import annotations

from dataclasses import dataclass

from pocketgraph.graphs.stage import Stage
from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.model import DelegateName
from pocketgraph.runtime.vision.anchors import ssd_anchors
from pocketgraph.runtime.vision.detections import Detections, decode_detections, project_detections, remove_letterbox
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.runtime.vision.nms import weighted_nms
from pocketgraph.runtime.vision.rect import WHOLE, Rect


@dataclass(frozen=True)
class _Kind:
    model: str
    low: float  # the value of black
    strides: tuple[int, ...]
    extra_scale: bool = True
    projected: bool = False  # back to the picture by matrix, as MediaPipe does for faces, not by the padding


_KINDS = {
    "face_short": _Kind("face_detection_short_range", -1.0, (8, 16, 16, 16), projected=True),
    "face_full": _Kind("face_detection_full_range_sparse", -1.0, (4,), extra_scale=False, projected=True),
    "palm_full": _Kind("palm_detection_full", 0.0, (8, 16, 16, 16)),
    "palm_lite": _Kind("palm_detection_lite", 0.0, (8, 16, 16, 16)),
    "pose": _Kind("pose_detection", -1.0, (8, 16, 32, 32, 32)),
}


class Detector:
    """Finds what `kind` says: `face_short`, `face_full`, `palm_full`, `palm_lite` or `pose`.

    Keypoints: faces have right eye, left eye, nose tip, mouth, right ear, left ear; palms wrist, index, middle, ring
    and pinky knuckles, two of the thumb; people the middle of the hips, a point on the circle around the body, and the
    same two of the upper body.
    """

    def __init__(self, kind: str, min_score: float = 0.5, delegate: DelegateName = "auto", threads: int = 1) -> None:
        if kind not in _KINDS:
            raise UsageError(f"no detector {kind!r}; there are {', '.join(_KINDS)}")
        if not 0 <= min_score <= 1:
            raise UsageError(f"a score to reach must be 0 to 1, got {min_score}")
        chosen = _KINDS[kind]
        self._stage = Stage(chosen.model, low=chosen.low, border="zero", delegate=delegate, threads=threads)
        self._anchors = ssd_anchors(self._stage.input_size, chosen.strides, chosen.extra_scale)
        self._min_score = min_score
        self._projected = chosen.projected

    def __call__(self, image: Image, rect: Rect | None = None) -> Detections:
        """What is seen in `rect` of `image` (default all of it), best first, normalised to the picture."""
        crop = self._stage(image, WHOLE if rect is None else rect)
        boxes, scores = self._stage.outputs
        side = float(self._stage.input_size[0])
        found = decode_detections(boxes[0], scores.reshape(-1), self._anchors, side, self._min_score)
        if not len(found):
            return found
        found = weighted_nms(found)
        if self._projected or rect is not None:
            return project_detections(found, crop.matrix())
        return remove_letterbox(found, crop.padding)

    def close(self) -> None:
        """Release the engine."""
        self._stage.close()
