"""The commands `pocketgraph graph show | check`: what is in a graph file, and whether it can run."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def graph() -> None:
    """Draw and check graph files (.pbtxt, .binarypb)."""


@graph.command(epilog="\b\nExample:\n  pocketgraph graph show hands.pbtxt -o hands.svg")
@click.argument("file", type=_FILE, metavar="GRAPH")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg",
              help="Write a drawing; without it the graph is printed as text.")  # fmt: skip
@click.option("--expand", "expanded", is_flag=True, help="Replace subgraphs by what is in them.")
def show(file: Path, output: Path | None, expanded: bool) -> None:
    """Draw GRAPH as SVG, or print it as text, whichever form the file has."""
    from pocketgraph.runtime.graph.config import read_graph, to_text
    from pocketgraph.runtime.graph.show import draw
    from pocketgraph.runtime.graph.subgraphs import expand

    config = read_graph(file)
    if expanded:
        config = expand(config)
    if output is None:
        click.echo(to_text(config), nl=False)
        return
    output.write_text(draw(config))
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
