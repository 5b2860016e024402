"""Pairs of body landmarks that are joined."""

from __future__ import annotations

from pocketgraph.graphs import topology

POSE_CONNECTIONS = frozenset(topology.edges(topology.POSE))
