from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketgraph.models.errors import GraphConfigError, GraphRuntimeError
from pocketgraph.runtime.graph.calculator import Calculator
from pocketgraph.runtime.graph.context import Context
from pocketgraph.runtime.graph.contract import Contract
from pocketgraph.runtime.graph.options import OptionsSpec
from pocketgraph.runtime.graph.ports import SideInputs, SideOutputs
from pocketgraph.runtime.graph.registry import register


@register("LocalFileContentsCalculator")
class LocalFileContents(Calculator):
    """Reads whole files into side packets.

    Side packets: FILE_PATH:0, … (str or path). Output: CONTENTS:0, …, as many: bytes, or text with `text_mode`.
    Options (LocalFileContentsCalculatorOptions): text_mode: read UTF-8 text; default false.

    Example:
        node {
          calculator: "LocalFileContentsCalculator"
          input_side_packet: "FILE_PATH:labels_file"
          output_side_packet: "CONTENTS:labels"
          options: { [mediapipe.LocalFileContentsCalculatorOptions.ext] { text_mode: true } }
        }
    """

    paths = SideInputs[Any]("FILE_PATH", (str, Path))
    contents = SideOutputs[Any]("CONTENTS", (str, bytes))
    Options = OptionsSpec("""
message LocalFileContentsCalculatorOptions extends CalculatorOptions at 346849340
  bool text_mode = 1
""")

    @classmethod
    def check(cls, contract: Contract) -> None:
        if contract.count(cls.paths) != contract.count(cls.contents):
            raise GraphConfigError(
                f"it has {contract.count(cls.paths)} FILE_PATH but {contract.count(cls.contents)} CONTENTS"
            )

    def open(self, context: Context) -> None:
        for path, contents in zip(context[self.paths], context[self.contents], strict=True):
            file = Path(path.value)
            try:
                contents.set(file.read_text() if self.options.text_mode else file.read_bytes())
            except (OSError, UnicodeDecodeError) as error:
                raise GraphRuntimeError(f"{file} cannot be read: {error}") from error
