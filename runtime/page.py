"""What the HTML reports share: a self-contained page, its sections and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pocketgraph.runtime.page_style import STYLE


def page(title: str, body: str) -> str:
    """The page as text. `body` is HTML, `title` is not; style is inside, nothing is loaded."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    )


def section(title: str, note: str, body: str) -> str:
    """A card with a heading and a sentence below it. `body` is HTML, the others are text."""
    intro = f'<p class="soft small">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{intro}{body}</section>"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), names: Sequence[int] = ()
) -> str:
    """A table of texts. `numbers` are the columns to align right, `names` those that may break anywhere."""

    def cell(tag: str, index: int, text: str) -> str:
        style = ' class="n"' if index in numbers else ' class="name"' if index in names else ""
        return f"<{tag}{style}>{escape(text)}</{tag}>"

    lines = ["".join(cell("th", i, text) for i, text in enumerate(head))]
    lines += ["".join(cell("td", i, text) for i, text in enumerate(row)) for row in rows]
    return '<div class="scroll"><table>' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"
