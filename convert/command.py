"""The commands `pocketgraph convert` and `pocketgraph explain`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketgraph.models.errors import UsageError
from pocketgraph.models.grouped_help import Grouped, option

if TYPE_CHECKING:
    from pocketgraph.convert.prune.config import PruneConfig
    from pocketgraph.models.preprocess import Preprocess

_TARGETS = ("tflite", "onnx")
_CONVERT_EXAMPLES = """\b
Examples:
  # the model of video calls, 70 % of its weights gone, as .tflite and .onnx, with a report
  pocketgraph convert selfie_segmentation -o selfie.tflite -o selfie.onnx \\
      --sparsity 0.7 --calibration photos/ --report selfie.html
\b
  # only change the format
  pocketgraph convert model.onnx -o model.tflite
\b
  # spare one layer, prune all others by blocks of two output channels, store half floats
  pocketgraph convert efficientnet_lite0 -o small.tflite --sparsity 0.75 --pattern 2x1 \\
      --layer '*head*=0' --dtype f16 --calibration photos/
\b
  # as accurate as it can be within 3 milliseconds on this machine
  pocketgraph convert efficientnet_lite0 -o fast.tflite --latency 3ms --calibration photos/
"""


_OUTPUT, _PRUNING, _CALIBRATION, _RUN = "Output", "Pruning", "Calibration inputs", "Run"


@click.command(cls=Grouped, epilog=_CONVERT_EXAMPLES)
@click.argument("model")
@option(_OUTPUT, "-o", "--output", "outputs", multiple=True, required=True, metavar="FILE",
         help="File to write; .tflite or .onnx gives the format. Repeat for several.")  # fmt: skip
@option(_OUTPUT, "--to", "targets", metavar="FORMATS",
         help="Formats such as tflite,onnx; -o is then a folder or a name without suffix.")  # fmt: skip
@option(_OUTPUT, "--dtype", type=click.Choice(["f32", "f16", "int8"]),
         help="How weights are stored: default f16 where MODEL stores them so, else f32. int8 (.tflite only, extra"
              " int8) also quantises what layers compute, given --calibration.")  # fmt: skip
@option(_OUTPUT, "--sparse-initializers", is_flag=True,
         help="Keep sparse weights sparse in .onnx too (smaller; few engines but ONNX Runtime read it).")  # fmt: skip
@option(_OUTPUT, "--report", metavar="FILE.html", help="Write a report with plots and pictures, one file.")
@option(_OUTPUT, "--labels", metavar="FILE", help="Class names for the report, one a line.")
@option(_OUTPUT, "--json", "json_file", metavar="FILE", help="Write the whole account as JSON; - is stdout.")
@option(_PRUNING, "--sparsity", type=float, metavar="S",
         help="Share of the weights to remove, 0 to 1. Without it or --latency nothing is pruned.")  # fmt: skip
@option(_PRUNING, "--latency", metavar="TIME",
         help="Prune until the model takes no longer than this here: 3ms, 1500us, or 0.6x of the dense model's time."
              " Each layer gets what keeps it at the least error.")  # fmt: skip
@option(_PRUNING, "--engine", type=click.Choice(["chw"]), default="chw", show_default=True,
         help="The engine that --latency is measured in.")  # fmt: skip
@option(_PRUNING, "--layer", "layers", multiple=True, metavar="GLOB=S",
         help="Sparsity of the layers that match; the last match wins. Repeatable.")  # fmt: skip
@option(_PRUNING, "--method", type=click.Choice(["obc", "magnitude"]), default="obc", show_default=True,
         help="OBC corrects what remains for what goes; magnitude drops the smallest.")  # fmt: skip
@option(_PRUNING, "--distribution", type=click.Choice(["uniform", "erk", "global", "measured"]), default="uniform",
         show_default=True, help="How layers share --sparsity; measured: by what each does to outputs.")  # fmt: skip
@option(_PRUNING, "--pattern", type=click.Choice(["1x1", "2x1", "4x1", "8x1"]), default="1x1", show_default=True,
         help="Blocks of output channels that go together.")  # fmt: skip
@option(_PRUNING, "--reorder/--no-reorder", default=True, help="Sort output channels so that blocks fill.")
@option(_PRUNING, "--reestimate/--no-reestimate", default=True,
         help="Restore the mean and variance of every layer's output.")  # fmt: skip
@option(_PRUNING, "--recover", type=click.IntRange(min=0), default=0, metavar="N",
         help="Fine-tune N steps to the dense model's outputs (extra train).")  # fmt: skip
@option(_PRUNING, "--recover-masks", type=click.Choice(["fixed", "rigl"]), default="fixed", show_default=True,
         help="Whether zeros stay where they are meanwhile, or move by RigL.")  # fmt: skip
@option(_CALIBRATION, "--calibration", metavar="PATH",
         help="Folder of pictures, a picture, a video, .npy or .npz. A quarter is held back to verify.")  # fmt: skip
@option(_CALIBRATION, "--verify-with", "held_back", metavar="PATH",
         help="Other inputs to verify with, instead of that quarter.")  # fmt: skip
@option(_CALIBRATION, "--samples", type=click.IntRange(min=1), default=64, show_default=True, metavar="N",
         help="At most this many of them.")  # fmt: skip
@option(
    _CALIBRATION,
    "--scale",
    metavar="X[,Y,Z]",
    help="Pixel values 0..255 are multiplied by this. Default: as the zoo says, else 1/255.",
)
@option(_CALIBRATION, "--offset", metavar="X[,Y,Z]", help="... and this is added.")
@option(_CALIBRATION, "--fit", type=click.Choice(["stretch", "crop", "letterbox"]),
         help="How a picture takes the model's shape. Default: as the zoo says, else stretch.")  # fmt: skip
@option(
    _RUN,
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of the engines.",
)
@option(_RUN, "--seed", type=int, default=0, show_default=True, metavar="N", help="Of every random choice.")
def convert(model: str, outputs: tuple[str, ...], targets: str | None, json_file: str | None, **options: Any) -> None:
    """Convert MODEL, and prune it on the way.

    MODEL is a file (.tflite, .onnx, .keras, a SavedModel folder, a TensorFlow.js model.json) or a name of `pocketgraph
    models list`. Every output is run against the dense model on inputs held back from pruning. Existing files are
    replaced only once everything has succeeded.
    """
    files = output_files(model, outputs, targets)
    prune = _prune_config(options)
    preprocess = _preprocess(model, options["scale"], options["offset"], options["fit"])
    from pocketgraph.convert.conversion import convert_model
    from pocketgraph.convert.terminal import print_result, progress_bars

    with progress_bars() as progress:
        result = convert_model(
            model,
            files,
            prune=prune,
            calibration=options["calibration"],
            held_back=options["held_back"],
            samples=options["samples"],
            preprocess=preprocess,
            dtype=options["dtype"],
            sparse_initializers=options["sparse_initializers"],
            recover=options["recover"],
            recover_masks=options["recover_masks"],
            report=options["report"],
            labels=_labels(options["labels"]),
            json_file=None if json_file == "-" else json_file,
            threads=options["threads"],
            seed=options["seed"],
            progress=progress,
            command=_command_line(),
        )
    if json_file == "-":
        click.echo(json.dumps(result.to_dict(), indent=2))
    else:
        print_result(result)


def output_files(model: str, outputs: tuple[str, ...], targets: str | None) -> list[Path]:
    """The files that -o and --to ask for. Raises `UsageError` where they do not go together."""
    if targets is None:
        return [Path(output) for output in outputs]
    formats = list(dict.fromkeys(part.strip().lower() for part in targets.split(",") if part.strip()))
    unknown = [name for name in formats if name not in _TARGETS]
    if unknown or not formats:
        raise UsageError(f"--to is {targets!r}: give one or more of {', '.join(_TARGETS)}, separated by commas")
    if len(outputs) != 1:
        raise UsageError(f"with --to give one -o, a folder or a name without suffix; there are {len(outputs)}")
    output = Path(outputs[0])
    if output.suffix.lower().lstrip(".") in _TARGETS:
        if formats != [output.suffix.lower().lstrip(".")]:
            raise UsageError(f"--to {targets} and -o {output} disagree: give -o as a folder or a name without suffix")
        return [output]
    if output.is_dir() or outputs[0].endswith("/"):
        output = output / (Path(model).stem or "model")
    return [output.with_name(f"{output.name}.{name}") for name in formats]


def _prune_config(options: dict[str, Any]) -> PruneConfig | None:
    from pocketgraph.convert.prune.config import PruneConfig

    layers = {}
    for text in options["layers"]:
        glob, equals, value = text.rpartition("=")
        try:
            layers[glob] = float(value)
        except ValueError:
            equals = ""
        if not equals or not glob:
            raise UsageError(f"--layer is {text!r}: expected GLOB=SPARSITY such as '*expand*=0.8'")
    if options["latency"] is not None and options["sparsity"] is not None:
        raise UsageError(
            "--latency and --sparsity exclude each other: the one finds out how many weights have to go, the other says"
            " so; to fix single layers give --layer"
        )
    if options["sparsity"] is None and options["latency"] is None and not layers:
        return None
    return PruneConfig(
        sparsity=options["sparsity"] or 0.0,
        layers=layers,
        distribution=options["distribution"],
        pattern=options["pattern"],
        method=options["method"],
        reestimate=options["reestimate"],
        reorder=options["reorder"],
        latency=options["latency"],
        engine=options["engine"],
    )


def _preprocess(model: str, scale: str | None, offset: str | None, fit: Any) -> Preprocess | None:
    """What the options say, the rest from the zoo's entry; None where no option is given."""
    from pocketgraph.models import zoo
    from pocketgraph.models.preprocess import Preprocess

    if scale is None and offset is None and fit is None:
        return None
    known = zoo.entry(model).preprocess if model in zoo.names() else Preprocess()
    return Preprocess(
        fit=fit or known.fit,
        scale=known.scale if scale is None else _numbers("--scale", scale),
        offset=known.offset if offset is None else _numbers("--offset", offset),
        crop_fraction=known.crop_fraction,
    )


