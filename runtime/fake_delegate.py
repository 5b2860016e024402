"""`FakeDelegate`: a delegate without an engine, for tests of code that runs models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pocketgraph.runtime.delegate import Array, TensorSpec


class FakeDelegate:
    """Answers with what `answer` makes of the inputs, and remembers them.

    Parameters
    ----------
    inputs, outputs
        What the model claims to take and give.
    answer
        From inputs by name to outputs by name.

    `runs` lists the inputs of every run; `closed` says whether it has been closed.
    """

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        answer: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    ) -> None:
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.runs: list[dict[str, Array]] = []
        self.closed = False
        self._answer = answer

    def run(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> dict[str, Array]:
        self.runs.append(dict(inputs))
        results = dict(self._answer(inputs))
        for name, given in (outputs or {}).items():
            given[...] = results[name]
            results[name] = given
        return results

    def close(self) -> None:
        self.closed = True
