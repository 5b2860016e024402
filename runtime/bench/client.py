"""`Worker`: the other end of `worker.py`'s protocol, for a process that may die, hang or talk nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any

from typing_extensions import Self

from pocketgraph.models.errors import EngineError

_LONGEST_ANSWER = 64 << 20
_QUIT_SECONDS = 5.0
_TELLING = re.compile(r"\[?[\w.]*(error|exception|assertion|abort|fatal|terminate|cannot)", re.IGNORECASE)
"""Of what a process says before it dies, the lines worth passing on."""
_CAN_STOP = hasattr(signal, "SIGSTOP")


class Worker:
    """A process that answers lines of JSON. Use in a `with` block: it is gone at the end, whatever state it is in.

    `name` is how messages call it; `timeout` the seconds that one answer may take. Starting it waits for its first
    line; `versions` are those of the engine. Raises `EngineError`, as `ask` does.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        timeout: float = 120.0,
        environment: Mapping[str, str] | None = None,
        folder: str | None = None,
    ) -> None:
        self.name = name
        self._timeout = timeout
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                cwd=folder,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            self._log.close()
            raise EngineError(f"{name}: starting {command[0]} failed: {error.strerror}") from error
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, self._lines), daemon=True)
        self._reader.start()
        try:
            self.versions: dict[str, str] = self._answer("starting").get("versions", {})
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """Send one request and wait for its answer. Raises `EngineError` with what the worker says, or what befell it.

        After an error that the worker told itself it can be asked again; else it has been ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._dead(do) from error
        return self._answer(do)

    def pause(self) -> None:
        """Stop the process, its threads too, so that it takes nothing from others; where the system can."""
        if _CAN_STOP and self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        if _CAN_STOP and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ask it to quit, and end it where it does not. Closing twice is fine."""
        if self._log.closed:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._process.poll() is None:
            self.resume()
            with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
                self._process.stdin.write(b'{"do": "quit"}\n')
                self._process.stdin.close()
                self._process.wait(_QUIT_SECONDS)
        self._end()
        with contextlib.suppress(OSError):  # it may still hold what nobody read
            self._process.stdin.close()
        self._reader.join()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, do: str) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            self._end()
            raise EngineError(f"{self.name}: no answer to {do!r} in {self._timeout:g} seconds, ended it") from None
        if line is None:
            raise self._dead(do)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            self._end()
            raise EngineError(f"{self.name}: answered {do!r} with {line[:80]!r}, expected a JSON object; ended it")
        if "error" in answer:
            raise EngineError(f"{self.name}: {' '.join(str(answer['error']).split())}")
        return answer

    def _dead(self, do: str) -> EngineError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_QUIT_SECONDS)
        self._end()
        code = self._process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 and -code in list(signal.Signals) else f"exit {code}"
        said = self._last_line()
        return EngineError(f"{self.name}: died at {do!r} ({how}){f', saying {said!r}' if said else ''}")

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _last_line(self) -> str:
        if self._log.closed:
            return ""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - (1 << 16)))
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if _TELLING.match(line)]
        return (telling or lines or [""])[-1][:300]


def _read(stream: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    """Pass on lines until the stream ends; a line without end counts as the end, after what there is of it."""
    while True:
        line = stream.readline(_LONGEST_ANSWER)
        if line:
            lines.put(line)
        if not line.endswith(b"\n"):
            lines.put(None)
            return
