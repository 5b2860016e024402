"""The quality table: what counts as found, swapped and near, what the data hold, and figures on a part of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pocketgraph.demos import quality_table
from pocketgraph.demos.annotated import BY_MACHINE, Case, cases
from pocketgraph.demos.quality_table import Score, hand_error, ours, score, summary
from pocketgraph.models.errors import EngineError, UsageError

_random = np.random.default_rng(5)
_LEFT, _RIGHT = _random.random((21, 2)) * 20, _random.random((21, 2)) * 20 + 100
_BLANK = np.zeros((8, 8, 3), np.uint8)
_NOTHING = {"left": None, "right": None, "face": None, "body": None}


def _case(**marked) -> Case:
    return Case("made", "case", "holistic", _BLANK, **marked)


def test_a_hand_is_measured_by_its_size() -> None:
    marked = np.array([[0.0, 0.0], [40.0, 10.0], [np.nan, np.nan]])
    assert hand_error(marked + np.array([3, 4]), marked) == pytest.approx(5 / 40)


@pytest.mark.parametrize(
    ("left", "right", "found", "swapped"),
    [
        (_LEFT, _RIGHT, 2, 0),
        (_LEFT, None, 1, 0),
        (None, None, 0, 0),
        (_RIGHT, _LEFT, 0, 2),
        (_LEFT, _LEFT, 1, 0),
        (None, _LEFT, 0, 1),
        (_LEFT + 30, None, 0, 0),
    ],
)
def test_hands_are_found_swapped_or_neither(left, right, found: int, swapped: int) -> None:
    case = _case(hands={"left": _LEFT, "right": _RIGHT})
    scores = list(score(case, "ours", _NOTHING | {"left": left, "right": right}))
    assert sum(one.error is not None for one in scores) == found
    assert sum(one.swapped for one in scores) == swapped


def test_a_body_that_was_not_found_has_no_point_near() -> None:
    body = np.full((33, 2), np.nan)
    body[[11, 12, 23, 24]] = [[40, 0], [0, 0], [40, 100], [0, 100]]
    body[15] = [80, 80]
    moved = body.copy()
    moved[15] += [0, 50]
    (hit,) = score(_case(body=body), "ours", _NOTHING | {"body": moved})
    assert (hit.near, hit.marked, hit.error) == (4, 5, pytest.approx(0.1))
    (missed,) = score(_case(body=body), "ours", _NOTHING)
    assert (missed.near, missed.marked, missed.error) == (0, 5, None)
    (row, _) = (row for row in summary([hit, missed]) if row["source"] in ("made", "all"))
    assert (row["found"], row["marked"], row["pck"]) == (1, 2, 0.4)


def test_what_all_found_is_compared_apart() -> None:
    def one(case: str, variant: str, error: float | None, source: str = "made") -> Score:
        return Score(source, case, "hand in Holistic", "left", variant, error)

    scores = [one("a", "x", 0.1), one("b", "x", 0.3), one("a", "y", 0.2), one("b", "y", None)]
    scores += [one("c", "x", 0.5, BY_MACHINE), one("c", "y", 0.5, BY_MACHINE)]
    every = {row["variant"]: row for row in summary(scores) if row["source"] == "all"}
    assert (every["x"]["found"], every["x"]["error"], every["x"]["error_shared"]) == (2, pytest.approx(0.2), 0.1)
    assert (every["y"]["found"], every["y"]["shared"], every["y"]["error_shared"]) == (1, 1, 0.2)


@pytest.mark.data
def test_the_data_hold_what_is_told(shared_data: Path) -> None:
    every = list(cases(shared_data / "people"))
    hands = {source: sum(len(c.hands) for c in every if c.source == source) for source in {c.source for c in every}}
    assert hands["coco"] == hands["halpe"] == 10
    assert (hands["panoptic"], hands["freihand"], hands["interhand2.6m"]) == (4, 16, 12)  # alone: for two pipelines
    for case in every:
        height, width = case.image.shape[:2]
        for hand in case.hands.values():
            middle = np.nanmean(hand, axis=0)
            assert (middle > 0).all(), case.name
            assert (middle < (width, height)).all(), case.name
        if case.body is not None and np.isfinite(case.body[[0, 23, 24]]).all() and case.source != "jhmdb":
            assert case.body[0, 1] < case.body[[23, 24], 1].mean()  # heads above hips


@pytest.mark.data
@pytest.mark.zoo
def test_real_hands_are_near_what_people_marked(shared_data: Path) -> None:
    chosen = [case for case in cases(shared_data / "people") if case.source in ("panoptic", "rhd", "300w")]
    errors: dict[str, dict[str, float]] = {}
    for variant, options in (("ours", {}), ("without", {"recrop": False}), ("fallback", {"palm_fallback": True})):
        scores = [
            one
            for case, found in zip(chosen, ours(chosen, options, "litert"), strict=True)
            for one in score(case, variant, found)
        ]
        rows = {(row["part"], row["source"]): row for row in summary(scores)}
        errors[variant] = {"panoptic": rows["hand in Holistic", "panoptic"]["error"]}
        assert rows["hand in Holistic", "panoptic"]["found"] == 4
        assert rows["hand in Holistic", "rhd"]["found"] == {"ours": 2, "without": 1, "fallback": 3}[variant]
        assert rows["hand in Hands", "rhd"]["found"] == 3
        assert rows["face", "300w"]["error"] < 0.07
    assert errors["ours"]["panoptic"] < 0.07 < errors["without"]["panoptic"]
    assert errors["fallback"] == errors["ours"]


@pytest.mark.data
@pytest.mark.zoo
def test_people_in_whole_pictures_are_found(shared_data: Path) -> None:
    counts = quality_table.people_found(shared_data / "people", "litert")
    assert counts["marked"] == 27
    assert counts["HolisticPeople"] >= 25
    assert counts["Holistic"] <= 12
    assert counts["more"] <= 12


def test_the_table_and_its_file_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = _case(hands={"left": _LEFT})
    monkeypatch.setattr(quality_table, "cases", lambda _: iter([case]))
    monkeypatch.setattr(quality_table, "ours", lambda *_: [_NOTHING | {"left": _LEFT}])
    crowd = {"marked": 3, "HolisticPeople": 2, "Holistic": 1, "more": 0}
    monkeypatch.setattr(quality_table, "people_found", lambda *_: crowd)
    monkeypatch.setattr(quality_table, "peers", lambda *_: ("0.10.21", [_NOTHING]))
    file = tmp_path / "made" / "table.json"
    arguments = [str(tmp_path), "-o", str(file), "--mediapipe-python", "python"]
    result = CliRunner().invoke(quality_table.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "found (swapped), mean error" in result.output
    record = json.loads(file.read_text())
    assert record["people"] == crowd
    assert record["versions"]["mediapipe"] == "0.10.21"
    assert {row["variant"]: row["found"] for row in record["rows"] if row["source"] == "all"} == {
        **dict.fromkeys(quality_table._VARIANTS, 1),
        "MediaPipe 0.10.21": 0,
    }


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no folder mmpose_tests_data"):
        list(cases(tmp_path))
    with pytest.raises(UsageError, match="cannot be run"):
        quality_table.peers([_case()], str(tmp_path / "no python"))
    with pytest.raises(EngineError, match="expected mediapipe"):
        quality_table.peers([_case()], sys.executable)


def test_the_command_explains_itself() -> None:
    command = [sys.executable, "-m", "pocketgraph.demos.quality_table", "--help"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "--mediapipe-python" in told
