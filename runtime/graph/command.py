"""The commands `pocketgraph graph show | check | run`: what is in a graph file, whether it can run, what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW = click.Path(dir_okay=False, path_type=Path)


@click.group()
def graph() -> None:
    """Draw, check and run graph files (.pbtxt, .binarypb)."""


@graph.command(epilog="\b\nExample:\n  pocketgraph graph show hands.pbtxt -o hands.svg")
@click.argument("file", type=_FILE, metavar="GRAPH")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg",
              help="Write a drawing; without it the graph is printed as text.")  # fmt: skip
@click.option("--expand", "expanded", is_flag=True, help="Replace subgraphs by what is in them.")
def show(file: Path, output: Path | None, expanded: bool) -> None:
    """Draw GRAPH as SVG, or print it as text, whichever form the file has."""
    from pocketgraph.models.files import write_atomically
    from pocketgraph.runtime.graph.config import read_graph, to_text
    from pocketgraph.runtime.graph.show import draw
    from pocketgraph.runtime.graph.subgraphs import expand

    config = read_graph(file)
    if expanded:
        config = expand(config)
    if output is None:
        click.echo(to_text(config), nl=False)
        return
    write_atomically(output, draw(config))
    click.echo(f"{output}: {len(config.node)} nodes")


@graph.command(epilog="\b\nExample:\n  pocketgraph graph check hands.pbtxt")
@click.argument("file", type=_FILE, metavar="GRAPH")
@click.option("--allow-unknown", is_flag=True, help="List calculators that are not here instead of failing.")
def check(file: Path, allow_unknown: bool) -> None:
    """Check that GRAPH can run: names, wiring, types, options. Exits with 2 where it cannot."""
    from pocketgraph.runtime.graph.config import read_graph
    from pocketgraph.runtime.graph.validate import validate

    plan = validate(read_graph(file), allow_unknown=allow_unknown)
    for name in plan.unknown:
        click.echo(f"unknown: {name}")
    edges = ((plan.inputs, "inputs"), (plan.outputs, "outputs"), (plan.side_inputs, "side packets"))
    for tags, what in edges:
        if len(tags):
            click.echo(f"{what}: {', '.join(tags.texts())}")
    problem = f", {len(plan.unknown)} calculators unknown" if plan.unknown else ""
    click.echo(f"{file}: {len(plan.nodes)} nodes, the wiring is good{problem}")


@graph.command(epilog="\b\nExample:\n  pocketgraph graph run hands.pbtxt --input-stream image=clip.mp4")
@click.argument("file", type=_FILE, metavar="GRAPH")
@click.option("--input-stream", "inputs", multiple=True, metavar="NAME=FILE",
              help="Frames of a video, picture or URL as RGB arrays, or the stream NAME of a recording.")  # fmt: skip
@click.option("--side-packet", "sides", multiple=True, metavar="NAME=VALUE", help="A value as JSON, or text.")
@click.option("--threads", type=click.IntRange(0, 64), help="Instead of the file's number; 0 is the caller's alone.")
@click.option("--trace", type=_NEW, metavar="FILE.json", help="What ran when, for Chrome's trace viewer.")
@click.option("--record", type=_NEW, metavar="FILE.pgrec", help="The packets of the inputs and outputs.")
@click.option("--record-stream", "streams", multiple=True, metavar="NAME", help="Record these streams instead.")
def run(
    file: Path,
    inputs: tuple[str, ...],
    sides: tuple[str, ...],
    threads: int | None,
    trace: Path | None,
    record: Path | None,
    streams: tuple[str, ...],
) -> None:
    """Run GRAPH on files, and say how many packets came out of each output and how long each node took.

    What was recorded until an error or Ctrl-C is kept.
    """
    from pocketgraph.models.staging import Staging
    from pocketgraph.runtime.graph.feed import feed, source_of
    from pocketgraph.runtime.graph.graph import CalculatorGraph
    from pocketgraph.runtime.graph.recording import Recorder

    counts: dict[str, int] = {}

    def count(name: str) -> None:
        counts[name] += 1

    if trace is not None and trace == record:
        raise click.UsageError(f"trace and recording both go to {trace}: give each its own name")
    with Staging([trace] if trace else []) as staging, Staging([record] if record else []) as recorded:
        running = CalculatorGraph(file, threads=threads, profile=True)
        sources = {name: source_of(running, name, path) for name, path in _pairs(inputs).items()}
        for name in running.output_names():
            counts[name] = 0
            running.observe(name, lambda _, to=name: count(to))  # type: ignore[misc]
        recorder = None if record is None else Recorder(recorded.temporary(record), {"graph": file.name})
        done = False
        try:
            if recorder is not None:
                recorder.watch(running, streams or None)
            running.start({name: _value(text) for name, text in _pairs(sides).items()})
            feed(running, sources)
            done = True
        finally:
            running.close()
            if recorder is not None:
                recorder.close()
                if done or recorder.packets:
                    recorded.commit()
        profiler = running.profiler
        assert profiler is not None
        if trace is not None:
            profiler.write_trace(staging.temporary(trace))
        staging.commit()
    for name, number in counts.items():
        click.echo(f"{name}: {number} packets")
    for profile in profiler.profiles:
        process = profile.process
        click.echo(f"  {profile.name}: {process.count} calls, {process.mean / 1000:.2f} ms each")


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
