"""Chatter of native libraries is dropped, anything else they say gets through."""

from __future__ import annotations

import os

import pytest

from pocketgraph.models.native_log import TENSORFLOW_CHATTER, without_lines


def test_only_matching_lines_are_dropped(capfd) -> None:
    with without_lines(TENSORFLOW_CHATTER):
        os.write(2, b"I0000 00:00:1 7 port.cc:153] hello\nE0000 00:00:1 7 real.cc:1] disk on fire\nplain\n")
        os.write(2, b"E0000 00:00:1 7 cuda_platform.cc:52] failed call to cuInit: 303\n")
    assert capfd.readouterr().err == "E0000 00:00:1 7 real.cc:1] disk on fire\nplain\n"


def test_an_error_inside_leaves_standard_error_as_it_was(capfd) -> None:
    with pytest.raises(ZeroDivisionError), without_lines(b"x"):
        os.write(2, b"%d" % (1 // 0))
    os.write(2, b"x after\n")
    assert capfd.readouterr().err == "x after\n"
