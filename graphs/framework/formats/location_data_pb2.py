"""Where something is in a picture: a box, keypoints or a mask."""

from __future__ import annotations

from pocketgraph.framework.formats import classes

_RASTERIZATION = """
message Rasterization
  message Interval
    int32 y = 1
    int32 left_x = 2
    int32 right_x = 3
  repeated Interval interval = 1
"""
_MESSAGES = """
message LocationData
  enum Format GLOBAL=0 BOUNDING_BOX=1 RELATIVE_BOUNDING_BOX=2 MASK=3
  message BoundingBox
    int32 xmin = 1
    int32 ymin = 2
    int32 width = 3
    int32 height = 4
  message RelativeBoundingBox
    float xmin = 1
    float ymin = 2
    float width = 3
    float height = 4
  message BinaryMask
    int32 width = 1
    int32 height = 2
    Rasterization rasterization = 3
  message RelativeKeypoint
    float x = 1
    float y = 2
    string keypoint_label = 3
    float score = 4
  Format format = 1
  BoundingBox bounding_box = 2
  RelativeBoundingBox relative_bounding_box = 3
  BinaryMask mask = 4
  repeated RelativeKeypoint relative_keypoints = 5
"""

(Rasterization,) = classes(_RASTERIZATION, "annotation/rasterization", __name__)
(LocationData,) = classes(_MESSAGES, "location_data", __name__)
