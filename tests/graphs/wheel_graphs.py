"""The graph files that MediaPipe's package ships, read from the user's cache, where the zoo's download puts them."""

from __future__ import annotations

from pathlib import Path

from pocketgraph.demos.media import Media, fetch
from pocketgraph.models.zoo_entries import MEDIAPIPE

_FILES = {  # name -> folder, bytes, sha256
    "face_detection_full_range_cpu": (
        "face_detection",
        260,
        "00f072e71a9752536aa4b09216c6bf8d9cc7493222a8d3a472e563eb0e23163b",
    ),
    "face_detection_short_range_cpu": (
        "face_detection",
        262,
        "84e65794d4e1d1c6d56896f4dfaab97bc769033205475c1bb9967a22f0da469c",
    ),
    "face_landmark_front_cpu": (
        "face_landmark",
        2361,
        "fa3c092da27d031d54ddd61a29b0e3dd521d53f55fa8898cb0f2b64d79cd6573",
    ),
    "hand_landmark_tracking_cpu": (
        "hand_landmark",
        2901,
        "942ad4e6b3ecd1903fd2743ad2255a341854de975ef9c90418a4c7b64f0b4425",
    ),
    "holistic_landmark_cpu": (
        "holistic_landmark",
        1370,
        "c1da3ea92cd0dfaeb35a1b3863a3a34202c6f4beffe410eff4a337569c808fbd",
    ),
    "objectron_cpu": ("objectron", 2267, "96edc7f375830458587845d5e30de898f39c21f528ec5c58bafda1bd65b2a18a"),
    "pose_landmark_cpu": ("pose_landmark", 2418, "90ddc717625a3c1aedfdca124212a36ce595cdbbe46513fd93adca5202d8ff21"),
    "selfie_segmentation_cpu": (
        "selfie_segmentation",
        815,
        "df9f291eadc2ad77a4a0fabd83d4f2c0c2b4d8626c8f44fb0d14efc2fc81f46d",
    ),
}
WHEEL_GRAPHS = {
    name: Media(name, MEDIAPIPE, f"mediapipe/modules/{folder}/{name}.binarypb", size, sha256, "Google")
    for name, (folder, size, sha256) in _FILES.items()
}


def wheel_graph(name: str) -> Path:
    """The file of a graph, fetched with all the others where it is not in the cache."""
    fetch(tuple(WHEEL_GRAPHS.values()))
    return WHEEL_GRAPHS[name].path
