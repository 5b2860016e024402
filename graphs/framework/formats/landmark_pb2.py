"""Landmarks: `NormalizedLandmark` as parts of a picture's width and height, `Landmark` in metres, and their lists."""

from __future__ import annotations

from pocketgraph.framework.formats import classes

_POINT = """
  float x = 1
  float y = 2
  float z = 3
  float visibility = 4
  float presence = 5
"""
_MESSAGES = f"""
message Landmark{_POINT}
message LandmarkList
  repeated Landmark landmark = 1
message LandmarkListCollection
  repeated LandmarkList landmark_list = 1
message NormalizedLandmark{_POINT}
message NormalizedLandmarkList
  repeated NormalizedLandmark landmark = 1
message NormalizedLandmarkListCollection
  repeated NormalizedLandmarkList landmark_list = 1
"""

(
    Landmark,
    LandmarkList,
    LandmarkListCollection,
    NormalizedLandmark,
    NormalizedLandmarkList,
    NormalizedLandmarkListCollection,
) = classes(_MESSAGES, "landmark", __name__)
