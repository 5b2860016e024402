"""One-shot pruning compared on ImageNet pictures: magnitude and OBC, with and without re-estimation, and recovery.

    python -m pocketgraph.demos.one_shot_table PICTURES SYNSETS -m efficientnet_lite0 -m mobilenet/model.json

Every second picture calibrates, the others measure. PICTURES is a folder of `<wnid>_*.JPEG`, SYNSETS a file with the
wnid of each class in order. Finished cells are kept in the output folder, so an interrupted table goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from pocketgraph.convert.prune.config import PruneConfig
from pocketgraph.convert.prune.layers import PrunableLayer, prunable_layers
from pocketgraph.convert.prune.masks import Mask, Matrix
from pocketgraph.convert.prune.reestimate import set_weights
from pocketgraph.convert.prune.selection import choose_masks, layer_keys
from pocketgraph.convert.prune.sensitivity import LEVELS, sensitivities
from pocketgraph.convert.prune.walk import Walk, dense_hessians
from pocketgraph.models import Model, Preprocess, read_model, zoo
from pocketgraph.models.decompress import Decompress
from pocketgraph.models.errors import UsageError
from pocketgraph.models.files import write_atomically, write_model
from pocketgraph.runtime import load_model

Array = npt.NDArray[Any]
METHODS = ("magnitude", "magnitude + re-estimation", "OBC", "OBC + re-estimation")
SPARSITIES = (0.5, 0.6, 0.7, 0.8)
_MOBILENET = Preprocess("crop", 1 / 127.5, -1.0, 0.875)


class Pictures:
    """Pictures and their classes as one model reads them, split in two halves."""

    def __init__(self, folder: Path, synsets: Path, preprocess: Preprocess, size: tuple[int, int]) -> None:
        import cv2

        classes = {name: number for number, name in enumerate(synsets.read_text().split())}
        files = [file for file in sorted(folder.iterdir()) if file.name.partition("_")[0] in classes]
        if len(files) < 2:
            raise UsageError(f"{folder} holds {len(files)} pictures named <wnid>_*: expected some hundred")
        found = [cv2.imread(str(file)) for file in files]
        pictures = [np.asarray(picture[..., ::-1], np.uint8) for picture in found if picture is not None]
        if len(pictures) < len(files):
            raise UsageError(f"{len(files) - len(pictures)} of the pictures in {folder} cannot be read")
        x = np.stack([preprocess(picture, *size) for picture in pictures])
        y = np.array([classes[file.name.partition("_")[0]] for file in files])
        self.calibration, self.test, self.classes = x[0::2], x[1::2], y[1::2]


class Bench:
    """One model: what its layers can spare is computed once and serves every cell."""

    def __init__(self, model: Model, pictures: Pictures) -> None:
        self._model = model.copy()
        Decompress()(self._model)
        self._pictures = pictures
        self._keys: dict[str, list[Matrix]] = {}
        self._errors: dict[str, list[Matrix]] = {}
        self.dense = self._answers(self._model)

    def measure(self, model: Model) -> dict[str, float]:
        """Top-1, agreement with the dense model's top-1 and the signal-to-noise ratio (dB) of the outputs."""
        found = self._answers(model)
        noise = float(np.square(found - self.dense).sum())
        return {
            "top1": float((found.argmax(1) == self._pictures.classes).mean()),
            "agreement": float((found.argmax(1) == self.dense.argmax(1)).mean()),
            "snr": float(10 * np.log10(np.square(self.dense).sum() / max(noise, 1e-30))),
        }

    def prune(self, sparsity: float, method: str, distribution: Any) -> Model:
        """A copy pruned by one of `METHODS`."""
        name: Literal["obc", "magnitude"] = "obc" if method.startswith("OBC") else "magnitude"
        again = method.endswith("re-estimation")
        config = PruneConfig(sparsity, method=name, reestimate=again, distribution=distribution)
        dense, pruned = self._model.copy(), self._model.copy()
        layers = prunable_layers(pruned.main, {})
        masks = choose_masks(layers, self._costs(layers, config), config, self._measured(layers, config))
        if name == "magnitude" and not again:
            for layer, mask in zip(layers, masks, strict=True):
                set_weights(layer.op, layer.matrix() * mask)
            return pruned
        by_position: dict[int, Mask] = {layer.position: mask for layer, mask in zip(layers, masks, strict=True)}
        inputs = {dense.main.inputs[0]: self._pictures.calibration}
        Walk(dense.main, pruned.main, inputs, fit=name == "obc", reestimate=again).run(by_position, lambda _: None)
        return pruned

    def _costs(self, layers: list[PrunableLayer], config: PruneConfig) -> list[Matrix]:
        if config.method not in self._keys:
            hessians: Iterator[Matrix | None] = iter([None] * len(layers))
            if config.method == "obc":
                graph = self._model.main
                inputs = {graph.inputs[0]: self._pictures.calibration}
                hessians = dense_hessians(graph, inputs, [layer.position for layer in layers])
            pairs = zip(layers, hessians, strict=True)
            self._keys[config.method] = [layer_keys(layer, config, hessian) for layer, hessian in pairs]
        return self._keys[config.method]

    def _measured(self, layers: list[PrunableLayer], config: PruneConfig) -> tuple[Sequence[float], dict[Any, Matrix]]:
        if config.distribution != "measured":
            return LEVELS, {}
        name = f"{config.method} {config.reestimate}"
        if name not in self._errors:
            graph = self._model.main
            own = prunable_layers(graph, {})
            inputs = {graph.inputs[0]: self._pictures.calibration}
            self._errors[name] = list(sensitivities(graph, inputs, own, config, lambda _: None).values())
        return LEVELS, dict(zip(layers, self._errors[name], strict=True))

    def _answers(self, model: Model) -> Array:
        with load_model(model, "litert", threads=2) as run:
            return np.concatenate([np.reshape(run(x[None]), (1, -1)) for x in self._pictures.test])


