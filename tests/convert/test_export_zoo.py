"""Every zoo model that LiteRT runs: pruned by magnitude and exported, it computes what the pruned net computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pocketgraph.convert.explain import explain_model
from pocketgraph.convert.targets import export
from pocketgraph.models import zoo
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.graph import Model
from pocketgraph.models.tflite_read import read_tflite
from pocketgraph.runtime import load_model

# Custom ops that only MediaPipe itself brings.
WITHOUT_LITERT = {"face_landmark_with_attention"}
RUN_SPARSE = {
    "efficientnet_lite0",
    "face_detection_full_range_sparse",
    "hand_landmark_full",
    "pose_detection",
    "pose_landmark_full",
    "selfie_segmentation",
    "selfie_segmentation_landscape",
}


@pytest.mark.zoo
@pytest.mark.parametrize("name", sorted(set(zoo.names()) - WITHOUT_LITERT))
def test_exported_zoo_models_agree_and_run_sparse_where_they_can(name: str, tmp_path: Path) -> None:
    """Largest difference at most 1e-4 of the outputs' range, LiteRT on both sides."""
    model = zoo.load(name)
    Decompress()(model)
    prune(model)
    path = tmp_path / "net.tflite"
    export(model, path)
    rng = np.random.default_rng(0)
    pictures = [rng.random(tensor.shape, np.float32) for tensor in model.main.inputs]
    for expected, got in zip(run(model, pictures), run(path, pictures), strict=True):
        assert got.shape == expected.shape
        limit = 1e-4 * max(float(np.ptp(expected)), float(np.abs(expected).max()))
        np.testing.assert_allclose(got, expected, rtol=0, atol=limit)
    explained = explain_model(read_tflite(path))
    assert not explained.dangers
    if name in RUN_SPARSE:
        assert explained.runs_sparse


def run(model: Model | Path, pictures: list[np.ndarray]) -> list[np.ndarray]:
    with load_model(model, "litert") as runnable:
        results = runnable(*pictures)
    return list(results) if isinstance(results, tuple) else [results]


def prune(model: Model) -> None:
    """80 % of every 1x1 convolution."""
    for op in model.main.ops:
        if op.kind == "CONV_2D" and op.input(1).shape[1:3] == (1, 1) and op.input(1).is_constant:
            weights = op.input(1).dense().copy()
            weights[np.abs(weights) <= np.quantile(np.abs(weights), 0.8)] = 0
            op.input(1).data = weights
