"""The figures in the report of a search, as PNG bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from cnnzoo.evaluation.figures import BLUE, ORANGE, encode_png, escape_mathtext, make_label
from cnnzoo.tuning.trial import LOWER_IS_BETTER
from cnnzoo.tuning.trial_result import TrialResult, succeeded

LOG_SCALE_RATIO = 20  # between the largest and the smallest value, above which an axis is logarithmic
MAX_CATEGORIES = 5  # distinct numbers up to which they are evenly spaced
MIN_TRIALS_FOR_IMPORTANCE = 8


def plot_history(trials: Sequence[TrialResult], objective: str) -> bytes:
    """Plot the score of each trial, and the best score so far."""
    trials = succeeded(trials)
    best_so_far = np.minimum.accumulate if objective in LOWER_IS_BETTER else np.maximum.accumulate
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    for status, label, color, marker in (
        ("completed", "completed", BLUE, "o"),
        ("hopeless", "ended early", "gray", "x"),
    ):
        numbers = [trial.number for trial in trials if trial.status == status]
        scores = [trial.score for trial in trials if trial.status == status]
        if numbers:
            axes.scatter(numbers, scores, color=color, marker=marker, label=label, zorder=3)
    numbers, scores = [trial.number for trial in trials], [trial.score for trial in trials]
    axes.step(numbers, best_so_far(scores), where="post", color=ORANGE, label="best so far")
    axes.set(xlabel="trial", ylabel=escape_mathtext(f"{objective} on validation"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return encode_png(figure)


def scale_to_unit(values: Sequence[Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Map values to positions from 0 to 1, on a logarithmic scale if they span a wide range.

    Returns:
        The positions, and a few ticks as (position, text). Words and few distinct numbers are evenly spaced.
    """
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    distinct = sorted(set(values)) if numeric else list(dict.fromkeys(map(str, values)))
    if not numeric or len(distinct) <= MAX_CATEGORIES:
        positions = {str(value): i / max(len(distinct) - 1, 1) for i, value in enumerate(distinct)}
        ticks = [(position, text) for text, position in positions.items()]
        return np.array([positions[str(value)] for value in values]), ticks
    smallest, largest = float(distinct[0]), float(distinct[-1])
    logarithmic = smallest > 0 and largest / smallest > LOG_SCALE_RATIO
    transform, invert = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    low, high = transform(smallest), transform(largest)
    ticks = [(share, f"{float(invert(low + share * (high - low))):.3g}") for share in (0, 0.25, 0.5, 0.75, 1)]
    return (transform(np.asarray(values, float)) - low) / (high - low), ticks


def plot_parallel_coordinates(trials: Sequence[TrialResult], fields: Sequence[str], objective: str) -> bytes:
    """Plot each trial as a line across one axis per field, colored by its score; better ones on top."""
    columns = [[trial.chosen.get(name) for trial in trials] for name in fields]
    columns.append([trial.score for trial in trials])
    titles = [*fields, objective]
    scaled = [scale_to_unit(column) for column in columns]
    scores = np.array([trial.score for trial in trials])
    ranks = scores.argsort().argsort() / max(len(scores) - 1, 1)

    figure = Figure(figsize=(max(6, 1.7 * len(titles)), 4), layout="constrained")
    axes = figure.subplots()
    for i in scores.argsort():
        heights = [positions[i] for positions, _ in scaled]
        axes.plot(range(len(titles)), heights, color=colormaps["viridis"](ranks[i]), alpha=0.8, linewidth=1.5)
    for x, (_, ticks) in enumerate(scaled):
        axes.axvline(x, color="black", linewidth=0.8)
        for y, text in ticks:
            axes.annotate(make_label(text), (x, y), (3, 0), textcoords="offset points", fontsize=7, va="center")
    axes.set_xticks(range(len(titles)), [escape_mathtext(title.replace("_", "\n")) for title in titles], fontsize=8)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(titles) - 0.5)
    axes.spines[:].set_visible(False)
    return encode_png(figure)


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


def plot_importance(importances: Mapping[str, float]) -> bytes:
    """Plot the importance of each field as bars, the largest on top."""
    figure = Figure(figsize=(6, 0.35 * len(importances) + 1), layout="constrained")
    axes = figure.subplots()
    names = sorted(importances, key=lambda name: importances[name])
    axes.barh([escape_mathtext(name) for name in names], [importances[name] for name in names], color=BLUE, alpha=0.8)
    axes.set(xlabel="decrease of R² when the field is shuffled")
    axes.spines[["top", "right"]].set_visible(False)
    return encode_png(figure)
