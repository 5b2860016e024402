"""Commands whose help lists options under headings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_REST = "Run"


class Grouped(click.Command):
    """A command whose help lists options under the headings they were declared with, `Run` where they have none."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(parameter, "heading", _REST), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class _Option(click.Option):
    """An option that knows the heading it is listed under."""

    def __init__(self, *args: Any, heading: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


def option(heading: str, *names: str, **kwargs: Any) -> Callable[[Any], Any]:
    """`click.option`, listed under `heading` by a `Grouped` command."""
    return click.option(*names, cls=_Option, heading=heading, **kwargs)
