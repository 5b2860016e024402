"""Classes with scores: for hands, which hand it is."""

from __future__ import annotations

from pocketgraph.framework.formats import classes

_MESSAGES = """
message Classification
  int32 index = 1
  float score = 2
  string label = 3
  string display_name = 4
message ClassificationList
  repeated Classification classification = 1
message ClassificationListCollection
  repeated ClassificationList classification_list = 1
"""

Classification, ClassificationList, ClassificationListCollection = classes(_MESSAGES, "classification", __name__)
