"""The process that runs one model in one engine, told what to do by lines of JSON: `python worker.py ENGINE`.

A single file that needs the standard library, NumPy and the engine alone, because an engine may live in an interpreter
of its own; it imports pocketgraph only for engines that are its delegates. Tensors travel as .npy files.

    ->  (started)                                            <-  {"versions": {"openvino": "…", "python": "…"}}
    ->  {"do": "prepare", "model": FILE, "folder": FOLDER}   <-  {"model": FILE that the engine itself reads}
    ->  {"do": "load", "model": FILE, "threads": N}          <-  {"seconds": S, "inputs": […], "outputs": […]}
    ->  {"do": "feed", "files": [one .npy an input]}         <-  {}
    ->  {"do": "run", "untimed": M, "timed": N}              <-  {"milliseconds": […], "peak_bytes": B}
    ->  {"do": "outputs", "folder": FOLDER}                  <-  {"files": [one .npy an output]}
    ->  {"do": "profile"}                                    <-  {"ops": [{"name", "kind", "milliseconds"}] or null}
    ->  {"do": "quit"}                                       <-  {}

What goes wrong is answered with {"error": "one line"}. A port is {"name", "shape", "dtype"}. `peak_bytes` is how far
the process' peak memory has grown since just before `load`, null where the system does not tell. One run takes arrays
in and gives arrays out: copies in and out are part of its time, for every engine alike.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.path:
    _own_folder = __file__.replace("\\", "/").rpartition("/")[0]
    sys.path[:] = [entry for entry in sys.path if entry != _own_folder]  # its files are no modules of the top level

import contextlib
import importlib
import importlib.metadata
import json
import os
import platform
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

_PROFILED_RUNS = 5


class Engine:
    """One engine: `load` is timed, it or `describe` fills `inputs` and `outputs`, `run` uses arrays in their order."""

    packages: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []

    def versions(self) -> dict[str, str]:
        return {name: importlib.metadata.version(name) for name in self.packages}

    def prepare(self, model: str, folder: str) -> str:  # noqa: ARG002 - most engines read the file as it is
        return model

    def load(self, model: str, threads: int) -> None:
        raise NotImplementedError

    def describe(self) -> None:
        """What is left to find out about the ports."""

    def run(self, arrays: list[Any]) -> list[Any]:
        raise NotImplementedError

    def time(self, arrays: list[Any], untimed: int, timed: int) -> list[float]:
        """Milliseconds of each timed run."""
        for _ in range(untimed):
            self.run(arrays)
        taken = []
        for _ in range(timed):
            start = time.perf_counter()
            self.run(arrays)
            taken.append(1e3 * (time.perf_counter() - start))
        return taken

    def profile(self, arrays: list[Any]) -> list[dict[str, Any]] | None:  # noqa: ARG002 - few engines tell
        return None


class Delegate(Engine):
    """A delegate of pocketgraph, in pocketgraph's own interpreter."""

    def __init__(self, name: str, package: str, module: str | None = None) -> None:
        super().__init__()
        from pocketgraph.runtime import load_model

        if module is not None:  # what importing takes is not what a model takes
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        self._load_model: Any = load_model
        self._name, self.packages = name, (package,)

    def load(self, model: str, threads: int) -> None:
        self._path, self._threads = model, threads
        self._model = self._load_model(model, delegate=self._name, threads=threads)
        self.inputs = [_port(spec.name, spec.shape, spec.dtype) for spec in self._model.inputs]
        self.outputs = [_port(spec.name, spec.shape, spec.dtype) for spec in self._model.outputs]

    def run(self, arrays: list[Any]) -> list[Any]:
        named = {port["name"]: array for port, array in zip(self.inputs, arrays)}  # noqa: B905 - Python 3.9
        found = self._model.run(named)
        return [found[port["name"]] for port in self.outputs]


class OnnxRuntime(Delegate):
    def __init__(self) -> None:
        super().__init__("onnxruntime", "onnxruntime", "onnxruntime")

    def profile(self, arrays: list[Any]) -> list[dict[str, Any]] | None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = self._threads, 3
        options.enable_profiling = True
        with tempfile.TemporaryDirectory() as folder:
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = onnxruntime.InferenceSession(self._path, options, providers=["CPUExecutionProvider"])
            named = {port["name"]: array for port, array in zip(self.inputs, arrays)}  # noqa: B905
            for _ in range(_PROFILED_RUNS + 1):
                session.run(None, named)
            events = json.loads(Path(session.end_profiling()).read_text())
        nodes: dict[str, list[float]] = {}
        kinds: dict[str, str] = {}
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                name = event["name"][: -len("_kernel_time")]
                nodes.setdefault(name, []).append(event["dur"] / 1e3)
                kinds[name] = event["args"]["op_name"]
        return [
            {"name": name, "kind": kinds[name], "milliseconds": float(np.median(times[1:] or times))}
            for name, times in nodes.items()
        ]


