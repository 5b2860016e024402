"""The zoo in the CHW engine: outputs of real models on real pictures, LiteRT beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pocketgraph.models import zoo
from pocketgraph.models.graph import Model
from pocketgraph.runtime.chw import Chw, _core
from pocketgraph.runtime.litert import CUSTOM_OPS, LiteRT

LIMIT = 1e-4


def fit(model: Model) -> bool:
    """Whether LiteRT can run it, so that there is something to compare with, and it takes one picture."""
    customs = {op.custom_code for op in model.main.ops if op.kind == "CUSTOM"}
    (first, *rest) = model.main.inputs
    return customs <= CUSTOM_OPS and not rest and len(first.shape) == 4 and first.dtype.value == "float32"


def picture_for(name: str, file: Path) -> np.ndarray:
    """The middle of a photograph, scaled as the model wants it."""
    tensor = zoo.load(name).main.inputs[0]
    photo = cv2.imread(str(file))[:, :, ::-1]
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    square = photo[top : top + side, left : left + side]
    resized = cv2.resize(square, (tensor.shape[2], tensor.shape[1]), interpolation=cv2.INTER_AREA)
    low, high = zoo.entry(name).preprocess.range
    values = np.repeat(resized, -(-tensor.shape[3] // 3), axis=2)[:, :, : tensor.shape[3]]
    return (low + values.astype(np.float32) / 255 * (high - low))[None]


def agree(name: str, feed: np.ndarray, engine: Chw) -> None:
    reference = LiteRT(zoo.path(name).read_bytes(), 1)
    given = {engine.inputs[0].name: feed}
    expected, found = reference.run(given), engine.run(given)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key].shape == values.shape
        limit = LIMIT * max(float(np.ptp(values)), float(np.abs(values).max()), 1e-3)
        np.testing.assert_allclose(found[key], values, rtol=0, atol=limit, err_msg=key)


def names() -> list[str]:
    return sorted(zoo.names())
