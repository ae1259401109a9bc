"""The confusion matrix as SVG inside a page: with names and numbers, or as an overview of many classes."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from cnnzoo.core.charts import draw_text, label_width, shorten_label, wrap_svg
from cnnzoo.core.numbers import format_share

# With more classes than these, a matrix has no row percentages, no counts, or no names of classes.
MAX_WITH_SHARES, MAX_WITH_COUNTS, MAX_NAMED = 12, 25, 50
CELL_SIDES = {4: 72, MAX_WITH_SHARES: 46, MAX_WITH_COUNTS: 30, MAX_NAMED: 15}  # pixels, up to so many classes
LARGE_SIDE = 600  # pixels; the side of a matrix without names
MATRIX_OPACITY = 0.45  # of the color of a full cell, so that text on it keeps its contrast
COLOR_LEVELS = 8  # of the cells of a large matrix
MAX_LARGE_CELLS = 20_000  # of a large matrix; of more mistakes, the most frequent are drawn
MAX_TOOLTIP = 60  # letters of a name in a tooltip
MAX_TOOLTIPS = 200  # cells of a large matrix that have a tooltip: the mistakes that are most frequent
OTHERS = "other classes"  # the column of classes that are not shown


def matrix_chart(matrix: np.ndarray, classes: Sequence[str], others: np.ndarray | None = None) -> Markup:
    """Return a confusion matrix: right answers are blue, mistakes orange, the stronger the larger their share of a row.

    Cells hold the number of images and, with few classes, its share of the true class. More than 50 classes make an
    overview without names, in which the most frequent mistakes have tooltips.

    Args:
        matrix: counts (classes, classes), one row per true class.
        classes: names, in the order of the rows.
        others: for a part of a larger matrix, the images of each class that are taken for classes outside it.

    Example:
        >>> from cnnzoo.core.matrix_chart import matrix_chart
        >>> matrix_chart([[8, 2], [0, 10]], ["cat", "dog"]).startswith("<svg")
        True
    """
    matrix = np.asarray(matrix)
    count = len(matrix)
    if count > MAX_NAMED:
        return _draw_large_matrix(matrix, classes)
    columns = [*classes]
    if others is not None:
        matrix, columns = np.column_stack([matrix, others]), [*classes, OTHERS]
    side = next(side for limit, side in CELL_SIDES.items() if count <= limit)
    names = [shorten_label(name) for name in columns]
    widest, highest = (max(map(label_width, part)) for part in (names[:count], names))
    is_upright = highest > side  # names above the columns that are too long to lie there
    left, top = widest + 28, (highest if is_upright else 14) + 30
    middle, width = count * side / 2, len(columns) * side

    # The names of the axes and of the classes
    parts = [
        draw_text(left + width / 2, 14, "predicted class", "middle", 'font-weight="600"'),
        _turn(draw_text(0, 0, "true class", "middle", 'font-weight="600"'), 12, top + middle),
    ]
    for i, name in enumerate(names):
        place = (i + 0.5) * side
        if i < count:
            parts.append(draw_text(left - 6, top + place + 4, name, "end"))
        above = _turn(draw_text(0, 0, name), left + place + 4, top - 6)
        parts.append(above if is_upright else draw_text(left + place, top - 6, name, "middle"))

    # The cells
    for i, j in np.ndindex(count, len(columns)):
        if matrix[i, j] or count <= MAX_WITH_COUNTS:
            parts.append(_draw_cell(matrix, columns, i, j, left + j * side, top + i * side, side))
    frame = '<rect x="{:.1f}" y="{:.1f}" width="{}" height="{}" fill="none" stroke="var(--line)"/>'
    parts.append(Markup(frame.format(left, top, width, count * side)))
    return _wrap(parts, matrix, left + width + 4, top + count * side + 4)


def _turn(text: Markup, x: float, y: float) -> Markup:
    """Return a text that runs upwards from a place."""
    return Markup(f'<g transform="translate({x:.1f} {y:.1f}) rotate(-90)">{text}</g>')


def _draw_cell(matrix: np.ndarray, classes: Sequence[str], i: int, j: int, x: float, y: float, side: int) -> Markup:
    """Return the cell of true class `i` and predicted class `j`, whose tooltip says what it counts."""
    images = int(matrix[i, j])
    share = images / max(int(matrix[i].sum()), 1)
    cell = Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{}" height="{}" stroke="var(--line)" fill="var(--{})" '
        'fill-opacity="{:.3f}">{}</rect>'
    ).format(
        *(x, y, side, side, "blue" if i == j else "orange", MATRIX_OPACITY * math.cbrt(share)),
        _make_tooltip(matrix, classes, i, j) if images else "",
    )
    if not images or len(matrix) > MAX_WITH_COUNTS:
        return cell
    if len(matrix) > MAX_WITH_SHARES:
        return cell + draw_text(x + side / 2, y + side / 2 + 4, f"{images:,}", "middle")
    percentage = draw_text(x + side / 2, y + side / 2 + 12, format_share(share, 100), "middle", 'font-size="11"')
    return cell + draw_text(x + side / 2, y + side / 2 - 3, f"{images:,}", "middle") + percentage


def _make_tooltip(matrix: np.ndarray, classes: Sequence[str], i: int, j: int) -> Markup:
    """Return what a cell counts."""
    images, total = int(matrix[i, j]), int(matrix[i].sum())
    relation = "recognized" if i == j else f"taken for {shorten_label(classes[j], MAX_TOOLTIP)}"
    return Markup("<title>{} {}: {:,} of {:,}, {}</title>").format(
        shorten_label(classes[i], MAX_TOOLTIP), relation, images, total, format_share(images / max(total, 1), total)
    )


def _draw_large_matrix(matrix: np.ndarray, classes: Sequence[str]) -> Markup:
    """Return a matrix of many classes, without text: one path for each strength of color, and some tooltips."""
    count = len(matrix)
    side = max(1, LARGE_SIDE // count)
    strengths = np.ceil(np.cbrt(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)) * COLOR_LEVELS).astype(int)
    is_diagonal = np.eye(count, dtype=bool)
    mistakes = np.where(is_diagonal, 0, matrix)
    order = np.argsort(-mistakes, axis=None, kind="stable")
    mistakes.flat[order[MAX_LARGE_CELLS:]] = 0
    strengths[~is_diagonal & (mistakes == 0)] = 0
    parts = [Markup(f'<rect width="{count * side}" height="{count * side}" fill="none" stroke="var(--line)"/>')]
    for color, selected in (("blue", is_diagonal), ("orange", ~is_diagonal)):
        for level in range(1, COLOR_LEVELS + 1):
            cells = np.argwhere(selected & (strengths == level))
            path = "".join(f"M{j * side} {i * side}h{side}v{side}h-{side}z" for i, j in cells)
            if path:
                opacity = 0.25 + 0.75 * level / COLOR_LEVELS
                parts.append(Markup(f'<path d="{path}" fill="var(--{color})" fill-opacity="{opacity:.3f}"/>'))
    for place in order[:MAX_TOOLTIPS]:
        i, j = map(int, np.unravel_index(place, matrix.shape))
        if mistakes[i, j]:
            cell = Markup('<rect x="{}" y="{}" width="{}" height="{}" fill-opacity="0">{}</rect>')
            parts.append(cell.format(j * side, i * side, side, side, _make_tooltip(matrix, classes, i, j)))
    return _wrap(parts, matrix, count * side, count * side, "overview")


def _wrap(parts: Sequence[Markup], matrix: np.ndarray, width: float, height: float, kind: str = "matrix") -> Markup:
    label = (
        f"Confusion matrix of {len(matrix):,} classes: {int(matrix.trace()):,} of {int(matrix.sum()):,} images are "
        "classified right"
    )
    return wrap_svg("".join(parts), width, height, label, kind)