class OpenVino(Engine):
    packages = ("openvino",)

    def __init__(self) -> None:
        super().__init__()
        import openvino

        self._core = openvino.Core()

    def load(self, model: str, threads: int) -> None:
        self._path, self._threads = model, threads
        compiled = self._compile()
        self.inputs = [_port(i.get_any_name(), i.get_shape(), i.element_type.to_dtype()) for i in compiled.inputs]
        self.outputs = [_port(o.get_any_name(), o.get_shape(), o.element_type.to_dtype()) for o in compiled.outputs]
        self._request = compiled.create_infer_request()

    def _compile(self, **more: Any) -> Any:
        options = {
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # by itself it takes bfloat16 where the processor has it
        }
        return self._core.compile_model(self._path, "CPU", {**options, **more})

    def run(self, arrays: list[Any]) -> list[Any]:
        found = self._request.infer(arrays)
        return [found[index] for index in range(len(self.outputs))]

    def profile(self, arrays: list[Any]) -> list[dict[str, Any]] | None:
        request = self._compile(PERF_COUNT=True).create_infer_request()
        runs = []
        for _ in range(_PROFILED_RUNS + 1):
            request.infer(arrays)
            runs.append({op.node_name: op for op in request.get_profiling_info() if op.real_time.total_seconds()})
        return [
            {
                "name": name,
                "kind": f"{op.node_type} {op.exec_type}",
                "milliseconds": 1e3 * float(np.median([r[name].real_time.total_seconds() for r in runs if name in r])),
            }
            for name, op in runs[-1].items()
        ]


class Mnn(Engine):
    packages = ("MNN",)

    def __init__(self) -> None:
        super().__init__()
        import MNN

        self._mnn = MNN

    def prepare(self, model: str, folder: str) -> str:
        """Convert with what `mnnconvert --detectSparseSpeedUp` calls.

        The script itself is not used: it installs packages for its logging service as soon as it is imported.
        """
        import _tools

        target = str(Path(folder) / (Path(model).stem + ".mnn"))
        options = ["--modelFile", model, "--MNNModel", target, "--bizCode", "bench", "--detectSparseSpeedUp"]
        if not _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *options]) or not Path(target).is_file():
            raise RuntimeError("mnnconvert cannot convert the model")
        return target

    def load(self, model: str, threads: int) -> None:
        mnn = self._mnn
        self._interpreter = mnn.Interpreter(model)
        self._session = self._interpreter.createSession({"numThread": threads, "backend": "CPU", "precision": "high"})
        self._in = self._interpreter.getSessionInputAll(self._session)
        self._out = self._interpreter.getSessionOutputAll(self._session)
        self.inputs = [_port(name, t.getShape(), "float32") for name, t in self._in.items()]
        self.outputs = [_port(name, t.getShape(), "float32") for name, t in self._out.items()]

    def run(self, arrays: list[Any]) -> list[Any]:
        mnn, found = self._mnn, []
        for tensor, array in zip(self._in.values(), arrays):  # noqa: B905
            tensor.copyFrom(mnn.Tensor(array.shape, mnn.Halide_Type_Float, array, tensor.getDimensionType()))
        self._interpreter.runSession(self._session)
        for tensor in self._out.values():
            result = np.zeros(tensor.getShape(), np.float32)
            host = mnn.Tensor(result.shape, mnn.Halide_Type_Float, result, tensor.getDimensionType())
            tensor.copyToHostTensor(host)
            found.append(np.array(host.getNumpyData(), np.float32).reshape(result.shape))
        return found


class DeepSparse(Engine):
    packages = ("deepsparse",)

    def __init__(self) -> None:
        super().__init__()
        os.environ.setdefault("NM_DISABLE_ANALYTICS", "1")
        import deepsparse
        import onnx

        self._module, self._onnx = deepsparse, onnx

    def load(self, model: str, threads: int) -> None:
        self._path = model
        self._engine = self._module.Engine(model, batch_size=1, num_cores=threads)

    def describe(self) -> None:
        graph = self._onnx.load(self._path, load_external_data=False).graph
        self.inputs, self.outputs = _onnx_ports(self._onnx, graph.input), _onnx_ports(self._onnx, graph.output)

    def run(self, arrays: list[Any]) -> list[Any]:
        found: list[Any] = self._engine.run(arrays)
        return found


