"""Hands in pictures or video: 21 landmarks each, in the picture and in metres, and which hand it is."""

from __future__ import annotations

import enum

from pocketgraph.graphs.hands import Hands as HandsPipeline
from pocketgraph.runtime.vision.image_to_tensor import Image
from pocketgraph.solutions import messages
from pocketgraph.solutions.hands_connections import HAND_CONNECTIONS
from pocketgraph.solutions.solution_base import SolutionBase, SolutionOutputs, choice, confidence, count

__all__ = ["HAND_CONNECTIONS", "HandLandmark", "Hands"]

HandLandmark = enum.IntEnum(
    "HandLandmark",
    "WRIST THUMB_CMC THUMB_MCP THUMB_IP THUMB_TIP"
    " INDEX_FINGER_MCP INDEX_FINGER_PIP INDEX_FINGER_DIP INDEX_FINGER_TIP"
    " MIDDLE_FINGER_MCP MIDDLE_FINGER_PIP MIDDLE_FINGER_DIP MIDDLE_FINGER_TIP"
    " RING_FINGER_MCP RING_FINGER_PIP RING_FINGER_DIP RING_FINGER_TIP"
    " PINKY_MCP PINKY_PIP PINKY_DIP PINKY_TIP",
    start=0,
)


class Hands(SolutionBase[HandsPipeline]):
    """Finds up to `max_num_hands` hands.

    `static_image_mode` treats each picture on its own. `model_complexity` is 0 (faster) or 1. Confidences are 0 to 1.
    Results: `multi_hand_landmarks` (`NormalizedLandmarkList`s), `multi_hand_world_landmarks` (`LandmarkList`s, metres),
    `multi_handedness` (`ClassificationList`s; the picture is taken for a mirror's).
    """

    def __init__(
        self,
        static_image_mode: bool = False,
        max_num_hands: int = 2,
        model_complexity: int = 1,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
    ) -> None:
        super().__init__(
            HandsPipeline(
                static=bool(static_image_mode),
                num_hands=count("max_num_hands", max_num_hands),
                model=choice("model_complexity", model_complexity, ("lite", "full")),
                min_detection_confidence=confidence("min_detection_confidence", min_detection_confidence),
                min_tracking_confidence=confidence("min_tracking_confidence", min_tracking_confidence),
                delegate=self.delegate,
            )
        )

    def _outputs(self, pipeline: HandsPipeline, picture: Image) -> SolutionOutputs:
        hands = pipeline(picture)
        return SolutionOutputs(
            multi_hand_landmarks=[messages.normalized(hand.landmarks) for hand in hands] or None,
            multi_hand_world_landmarks=[messages.world(hand.world) for hand in hands] or None,
            multi_handedness=[messages.handedness(hand) for hand in hands] or None,
        )
