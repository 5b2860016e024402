"""Packets: values, timestamps, emptiness."""

from __future__ import annotations

import numpy as np
import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.graph import Packet
from pocketgraph.runtime.graph.packet import EMPTY
from pocketgraph.runtime.graph.timestamp import UNSET


def test_a_packet_without_a_value_is_empty() -> None:
    assert EMPTY.empty
    assert EMPTY.timestamp == UNSET
    assert Packet().at(3).empty
    assert Packet().at(3).timestamp == 3


@pytest.mark.parametrize("value", [None, 0, "", [], False])
def test_false_values_are_values(value: object) -> None:
    assert not Packet(value).empty
    assert Packet(value, 1).get(type(value)) == value


def test_at_shares_the_value_and_leaves_the_packet() -> None:
    value = [1, 2]
    packet = Packet(value, 1)
    other = packet.at(9)
    assert other.value is value
    assert (packet.timestamp, other.timestamp) == (1, 9)


def test_a_packet_cannot_be_changed() -> None:
    packet = Packet(1, 2)
    with pytest.raises(AttributeError):
        packet.timestamp = 3
    with pytest.raises(AttributeError):
        packet.value = 3


def test_get_checks_the_type() -> None:
    assert Packet(3, 1).get(int) == 3
    with pytest.raises(UsageError, match="holds int, expected str"):
        Packet(3, 1).get(str)
    with pytest.raises(UsageError, match="empty packet at 1"):
        Packet().at(1).get(int)


def test_packets_of_arrays_can_be_compared_and_hashed() -> None:
    packet = Packet(np.zeros(3), 1)
    assert packet == packet  # noqa: PLR0124
    assert packet != Packet(np.zeros(3), 1)
    assert len({packet, packet}) == 1


def test_texts_name_the_type_and_not_the_value() -> None:
    assert repr(Packet(np.zeros(3), 7)) == "<Packet ndarray at 7>"
    assert repr(EMPTY) == "<Packet empty at Timestamp.UNSET>"
