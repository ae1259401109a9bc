"""More charts as SVG inside a page: values with their intervals in rows, and a curve as small as a word."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from cnnzoo.core.charts import (
    WIDTH,
    draw_text,
    draw_title,
    label_width,
    nice_ticks,
    round_range,
    shorten_label,
    wrap_svg,
)

ROW, HEAD, FOOT = 26, 30, 40  # pixels: of a row, above the rows, and below them
SPARK_WIDTH, SPARK_HEIGHT = 96, 24  # pixels


def interval_chart(
    rows: Sequence[tuple[str, float, float, float]],
    title: str,
    x_label: str,
    *,
    reference: float | None = None,
    format_value: Callable[[float], str] = "{:g}".format,
) -> Markup:
    """Return a chart of values with their intervals, one row for each name (a forest plot).

    Rows whose interval does not contain the reference are orange below it and blue above it; the others are gray and
    have a hollow point, so that they differ without colors too.

    Args:
        rows: (name, value, low, high).
        title: what is shown.
        x_label: what the values measure.
        reference: a value to compare with, such as 0 for differences; None draws all rows in blue.
        format_value: how the ticks of the axis are written.

    Example:
        >>> from cnnzoo.core.small_charts import interval_chart
        >>> interval_chart([("ant", 0.1, 0.02, 0.18)], "Gains", "points", reference=0).startswith("<svg")
        True
    """
    names = [shorten_label(name) for name, *_ in rows]
    values = [value for _, *numbers in rows for value in numbers if math.isfinite(value)]
    values += [] if reference is None else [reference]
    low, high = round_range(min(values, default=0.0), max(values, default=1.0))
    left = min(max([0.0, *map(label_width, names)]) + 10, WIDTH / 2)
    bottom = HEAD + ROW * len(rows)

    def place(value: float) -> float:
        return round(left + (min(max(value, low), high) - low) / ((high - low) or 1) * (WIDTH - 16 - left), 1)

    parts = [draw_title(title)]
    for tick in nice_ticks(low, high, 4):
        parts.append(Markup(f'<path d="M{place(tick)} {HEAD}V{bottom}" stroke="var(--line)"/>'))
        parts.append(draw_text(place(tick), bottom + 16, format_value(tick), "middle"))
    if reference is not None:
        line = f'<path d="M{place(reference)} {HEAD}V{bottom}" stroke="var(--ink)" stroke-dasharray="4 3"/>'
        parts.append(Markup(line))
    for i, (name, (_, value, start, end)) in enumerate(zip(names, rows, strict=True)):
        y = HEAD + ROW * (i + 0.5)
        is_open = reference is not None and start <= reference <= end
        color = "gray" if is_open else "orange" if reference is not None and value < reference else "blue"
        parts.append(draw_text(left - 8, y + 4, name, "end"))
        if all(map(math.isfinite, (value, start, end))):
            parts.append(
                Markup(
                    '<path d="M{} {}H{}" stroke="var(--{})" stroke-width="2"/><circle cx="{}" cy="{}" r="4" '
                    'fill="var(--{})" stroke="var(--{})" stroke-width="2"/>'
                ).format(place(start), y, place(end), color, place(value), y, "ground" if is_open else color, color)
            )
    parts.append(draw_text((left + WIDTH) / 2, bottom + 34, x_label, "middle"))
    return wrap_svg("".join(parts), WIDTH, bottom + FOOT, f"{title}: {x_label}")


def sparkline(values: Sequence[float], label: str, y_range: tuple[float, float] | None = None) -> Markup:
    """Return a curve as small as a word, for a cell of a table; its last point is marked.

    Args:
        values: the values, in order; those that are not finite are left out.
        label: what a screen reader says, such as "validation accuracy, from 12 to 91 %".
        y_range: the smallest and largest value of the axis; by default, those of the values.

    Example:
        >>> from cnnzoo.core.small_charts import sparkline
        >>> sparkline([0.1, 0.7, 0.9], "accuracy, from 10 to 90 %").startswith("<svg")
        True
    """
    points = [(i, value) for i, value in enumerate(values) if math.isfinite(value)]
    low, high = y_range or (min((v for _, v in points), default=0.0), max((v for _, v in points), default=1.0))
    step = (SPARK_WIDTH - 8) / max(len(values) - 1, 1)

    def locate(i: int, value: float) -> str:
        share = (min(max(value, low), high) - low) / ((high - low) or 1)
        return f"{4 + i * step:.1f},{SPARK_HEIGHT - 4 - share * (SPARK_HEIGHT - 8):.1f}"

    places = [locate(i, value) for i, value in points]
    line = Markup('<polyline points="{}" fill="none" stroke="var(--blue)" stroke-width="1.5"/>').format(
        " ".join(places)
    )
    if places:
        x, y = places[-1].split(",")
        line += Markup('<circle cx="{}" cy="{}" r="2.5" fill="var(--blue)"/>').format(x, y)
    return wrap_svg(line, SPARK_WIDTH, SPARK_HEIGHT, label, "spark")
