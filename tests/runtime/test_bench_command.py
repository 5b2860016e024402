"""The command line: what it writes, what it refuses, and how environments for peers are made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pocketgraph.__main__ import main
from pocketgraph.models.architectures.mobilenet_v2 import mobilenet_v2
from pocketgraph.models.errors import EngineError, UsageError
from pocketgraph.models.files import write_model
from pocketgraph.runtime.bench import engines, environments
from pocketgraph.runtime.bench.fake import Fake


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("models") / "small.tflite"
    write_model(mobilenet_v2(0.1, size=32, classes=10), file)
    return str(file)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines `one`, `two` (twice as slow) and `bad` (dies while it loads), beside the real ones."""
    for fake in (Fake("one"), Fake("two", milliseconds=2), Fake("bad", failure="dies")):
        monkeypatch.setitem(engines.ENGINES, fake.name, fake.engine())


@pytest.mark.usefixtures("fakes")
def test_it_prints_tables_and_writes_files(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = tmp_path / "r.json", tmp_path / "r.html"
    options = ["--engines", "one,two", "--sparsity", "0,80", "--rounds", "2", "--warmup", "0", "--baseline", "two"]
    assert main(["bench", model, *options, "--json", str(files[0]), "--html", str(files[1])]) == 0
    shown = capsys.readouterr()
    assert "2.00x" in shown.out
    assert "against two, as given" in shown.out
    assert "pruned for timing alone" in shown.out
    assert str(files[1]) in shown.out
    assert shown.err == ""
    data = json.loads(files[0].read_text())
    assert len(data["cells"]) == 4
    assert {"processor", "flags", "cores", "python"} <= set(data["machine"])
    assert files[1].read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.html", "r.json"]
    assert main(["bench", "compare", str(files[0]), str(files[0])]) == 0
    assert "1.00x 1.00..1.00" in capsys.readouterr().out


@pytest.mark.usefixtures("fakes")
def test_json_to_stdout_is_json_alone(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", model, "--engines", "one,bad", "--rounds", "1", "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert "SIGKILL" in data["cells"][1]["error"]


@pytest.mark.usefixtures("fakes")
def test_where_it_fails_files_stay_as_they_were(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "r.json"
    old.write_text("old")
    assert main(["bench", model, "--engines", "bad", "--json", str(old), "--html", str(tmp_path / "r.html")]) == 2
    assert "no engine ran" in capsys.readouterr().err
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.tflite"], "there is no file none.tflite"),
        (["arch:none"], "no architecture 'none'"),
        ([], "Missing argument 'MODEL...'; see `pocketgraph bench --help`"),
        (["arch:mobilenet_v1", "--engines", "tpu"], "no engine 'tpu'; there are chw, litert"),
        (["arch:mobilenet_v1", "--engines", "litert", "--baseline", "mnn"], "mnn is not among the engines litert"),
        (["arch:mobilenet_v1", "--threads", "one"], "--threads is 'one'"),
        (["arch:mobilenet_v1", "--threads", "0"], "threads must be at least 1"),
        (["arch:mobilenet_v1", "--sparsity", "100"], "--sparsity is '100'"),
        (["setup", "tpu"], "'tpu' is not one of"),
        (["compare", "none.json", "none.json"], "cannot read none.json"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_an_engine_that_is_not_set_up_names_the_command_that_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POCKETGRAPH_CACHE", str(tmp_path))
    assert main(["bench", "arch:mobilenet_v1", "--engines", "litert,openvino"]) == 2
    assert "openvino is not set up: run `pocketgraph bench setup openvino`" in capsys.readouterr().err
    assert not {engine.name for engine in engines.default_engines()} & set(engines.PEERS)


@pytest.mark.parametrize("command", [["bench"], ["bench", "setup"], ["bench", "compare"]])
def test_help_has_an_example_that_begins_with_the_command(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: pocketgraph {' '.join(command)} ")
    assert "Example" in shown
    assert f"  pocketgraph {' '.join(command)} " in shown


class Made:
    """Stands in for venv and pip: makes an environment without anything in it, keeps the commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        monkeypatch.setenv("POCKETGRAPH_CACHE", str(cache))
        monkeypatch.setattr(environments, "_run", self.run)
        self.commands: list[list[str]] = []

    def run(self, command: list[str], _what: str) -> None:
        self.commands.append(list(command))
        if command[1:3] == ["-m", "venv"]:
            python = environments._python_in(Path(command[3]))
            python.parent.mkdir(parents=True)
            python.touch()


def test_setting_up_installs_checks_and_marks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = Made(monkeypatch, tmp_path)
    steps: list[str] = []
    place = environments.set_up(
        "peer", ["peer==1"], ((3, 9), (3, 99)), lambda _: {"peer": "1.0"}, python=sys.executable, say=steps.append
    )
    assert place == tmp_path / "bench" / "peer"
    assert environments.is_ready("peer")
    assert environments.facts("peer")["versions"] == {"peer": "1.0"}
    assert made.commands[1][1:4] == ["-m", "pip", "install"]
    assert made.commands[1][-1] == "peer==1"
    assert len(steps) == 3
    assert [path.name for path in place.parent.iterdir()] == ["peer"]


def test_a_setup_that_fails_leaves_the_environment_there_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Made(monkeypatch, tmp_path)
    arguments = ("peer", ["peer"], ((3, 9), (3, 99)))
    environments.set_up(*arguments, lambda _: {"peer": "1.0"})

    def broken(_: Path) -> dict[str, str]:
        raise EngineError("peer: ImportError")

    with pytest.raises(EngineError, match="ImportError"):
        environments.set_up(*arguments, broken)
    assert environments.facts("peer")["versions"] == {"peer": "1.0"}
    assert [path.name for path in (tmp_path / "bench").iterdir()] == ["peer"]
    environments.set_up(*arguments, lambda _: {"peer": "2.0"})
    assert environments.facts("peer")["versions"] == {"peer": "2.0"}


def test_a_failing_step_is_told_by_its_last_error() -> None:
    code = "import sys; print('ERROR: no matching distribution'); sys.exit('hint')"
    with pytest.raises(UsageError, match="installing x failed: 'no matching distribution'"):
        environments._run([sys.executable, "-c", code], "installing x")


def _stand_in(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="stand-ins are shell scripts")
def test_the_newest_python_that_works_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _stand_in(tmp_path / "shims", "python3.8", "echo not installed >&2; exit 127")
    _stand_in(tmp_path / "real", "python3.8", "echo '[3, 8, \"/opt/python3.8\"]'")
    _stand_in(tmp_path / "real", "python3.7", "echo '[3, 7, \"/opt/python3.7\"]'")
    _stand_in(tmp_path / "real", "python3.6", "echo nonsense")
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'real'}:/bin")
    assert environments.find_python(((3, 6), (3, 8))) == ("/opt/python3.8", (3, 8))
    assert environments.find_python(((3, 6), (3, 7))) == ("/opt/python3.7", (3, 7))
    with pytest.raises(UsageError, match=r"found no Python 3\.6 to 3\.6 with venv"):
        environments.find_python(((3, 6), (3, 6)))
    with pytest.raises(UsageError, match=r"is Python 3\.7; Python 3\.8 or newer is needed"):
        environments.find_python(((3, 8), (3, 99)), "python3.7")
    with pytest.raises(UsageError, match="no working Python"):
        environments.find_python(((3, 6), (3, 8)), "python3.6")


@pytest.mark.oracle
@pytest.mark.skipif(not environments.is_ready("openvino"), reason="not set up: pocketgraph bench setup openvino")
def test_openvino_agrees_with_litert(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", model, "--engines", "litert,openvino", "--rounds", "2", "--warmup", "0", "--json", "-"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["error"] for cell in cells] == ["", ""]
    assert cells[1]["difference"] < 1e-4
