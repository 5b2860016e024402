"""The CHW engine: models with sparse weights compiled to a plan of fused steps over channel planes, run by C++ kernels."""

from __future__ import annotations

from pocketgraph.runtime.chw.delegate import Chw

__all__ = ["Chw"]
