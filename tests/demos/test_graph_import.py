"""Calculators of one's own in the commands that read graphs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pocketgraph.__main__ import main

_CALCULATOR = """
from pocketgraph.runtime.graph import Calculator, Input, Output, register


@register("{name}Calculator")
class Brightness(Calculator):
    image, mean = Input("IMAGE"), Output("MEAN", float)

    def process(self, context):
        context[self.mean].send(float(context[self.image].value.mean()))
"""


def _files(folder: Path, name: str) -> tuple[str, str]:
    (folder / "mine.py").write_text(_CALCULATOR.replace("{name}", name))
    text = 'input_stream: "image" output_stream: "mean" '
    text += f'node {{ calculator: "{name}Calculator" input_stream: "IMAGE:image" output_stream: "MEAN:mean" }}'
    (folder / "g.pbtxt").write_text(text)
    return str(folder / "mine.py"), str(folder / "g.pbtxt")


def test_they_are_known_once_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, graph = _files(tmp_path, "BrightnessOnce")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 6, 3), 40, np.uint8))
    assert main(["graph", "check", graph]) == 2
    assert "BrightnessOnceCalculator" in capsys.readouterr().err
    packets = tmp_path / "packets.jsonl"
    run = ["--import", mine, "--input", str(tmp_path / "a.png"), "--json", str(packets)]
    assert main(["graph", "run", graph, *run]) == 0
    assert "mean: 1 packets" in capsys.readouterr().out
    assert "40.0" in packets.read_text()
    assert main(["graph", "check", graph]) == 0  # known to this process now


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("import nowhere_to_be_found", "ModuleNotFoundError"),
     ("def", "SyntaxError")],
)  # fmt: skip
def test_a_file_that_fails_is_named(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, graph = _files(tmp_path, "Never")
    (tmp_path / "bad.py").write_text(text)
    assert main(["graph", "check", graph, "--import", str(tmp_path / "bad.py")]) == 2
    error = capsys.readouterr().err
    assert "bad.py" in error
    assert said in error


def test_a_side_packet_that_nothing_takes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine, graph = _files(tmp_path, "BrightnessTwice")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 6, 3), np.uint8))
    options = ["--import", mine, "--input", str(tmp_path / "a.png"), "--side-packet", "speed=3"]
    assert main(["graph", "run", graph, *options]) == 2
    assert 'takes a side packet "speed"' in capsys.readouterr().err
