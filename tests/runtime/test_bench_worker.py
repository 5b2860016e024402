"""The line protocol: workers that answer, refuse, die, hang and talk nonsense; and the real ones on a small model."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from pocketgraph.models.errors import EngineError
from pocketgraph.models.files import write_model
from pocketgraph.models.graph import Graph, Model, Op, Tensor
from pocketgraph.runtime.bench import environments
from pocketgraph.runtime.bench.client import Worker
from pocketgraph.runtime.bench.engines import ENGINES, worker_command
from pocketgraph.runtime.bench.fake import Fake

READY = "import sys, json, time, os, signal\nprint(json.dumps({'versions': {}}), flush=True)\n"


def script(code: str, timeout: float = 10.0) -> Worker:
    return Worker([sys.executable, "-c", READY + code], name="odd", timeout=timeout)


def test_a_worker_answers_until_it_is_closed_even_where_it_was_paused() -> None:
    with script("for line in sys.stdin: print(json.dumps(json.loads(line)), flush=True)") as worker:
        assert worker.ask("run", count=3) == {"do": "run", "count": 3}
        worker.pause()
        worker.resume()
        assert worker.ask("again") == {"do": "again"}
        worker.pause()
    worker.close()
    with pytest.raises(EngineError):
        worker.ask("run")


def test_an_error_it_tells_is_passed_on_and_it_can_be_asked_again() -> None:
    code = "for line in sys.stdin: print(json.dumps({'error': 'no\\nsuch op'}), flush=True)"
    with script(code) as worker:
        for _ in range(2):
            with pytest.raises(EngineError, match=r"^odd: no such op$"):
                worker.ask("load")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.exit(3)", r"odd: died at 'load' \(exit 3\)"),
        ("sys.stdin.readline(); os.kill(os.getpid(), signal.SIGSEGV)", r"died at 'load' \(signal SIGSEGV\)"),
        ("sys.stdin.readline(); sys.exit('out of luck')", r"died at 'load' \(exit 1\), saying 'out of luck'"),
        (
            "sys.stdin.readline(); print('Loading... 12%', flush=True); time.sleep(99)",
            r"answered 'load' with b'Loading",
        ),
        ("sys.stdin.readline(); print('[1]', flush=True); time.sleep(99)", r"expected a JSON object"),
        ("sys.stdin.readline(); print('{\"half', end='', flush=True)", r"expected a JSON object"),
    ],
)
def test_what_befalls_a_worker_is_told_in_one_line(code: str, message: str) -> None:
    with script(code) as worker, pytest.raises(EngineError, match=message) as error:
        worker.ask("load")
    assert "\n" not in str(error.value)


def test_a_worker_that_hangs_is_ended() -> None:
    with script("time.sleep(99)", timeout=0.3) as worker:
        with pytest.raises(EngineError, match=r"no answer to 'load' in 0\.3 seconds, ended it"):
            worker.ask("load")
        with pytest.raises(EngineError, match="died"):
            worker.ask("load")


def test_a_worker_that_cannot_start_says_why() -> None:
    with pytest.raises(EngineError, match="starting /nowhere/python failed"):
        Worker(["/nowhere/python"], name="odd")
    with pytest.raises(EngineError, match=r"died at 'starting' \(exit 1\), saying .ModuleNotFoundError"):
        Worker([sys.executable, "-c", "import nonesuch"], name="odd")


def one_conv(folder: Path, suffix: str) -> Path:
    """A 1x1 convolution from 3 to 8 channels on 4x4 pixels, as a file."""
    x, y = Tensor("x", (1, 4, 4, 3)), Tensor("y", (1, 4, 4, 8))
    w = Tensor("w", (8, 1, 1, 3), data=np.arange(24, dtype=np.float32).reshape(8, 1, 1, 3))
    b = Tensor("b", (8,), data=np.zeros(8, np.float32))
    conv = Op("CONV_2D", [x, w, b], [y], {"padding": "SAME", "stride_w": 1, "stride_h": 1})
    path = folder / f"conv{suffix}"
    write_model(Model([Graph("main", [x], [y], [conv])]), path)
    return path


def _through(name: str, folder: Path) -> tuple[dict, np.ndarray, dict, dict]:
    """What a real worker says of `one_conv`: its loading, output on ones, two timed runs and its profile."""
    engine = ENGINES[name]
    np.save(folder / "x.npy", np.ones((1, 4, 4, 3), np.float32))
    file = one_conv(folder, engine.suffix)
    with Worker(worker_command(engine), name=name, folder=str(folder)) as worker:
        assert worker.versions
        ready = worker.ask("prepare", model=str(file), folder=str(folder))["model"]
        loaded = worker.ask("load", model=ready, threads=1)
        worker.ask("feed", files=[str(folder / "x.npy")])
        output = np.load(worker.ask("outputs", folder=str(folder))["files"][0])
        times = worker.ask("run", untimed=1, timed=2)
        return loaded, output, times, worker.ask("profile")


@pytest.mark.parametrize(
    "name",
    [
        "litert",
        "onnxruntime",
        *(
            pytest.param(
                peer,
                marks=[
                    pytest.mark.oracle,
                    pytest.mark.skipif(
                        not environments.is_ready(peer), reason=f"not set up: pocketgraph bench setup {peer}"
                    ),
                ],
            )
            for peer in ("openvino", "mnn", "deepsparse")
        ),
    ],
)
def test_a_real_worker_loads_runs_and_tells(name: str, tmp_path: Path) -> None:
    loaded, output, times, profile = _through(name, tmp_path)
    assert loaded["inputs"] == [{"name": "x", "shape": [1, 4, 4, 3], "dtype": "float32"}]
    assert loaded["seconds"] > 0
    np.testing.assert_allclose(output[0, 0, 0], [3, 12, 21, 30, 39, 48, 57, 66], rtol=1e-5)
    assert output.shape == (1, 4, 4, 8)
    assert len(times["milliseconds"]) == 2
    assert times["peak_bytes"] is None or times["peak_bytes"] >= 0
    if name in {"onnxruntime", "openvino"}:
        assert any("Conv" in op["kind"] for op in profile["ops"])
    else:
        assert profile["ops"] is None


def test_a_worker_that_is_asked_nonsense_says_so(tmp_path: Path) -> None:
    with Worker(worker_command(ENGINES["litert"]), name="litert") as worker:
        with pytest.raises(EngineError, match="unknown request 'dance'"):
            worker.ask("dance")
        with pytest.raises(EngineError, match=r"litert: FormatError: cannot read .*none\.tflite"):
            worker.ask("load", model=str(tmp_path / "none.tflite"), threads=1)


def test_the_double_speaks_the_protocol(tmp_path: Path) -> None:
    file = one_conv(tmp_path, ".tflite")
    with Worker(Fake("double", milliseconds=4.0).command(), name="double", folder=str(tmp_path)) as worker:
        assert worker.versions == {"double": "1.0", "python": platform.python_version()}
        worker.ask("load", model=str(file), threads=2)
        assert worker.ask("run", untimed=0, timed=1)["milliseconds"] == [pytest.approx(2.002)]


@pytest.mark.parametrize(
    ("failure", "message"),
    [("dies", "SIGKILL"), ("rubbish", "Segmentation what"), ("refuses", "operator I do not know"), ("hangs", "ended")],
)
def test_the_double_fails_as_it_is_told(failure, message: str, tmp_path: Path) -> None:
    file = one_conv(tmp_path, ".tflite")
    with Worker(Fake(failure=failure).command(), name="fake", folder=str(tmp_path)) as worker:
        worker._timeout = 1.0
        with pytest.raises(EngineError, match=message):
            worker.ask("load", model=str(file), threads=1)
