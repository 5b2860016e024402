"""Decides per layer, by measurement, how its weights are packed: sparse or dense, in which blocks, over which tiles."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pocketgraph.models.files import write_atomically
from pocketgraph.models.zoo import cache_dir
from pocketgraph.runtime.machine import machine_key

_ROUNDS, _REPEATS = 2, 3
_VERSION = "7"  # of the kernels: choices made for other ones are measured again


@dataclass(frozen=True)
class Layer:
    """What decides how fast a packing is: sizes, and how many blocks of each height hold a weight that is not zero."""

    kind: str
    rows: int
    columns: int
    pixels: int
    filled: tuple[int, int, int, int]  # blocks of 1, 2, 4 and 8 channels
    storages: tuple[int, ...]  # narrower ones that hold the weights exactly: 1 for float16, 2 for int8

    @property
    def density(self) -> float:
        return self.filled[0] / (self.rows * self.columns)


Packing = tuple[int, int, int, int, int]  # block, lines, vectors, slice, storage
_SHAPES = ((1, 1, 0), (1, 2, 0), (1, 4, 0), (2, 1, 1), (4, 1, 2), (8, 1, 3))  # block, lines, place in Layer.filled


def candidates(layer: Layer, program: Any) -> Iterator[Packing]:
    """Packings worth measuring, tiles first: blocks that would multiply too many zeros are left out."""
    vectors = -(-layer.pixels // program.lanes)
    for block, lines, place in _SHAPES:
        work = layer.filled[place] * block
        if block > 1 and (work > 2.2 * layer.filled[0] or block > 2 * layer.rows):
            continue
        if block == 1 and layer.density > 0.6:
            continue
        most = min(program.max_vectors(block, lines), vectors)
        counts = range(most, max(1, most - 3) - 1, -1)
        even = [count for count in counts if _splits_evenly(-(-vectors // count), program.threads)]
        for count in even or counts:
            yield block, lines, count, 0, 0


def _splits_evenly(tiles: int, threads: int) -> bool:
    """Whether each thread gets its own part of the picture, the same one in every layer: what it reads is in its cache.

    A layer timed alone does not show what it costs where neighbouring layers split a picture differently.
    """
    return threads == 1 or tiles % threads == 0 or tiles >= 8 * threads


def slices(layer: Layer, best: Packing) -> Iterator[Packing]:
    """The best packing so far with its columns cut into slices that stay in the first-level cache."""
    block, lines, vectors, _, storage = best
    for width in (64, 128, 256, 512):
        if width < layer.columns:
            yield block, lines, vectors, width, storage


def choose(program: Any, step: int, layer: Layer) -> Packing:
    """Measure the candidates of one step and leave the step packed as the fastest."""
    seconds: dict[Packing, float] = {}

    def fastest(packings: Iterable[Packing]) -> Packing:
        packings = list(packings)
        for _ in range(_ROUNDS):  # in turns, so that a moment when others use the machine does not decide
            for packing in packings:
                program.pack(step, *packing)
                seconds[packing] = min(program.time_step(step, _REPEATS), seconds.get(packing, math.inf))
        return min(packings, key=seconds.__getitem__)

    best = fastest(candidates(layer, program))
    best = fastest([best, *slices(layer, best)])
    for storage in layer.storages:
        best = fastest([best, (*best[:4], storage)])
    program.pack(step, *best)
    return best


class Choices:
    """Packings that were measured before, on this machine and thread count, in a file of the user's cache."""

    def __init__(self, threads: int, isa: str) -> None:
        self._file = cache_dir() / "chw" / f"packings-{machine_key(_VERSION, isa, str(threads))}.json"
        self._known = self._read()
        self._changed = False

    def get(self, layer: Layer) -> Packing | None:
        found = self._known.get(_key(layer))
        if found is None or found[4] not in (0, *layer.storages):
            return None
        return found[0], found[1], found[2], found[3], found[4]

    def put(self, layer: Layer, packing: Packing) -> None:
        self._known[_key(layer)] = list(packing)
        self._changed = True

    def save(self) -> None:
        """Write what is new; a cache that cannot be written is no reason to fail."""
        if not self._changed:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps(self._read() | self._known))
        except Exception:  # noqa: BLE001
            return
        self._changed = False

    def _read(self) -> dict[str, list[int]]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if _is_packing(value)}


def _is_packing(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 5 and all(isinstance(n, int) for n in value)


def _key(layer: Layer) -> str:
    return f"{layer.kind}:{layer.rows}x{layer.columns}@{layer.pixels}:{','.join(map(str, layer.filled))}" + (
        f":{layer.storages}" if layer.storages else ""
    )