@click.command()
@click.argument("pictures", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("synsets", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("-m", "--model", "models", multiple=True, required=True, help="Zoo name or model file. Repeatable.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out/one_shot"), show_default=True)
@click.option(
    "--distribution", type=click.Choice(["uniform", "erk", "global", "measured"]), default="uniform", show_default=True
)
@click.option("--sparsity", "sparsities", type=float, multiple=True, default=SPARSITIES, show_default=True)
@click.option("--recover", "steps", type=int, default=0, help="Add recovery of OBC + re-estimation, STEPS long.")
def main(
    pictures: Path,
    synsets: Path,
    models: tuple[str, ...],
    output: Path,
    distribution: str,
    sparsities: tuple[float, ...],
    steps: int,
) -> None:
    """Fill the table for every model and sparsity."""
    output.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in models:
        known = name in zoo.names()
        model = zoo.load(name) if known else read_model(name)
        preprocess = (zoo.entry(name).preprocess if known else None) or _MOBILENET
        label = name if known else Path(name).parent.name
        size = model.main.inputs[0].shape[1:3]
        data = Pictures(pictures, synsets, preprocess, (size[0], size[1]))
        bench = Bench(model, data)
        rows.append({"model": label, "sparsity": 0.0, "method": "dense"} | bench.measure(model))
        for sparsity in sparsities:
            for method in (*METHODS, *([f"recover {steps}"] if steps else [])):
                file = output / f"{label}-{distribution}-{sparsity:g}-{method.replace(' ', '')}.json"
                kept = file.with_suffix(".tflite")
                if not file.exists():
                    if method.startswith("recover"):
                        from pocketgraph.convert.train.recover import recover

                        start = output / f"{label}-{distribution}-{sparsity:g}-OBC+re-estimation.tflite"
                        result = recover(model, read_model(start), data.calibration, steps).model
                    else:
                        result = bench.prune(sparsity, method, distribution)
                    write_model(result, kept)
                    row = {"model": label, "sparsity": sparsity, "method": method} | bench.measure(result)
                    write_atomically(file, json.dumps(row))
                rows.append(json.loads(file.read_text()))
                print(rows[-1], flush=True)
    write_atomically(output / "table.json", json.dumps(rows, indent=2) + "\n")
    table = Table("model", "zeros", "method", "top-1", "agreement", "SNR")
    for row in rows:
        shown = (row["model"], f"{row['sparsity']:.0%}", row["method"])
        figures = (f"{row['top1']:.1%}", f"{row['agreement']:.1%}", f"{row['snr']:.1f} dB")
        table.add_row(*map(str, shown), *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
