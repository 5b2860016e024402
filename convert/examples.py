"""Examples for the report: what the dense and the converted model answer on a few held-back pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pocketgraph.convert import pictures
from pocketgraph.convert.verify import Task, mask_iou
from pocketgraph.runtime import RunnableModel

Array = npt.NDArray[Any]
Guess = tuple[str, float]


@dataclass(frozen=True)
class Example:
    """One picture with both answers: as pictures [h, w, 3], or for a classifier as the five most likely classes."""

    name: str
    original: pictures.Rgb
    dense: pictures.Rgb | None = None
    converted: pictures.Rgb | None = None
    difference: pictures.Rgb | None = None
    caption: str = ""
    dense_top: list[Guess] = field(default_factory=list)
    converted_top: list[Guess] = field(default_factory=list)


def make_examples(
    dense: RunnableModel,
    converted: RunnableModel,
    samples: Sequence[Mapping[str, Array]],
    originals: Sequence[pictures.Rgb],
    names: Sequence[str],
    task: Task,
    labels: Sequence[str] = (),
) -> list[Example]:
    """Run both models on `samples` and show the answers on `originals`, the pictures behind them."""
    examples: list[Example] = []
    for sample, original, name in zip(samples, originals, names, strict=True):
        expected = dense.run(sample)
        results = converted.run({b.name: sample[a.name] for a, b in zip(dense.inputs, converted.inputs, strict=True)})
        pairs = [(expected[a.name], results[b.name]) for a, b in zip(dense.outputs, converted.outputs, strict=True)]
        example = _example(name, original, pairs, task, labels)
        if example is not None:
            examples.append(example)
    return examples


def _example(
    name: str, original: pictures.Rgb, pairs: list[tuple[Array, Array]], task: Task, labels: Sequence[str]
) -> Example | None:
    if task == "classifier":
        tops = [_top_five(values, labels) for values in pairs[0]]
        return Example(name, original, dense_top=tops[0], converted_top=tops[1])
    if task == "segmentation":
        masks = [pair for pair in pairs if pair[0].ndim >= 3]
        if not masks:
            return None
        original = pictures.enlarge(original)
        a, b = (pictures.probability(values) for values in masks[0])
        return Example(
            name,
            original,
            pictures.overlay(original, a),
            pictures.overlay(original, b),
            pictures.difference(a, b, original.shape[:2]),
            f"{name}: mask IoU {mask_iou(*masks[0]):.2%}",
        )
    if task == "landmarks":
        height, width = original.shape[:2]
        points = [pictures.landmark_points(values, height, width) for values in pairs[0]]
        if points[0] is None or points[1] is None:
            return None
        large = pictures.enlarge(original)
        factor = large.shape[0] / height
        a, b = points[0] * factor, points[1] * factor
        distance = float(np.median(np.linalg.norm(points[0] - points[1], axis=1)))
        both = pictures.dots(pictures.dots(large // 2 + 96, a, pictures.DENSE_COLOUR), b, pictures.SPARSE_COLOUR)
        return Example(
            name,
            large,
            pictures.dots(large, a, pictures.DENSE_COLOUR),
            pictures.dots(large, b, pictures.SPARSE_COLOUR),
            both,
            f"{name}: the points moved by {distance:.2f} of {width} pixels (median)",
        )
    return None


def _top_five(values: Array, labels: Sequence[str]) -> list[Guess]:
    scores = values.astype(np.float64).ravel()
    if scores.min() < 0 or scores.sum() > 1.5:
        scores = np.exp(scores - scores.max())
        scores = scores / scores.sum()
    order = np.argsort(-scores, kind="stable")[:5]
    return [(labels[i] if len(labels) == scores.size else f"class {i}", float(scores[i])) for i in order]
