"""Pairs of face landmarks that are joined: features, contours (all features but nose and irises) and all triangles."""

from __future__ import annotations

from pocketgraph.graphs import topology
from pocketgraph.graphs.topology import edges

FACEMESH_LIPS = frozenset(edges(topology.LIPS))
FACEMESH_LEFT_EYE = frozenset(edges(topology.LEFT_EYE))
FACEMESH_LEFT_IRIS = frozenset(edges(topology.LEFT_IRIS))
FACEMESH_LEFT_EYEBROW = frozenset(edges(topology.LEFT_EYEBROW))
FACEMESH_RIGHT_EYE = frozenset(edges(topology.RIGHT_EYE))
FACEMESH_RIGHT_EYEBROW = frozenset(edges(topology.RIGHT_EYEBROW))
FACEMESH_RIGHT_IRIS = frozenset(edges(topology.RIGHT_IRIS))
FACEMESH_FACE_OVAL = frozenset(edges(topology.FACE_OVAL))
FACEMESH_NOSE = frozenset(edges(topology.NOSE))
FACEMESH_CONTOURS = FACEMESH_LIPS.union(
    FACEMESH_LEFT_EYE, FACEMESH_LEFT_EYEBROW, FACEMESH_RIGHT_EYE, FACEMESH_RIGHT_EYEBROW, FACEMESH_FACE_OVAL
)
FACEMESH_IRISES = FACEMESH_LEFT_IRIS | FACEMESH_RIGHT_IRIS
FACEMESH_TESSELATION = frozenset(topology.strip_edges(topology.TESSELATION))
