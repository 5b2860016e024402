"""Calculators that come with pocketgraph; importing the package makes their names known to graph files."""

from pocketgraph.runtime.calculators import core

__all__ = ["core"]
