"""`pocketgraph bench graph`: pipelines over a video, ours and MediaPipe's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pocketgraph.__main__ import main
from pocketgraph.demos.graph_bench.bench import BASELINE, Found, Row, _agreement
from pocketgraph.runtime.bench.engines import engine_named, obstacle

VIDEO = Path(__file__).resolve().parents[2] / "../shared/data/people/videos/signing_video_9frames.mp4"


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.parametrize(("pipeline", "part"), [("holistic", "left_hand"), ("hands", "hand0"), ("face_mesh", "face")])
def test_a_pipeline_is_timed_and_what_it_found_is_told(pipeline: str, part: str, tmp_path: Path) -> None:
    if not VIDEO.exists():
        pytest.skip(f"{VIDEO} is not there")
    out = tmp_path / "speed.json"
    arguments = ["--video", str(VIDEO), "--engines", "pocketgraph", "--delegate", "litert", "--frames", "12"]
    assert main(["bench", "graph", pipeline, *arguments, "--rounds", "1", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert (result["pipeline"], result["frames"], result["size"]) == (pipeline, 12, [1280, 720])
    modes = [row["mode"] for row in result["rows"]]
    assert modes == (["call", "stream"] if pipeline == "holistic" else ["call"])
    for row in result["rows"]:
        assert len(row["milliseconds"]) == 1
        assert row["milliseconds"][0] > 0
        assert row["fps"] == pytest.approx(1e3 / row["milliseconds"][0])
        assert 0 < row["latency_p50"] <= row["latency_p95"]
        assert row["parts"][part] > 0.9
        assert row["ratio"] is None
    stages = {stage["name"] for stage in result["rows"][0]["stages"]}
    assert stages & {"hand_landmark_full", "face_landmark"}


@pytest.mark.zoo
@pytest.mark.data
@pytest.mark.oracle
def test_mediapipe_is_the_baseline_and_finds_the_same(tmp_path: Path) -> None:
    if not VIDEO.exists():
        pytest.skip(f"{VIDEO} is not there")
    if (reason := obstacle(engine_named(BASELINE))) is not None:
        pytest.skip(reason)
    out = tmp_path / "speed.json"
    arguments = ["--video", str(VIDEO), "--frames", "9", "--rounds", "1", "--delegate", "litert", "--json", str(out)]
    assert main(["bench", "graph", "pose", *arguments]) == 0
    peer, ours = json.loads(out.read_text())["rows"]
    assert (peer["engine"], ours["engine"]) == ("mediapipe", "pocketgraph")
    assert peer["ratio"][0] == 1
    alike, median, _ = ours["agreement"]["pose"]
    assert alike == 1
    assert median < 0.5


def test_parts_agree_where_both_or_neither_found_them() -> None:
    ours: Found = {"pose": np.zeros((4, 33, 2), np.float32), "face": np.zeros((4, 468, 2), np.float32)}
    theirs: Found = {"pose": np.full((4, 33, 2), 0.01, np.float32)}
    ours["pose"][0] = theirs["pose"][0] = np.nan
    ours["pose"][1] = np.nan
    agreement = _agreement(ours, theirs, (100, 200))
    assert agreement["pose"] == pytest.approx((0.75, np.hypot(1, 2), np.hypot(1, 2)), rel=1e-4)
    assert agreement["face"] == (0.0, None, None)
    assert _agreement(theirs, ours, (100, 200))["face"] == (0.0, None, None)
    assert Row("pocketgraph", "call", 2).agreement == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["holistic"], "Missing option '--video'"),
        (["juggling", "--video", __file__], "juggling"),
        (["pose", "--video", "nowhere.mp4"], "nowhere.mp4"),
        (["pose", "--video", __file__, "--engines", "tensorrt"], "engines of pipelines are pocketgraph and mediapipe"),
        (["pose", "--video", __file__, "--engines", ""], "got none"),
        (["pose", "--video", __file__, "--threads", "0"], "0"),
    ],
)
def test_what_cannot_be_measured_is_said(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    out.write_text("kept")
    assert main(["bench", "graph", *arguments, "--json", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert out.read_text() == "kept"


@pytest.mark.zoo
def test_a_file_that_is_no_video_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["bench", "graph", "pose", "--video", __file__, "--engines", "pocketgraph", "--delegate", "litert"]) == 2
    )
    assert "test_graph_bench.py cannot be opened as a video" in capsys.readouterr().err


def test_the_peer_runs_no_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "arch:mobilenet_v1", "--engines", "mediapipe"]) == 2
    assert "bench graph" in capsys.readouterr().err
