"""The zoo in the CHW engine: outputs of real models on real pictures, LiteRT beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pocketgraph.models import zoo
from pocketgraph.models.graph import Model
from pocketgraph.models.tflite_write import write_tflite
from pocketgraph.runtime.chw import Chw, _core
from pocketgraph.runtime.litert import CUSTOM_OPS, LiteRT

LIMIT = 1e-4  # of an output's range
LOOSER = {("pose_landmark_full", "Identity_2"): 3e-4}  # the mask's logits are ill-conditioned where nobody stands


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
    reference = LiteRT(write_tflite(zoo.load(name)), 1)
    given = {engine.inputs[0].name: feed}
    expected, found = reference.run(given), engine.run(given)
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key].shape == values.shape
        limit = LOOSER.get((name, key), LIMIT) * max(float(np.ptp(values)), float(np.abs(values).max()), 1e-3)
        np.testing.assert_allclose(found[key], values, rtol=0, atol=limit, err_msg=key)


def names() -> list[str]:
    return sorted(zoo.names())


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize("name", names())
def test_a_zoo_model_agrees_on_photographs(name: str, shared_data: Path) -> None:
    if not fit(zoo.load(name)):
        pytest.skip("LiteRT does not know all of its ops")
    engine = Chw(zoo.load(name), 1)
    assert len(engine.plans()) == len(engine._parts) == 1
    for file in sorted((shared_data / "people" / "openpose_media").glob("*.jpg"))[:2]:
        agree(name, picture_for(name, file), engine)


@pytest.mark.zoo
@pytest.mark.parametrize("isa", ["avx512", "avx2", "neon", "portable"])
@pytest.mark.parametrize("name", ["face_landmark", "selfie_segmentation"])
def test_a_zoo_model_agrees_with_every_instruction_set(name: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        _core.lanes(isa)
    except ValueError:
        pytest.skip(f"this processor has no {isa}")
    monkeypatch.setenv("POCKETGRAPH_CPU", isa)
    engine = Chw(zoo.load(name), 2)
    assert [plan.program.isa for plan in engine.plans()] == [isa]
    agree(name, np.random.default_rng(0).random(engine.inputs[0].shape, np.float32), engine)


@pytest.mark.zoo
def test_a_model_with_an_op_of_its_own_is_cut_into_parts() -> None:
    """The parts around it are the engine's, the rest fails in LiteRT with its name."""
    from pocketgraph.runtime.chw.delegate import compiled_parts

    _, parts = compiled_parts(zoo.load("face_landmark_with_attention"))
    assert [part.own for part in parts] == [True, False, True, False, True]
    odd: set[Any] = {op.custom_code for part in parts if not part.own for op in part.graph.ops}
    assert {"TransformTensorBilinear", "TransformLandmarks", "Landmarks2TransformMatrix"} <= odd
