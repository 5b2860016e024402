"""Programs of `_core` run in order: sealed once, with buffers and packings that fit; the rest is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketgraph.runtime.chw._core import Program, View, lanes

sys.path.insert(0, str(Path(__file__).parent))
try:
    from chw_core_calls import SIZE, Call, new, ones, product
finally:
    sys.path.pop(0)


def test_programs_of_no_sensible_size_are_refused() -> None:
    for arena, externals in ((-1, []), (2**31 + 1, []), (2**63 - 1, []), (16, [-1]), (16, [2**62])):
        with pytest.raises(ValueError, match="too large"):
            Program(arena, externals, 1)
    with pytest.raises(ValueError, match="instruction set"):
        Program(16, [], 1, "abacus")
    with pytest.raises(ValueError, match="instruction set"):
        lanes("abacus")
    Program(0, [], -5).seal()
    Program(16, [], 2**31 - 1).seal()


@pytest.mark.skipif("POCKETGRAPH_COMPILED" in os.environ, reason="sanitizers need more memory than that")
def test_where_the_system_gives_no_more_threads_fewer_do_the_work() -> None:
    code = """
import resource
import numpy as np
from pocketgraph.runtime.chw._core import Program, View
usual = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, usual[1]))
p = Program(100_000, [100_000], 256)
resource.setrlimit(resource.RLIMIT_AS, usual)  # what threads took is not there for anything else
p.fill(View(1, 0, [10, 10_000], [10_000, 1]), 3.0)
p.unary(0, View(1, 0, [100, 1000], [1000, 1]), View(0, 0, [100, 1000], [1000, 1]), 0, 0)
p.seal()
out = np.zeros(100_000, np.float32)
p.run([], [out])
assert (out == 3).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_program_runs_only_when_it_is_sealed_and_changes_only_before() -> None:
    p = new()
    product(p)
    buffers = [ones(100)], [ones(100)]
    for call in (p.run, p.profile):
        with pytest.raises(ValueError, match="not sealed"):
            call(*buffers)
    p.seal()
    p.seal()
    changes: list[Call] = [product, lambda p: p.fill(View(0, 0, [4], [1]), 0), lambda p: p.pack(0, 1, 1, 4)]
    for change in changes:
        with pytest.raises(ValueError, match="sealed"):
            change(p)
    with pytest.raises(ValueError, match="let go of"):
        p.layer(0)
    p.run(*buffers)
    assert p.time_step(0, 1) > 0
    assert p.bytes > SIZE * 4


@pytest.mark.parametrize(
    "buffers",
    [
        ([], []),
        ([ones(100)], []),
        ([ones(100)] * 3, []),
        ([ones(99)], [ones(100)]),
        ([ones(100)], [ones(101)]),
        ([ones(100)], [ones(100), ones(100)]),
    ],
    ids=range(6),
)
def test_buffers_of_wrong_number_or_size_are_refused(buffers: Any) -> None:
    p = new()
    p.seal()
    for call in (p.run, p.profile):
        with pytest.raises(ValueError, match="buffer"):
            call(*buffers)


def test_outputs_that_cannot_be_written_are_refused() -> None:
    p = new()
    p.seal()
    frozen = ones(100)
    frozen.flags.writeable = False
    for bad in (frozen, ones(200)[::2], np.ones(100), np.ones(100, np.int32), [1.0] * 100, None, "text"):
        with pytest.raises(TypeError):
            p.run([ones(100)], [bad])
    with pytest.raises(TypeError):
        p.run(None, [ones(100)])


def test_packings_without_a_kernel_are_refused() -> None:
    p = new()
    product(p)
    p.fill(View(0, 0, [4], [1]), 0)
    bad = [(3, 1, 1), (1, 3, 1), (1, 1, 0), (1, 1, 9), (8, 1, 8), (1, 1, 4, -1), (1, 1, 4, 0, 3), (1, 1, 4, 0, -1)]
    for packing in [*bad, (0, 0, 0), (-1, -1, -1), (2**31 - 1, 1, 1)]:
        with pytest.raises(ValueError, match=r"."):
            p.pack(0, *packing)
    for step in (1, 2, -1, 2**62, -(2**63)):
        for call in (lambda s: p.pack(s, 1, 1, 1), p.layer, lambda s: p.time_step(s, 1)):
            with pytest.raises(ValueError, match=r"."):
                call(step)
    for repeats in (0, -1, 10001):
        with pytest.raises(ValueError, match="times"):
            p.time_step(0, repeats)
    for values in ((1, 1, 2**31), (1, 1, 1, 2**63), (1.5, 1, 1), (None, 1, 1)):
        with pytest.raises(TypeError):
            p.pack(0, *values)
    assert [p.max_vectors(b, n) for b, n in ((0, 0), (3, 3), (-1, 1), (2**31 - 1, 1))] == [0] * 4
    p.pack(0, 1, 1, 1, 2**63 - 1)
