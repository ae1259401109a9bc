"""Small charts as SVG inside a page: curves, points with intervals, and bars; `core.matrix_chart` has the matrix.

They use the color variables of `page.css`, so that they follow the theme of the page, and they are drawn for the width
of a phone, so that their text stays readable there. Every name is escaped.
"""

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from cnnzoo.core.text import escape_controls

WIDTH, HEIGHT = 360, 260  # of a plot, in pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 44, 40  # margins around the plotted area
LETTER = 7.2  # pixels, the mean width of a letter in a wide font
MAX_LABEL = 22  # letters of a name beside a chart


def shorten_label(name: str, length: int = MAX_LABEL) -> str:
    """Return a name for the side of a chart: without control characters, and shortened in its middle."""
    name = " ".join(escape_controls(name[:10_000]).split())
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"


def label_width(text: str) -> float:
    """Return about how wide a text is, in pixels; letters of East Asian scripts are twice as wide as others."""
    return LETTER * sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def format_percent(value: float) -> str:
    """Return a share as a short percentage, for the ticks of an axis."""
    return f"{100 * value:.4g} %"


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from `low` to `high`.

    Example:
        >>> from cnnzoo.core.charts import nice_ticks
        >>> nice_ticks(0.13, 0.98)
        [0.2, 0.4, 0.6, 0.8]
    """
    if not high > low:
        return [low]
    magnitude = 10 ** math.floor(math.log10((high - low) / count))
    step = next(m * magnitude for m in (1, 2, 5, 10) if (high - low) / (m * magnitude) <= count)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def round_range(low: float, high: float) -> tuple[float, float]:
    """Return the range from `low` to `high`, extended to the next ticks, so that both its ends have a number.

    Example:
        >>> from cnnzoo.core.charts import round_range
        >>> round_range(0.53, 1.0)
        (0.5, 1.0)
    """
    ticks = nice_ticks(low, high)
    if len(ticks) < 2:
        return low, high
    step = ticks[1] - ticks[0]
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return float(f"{first * step:.10g}"), float(f"{last * step:.10g}")


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten from `low` to `high`, or the ends of a range that has less than two of them."""
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    ticks = [float(f"1e{power}") for power in powers]
    return ticks[:: len(ticks) // 8 + 1] if len(ticks) > 1 else [low, high]


@dataclass
class Plot:
    """A plot of two axes, to which curves, points and bars are added.

    Attributes:
        title: what is shown.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis.
        x_range: its smallest and largest value.
        y_range: its smallest and largest value.
        log_x: whether the horizontal axis is logarithmic.
        whole_x: whether it counts something, so that its ticks are whole numbers.
        format_x: how the ticks of the horizontal axis are written.
        format_y: the same of the vertical axis.

    Example:
        >>> from cnnzoo.core.charts import Plot
        >>> plot = Plot("Loss", "epoch", "loss", x_range=(1, 3), y_range=(0, 2))
        >>> plot.add_line([1, 2, 3], [1.9, 1.1, 0.8], "blue", "training")
        >>> plot.to_svg().startswith("<svg")
        True
    """

    title: str
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log_x: bool = False
    whole_x: bool = False
    format_x: Callable[[float], str] = "{:g}".format
    format_y: Callable[[float], str] = "{:g}".format
    _marks: list[Markup] = field(default_factory=list)
    _legend: list[tuple[str, Markup]] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Return the horizontal position of a value, in pixels."""
        low, high, value = (*map(math.log, (*self.x_range, value)),) if self.log_x else (*self.x_range, value)
        return round(LEFT + (value - low) / ((high - low) or 1) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Return the vertical position of a value, in pixels."""
        low, high = self.y_range
        return round(HEIGHT - BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - TOP - BOTTOM), 1)

    def add_line(
        self, xs: Sequence[float], ys: Sequence[float], color: str, name: str = "", dashed: bool = False
    ) -> None:
        """Add a curve through points; those that are not finite are left out."""
        points = [f"{self.x(x)},{self.y(y)}" for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
        style = Markup('fill="none" stroke="var(--{})" stroke-width="2"{}').format(
            color, Markup(' stroke-dasharray="5 4"') if dashed else ""
        )
        self._marks.append(Markup('<polyline points="{}" {}/>').format(" ".join(points), style))
        if len(points) == 1:
            self.add_points(xs, ys, color)
        if name:
            self._legend.append((name, Markup('<path d="M0 -4h16" {}/>').format(style)))

    def add_points(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        color: str,
        name: str = "",
        *,
        intervals: Sequence[Sequence[float]] | None = None,
        cross: bool = False,
    ) -> None:
        """Add points as dots or crosses, with vertical intervals (low, high) if there are some."""
        shape = 'd="M-3.5 -3.5l7 7m0 -7l-7 7"' if cross else 'd="M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0"'
        style = f'stroke="var(--{color})" stroke-width="1.5" fill="{"none" if cross else f"var(--{color})"}"'
        for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if intervals is not None:
                ends = [self.y(bound) for bound in intervals[i]]
                bar = f"M{self.x(x)} {ends[0]}V{ends[1]}m-3 0h6M{self.x(x) - 3} {ends[0]}h6"
                self._marks.append(Markup(f'<path d="{bar}" {style}/>'))
            self._marks.append(Markup(f'<path transform="translate({self.x(x)} {self.y(y)})" {shape} {style}/>'))
        if name:
            self._legend.append((name, Markup(f'<path transform="translate(8 -4)" {shape} {style}/>')))

    def add_vertical(self, x: float, name: str, color: str = "gray") -> None:
        """Add a dashed line across the plot at a value of the horizontal axis."""
        self.add_line([x, x], self.y_range, color, name, dashed=True)

    def to_svg(self) -> Markup:
        """Return the plot as an SVG element."""
        ticks = log_ticks(*self.x_range) if self.log_x else nice_ticks(*self.x_range, 6)
        if self.whole_x:
            ticks = sorted({float(round(tick)) for tick in ticks})
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = [draw_title(self.title)]
        if self.y_label.casefold() != self.title.casefold():
            parts.append(draw_text(0, TOP - 12, self.y_label))
        for tick in nice_ticks(*self.y_range):
            parts.append(Markup(f'<path d="M{LEFT} {self.y(tick)}H{right}" stroke="var(--line)"/>'))
            parts.append(draw_text(LEFT - 6, self.y(tick) + 4, self.format_y(tick), "end"))
        for tick in ticks:
            parts.append(Markup(f'<path d="M{self.x(tick)} {bottom}v4" stroke="var(--gray)"/>'))
            parts.append(draw_text(self.x(tick), bottom + 17, self.format_x(tick), "middle"))
        parts.append(Markup(f'<path d="M{LEFT} {bottom}H{right}" stroke="var(--gray)"/>'))
        parts.append(draw_text((LEFT + right) / 2, HEIGHT - 6, self.x_label, "middle"))
        parts += self._marks
        legend, height = self._draw_legend()
        label = f"{self.title}: {self.y_label} over {self.x_label}"
        return wrap_svg("".join([*parts, legend]), WIDTH, HEIGHT + height, label)

    def _draw_legend(self) -> tuple[Markup, int]:
        """Return the entries of the legend below the plot, in as many rows as they need, and their height."""
        entries, x, y = [], 0.0, HEIGHT + 14
        for name, sample in self._legend:
            name = shorten_label(name, 48)
            width = 22 + label_width(name) + 14
            if x and x + width > WIDTH:
                x, y = 0.0, y + 18
            entries.append(
                Markup('<g transform="translate({:.0f} {})">{}<text x="22">{}</text></g>').format(x, y, sample, name)
            )
            x += width
        return Markup("").join(entries), (y + 8 - HEIGHT) if entries else 0


def bar_chart(
    values: Mapping[str, float], title: str, x_label: str, format_value: Callable[[float], str] = "{:,g}".format
) -> Markup:
    """Return a chart of one horizontal bar for each name, with its value at its end.

    Args:
        values: the values, none of which is negative, by name; shown in this order.
        title: what is shown.
        x_label: what the bars measure.
        format_value: how a value is written.
    """
    names = {name: shorten_label(name) for name in values}
    texts = [format_value(value) for value in values.values()]
    left = min(max([0.0, *map(label_width, names.values())]) + 8, WIDTH / 2)
    room = WIDTH - left - max([0.0, *map(label_width, texts)]) - 8
    largest = max([*values.values(), 0.0]) or 1
    parts = [draw_title(title)]
    for i, ((name, value), text) in enumerate(zip(values.items(), texts, strict=True)):
        y, width = 26 + 22 * i, room * value / largest
        bar = '<rect x="{:.1f}" y="{}" width="{:.1f}" height="16" fill="var(--blue)"><title>{}: {}</title></rect>'
        parts.append(draw_text(left - 6, y + 13, names[name], "end"))
        parts.append(Markup(bar).format(left, y, width, shorten_label(name, 60), text))
        parts.append(draw_text(left + width + 5, y + 13, text))
    height = 26 + 22 * len(values) + 18
    parts.append(draw_text(left + room / 2, height - 4, x_label, "middle"))
    return wrap_svg("".join(parts), WIDTH, height, f"{title}: {x_label}")


def draw_text(x: float, y: float, content: str, anchor: str = "start", style: str = "") -> Markup:
    """Return a text at a place; `anchor` says which end of it is there: "start", "middle" or "end".

    Args:
        x: horizontal place, in pixels.
        y: vertical place of its base line.
        content: the text.
        anchor: "start", "middle" or "end".
        style: more attributes, as SVG.
    """
    place = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" {}>{}</text>')
    return place.format(x, y, anchor, Markup(style), content)


def draw_title(title: str) -> Markup:
    """Return the title of a chart."""
    return draw_text(0, 14, title, style='font-weight="600" font-size="14"')


def wrap_svg(content: str, width: float, height: float, label: str, kind: str = "") -> Markup:
    """Return an SVG element with its alternative text, whose text has the color of the page."""
    return Markup(
        '<svg class="chart {}" role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" height="{:.0f}" '
        'fill="currentColor">{}</svg>'
    ).format(kind, escape_controls(label), width, height, width, height, Markup(content))
