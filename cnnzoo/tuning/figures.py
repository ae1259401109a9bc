"""The charts on the page of a search."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from cnnzoo.core.charts import Plot, bar_chart, draw_text, draw_title, label_width, shorten_label, wrap_svg
from cnnzoo.tuning.trial import LOWER_IS_BETTER
from cnnzoo.tuning.trial_result import TrialResult, rank_trials, succeeded

LOG_SCALE_RATIO = 20  # between the largest and the smallest value, above which an axis is logarithmic
MAX_DIGITS = 6  # characters of a number at an axis
MAX_CATEGORIES = 5  # distinct numbers up to which they are evenly spaced
MIN_TRIALS_FOR_IMPORTANCE = 8
AXIS_DISTANCE, AXIS_ROOM, PARALLEL_HEIGHT = 130, 80, 280  # pixels, of the chart of trials by field


def draw_history(trials: Sequence[TrialResult], objective: str, title: str, format_y: Callable[[float], str]) -> Markup:
    """Draw the score of each trial, and the best score so far.

    Args:
        trials: all trials, by number.
        objective: the metric by which they are scored.
        title: the name of the metric, as a word.
        format_y: how a score is written.
    """
    trials = succeeded(trials)
    best_so_far = np.minimum.accumulate if objective in LOWER_IS_BETTER else np.maximum.accumulate
    numbers, scores = [trial.number for trial in trials], [trial.score for trial in trials]
    margin = (max(scores) - min(scores)) * 0.05 or 0.01
    y_range = (min(scores) - margin, max(scores) + margin)
    x_range = (min(numbers), max(*numbers, min(numbers) + 1))
    plot = Plot("Scores of the trials", "trial", f"{title} on validation", x_range, y_range, whole_x=True)
    plot.format_y = format_y
    # Steps: the best score so far stays until a trial is better.
    best = best_so_far(scores)
    steps = [(number, best[max(i - 1, 0)]) for i, number in enumerate(numbers)], zip(numbers, best, strict=True)
    xs, ys = zip(*(point for pair in zip(*steps, strict=True) for point in pair), strict=True)
    plot.add_line(xs, ys, "orange", "best so far")
    for status, name, color in (("completed", "completed", "blue"), ("hopeless", "ended early", "gray")):
        selected = [trial for trial in trials if trial.status == status]
        if selected:
            numbers, scores = [trial.number for trial in selected], [trial.score for trial in selected]
            plot.add_points(numbers, scores, color, name, cross=status == "hopeless")
    return plot.to_svg()


def scale_to_unit(values: Sequence[Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Map values to positions from 0 to 1, on a logarithmic scale if they span a wide range.

    Returns:
        The positions, and a few ticks as (position, text). Words and few distinct numbers are evenly spaced.
    """
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    distinct = sorted(set(values)) if numeric else list(dict.fromkeys(map(str, values)))
    if not numeric or len(distinct) <= MAX_CATEGORIES:
        positions = {str(value): i / max(len(distinct) - 1, 1) for i, value in enumerate(distinct)}
        ticks = [
            # Scores may have many digits
            (position, f"{float(text):.3g}" if numeric and len(text) > MAX_DIGITS else text)
            for text, position in positions.items()
        ]
        return np.array([positions[str(value)] for value in values]), ticks
    smallest, largest = float(distinct[0]), float(distinct[-1])
    logarithmic = smallest > 0 and largest / smallest > LOG_SCALE_RATIO
    transform, invert = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    low, high = transform(smallest), transform(largest)
    ticks = [(share, f"{float(invert(low + share * (high - low))):.3g}") for share in (0, 0.25, 0.5, 0.75, 1)]
    return (transform(np.asarray(values, float)) - low) / (high - low), ticks


def draw_parallel_coordinates(
    trials: Sequence[TrialResult], fields: Sequence[str], objective: str, title: str
) -> Markup:
    """Draw each trial as a line across one axis per field and one for the score; the best ones in color and on top.

    Args:
        trials: trials that have a score.
        fields: the fields that were varied.
        objective: the metric by which they are scored.
        title: the name of the metric, as a word.
    """
    trials = rank_trials(trials, objective)[::-1]  # the best last, on top of the others
    columns = [[trial.chosen.get(name) for trial in trials] for name in fields]
    columns.append([trial.score for trial in trials])
    scaled = [scale_to_unit(column) for column in columns]
    good = len(trials) - 1 - (len(trials) - 1) // 4

    def place(column: int, height: float) -> tuple[float, float]:
        return 24 + AXIS_DISTANCE * column, PARALLEL_HEIGHT - 20 - height * (PARALLEL_HEIGHT - 80)

    width = 24 + AXIS_DISTANCE * len(fields) + AXIS_ROOM
    parts = [draw_title("Trials by field")]
    for i in range(len(trials)):
        is_best = i == len(trials) - 1
        color = "orange" if is_best else "blue" if i >= good else "gray"
        style = f'stroke="var(--{color})" stroke-width="{3 if is_best else 1.5}"'
        points = " ".join("{:.1f},{:.1f}".format(*place(x, heights[i])) for x, (heights, _) in enumerate(scaled))
        parts.append(Markup(f'<polyline points="{points}" fill="none" {style}/>'))
    for column, ((_, ticks), name) in enumerate(zip(scaled, [*fields, title], strict=True)):
        (x, bottom), (_, top) = place(column, 0), place(column, 1)
        parts.append(Markup(f'<path d="M{x} {top}V{bottom}" stroke="currentColor"/>'))
        parts.append(draw_text(x - 20, top - 14, shorten_label(name.replace("_", " ")), style='font-weight="600"'))
        for height, text in ticks:
            label, (_, y) = shorten_label(text, 14), place(column, height)
            box = '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="15" fill="var(--ground)" fill-opacity="0.95"/>'
            parts.append(Markup(box.format(x + 4, y - 8, label_width(label) + 4)))
            parts.append(draw_text(x + 6, y + 4, label))
    return wrap_svg("".join(parts), width, PARALLEL_HEIGHT, "Values of the fields and score of each trial", "matrix")


def estimate_importance(trials: Sequence[TrialResult], fields: Sequence[str]) -> dict[str, float]:
    """Return how much each field matters: the loss in R² of a random forest when the field is shuffled.

    The result is empty with fewer than `MIN_TRIALS_FOR_IMPORTANCE` trials, or if all scores are equal.
    """
    scores = np.array([trial.score for trial in trials])
    if len(trials) < MIN_TRIALS_FOR_IMPORTANCE or np.ptp(scores) == 0:
        return {}
    features = np.column_stack([scale_to_unit([trial.chosen.get(name) for trial in trials])[0] for name in fields])
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0).fit(features, scores)
    importances = permutation_importance(forest, features, scores, n_repeats=20, random_state=0).importances_mean
    return dict(zip(fields, np.maximum(importances, 0).tolist(), strict=True))


def draw_importance(importances: Mapping[str, float]) -> Markup:
    """Draw the importance of each field as a bar, the largest on top."""
    names = sorted(importances, key=lambda name: -importances[name])
    values = {name: importances[name] for name in names}
    return bar_chart(values, "Importance of the fields", "decrease of R² when the field is shuffled", "{:.2f}".format)
