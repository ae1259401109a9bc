"""Measure, on simulated models, when a temperature helps, and how often a least probability misses its accuracy.

The logits of a simulated model are random, and its labels are drawn from their softmax. Then the logits are
multiplied: by 1 (well calibrated), by 1.5 or 3 (overconfident), or by 0.5 (underconfident). "Wrong labels" are 10 %
that are drawn at random.

    python benchmarks/calibration.py [--repetitions 200] [--out benchmarks/results/calibration.md]
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.special import softmax

from cnnzoo.evaluation.calibration import (
    apply_temperature,
    expected_calibration_error,
    log_losses,
    measure_calibration,
    reliability_bins,
)
from cnnzoo.evaluation.min_probability import choose_min_probability
from cnnzoo.evaluation.temperature import choose_temperature

MODELS = {
    "well calibrated": {},
    "overconfident, 1.5": {"factor": 1.5},
    "overconfident, 3": {"factor": 3.0},
    "underconfident, 0.5": {"factor": 0.5},
    "wrong labels": {"wrong": 0.1},
}
SIZES = (20, 24, 50, 100, 200, 500, 1000, 5000)
TEST_IMAGES = 20_000
GRID = np.geomspace(0.04, 25, 120)


def simulate(rng, images, spread=4.0, factor=1.0, wrong=0.0, classes=10):
    """Return labels (N,) and probabilities (N, classes); a spread of 4 gives 74 % accuracy, 12 gives 91 %."""
    logits = spread * rng.standard_normal((images, classes))
    labels = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    is_wrong = rng.random(images) < wrong
    labels[is_wrong] = rng.integers(0, classes, is_wrong.sum())
    return labels, softmax(logits * factor, axis=1)


def measure_temperatures(rng, repetitions):
    """Yield rows: model, accuracy, images, share of applied, change of log loss and calibration error, worst change."""
    for spread in (4.0, 12.0):
        for name, options in MODELS.items():
            labels, p = simulate(rng, TEST_IMAGES, spread, **options)
            scaled = [apply_temperature(p, t) for t in GRID]
            losses = np.array([log_losses(labels, q).mean() for q in scaled])
            errors = np.array([expected_calibration_error(reliability_bins(labels, q)) for q in scaled])

            def look_up(temperatures, values):
                return np.interp(np.log(temperatures), np.log(GRID), values)

            for images in SIZES:
                count = repetitions if images < 1000 else max(repetitions // 5, 10)
                choices = [choose_temperature(*simulate(rng, images, spread, **options)) for _ in range(count)]
                chosen = np.array([choice.temperature for choice in choices])
                fitted = np.array([choice.fitted for choice in choices])
                changes = look_up(chosen, losses) - look_up(1.0, losses)
                yield (
                    f"{name}, {100 * (p.argmax(axis=1) == labels).mean():.0f} % right",
                    f"{images:,}",
                    f"{100 * np.mean([not choice.reason for choice in choices]):.0f} %",
                    f"{changes.mean():+.4f}",
                    f"{changes.max():+.4f}",
                    f"{100 * (look_up(chosen, errors) - look_up(1.0, errors)).mean():+.1f}",
                    f"{(look_up(fitted, losses) - look_up(1.0, losses)).mean():+.4f}",
                    f"{100 * (look_up(fitted, errors) - look_up(1.0, errors)).mean():+.1f}",
                )


def measure_intervals(rng, repetitions):
    """Yield rows: model, images, mean calibration error, that by chance, coverage of the 95 % interval."""
    for name, options in list(MODELS.items())[:4]:
        true = expected_calibration_error(reliability_bins(*simulate(rng, 200_000, **options)))
        for images in (24, 100, 400, 2000):
            measured = [
                measure_calibration(*simulate(rng, images, **options), seed=seed)
                for seed in range(repetitions if images < 2000 else max(repetitions // 4, 10))
            ]
            intervals = np.array([row["intervals_95"]["calibration_error"] for row in measured])
            hits = (intervals[:, 0] <= true + 0.001) & (true <= intervals[:, 1])
            means = [
                np.mean([row[key] for row in measured]) for key in ("calibration_error", "chance_calibration_error")
            ]
            shares = [f"{100 * value:.1f} %" for value in (true, *means)]
            yield (name, f"{images:,}", *shares, f"{100 * hits.mean():.0f} %")


def measure_thresholds(rng, repetitions):
    """Yield rows: model, target, images, share of runs with a threshold, share that misses the target, coverage."""
    for spread in (3.0, 8.0, 20.0):
        labels, p = simulate(rng, 200_000, spread, 1.5, classes=5)
        order = np.argsort(-p.max(axis=1))
        confidence, is_right = p.max(axis=1)[order], (p.argmax(axis=1) == labels)[order]
        accuracy = np.cumsum(is_right) / np.arange(1, len(order) + 1)
        for target in (0.9, 0.95, 0.99):
            for images in (24, 100, 200, 500, 2000):
                coverages, misses = [], 0
                for _ in range(repetitions):
                    choice = choose_min_probability(*simulate(rng, images, spread, 1.5, classes=5), target)
                    if choice.min_probability is None:
                        continue
                    answered = max(np.searchsorted(-confidence, -choice.min_probability, "right"), 1)
                    misses += accuracy[answered - 1] < target
                    coverages.append(answered / len(order))
                coverage = f"{100 * np.mean(coverages):.0f} %" if coverages else ""
                name = f"{100 * is_right.mean():.0f} % right"
                found = f"{100 * len(coverages) / repetitions:.0f} %"
                yield (
                    name,
                    f"{100 * target:g} %",
                    f"{images:,}",
                    found,
                    f"{100 * misses / repetitions:.1f} %",
                    coverage,
                )


def format_markdown(title, header, rows):
    """Return a table with its title."""
    lines = [f"## {title}", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def main():
    """Write all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/calibration.md"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    change = ("log loss", "worst", "calibration error, points", "always applied: log loss", "calibration error, points")
    text = "\n".join(
        [
            f"# Calibration on simulated models, {arguments.repetitions} repetitions\n",
            format_markdown(
                "Temperatures (change on other images; negative is better)",
                ("model", "validation images", "applied", *change),
                measure_temperatures(rng, arguments.repetitions),
            ),
            format_markdown(
                "Intervals of the calibration error",
                ("model", "images", "true", "mean measured", "by chance", "95 % interval contains the true one"),
                measure_intervals(rng, arguments.repetitions),
            ),
            format_markdown(
                "Least probabilities of answers",
                ("model", "target", "validation images", "found", "misses the target", "coverage"),
                measure_thresholds(rng, arguments.repetitions),
            ),
        ]
    )
    arguments.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
