"""Calculators that come with pocketgraph; importing the package makes their names known to graph files."""

from pocketgraph.runtime.calculators import core, subgraphs, vision

__all__ = ["core", "subgraphs", "vision"]
