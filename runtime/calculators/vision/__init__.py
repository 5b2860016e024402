"""The calculators of vision: from pictures to tensors, from tensors to detections, landmarks, masks, and between them.

They stand under MediaPipe's names and take its options; the mathematics is in `pocketgraph.runtime.vision`. What their
packets hold:

| in MediaPipe | here |
|---|---|
| Image, ImageFrame | array, uint8 RGB [height, width, 3]; masks float32 [height, width], 0..1 |
| pair of int (a size) | tuple of width and height in pixels |
| vector of Tensor | list of float32 arrays, shaped as the model says |
| array of 4 floats (padding) | tuple of two: at the left and right each, at the top and bottom each |
| array of 16 floats (matrix) | array [4, 4] |
| Detection; vector of it | `Detection`; `Detections`, or any list of `Detection` |
| NormalizedRect; vector of it | `Rect`; list of `Rect` |
| LandmarkList, NormalizedLandmarkList; vector of them | `Landmarks`; list of `Landmarks` |
| ClassificationList | list of `Classification` |

Packets are read by several nodes, perhaps at once: nobody changes what is in one.
"""

from pocketgraph.runtime.calculators.vision.association import AssociationNormRect
from pocketgraph.runtime.calculators.vision.detection_projection import DetectionLetterboxRemoval, DetectionProjection
from pocketgraph.runtime.calculators.vision.detections_to_rects import (
    AlignmentPointsRects,
    DetectionsToRects,
    HandDetectionsFromPoseToRects,
)
from pocketgraph.runtime.calculators.vision.face_detection_options import FaceDetectionOptions
from pocketgraph.runtime.calculators.vision.image_to_tensor import ImageToTensorNode
from pocketgraph.runtime.calculators.vision.images import FromImage, ImageProperties, ToImage
from pocketgraph.runtime.calculators.vision.inference import Inference
from pocketgraph.runtime.calculators.vision.landmark_projection import (
    LandmarkLetterboxRemoval,
    LandmarkProjection,
    WorldLandmarkProjection,
)
from pocketgraph.runtime.calculators.vision.landmark_visibility import LandmarkVisibility, VisibilityCopy
from pocketgraph.runtime.calculators.vision.landmarks_to_rects import HandLandmarksToRect, LandmarksToDetection
from pocketgraph.runtime.calculators.vision.models import ResourceProvider, TfLiteCustomOpResolver, TfLiteModel
from pocketgraph.runtime.calculators.vision.non_max_suppression import NonMaxSuppression
from pocketgraph.runtime.calculators.vision.rect_transformation import RectTransformation
from pocketgraph.runtime.calculators.vision.refine_landmarks import LandmarksRefinement, RefineLandmarksFromHeatmap
from pocketgraph.runtime.calculators.vision.roi_tracking import RoiTracking
from pocketgraph.runtime.calculators.vision.segmentation import SegmentationSmoothing, TensorsToSegmentation
from pocketgraph.runtime.calculators.vision.smoothing import LandmarksSmoothing, VisibilitySmoothing
from pocketgraph.runtime.calculators.vision.split_landmarks import ConcatenateLandmarks, SplitLandmarks
from pocketgraph.runtime.calculators.vision.ssd_anchors import SsdAnchors
from pocketgraph.runtime.calculators.vision.tensors_to_classification import TensorsToClassification
from pocketgraph.runtime.calculators.vision.tensors_to_detections import TensorsToDetections
from pocketgraph.runtime.calculators.vision.tensors_to_floats import TensorsToFloats, Thresholding
from pocketgraph.runtime.calculators.vision.tensors_to_landmarks import TensorsToLandmarks
from pocketgraph.runtime.calculators.vision.warp_affine import InverseMatrix, WarpAffine

__all__ = [
    "AlignmentPointsRects",
    "AssociationNormRect",
    "ConcatenateLandmarks",
    "DetectionLetterboxRemoval",
    "DetectionProjection",
    "DetectionsToRects",
    "FaceDetectionOptions",
    "FromImage",
    "HandDetectionsFromPoseToRects",
    "HandLandmarksToRect",
    "ImageProperties",
    "ImageToTensorNode",
    "Inference",
    "InverseMatrix",
    "LandmarkLetterboxRemoval",
    "LandmarkProjection",
    "LandmarkVisibility",
    "LandmarksRefinement",
    "LandmarksSmoothing",
    "LandmarksToDetection",
    "NonMaxSuppression",
    "RectTransformation",
    "RefineLandmarksFromHeatmap",
    "ResourceProvider",
    "RoiTracking",
    "SegmentationSmoothing",
    "SplitLandmarks",
    "SsdAnchors",
    "TensorsToClassification",
    "TensorsToDetections",
    "TensorsToFloats",
    "TensorsToLandmarks",
    "TensorsToSegmentation",
    "TfLiteCustomOpResolver",
    "TfLiteModel",
    "Thresholding",
    "ToImage",
    "VisibilityCopy",
    "VisibilitySmoothing",
    "WarpAffine",
    "WorldLandmarkProjection",
]
