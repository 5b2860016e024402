"""`pocketgraph.solutions` is `mediapipe.solutions` 0.10.21: names, signatures, constants, drawings, errors and results.

`tests/oracles/solutions_facts.py` writes these down for either package; what it wrote for mediapipe is kept in
`solutions_facts.json`. With POCKETGRAPH_MEDIAPIPE_PYTHON set to an interpreter that has mediapipe 0.10.21, it must
write the same again. All is compared exactly, drawings pixel for pixel and the encoding of messages byte for byte, but
for the numbers in results: none may be off by more than 0.01 (of the picture, metres or probability), half of them by
0.0002.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from pocketgraph.framework.formats import classification_pb2, detection_pb2, landmark_pb2
from pocketgraph.solutions.solution_base import SolutionBase

ORACLE = Path(__file__).parents[1] / "oracles" / "solutions_facts.py"
sys.path.insert(0, str(ORACLE.parent))
try:
    import solutions_facts
finally:
    sys.path.pop(0)

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "solutions_facts.json").read_text())
CLASSES = {
    f"mediapipe.{message.DESCRIPTOR.name}": message
    for message in (
        landmark_pb2.NormalizedLandmarkList,
        landmark_pb2.LandmarkList,
        classification_pb2.ClassificationList,
        detection_pb2.Detection,
    )
}


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return json.loads(json.dumps(solutions_facts.facts("pocketgraph")))


@pytest.mark.parametrize("part", [part for part in GOLDEN if part != "results"])
def test_what_needs_no_model_is_equal(part: str, ours: dict[str, Any]) -> None:
    assert len(GOLDEN[part]) >= 5
    assert ours[part] == GOLDEN[part]


class Numbers:
    """Two results side by side: alike in all but their numbers, which are gathered."""

    def __init__(self) -> None:
        self.pairs: list[tuple[float, float]] = []

    def compare(self, wanted: Any, found: Any, where: str) -> None:
        assert type(wanted) is type(found), where
        if isinstance(wanted, list):
            assert len(wanted) == len(found), where
            for i, (one, other) in enumerate(zip(wanted, found, strict=True)):
                self.compare(one, other, f"{where}[{i}]")
        elif isinstance(wanted, dict):
            assert list(wanted) == list(found), where
            for name in wanted:
                if name in CLASSES:
                    self._messages(CLASSES[name], wanted[name], found[name], where)
                else:
                    self.compare(wanted[name], found[name], f"{where}.{name}")
        elif isinstance(wanted, float):
            self.pairs.append((wanted, found))
        else:
            assert wanted == found, where

    def _messages(self, kind: Any, wanted: str, found: str, where: str) -> None:
        theirs, mine = base64.b64decode(wanted), base64.b64decode(found)
        assert kind.FromString(theirs).SerializeToString() == theirs, where
        assert len(mine) == len(theirs), where
        self.compare(MessageToDict(kind.FromString(theirs)), MessageToDict(kind.FromString(mine)), where)

    def check(self) -> None:
        differences = np.abs(np.subtract(*np.array(self.pairs).T))
        assert differences.max() <= 0.01
        assert np.median(differences) <= 2e-4


@pytest.mark.data
@pytest.mark.zoo
def test_results_and_errors_are_alike(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SolutionBase, "delegate", "litert")
    found = json.loads(json.dumps(solutions_facts.results("pocketgraph", shared_data / "people")))
    numbers = Numbers()
    numbers.compare(GOLDEN["results"], found, "results")
    assert len(numbers.pairs) > 8_000
    numbers.check()


@pytest.mark.oracle
@pytest.mark.data
@pytest.mark.skipif(
    "POCKETGRAPH_MEDIAPIPE_PYTHON" not in os.environ,
    reason="POCKETGRAPH_MEDIAPIPE_PYTHON does not name an interpreter with mediapipe 0.10.21",
)
def test_the_oracle_still_says_so(shared_data: Path, tmp_path: Path) -> None:
    python = os.environ["POCKETGRAPH_MEDIAPIPE_PYTHON"]
    out = tmp_path / "facts.json"
    subprocess.run([python, ORACLE, "mediapipe", out, shared_data / "people"], check=True, capture_output=True)
    assert json.loads(out.read_text()) == GOLDEN
