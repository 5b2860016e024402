"""A test double: an engine whose times, outputs and failures are given. It runs no model and speaks the real protocol.

    Fake("steady", milliseconds=2.0, speedup=3.0).engine()

makes an `Engine` for `run_bench`. Its worker reads the file it is handed only for the share of zeros its name ends in
(as `model_70.onnx` does), and says that a run takes `milliseconds`, or as many divided by `speedup` where there are
zeros, a little more every round. Outputs are the mean of the inputs, times `scale`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from pocketgraph.runtime.bench.engines import Engine

Failure = Literal["", "dies", "hangs", "rubbish", "nonsense", "refuses"]


@dataclass(frozen=True)
class Fake:
    """What the double does. `failure` is what happens when it is asked to do `failing`."""

    name: str = "fake"
    milliseconds: float = 1.0
    speedup: float = 1.0
    scale: float = 1.0
    failure: Failure = ""
    failing: str = "load"
    suffix: str = ".tflite"

    def command(self) -> list[str]:
        """The command line of its worker."""
        return [sys.executable, "-m", "pocketgraph.runtime.bench.fake", json.dumps(asdict(self))]

    def engine(self) -> Engine:
        """It, as an engine to bench."""
        from pocketgraph.runtime.bench.engines import Engine

        return Engine(self.name, self.suffix, command=tuple(self.command()))


def _main(fake: Fake) -> None:
    from pocketgraph.runtime.bench import worker

    class Double(worker.Engine):
        def versions(self) -> dict[str, str]:
            return {fake.name: "1.0"}

        def load(self, model: str, threads: int) -> None:
            self._fail("load")
            ending = Path(model).stem.rpartition("_")[2]
            self._sparse = ending.replace(".", "").isdigit() and float(ending) > 0
            self._threads, self._rounds = threads, 0
            from pocketgraph.models.files import read_model

            graph = read_model(model).main
            for ports, tensors in ((self.inputs, graph.inputs), (self.outputs, graph.outputs)):
                ports.extend({"name": t.name, "shape": list(t.shape), "dtype": t.dtype.value} for t in tensors)

        def run(self, arrays: list[Any]) -> list[Any]:
            self._fail("outputs")
            value = fake.scale * float(np.mean([array.mean() for array in arrays]))
            return [np.full(port["shape"], value, port["dtype"]) for port in self.outputs]

        def time(self, arrays: list[Any], untimed: int, timed: int) -> list[float]:  # noqa: ARG002
            self._fail("run")
            self._rounds += timed
            base = fake.milliseconds / (fake.speedup if self._sparse else 1.0) / self._threads
            return [base * (1 + 0.001 * (self._rounds + index)) for index in range(timed)]

        def profile(self, arrays: list[Any]) -> list[dict[str, Any]] | None:  # noqa: ARG002
            self._fail("profile")
            return [{"name": "all", "kind": "FAKE", "milliseconds": fake.milliseconds}]

        def _fail(self, doing: str) -> None:
            if doing != fake.failing:
                return
            if fake.failure == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if fake.failure == "hangs":
                time.sleep(3600)
            if fake.failure == "rubbish":
                os.write(_ANSWERS[0], b"Segmentation what?\n")
            if fake.failure == "nonsense":
                os.write(_ANSWERS[0], b'{"milliseconds": [-1], "peak_bytes": 0}\n')
            if fake.failure == "refuses":
                raise RuntimeError("this model has an operator I do not know")

    _ANSWERS.append(os.dup(1))
    worker.serve(Double, worker.ModelSession)


_ANSWERS: list[int] = []

if __name__ == "__main__":
    _main(Fake(**json.loads(sys.argv[1])))
