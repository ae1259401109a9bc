"""Tables of text, for the terminal and for logs."""

import io
from collections.abc import Collection, Sequence

from cnnzoo.core.text import escape_controls


def format_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns under their headers: the first aligned left, the others right, whatever the terminal's width."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, show_edge=False)
    for i, header in enumerate(headers):
        grid.add_column(header, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*map(escape_controls, row))
    out = io.StringIO()
    Console(file=out, width=10_000, markup=False, highlight=False, emoji=False, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def align_columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return aligned columns: those whose numbers are in `right` to the right, the others to the left.

    `cnnzoo list` and `cnnzoo info` use it, because importing rich takes as long as all the rest of these commands.
    """
    rows = [list(map(escape_controls, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([f"{cell:{'>' if i in right else '<'}{widths[i]}}" for i, cell in enumerate(row)] for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in lines)
