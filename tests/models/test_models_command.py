"""`pocketgraph models`: what people see of the zoo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pocketgraph.__main__ import main
from pocketgraph.models import zoo
from pocketgraph.models.command import models
from pocketgraph.models.errors import UsageError, ZooError


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(models, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POCKETGRAPH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("width", [80, 200])
def test_the_list_has_every_model_at_any_width(width: int, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    output = _run("list")
    assert all(name in output for name in zoo.names())
    assert max(map(len, output.splitlines())) <= width
    assert not empty_cache.exists(), "listing writes nothing"


def test_the_list_as_json_has_the_pins(empty_cache: Path) -> None:
    listed = {item["name"]: item for item in json.loads(_run("list", "--json"))}
    selfie = listed["selfie_segmentation"]
    assert list(listed) == zoo.names()
    assert (selfie["package"], selfie["version"], selfie["bytes"]) == ("mediapipe", "0.10.21", 249_505)
    assert selfie["sha256"] == zoo.entry("selfie_segmentation").sha256
    assert selfie["on_disk"] is False
    assert Path(selfie["path"]).is_relative_to(empty_cache)


def test_listing_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pocketgraph.models.command import models\n"
        "models(['list'], standalone_mode=False)\n"
        "print('|'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split("|")}
    assert not loaded & {"onnx", "cv2", "ai_edge_litert", "tensorflow", "keras", "onnxruntime"}


@pytest.mark.zoo
def test_info_says_inputs_outputs_ranges_licence_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = json.loads(_run("info", "pose_detection", "--json"))
    assert facts["inputs"] == [
        {"name": "input_1", "shape": [1, 224, 224, 3], "dtype": "float32", "range": [-1.0, 1.0]},
    ]
    assert [port["shape"] for port in facts["outputs"]] == [[1, 2254, 12], [1, 2254, 1]]
    assert facts["outputs"][1]["holds"] == "score of each anchor, logit"
    assert 0.6 < facts["sparsity"] < 0.75
    assert facts["op_kinds"]["DENSIFY"] == 38
    assert facts["licence"] == "Apache-2.0"
    assert facts["preprocess"]["fit"] == "letterbox"
    monkeypatch.setenv("COLUMNS", "160")
    text = _run("info", "selfie_segmentation")
    for part in ("activation_10", "1 x 256 x 256 x 3", "person probability, 0..1", "Apache-2.0", "0 to 1", "106,401"):
        assert part in text


@pytest.mark.zoo
def test_path_and_fetch_print_where_the_file_is() -> None:
    assert _run("path", "hand_recrop").strip() == str(zoo.path("hand_recrop"))
    assert _run("fetch", "hand_recrop", "selfie_segmentation").splitlines() == [
        f"{name}: {zoo.path(name)}" for name in ("hand_recrop", "selfie_segmentation")
    ]
    assert zoo.path("hand_recrop").is_file()


@pytest.mark.parametrize("command", ["info", "fetch", "path"])
def test_an_unknown_name_is_answered_in_a_line_with_exit_code_2(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZooError):
        CliRunner().invoke(models, [command, "hand_landmark_ful"], catch_exceptions=False)
    assert main(["models", command, "hand_landmark_ful"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "did you mean hand_landmark_full" in captured.err


@pytest.mark.parametrize("arguments", [(), ("--all", "hand_recrop")])
def test_fetch_wants_names_or_all(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="names of models to fetch, or --all"):
        CliRunner().invoke(models, ["fetch", *arguments], catch_exceptions=False)


@pytest.mark.parametrize("command", ["list", "info", "fetch", "path"])
def test_help_has_examples(command: str) -> None:
    assert f"pocketgraph {'explain' if command == 'path' else f'models {command}'}" in _run(command, "--help")


def test_the_shell_completes_names() -> None:
    parameter = models.commands["path"].params[0]
    context = models.make_context("models", ["list"])
    found = parameter.type.shell_complete(context, parameter, "palm")
    assert [item.value for item in found] == ["palm_detection_full", "palm_detection_lite"]
