"""What a detector finds: where, how sure it is, and of which class."""

from __future__ import annotations

from pocketgraph.framework.formats import classes, location_data_pb2

_MESSAGES = """
message Detection
  message AssociatedDetection
    int32 id = 1
    float confidence = 2
  repeated string label = 1
  repeated int32 label_id = 2 packed
  repeated float score = 3 packed
  LocationData location_data = 4
  string feature_tag = 5
  string track_id = 6
  int64 detection_id = 7
  repeated AssociatedDetection associated_detections = 8
  repeated string display_name = 9
  int64 timestamp_usec = 10
message DetectionList
  repeated Detection detection = 1
"""

LocationData = location_data_pb2.LocationData
Detection, DetectionList = classes(_MESSAGES, "detection", __name__)
