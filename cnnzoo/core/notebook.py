"""What objects show in a notebook: a short summary in HTML, made of the parts of pages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnzoo.core.numbers import format_share
from cnnzoo.core.tiles import MAX_PICTURE_BYTES, Tile, fit_thumbnails

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_BYTES = 100_000  # of what one object shows
MAX_CHART_BYTES = 60_000  # of all charts together; those that do not fit are left out
STYLE_BYTES = 13_000  # of the style, and of texts of usual length
MAX_ROWS = 20  # of a table
TEXT_LENGTHS = (300, 80, 20)  # letters of a line; the largest that keeps within the bytes
CELL_SHARE = 1 / 4  # of these, for a cell of a table
NUMBER = re.compile(r"([-+]?[\d.,]+(\u00a0%)?)?")  # aligned right; other cells are text
SMALL_SIDE = 64  # pixels; smaller images are enlarged without blur


class NotebookTable(NamedTuple):
    """A table of a summary; of many rows, the first are shown.

    Attributes:
        caption: what it shows.
        headers: names of the columns; none for a table of names and values.
        rows: the cells, as text.
        folded: whether a click unfolds it.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    folded: bool = False


def render_notebook(
    title: str,
    *,
    headline: str = "",
    lines: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    charts: Sequence[tuple[Markup, str]] = (),
    tables: Sequence[NotebookTable] = (),
    tiles: Sequence[Tile] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return a summary for a notebook, of less than 100 kB, in the notebook's light or dark theme.

    Its style applies to nothing else in the notebook. Every name is escaped.

    Args:
        title: what is shown.
        headline: one large figure.
        lines: what stands below it.
        facts: names and values, in a table without a header.
        charts: SVG elements with their captions; those that are too large are left out.
        tables: the tables, each of up to 20 rows.
        tiles: images with captions and bars, as small as it takes.
        notes: what else a reader should know.
    """
    shown_charts, bytes_left = [], MAX_CHART_BYTES
    for chart, caption in charts:
        if len(chart) <= bytes_left:
            shown_charts.append((chart, caption))
            bytes_left -= len(chart)
    uris = fit_thumbnails(tiles, min(MAX_PICTURE_BYTES, MAX_BYTES - STYLE_BYTES - MAX_CHART_BYTES + bytes_left))
    summary = Summary(title, headline, lines, facts or {}, shown_charts, tables, tiles, uris, notes)
    html = summary.render(TEXT_LENGTHS[0])
    for text_length in TEXT_LENGTHS[1:]:
        if len(html) <= MAX_BYTES:
            break
        summary = summary._replace(uris=uris[: len(uris) // 2])
        html = summary.render(text_length)
    return html


class Summary(NamedTuple):
    """What `render_notebook` shows, with the pictures of the first tiles."""

    title: str
    headline: str
    lines: Sequence[str]
    facts: Mapping[str, Any]
    charts: Sequence[tuple[Markup, str]]
    tables: Sequence[NotebookTable]
    tiles: Sequence[Tile]
    uris: Sequence[str]
    notes: Sequence[str]

    def render(self, text_length: int) -> str:
        """Return the summary as HTML, with texts of at most this length."""
        from cnnzoo.core.pages import render_page

        def cut(value: Any) -> str:
            return shorten(value, text_length)

        cell_length = int(text_length * CELL_SHARE)
        return render_page(
            "cnnzoo.core",
            "notebook.html",
            title=cut(self.title),
            headline=self.headline,
            lines=list(map(cut, self.lines[:MAX_ROWS])),
            facts=[(cut(name), cut(value)) for name, value in self.facts.items() if value not in (None, "")],
            charts=[(chart, cut(caption)) for chart, caption in self.charts],
            tables=[_cut_table(table, cell_length) for table in self.tables if table.rows],
            pictures=[
                _describe_tile(tile, uri, self.title, cell_length)
                for tile, uri in zip(self.tiles, self.uris, strict=False)
            ],
            pictures_left_out=len(self.tiles) - len(self.uris),
            notes=list(map(cut, self.notes[:MAX_ROWS])),
        )


def _describe_tile(tile: Tile, uri: str, title: str, length: int) -> dict[str, Any]:
    return {
        "uri": uri,
        "alt": shorten(", ".join(tile.lines) or title, length),
        "pixelated": tile.pixels is not None and max(tile.pixels.shape[:2]) <= SMALL_SIDE,
        "lines": [shorten(line, length) for line in tile.lines],
        "problem": shorten(tile.problem, length),
        "bars": [(shorten(name, length), 100 * share, format_share(share)) for name, share in tile.shares],
    }


def _cut_table(table: NotebookTable, length: int) -> dict[str, Any]:
    rows = [[shorten(cell, length) for cell in row] for row in table.rows[:MAX_ROWS]]
    return {
        "caption": shorten(table.caption, length),
        "headers": [shorten(header, length) for header in table.headers],
        "rows": rows,
        "words": [i for i, column in enumerate(zip(*rows, strict=True)) if not all(map(NUMBER.fullmatch, column))],
        "more": len(table.rows) - len(rows),
        "folded": table.folded,
    }


def shorten(value: Any, length: int) -> str:
    """Return a value as text of at most `length` letters, in which a number and its percent sign stay together."""
    text = str(value).replace(" %", "\u00a0%")
    return text if len(text) <= length else f"{text[:length]}…"