def _labels(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the class names in {path}: {error}") from error


def _numbers(option: str, text: str) -> float | tuple[float, float, float]:
    try:
        values = [_fraction(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 1:
        return values[0]
    if len(values) == 3:
        return (values[0], values[1], values[2])
    raise UsageError(f"{option} is {text!r}: expected one number, or three separated by commas, such as 1/255 or -1")


def _fraction(text: str) -> float:
    above, slash, below = text.partition("/")
    if slash and float(below) == 0:
        raise ValueError
    return float(above) / float(below) if slash else float(above)


def _command_line() -> str:
    return shlex.join(["pocketgraph", *sys.argv[1:]])


_EXPLAIN_EXAMPLES = """\b
Examples:
  # by the rules of XNNPACK, the engine of phones and browsers
  pocketgraph explain small.tflite
  pocketgraph explain pose_detection --json
\b
  # in our own engine, measured on this machine
  pocketgraph explain small.tflite --engine chw
"""


@click.command(epilog=_EXPLAIN_EXAMPLES)
@click.argument("model")
@click.option("--engine", type=click.Choice(["xnnpack", "chw"]), default="xnnpack", show_default=True,
              help="xnnpack: by its rules. chw: as our engine runs it here, with times.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def explain(model: str, engine: str, as_json: bool) -> None:
    """Say for each node of MODEL (a file or a zoo name) whether it runs sparse, and if not, which rule stops it."""
    from rich.console import Console

    from pocketgraph.convert.explain import explain_model, render
    from pocketgraph.convert.source import read_source
    from pocketgraph.convert.terminal import progress_bars

    with progress_bars() as progress:
        source = read_source(model, progress)
        explanation = explain_model(source, engine, lambda done, total: progress("time", done, total))
    if as_json:
        click.echo(json.dumps(explanation.to_json(), indent=2))
    else:
        Console(highlight=False).print(render(explanation))
