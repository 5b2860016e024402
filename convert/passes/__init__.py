"""Rewrites of a model that keep its outputs: one small class a file, composed in plain sight."""

from __future__ import annotations

from pocketgraph.convert.passes.decompress import Decompress
from pocketgraph.convert.passes.dequantize import Dequantize

__all__ = ["Decompress", "Dequantize"]
