"""The commands `pocketgraph bench MODEL…`, `bench setup ENGINE` and `bench compare A B`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import click

from pocketgraph.models.errors import UsageError
from pocketgraph.models.grouped_help import Grouped, option

T = TypeVar("T")
_WHAT, _HOW, _OUTPUT = "What to measure", "How", "Output"
_EXAMPLES = """\b
Examples:
  # a file in every engine that is set up, one thread and two
  pocketgraph bench model.tflite --threads 1,2
\b
  # what sparsity brings, on random weights, as a page with plots
  pocketgraph bench arch:mobilenet_v1 --sparsity 0,70,80,90 --html speed.html --json speed.json
\b
  # engines with clashing needs get an environment of their own, once
  pocketgraph bench setup openvino
  pocketgraph bench efficientnet_lite0 --engines litert,openvino --baseline openvino
\b
  # did an update change anything?
  pocketgraph bench compare before.json after.json
\b
Other commands (see their --help): pocketgraph bench graph, pocketgraph bench setup, pocketgraph bench compare
"""


class Bench(Grouped):
    """`bench MODEL…`, and the commands whose names come first on the line: those in `others`, made when asked for."""

    others: ClassVar[dict[str, Callable[[], click.Command]]] = {}

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self.others:
            return self.others[args[0]]().make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(cls=Bench, epilog=_EXAMPLES)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@option(_WHAT, "--engines", metavar="NAMES",
        help="Of chw, litert, onnxruntime, openvino, mnn, deepsparse. Default: all that are set up here.")  # fmt: skip
@option(_WHAT, "--threads", default="1", show_default=True, metavar="N[,N]", help="Thread counts.")
@option(_WHAT, "--sparsity", default="0", show_default=True, metavar="P[,P]",
        help="Percent of the weights of 1x1 convolutions to remove, for the timing alone; 0 is the model as"
             " given.")  # fmt: skip
@option(_WHAT, "--pattern", type=click.Choice(["1x1", "4x1"]), default="1x1", show_default=True,
        help="Blocks of output channels that go together.")  # fmt: skip
@option(_HOW, "--baseline", metavar="ENGINE",
        help="What ratios are to. Default: the fastest of litert, onnxruntime, openvino when dense.")  # fmt: skip
@option(_HOW, "--rounds", type=click.IntRange(1), default=30, show_default=True, metavar="N", help="Timed rounds.")
@option(_HOW, "--warmup", type=click.IntRange(0), default=5, show_default=True, metavar="N", help="Rounds before.")
@option(_HOW, "--timeout", type=click.FloatRange(1), default=120.0, show_default=True, metavar="SECONDS",
        help="After which an engine that does not answer is ended.")  # fmt: skip
@option(_HOW, "--profile", is_flag=True, help="Also ask for the time of each op (onnxruntime, openvino).")
@option(_HOW, "--seed", type=int, default=0, show_default=True, metavar="N", help="Of inputs and of the order.")
@option(_OUTPUT, "--json", "json_file", metavar="FILE", help="Write everything as JSON; - is stdout.")
@option(_OUTPUT, "--html", "html_file", metavar="FILE", help="Write a page with plots, one file.")
def bench(models: tuple[str, ...], json_file: str | None, html_file: str | None, **options: Any) -> None:
    """Measure how fast engines run MODEL, as ratios with intervals.

    MODEL is a .tflite or .onnx file, a name of `pocketgraph models list`, or arch:NAME for random weights
    (mobilenet_v1, mobilenet_v2, mobilenet_v3_large, efficientnet_lite0). Each engine runs in a process of its own; all
    take turns round by round, in an order drawn anew each time, and their outputs are compared.
    """
    from pocketgraph.models.staging import Staging
    from pocketgraph.runtime.bench.bench import Plan, run_bench
    from pocketgraph.runtime.bench.page import html_page
    from pocketgraph.runtime.bench.subjects import open_subjects
    from pocketgraph.runtime.bench.table import print_result, progress_bars

    plan = Plan(
        engines=tuple(_engines(options["engines"])),
        threads=tuple(_numbers("--threads", options["threads"], int)),
        sparsities=_percents("--sparsity", options["sparsity"]),
        pattern=options["pattern"],
        baseline=options["baseline"] or "",
        rounds=options["rounds"],
        warmup=options["warmup"],
        seed=options["seed"],
        timeout=options["timeout"],
        peaks=bool(json_file or html_file),
        profile=options["profile"],
    )
    plan.check()
    files = [Path(file) for file in (json_file, html_file) if file and file != "-"]
    with ExitStack() as stack:
        staging = stack.enter_context(Staging(files))
        with progress_bars() as progress:
            command = shlex.join(["pocketgraph", *sys.argv[1:]])
            result = run_bench(open_subjects(list(models), progress), plan, progress, command)
        text = json.dumps(result.to_dict(), indent=2) + "\n"
        if json_file and json_file != "-":
            staging.temporary(Path(json_file)).write_text(text, encoding="utf-8")
        if html_file:
            staging.temporary(Path(html_file)).write_text(html_page(result), encoding="utf-8")
        staging.commit()
    if json_file == "-":
        click.echo(text, nl=False)
    else:
        print_result(result, [str(file) for file in files])


def _engines(text: str | None) -> list[Any]:
    """The engines that `text` names. Raises `UsageError` where one is unknown or cannot run here."""
    from pocketgraph.runtime.bench.engines import default_engines, engine_named, obstacle

    if text is None:
        return default_engines()
    found = [engine_named(name.strip()) for name in text.split(",") if name.strip()]
    for engine in found:
        if not engine.suffix:
            raise UsageError(f"{engine.name} runs whole pipelines, no models: see `pocketgraph bench graph --help`")
        if (reason := obstacle(engine)) is not None:
            raise UsageError(reason)
    return found


def _numbers(name: str, text: str, kind: Callable[[str], T]) -> list[T]:
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{name} is {text!r}: expected numbers separated by commas") from error
    return list(dict.fromkeys(found))


def _percents(name: str, text: str) -> tuple[float, ...]:
    found = sorted(_numbers(name, text, float))
    if any(0 < value < 1 for value in found):
        raise UsageError(f"{name} is {text!r}: it is in percent, so write {100 * min(v for v in found if v > 0):g}")
    if not all(0 <= value < 100 for value in found):
        raise UsageError(f"{name} is {text!r}: expected percents, at least 0 and below 100")
    return tuple(value / 100 for value in found)


@click.command(
    epilog="\b\nExamples:\n  pocketgraph bench setup openvino\n  pocketgraph bench setup deepsparse --python python3.10"
)
@click.argument("engine", type=click.Choice(["openvino", "mnn", "deepsparse", "mediapipe"]))
@click.option("--python", metavar="COMMAND", help="The Python to make it with. Default: the newest on PATH that fits.")
@click.option("--force", is_flag=True, help="Make it anew where it is there.")
def setup(engine: str, python: str | None, force: bool) -> None:
    """Make the environment ENGINE runs in: a virtual environment in your cache, filled by pip."""
    from pocketgraph.runtime.bench import environments
    from pocketgraph.runtime.bench.client import Worker
    from pocketgraph.runtime.bench.engines import engine_named, worker_command_in

    known = engine_named(engine)
    if environments.is_ready(engine) and not force:
        click.echo(f"{engine} is set up in {environments.folder(engine)}; --force makes it anew")
        return

    def start(python_there: Path) -> dict[str, str]:
        with Worker(worker_command_in(python_there, known), name=engine) as worker:
            return worker.versions

    place = environments.set_up(
        engine, known.packages, known.pythons, start, python=python, say=lambda step: click.echo(step, err=True)
    )
    versions = ", ".join(f"{name} {version}" for name, version in environments.facts(engine)["versions"].items())
    click.echo(f"{versions} is set up in {place}")


@click.command(epilog="\b\nExample:\n  pocketgraph bench compare before.json after.json")
@click.argument("before", metavar="A.json")
@click.argument("after", metavar="B.json")
def compare(before: str, after: str) -> None:
    """Show how times changed from A to B, two files of `bench --json`, and what else differs between them.

    A change counts where its 95 % interval leaves out 1. Two runs differ by more than the code: the column `to
    baseline` has the change of the ratio to the baseline, which a slower machine does not move.
    """
    from rich.console import Console
    from rich.markup import escape

    from pocketgraph.runtime.bench.compare import changes, differences, table_of
    from pocketgraph.runtime.bench.result import read_result

    first, second = read_result(before), read_result(after)
    console = Console(highlight=False)
    found = changes(first, second)
    for model in dict.fromkeys(item.key[0] for item in found):
        console.print(f"[bold]{escape(model)}[/bold]", soft_wrap=True)
        console.print(table_of(found, model))
    console.print("[dim]medians in ms; 95 % intervals of the change[/dim]")
    for line in differences(first, second):
        console.print(f"[yellow]{escape(line)}[/yellow]")


Bench.others |= {"compare": lambda: compare, "setup": lambda: setup}