def _onnx_ports(onnx: Any, values: Any) -> list[dict[str, Any]]:
    return [
        _port(
            value.name,
            [max(1, d.dim_value) for d in value.type.tensor_type.shape.dim],
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in values
    ]


def _port(name: str, shape: Any, dtype: Any) -> dict[str, Any]:
    return {"name": name, "shape": [int(size) for size in shape], "dtype": np.dtype(dtype).name}


class MediaPipe(Engine):
    """Runs whole pipelines, with a worker of its own; this one starts it once when it has been set up."""

    packages = ("mediapipe",)

    def __init__(self) -> None:
        super().__init__()
        importlib.import_module("mediapipe")


ENGINES: dict[str, Any] = {
    "chw": lambda: Delegate("chw", "pocketgraph"),
    "litert": lambda: Delegate("litert", "ai-edge-litert", "ai_edge_litert.interpreter"),
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "mnn": Mnn,
    "deepsparse": DeepSparse,
    "mediapipe": MediaPipe,
}


class ModelSession:
    """Answers the requests of the protocol above, one method each."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._arrays: list[Any] = []
        self._before: int | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        do = request.pop("do", None)
        method = getattr(self, f"do_{do}", None)
        if method is None:
            raise ValueError(f"unknown request {do!r}")
        result: dict[str, Any] = method(**request)
        return result

    def do_prepare(self, model: str, folder: str) -> dict[str, Any]:
        return {"model": self._engine.prepare(model, folder)}

    def do_load(self, model: str, threads: int) -> dict[str, Any]:
        self._before = peak_bytes(reset=True)
        start = time.perf_counter()
        self._engine.load(model, threads)
        seconds = time.perf_counter() - start
        self._engine.describe()
        return {"seconds": seconds, "inputs": self._engine.inputs, "outputs": self._engine.outputs}

    def do_feed(self, files: list[str]) -> dict[str, Any]:
        self._arrays = [np.load(file, allow_pickle=False) for file in files]
        return {}

    def do_run(self, untimed: int, timed: int) -> dict[str, Any]:
        milliseconds = self._engine.time(self._arrays, untimed, timed)
        now = peak_bytes()
        grown = None if now is None or self._before is None else max(0, now - self._before)
        return {"milliseconds": milliseconds, "peak_bytes": grown}

    def do_outputs(self, folder: str) -> dict[str, Any]:
        files = []
        for index, array in enumerate(self._engine.run(self._arrays)):
            files.append(str(Path(folder) / f"{index}.npy"))
            np.save(files[-1], np.ascontiguousarray(array), allow_pickle=False)
        return {"files": files}

    def do_profile(self) -> dict[str, Any]:
        return {"ops": self._engine.profile(self._arrays)}

    def do_quit(self) -> dict[str, Any]:
        return {}


def peak_bytes(*, reset: bool = False) -> int | None:
    """The most memory this process has held (Linux: VmHWM, which `reset` sets to what it holds now)."""
    status = Path("/proc/self/status")
    if status.exists():
        if reset:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextlib.contextmanager
def _private_stdout() -> Iterator[IO[str]]:
    """A stream to the real standard output; whatever engines print goes to standard error instead."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        yield answers


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed: it may be stopped then, and would stay for ever."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG


def serve(make: Any, session_of: Any) -> None:
    """Answer requests from standard input until it ends or says quit; `make()` gives the engine, `session_of(engine)`

    what answers them."""
    _end_with_parent()
    with _private_stdout() as answers:

        def say(answer: dict[str, Any]) -> None:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

        try:
            engine = make()
            session = session_of(engine)
            say({"versions": {**engine.versions(), "python": platform.python_version()}})
        except Exception as error:  # noqa: BLE001 - an engine may raise whatever it likes
            say({"error": _one_line(error)})
            return
        for line in sys.stdin:
            request = json.loads(line)
            last = request.get("do") == "quit"
            try:
                say(session.answer(request))
            except Exception as error:  # noqa: BLE001
                say({"error": _one_line(error)})
            if last:
                return


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:600]


if __name__ == "__main__":
    serve(ENGINES[sys.argv[1]], ModelSession)
