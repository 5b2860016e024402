"""Classes with scores, from the output of a classifier."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Classification:
    """One class: its `index` in the model's output, its `score`, and its `label` where labels are known."""

    index: int
    score: float
    label: str = ""


def classify(
    scores: npt.NDArray[np.float32],
    labels: Mapping[int, str],
    *,
    binary: bool = False,
    min_score: float = -np.inf,
    top_k: int = 0,
    descending: bool = False,
    left_out: Collection[int] = (),
) -> list[Classification]:
    """The classes that score at least `min_score`, in the model's order, or best first with `descending` or `top_k`.

    `top_k` keeps the best of them, `left_out` are classes not to tell. A `binary` model gives one score, of class 0;
    class 1 gets the rest to 1, and `min_score` does not count. MediaPipe: `TensorsToClassificationCalculator`.
    """
    values = scores.reshape(-1)
    if binary:
        values = np.array([values[0], 1 - values[0]], np.float32)
        min_score = -np.inf
    found = [
        Classification(index, float(score), labels.get(index, ""))
        for index, score in enumerate(values)
        if score >= np.float32(min_score) and index not in left_out
    ]
    if descending or top_k:
        found.sort(key=lambda item: -item.score)
    return found[:top_k] if top_k else found
