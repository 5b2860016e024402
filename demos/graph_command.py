"""The commands `pocketgraph graph show | check | run`: what is in a graph, whether it can run, what comes out."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pocketgraph.runtime.graph.graph import CalculatorGraph
    from pocketgraph.runtime.graph.packet import Packet

_RUN_EXAMPLES = """\b
Examples:
  pocketgraph graph run holistic --input clip.mp4 --json packets.jsonl --trace time.json
  pocketgraph graph run stereo.pbtxt --input-stream left=a.mp4 --input-stream right=b.mp4
  pocketgraph graph run mine.pbtxt --import my_calculators.py --input clip.mp4
"""
_NEW = click.Path(dir_okay=False, path_type=Path)
_MOST_NODES = 12  # of a run whose times are shown


def _import(context: click.Context, parameter: click.Parameter, files: tuple[Path, ...]) -> None:  # noqa: ARG001
    import importlib.util
    import sys

    for file in files:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        if spec is None or spec.loader is None:
            raise click.UsageError(f"--import {file}: it is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise click.UsageError(f"--import {file} failed: {type(error).__name__}: {error}") from error


calculators_of = click.option(
    "--import", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True, callback=_import,
    expose_value=False, is_eager=True, metavar="FILE.py", help="Calculators of your own: a file that registers them.",
)  # fmt: skip
"""The option by which a command that reads graphs knows the user's calculators."""


@click.group()
def graph() -> None:
    """Draw, check and run graphs: a file (.pbtxt, .binarypb), or holistic, hands, pose … by name."""


@graph.command(epilog="\b\nExample:\n  pocketgraph graph show hands.pbtxt -o hands.svg")
@click.argument("name", metavar="GRAPH")
@calculators_of
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg",
              help="Write a drawing; without it the graph is printed as text.")  # fmt: skip
@click.option("--expand", "expanded", is_flag=True, help="Replace subgraphs by what is in them.")
def show(name: str, output: Path | None, expanded: bool) -> None:
    """Draw GRAPH as SVG, or print it as text, whichever form the file has."""
    from pocketgraph.graphs.run import graph_file
    from pocketgraph.models.files import write_atomically
    from pocketgraph.runtime.graph.config import read_graph, to_text
    from pocketgraph.runtime.graph.show import draw
    from pocketgraph.runtime.graph.subgraphs import expand

    config = read_graph(graph_file(name))
    if expanded:
        config = expand(config)
    if output is None:
        click.echo(to_text(config), nl=False)
        return
    if output.suffix.lower() != ".svg":
        raise click.UsageError(f"a drawing is written as .svg, not as {output.suffix or output.name!r}")
    write_atomically(output, draw(config))
    click.echo(f"{output}: {len(config.node)} nodes")


@graph.command(epilog="\b\nExample:\n  pocketgraph graph check hands.pbtxt")
@click.argument("name", metavar="GRAPH")
@calculators_of
@click.option("--allow-unknown", is_flag=True, help="List calculators that are not here instead of failing.")
def check(name: str, allow_unknown: bool) -> None:
    """Check that GRAPH can run: names, wiring, types, options. Exits with 2 where it cannot."""
    from pocketgraph.graphs.run import graph_file
    from pocketgraph.runtime.graph.config import read_graph
    from pocketgraph.runtime.graph.validate import validate

    plan = validate(read_graph(graph_file(name)), allow_unknown=allow_unknown)
    for unknown in plan.unknown:
        click.echo(f"unknown: {unknown}")
    edges = ((plan.inputs, "inputs"), (plan.outputs, "outputs"), (plan.side_inputs, "side packets"))
    for tags, what in edges:
        if len(tags):
            click.echo(f"{what}: {', '.join(tags.texts())}")
    problem = f", {len(plan.unknown)} calculators unknown" if plan.unknown else ""
    click.echo(f"{name}: {len(plan.nodes)} nodes, the wiring is good{problem}")


@graph.command(epilog=_RUN_EXAMPLES)
@click.argument("name", metavar="GRAPH")
@calculators_of
@click.option(
    "--input", "single", metavar="FILE|FOLDER", help="What goes into the one input stream: as for --input-stream."
)
@click.option("--input-stream", "inputs", multiple=True, metavar="NAME=FILE",
              help="Frames of a video, picture, folder of pictures or URL as RGB arrays, or the stream NAME of a"
                   " recording.")  # fmt: skip
