"""Tables of text, for the terminal and for logs."""

import io
from collections.abc import Sequence


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their headers, the first flush left and the others right; never cut to the terminal's width."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, show_edge=False)
    for i, header in enumerate(headers):
        grid.add_column(header, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=10_000, markup=False, highlight=False, emoji=False, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
