"""What the report of a search shows as pictures, as PNG bytes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from cnnzoo.evaluation.figures import BLUE, ORANGE, encode_png, escape_mathtext
from cnnzoo.tuning.trial import LOWER_IS_BETTER

if TYPE_CHECKING:
    from cnnzoo.tuning.result import TrialResult

LOG_SCALE_RATIO = 20  # the ratio of the greatest to the least value from which on an axis is logarithmic
MIN_TRIALS_FOR_IMPORTANCE = 8  # trials, fewer than which tell nothing of what matters


def plot_history(trials: Sequence["TrialResult"], objective: str) -> bytes:
    """The score of each trial, and the best so far."""
    fine = [t for t in trials if t.status != "failed"]
    best = np.minimum.accumulate if objective in LOWER_IS_BETTER else np.maximum.accumulate
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    numbers, scores = [t.number for t in fine], [t.score for t in fine]
    for status, colour, mark in (("completed", BLUE, "o"), ("hopeless", "gray", "x")):
        some = [t for t in fine if t.status == status]
        if some:
            label = "ended early" if status == "hopeless" else status
            axes.scatter(
                [t.number for t in some], [t.score for t in some], color=colour, marker=mark, label=label, zorder=3
            )
    axes.step(numbers, best(scores), where="post", color=ORANGE, label="best so far")
    axes.set(xlabel="trial", ylabel=escape_mathtext(f"{objective} on validation"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return encode_png(figure)


def scale_to_unit(values: Sequence[Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Values from 0 to 1, on a logarithmic scale where they span much, and a few ticks (place, text)."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    distinct = sorted(set(values)) if numbers else list(dict.fromkeys(map(str, values)))
    if not numbers or len(distinct) <= 5:
        places = {str(v): i / max(len(distinct) - 1, 1) for i, v in enumerate(distinct)}
        return np.array([places[str(v)] for v in values]), [(place, text) for text, place in places.items()]
    least, most = float(distinct[0]), float(distinct[-1])
    logarithmic = least > 0 and most / least > LOG_SCALE_RATIO
    forth, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    low, high = forth(least), forth(most)
    ticks = [(share, f"{float(back(low + share * (high - low))):.3g}") for share in (0, 0.25, 0.5, 0.75, 1)]
    return (forth(np.asarray(values, float)) - low) / (high - low), ticks


def plot_parallel_coordinates(trials: Sequence["TrialResult"], fields: Sequence[str], objective: str) -> bytes:
    """A line a trial across an axis a field, coloured by its score."""
    columns = [[t.chosen.get(name) for t in trials] for name in fields] + [[t.score for t in trials]]
    titles = [*fields, objective]
    figure = Figure(figsize=(max(6, 1.7 * len(titles)), 4), layout="constrained")
    axes = figure.subplots()
    places = [scale_to_unit(column) for column in columns]
    scores = np.array([t.score for t in trials])
    rank = scores.argsort().argsort() / max(len(scores) - 1, 1)
    for i in scores.argsort():
        line = [values[i] for values, _ in places]
        axes.plot(range(len(titles)), line, color=colormaps["viridis"](rank[i]), alpha=0.8, linewidth=1.5)
    for x, (_, ticks) in enumerate(places):
        axes.axvline(x, color="black", linewidth=0.8)
        for y, text in ticks:
            axes.annotate(escape_mathtext(text), (x, y), (3, 0), textcoords="offset points", fontsize=7, va="center")
    axes.set_xticks(range(len(titles)), [escape_mathtext(title.replace("_", "\n")) for title in titles], fontsize=8)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(titles) - 0.5)
    axes.spines[:].set_visible(False)
    return encode_png(figure)


def estimate_importance(trials: Sequence["TrialResult"], fields: Sequence[str]) -> dict[str, float]:
    """How much a random forest's account of the scores loses when a field is shuffled: scikit-learn's permutations.

    Empty of few trials, and where scores do not differ.
    """
    scores = np.array([t.score for t in trials])
    if len(trials) < MIN_TRIALS_FOR_IMPORTANCE or np.ptp(scores) == 0:
        return {}
    table = np.column_stack([scale_to_unit([t.chosen.get(name) for t in trials])[0] for name in fields])
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0).fit(table, scores)
    found = permutation_importance(forest, table, scores, n_repeats=20, random_state=0).importances_mean
    return dict(zip(fields, np.maximum(found, 0).tolist(), strict=True))


def plot_importance(weights: Mapping[str, float]) -> bytes:
    """The importance of each field, the greatest on top."""
    figure = Figure(figsize=(6, 0.35 * len(weights) + 1), layout="constrained")
    axes = figure.subplots()
    names = sorted(weights, key=lambda name: weights[name])
    axes.barh([escape_mathtext(name) for name in names], [weights[name] for name in names], color=BLUE, alpha=0.8)
    axes.set(xlabel="what the account of the scores (R²) loses when the field is shuffled")
    axes.spines[["top", "right"]].set_visible(False)
    return encode_png(figure)