@click.option("--side-packet", "sides", multiple=True, metavar="NAME=VALUE", help="A value as JSON, or text.")
@click.option("--threads", type=click.IntRange(0, 64), help="Instead of the file's number; 0 is the caller's alone.")
@click.option("--trace", type=_NEW, metavar="FILE.json", help="What ran when, for Chrome's trace viewer.")
@click.option("--json", "json_file", type=_NEW, metavar="FILE.jsonl", help="The packets of the outputs, one a line.")
@click.option("--record", type=_NEW, metavar="FILE.pgrec", help="The packets of the inputs and outputs.")
@click.option("--record-stream", "streams", multiple=True, metavar="NAME", help="Record these streams instead.")
def run(
    name: str,
    single: str | None,
    inputs: tuple[str, ...],
    sides: tuple[str, ...],
    threads: int | None,
    trace: Path | None,
    json_file: Path | None,
    record: Path | None,
    streams: tuple[str, ...],
) -> None:
    """Run GRAPH on files, and say how many packets came out of each output and how long each node took.

    What was recorded until an error or Ctrl-C is kept.
    """
    from pocketgraph.graphs.records import write_packet
    from pocketgraph.graphs.run import graph_file, refuse_unknown
    from pocketgraph.models.staging import Staging
    from pocketgraph.runtime.graph.feed import feed, source_of
    from pocketgraph.runtime.graph.graph import CalculatorGraph
    from pocketgraph.runtime.graph.recording import Recorder

    counts: dict[str, int] = {}
    file = graph_file(name)
    written = [path for path in (trace, json_file, record) if path is not None]
    doubled = next((path for path in written if written.count(path) > 1), None)
    if doubled is not None:
        raise click.UsageError(f"two outputs go to {doubled}: give each its own name")
    with (
        Staging([path for path in written if path != record]) as staging,
        Staging([record] if record else []) as recorded,
        ExitStack() as stack,
    ):
        running = stack.enter_context(CalculatorGraph(file, threads=threads, profile=True))
        files = _pairs(inputs) | ({} if single is None else {_only_input(running): single})
        sources = {stream: source_of(running, stream, path) for stream, path in files.items()}
        unfed = [stream for stream in running.input_names() if stream not in sources]
        if unfed:
            raise click.UsageError(f"nothing goes into {', '.join(unfed)}: give --input-stream NAME=FILE for each")
        lines = None if json_file is None else stack.enter_context(staging.temporary(json_file).open("w"))
        lock = Lock()

        def took(stream: str, packet: Packet) -> None:
            counts[stream] += 1
            if lines is not None:
                line = write_packet(stream, int(packet.timestamp), packet.value)
                with lock:
                    lines.write(line + "\n")

        for stream in running.output_names():
            counts[stream] = 0
            running.observe(stream, partial(took, stream))
        recorder = None if record is None else Recorder(recorded.temporary(record), {"graph": file.name})
        done = False
        try:
            if recorder is not None:
                recorder.watch(running, streams or None)
            packets = {side: _value(text) for side, text in _pairs(sides).items()}
            refuse_unknown(running, packets)
            running.start(packets)
            feed(running, sources)
            done = True
        finally:
            running.close()
            if recorder is not None:
                recorder.close()
                if done or recorder.packets:
                    recorded.commit()
        stack.close()
        profiler = running.profiler
        assert profiler is not None
        if trace is not None:
            profiler.write_trace(staging.temporary(trace))
        staging.commit()
    for stream, number in counts.items():
        click.echo(f"{stream}: {number} packets")
    busy = sorted(
        (profile for profile in profiler.profiles if profile.process.count),
        key=lambda profile: -profile.process.count * profile.process.mean,
    )
    for profile in busy[:_MOST_NODES]:
        process = profile.process
        click.echo(f"  {profile.name}: {process.count} calls, {process.mean / 1000:.2f} ms each")
    rest = sum(profile.process.count * profile.process.mean for profile in busy[_MOST_NODES:]) / 1000
    if rest:
        click.echo(f"  {len(busy) - _MOST_NODES} other nodes: {rest:.2f} ms in all")


def _only_input(running: CalculatorGraph) -> str:
    names = running.input_names()
    if len(names) != 1:
        raise click.UsageError(f"the graph has the input streams {names}: name them with --input-stream NAME=FILE")
    return names[0]


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{text!r} is not NAME=VALUE")
        if name in pairs:
            raise click.UsageError(f"{name!r} is given twice: {pairs[name]} and {value}")
        pairs[name] = value
    return pairs


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
