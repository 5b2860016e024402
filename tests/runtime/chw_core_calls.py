"""Calls of `_core` that make sense, for the tests that change one thing about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pocketgraph.runtime.chw._core import Finish, Planes, Program, Window

SIZE = 4096


def new(threads: int = 1, externals: tuple[int, ...] = (100, 100)) -> Program:
    return Program(SIZE, list(externals), threads)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def window(
    size: Any = (8, 8),
    out: Any = (8, 8),
    kernel: Any = (3, 3),
    stride: Any = (1, 1),
    dilation: Any = (1, 1),
    pad: Any = (1, 1),
) -> Window:
    return Window(list(size), list(out), list(kernel), list(stride), list(dilation), list(pad))


def finish(**fields: Any) -> Finish:
    made = Finish()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


PLANES = Planes(256, 128, 4, 8, 8)
RESULT = Planes(1024, 128, 4, 8, 8)
Call = Callable[[Program], Any]


def product(
    p: Program, a: Planes = PLANES, y: Planes = RESULT, weights: Any = None, bias: Any = None, f: Finish | None = None
) -> None:
    p.product(a, y, ones(4, 4) if weights is None else weights, ones(4) if bias is None else bias, f or Finish())
