"""Two results next to each other."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from pocketgraph.models.errors import UsageError
from pocketgraph.runtime.bench import Cell, Result, read_result
from pocketgraph.runtime.bench.compare import changes, differences

MACHINE = {"processor": "P", "flags": ["avx2"], "cores": 2, "python": "3.12.1"}
SETTINGS = {"pattern": "1x1", "rounds": 5}


def result(**times: list[float]) -> Result:
    """One model, an engine for each keyword; the first is the baseline."""
    cells = [Cell("net", engine, 1, 0.0, milliseconds=list(ms)) for engine, ms in times.items()]
    for cell in cells:
        cell.summarise()
        cell.ratio = (cells[0].median / cell.median, 1.0, 1.0)
    versions = {engine: {engine: "1.0"} for engine in times}
    return Result(cells, dict(MACHINE), versions, dict(SETTINGS), baselines={"net": (next(iter(times)), 0.0)})


def test_a_change_counts_where_its_interval_leaves_out_one() -> None:
    before = result(a=[10, 10.1, 9.9, 10, 10.2], b=[4, 4.1, 4, 3.9, 4], c=[5, 5.5, 4.5, 5, 5.2])
    after = result(a=[20, 20.1, 19.9, 20, 20.2], b=[2, 2.1, 2, 1.9, 2], c=[5.1, 5.5, 4.4, 5, 5.3])
    found = {item.key[1]: item for item in changes(before, after)}
    assert {name: item.verdict for name, item in found.items()} == {
        "a": "slower",
        "b": "faster",
        "c": "no change seen",
    }
    assert found["b"].times[0] == 2
    assert found["b"].against_baseline == 4  # the baseline became twice as slow
    assert (found["a"].before, found["a"].after) == (10, 20)


def test_the_baseline_is_the_first_results_and_may_be_missing() -> None:
    before = result(a=[1, 1], b=[2, 2])
    assert [item.against_baseline for item in changes(before, result(b=[4, 4], a=[4, 4]))] == [1, 2]
    assert [item.against_baseline for item in changes(before, result(b=[4, 4]))] == [None]


def test_wrong_and_failed_cells_are_left_out() -> None:
    before, after = result(a=[1, 1], b=[2, 2], c=[3, 3]), result(a=[1, 1], b=[2, 2], c=[3, 3])
    before.cells[1].wrong, after.cells[2].error = True, "c: died"
    assert [item.key[1] for item in changes(before, after)] == ["a"]
    assert "1 cell only after" in differences(before, after)


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(UsageError, match="no cell in common"):
        changes(result(a=[1, 1]), result(b=[1, 1]))


def test_what_differs_is_said() -> None:
    before = result(a=[1, 1])
    after = copy.deepcopy(before)
    assert differences(before, after) == []
    after.machine |= {"processor": "Q", "flags": ["avx2", "avx512"]}
    after.settings["rounds"] = 9
    after.versions["a"]["a"] = "1.1"
    assert differences(before, after) == [
        "machine differs: processor P before, Q after",
        "machine differs: flags avx2 before, avx2 avx512 after",
        "setting differs: rounds 5 before, 9 after",
        "version differs: a 1.0 before, 1.1 after",
    ]


def _damaged(change) -> str:
    data = result(a=[1, 1]).to_dict()
    change(data)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "was not written by this version"),
        ('{"format": "pocketgraph bench 0"}', "was not written by this version"),
        (_damaged(lambda data: data.pop("cells")), "damaged: KeyError"),
        (_damaged(lambda data: data.update(more=1)), "damaged: TypeError"),
        (_damaged(lambda data: data["cells"][0].update(more=1)), "unknown field 'more'"),
        (_damaged(lambda data: data["cells"][0].pop("engine")), "damaged: TypeError"),
        (_damaged(lambda data: data["cells"][0].update(milliseconds=[1, -1])), "no positive number"),
        (_damaged(lambda data: data["cells"][0].update(milliseconds="fast")), "damaged: ValueError"),
        (_damaged(lambda data: data["cells"][0].update(ratio=[1])), "damaged: IndexError"),
    ],
)
def test_a_file_that_is_no_result_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_result(tmp_path / "r.json")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot read none\.json"):
        read_result("none.json")
