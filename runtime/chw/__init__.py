"""The CHW engine: models, sparse ones above all, compiled to fused steps over channel planes that C++ kernels run."""

from __future__ import annotations

from pocketgraph.runtime.chw.delegate import Chw

__all__ = ["Chw"]
