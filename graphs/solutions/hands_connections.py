"""Pairs of hand landmarks that are joined: the palm and each finger, and `HAND_CONNECTIONS`, all of them."""

from __future__ import annotations

from pocketgraph.graphs import topology
from pocketgraph.graphs.topology import edges

HAND_PALM_CONNECTIONS = tuple(edges(topology.PALM))
HAND_THUMB_CONNECTIONS = tuple(edges(topology.THUMB))
HAND_INDEX_FINGER_CONNECTIONS = tuple(edges(topology.INDEX_FINGER))
HAND_MIDDLE_FINGER_CONNECTIONS = tuple(edges(topology.MIDDLE_FINGER))
HAND_RING_FINGER_CONNECTIONS = tuple(edges(topology.RING_FINGER))
HAND_PINKY_FINGER_CONNECTIONS = tuple(edges(topology.PINKY))
HAND_CONNECTIONS = frozenset(edges(topology.HAND))
