"""Timestamps: special values, their order, neighbours, saturation."""

from __future__ import annotations

import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.graph import Timestamp
from pocketgraph.runtime.graph.timestamp import (
    DONE,
    MAX,
    MIN,
    ONE_OVER_POST_STREAM,
    POST_STREAM,
    PRE_STREAM,
    UNSET,
    UNSTARTED,
    next_allowed,
    previous_allowed,
    shifted,
    text_of,
)

SPECIAL = [UNSET, UNSTARTED, PRE_STREAM, MIN, MAX, POST_STREAM, ONE_OVER_POST_STREAM, DONE]


def test_special_values_are_the_ends_of_64_bits_in_order() -> None:
    assert sorted(SPECIAL) == SPECIAL
    assert UNSET == -(2**63)
    assert MIN == UNSET + 3
    assert DONE == 2**63 - 1
    assert MAX == DONE - 3


@pytest.mark.parametrize("value", SPECIAL)
def test_a_special_value_cannot_be_made_from_its_number(value: int) -> None:
    with pytest.raises(UsageError, match="special value"):
        Timestamp(value)
    assert Timestamp.of(value) == value
    assert Timestamp.of(value).is_special()


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_what_does_not_fit_64_bits_is_no_timestamp(value: int) -> None:
    with pytest.raises(UsageError, match="64 bits"):
        Timestamp.of(value)


@pytest.mark.parametrize(
    ("value", "in_range", "allowed"),
    [
        (UNSET, False, False),
        (UNSTARTED, False, False),
        (PRE_STREAM, False, True),
        (MIN, True, True),
        (0, True, True),
        (MAX, True, True),
        (POST_STREAM, False, True),
        (ONE_OVER_POST_STREAM, False, False),
        (DONE, False, False),
    ],
)
def test_ranges(value: int, in_range: bool, allowed: bool) -> None:
    assert Timestamp.of(value).is_range() == in_range
    assert Timestamp.of(value).is_allowed_in_stream() == allowed


@pytest.mark.parametrize(
    ("value", "following"),
    [
        (UNSET, MIN),
        (UNSTARTED, MIN),
        (PRE_STREAM, ONE_OVER_POST_STREAM),
        (MIN, MIN + 1),
        (-1, 0),
        (MAX - 1, MAX),
        (MAX, ONE_OVER_POST_STREAM),
        (POST_STREAM, ONE_OVER_POST_STREAM),
    ],
)
def test_next_allowed(value: int, following: int) -> None:
    assert next_allowed(value) == following
    assert Timestamp.of(value).has_next_allowed() == (following != ONE_OVER_POST_STREAM)


@pytest.mark.parametrize(
    ("value", "before"),
    [
        (MIN, UNSTARTED),
        (PRE_STREAM, UNSTARTED),
        (MIN + 1, MIN),
        (1, 0),
        (MAX, MAX - 1),
        (POST_STREAM, UNSTARTED),
        (ONE_OVER_POST_STREAM, MAX),
        (DONE, MAX),
    ],
)
def test_previous_allowed(value: int, before: int) -> None:
    assert previous_allowed(value) == before


@pytest.mark.parametrize(
    ("value", "offset", "result"),
    [(100, 20, 120), (100, -20, 80), (MAX - 1, 5, MAX), (MIN + 1, -5, MIN), (MAX, 1, MAX), (MIN, -1, MIN)],
)
def test_adding_saturates(value: int, offset: int, result: int) -> None:
    assert shifted(value, offset) == result
    assert Timestamp.of(value) + offset == result


@pytest.mark.parametrize("value", [UNSET, UNSTARTED, PRE_STREAM, POST_STREAM, DONE])
def test_values_outside_the_range_have_no_arithmetic(value: int) -> None:
    with pytest.raises(UsageError, match="moved"):
        _ = Timestamp.of(value) + 1
    with pytest.raises(UsageError, match="distance"):
        _ = Timestamp.of(value) - Timestamp(3)


def test_differences_and_units() -> None:
    assert Timestamp(5) - Timestamp(2) == 3
    assert Timestamp(5) - 2 == Timestamp(3)
    assert Timestamp.from_seconds(1.5) == 1_500_000
    assert Timestamp.from_seconds(0.0000016) == 2
    assert Timestamp(2_500_000).seconds == 2.5
    assert Timestamp(2_500).milliseconds == 2.5
    assert Timestamp(7).microseconds == 7
    with pytest.raises(UsageError, match="added"):
        _ = Timestamp(1) + Timestamp(2)


def test_texts() -> None:
    assert str(Timestamp.PRE_STREAM) == "Timestamp.PRE_STREAM"
    assert str(Timestamp(12)) == "12"
    assert repr(Timestamp(12)) == "Timestamp(12)"
    assert text_of(DONE) == "Timestamp.DONE"
