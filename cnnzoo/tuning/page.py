"""The page of a search: everything that its template shows, as text and charts."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.charts import format_percent
from cnnzoo.core.numbers import format_share
from cnnzoo.core.pages import file_address, render_page
from cnnzoo.evaluation.report import DECIMAL_METRICS, HEADLINE_METRICS
from cnnzoo.tuning import figures
from cnnzoo.tuning.next_steps import suggest_steps
from cnnzoo.tuning.trial import RUN_FOLDER
from cnnzoo.tuning.trial_result import TrialResult, rank_trials, succeeded

# How each oracle is called in a sentence
SEARCH_METHODS = {
    "random": "random search",
    "bayesian": "Bayesian optimization",
    "hyperband": "Hyperband",
    "grid": "grid search",
}

SECTIONS = {
    "next": "What next",
    "recipe": "The best recipe",
    "trials": "Trials",
    "failures": "Failures",
}

TuneResult = Any  # `tuning.result` imports this file, so this file cannot import its class


def render_search(result: TuneResult) -> str:
    """Return the page of a search, for its folder: its links are relative to it."""
    trials = succeeded(result.trials)
    title = HEADLINE_METRICS[result.objective]
    is_share = result.objective not in DECIMAL_METRICS
    headline, lines, facts = describe_comparison(result)
    importances = figures.estimate_importance(trials, result.fields)

    failures = [trial for trial in result.trials if trial.status == "failed"]
    ranked = [*rank_trials(result.trials, result.objective), *failures]
    return render_page(
        "cnnzoo.tuning",
        "report.html",
        result=result,
        search_method=SEARCH_METHODS[result.plan["oracle"]],
        headline=headline,
        headline_lines=lines,
        facts=facts,
        steps=suggest_steps(result),
        commands=suggest_commands(result),
        sections=[(name, title) for name, title in SECTIONS.items() if name != "failures" or failures],
        files=_list_files(result),
        varied=[
            (name, result.best.chosen.get(name), result.trials[0].chosen.get(name, result.plan["recipe"].get(name, "")))
            for name in result.fields
        ],
        history=figures.draw_history(
            result.trials, result.objective, title, format_percent if is_share else "{:g}".format
        ),
        importance=figures.draw_importance(importances) if importances else None,
        parallel=(
            figures.draw_parallel_coordinates(trials, result.fields, result.objective, title)
            if len(trials) > 1
            else None
        ),
        objective=title,
        headers=["trial", "status", title, "epochs", "seconds", *result.fields],
        rows=[
            {
                "number": trial.number,
                "best": trial.number == result.best.number,
                "address": _trial_address(result.run_dir, trial),
                "cells": [
                    {"hopeless": "ended early"}.get(trial.status, trial.status),
                    "" if trial.status == "failed" else result.format_score(trial.score),
                    len(trial.history.get("loss", ())),
                    f"{trial.seconds:,.0f}",
                    *(trial.chosen.get(name, "") for name in result.fields),
                ],
            }
            for trial in ranked
        ],
        failures=failures,
    )


def describe_comparison(result: TuneResult) -> tuple[str, list[str], list[tuple[str, str, str]]]:
    """Return the headline of a search, what stands below it, and its facts (name, value, remark)."""
    images, compared = len(result.report.labels), result.comparison
    split = f"{images:,} test images that no trial used"
    if result.default is None:
        failure = f"The default failed when it was trained again: {compared['default failed']}."
        return format_share(result.report.accuracy, images), [f"accuracy on {split}", failure], []
    best, default = (float(np.mean(compared[name])) for name in ("best", "default"))
    if result.best.number == 0:
        return (
            "No better recipe",
            [f"No trial beat the default on validation; it reaches {format_share(default, images)}"],
            [],
        )
    trainings = f"mean of {compared['seeds']} trainings" if compared["seeds"] > 1 else "one training"
    facts = [
        (name, format_share(value, images), f"accuracy, {trainings}")
        for name, value in ((f"best recipe, trial {result.best.number}", best), ("default recipe", default))
    ]
    lines = [
        f"difference of the accuracies on {split}",
        f"95 % interval: {result.format_points('low')} to {result.format_points('high')} points",
        result.conclusion(),
    ]
    return f"{result.format_points('difference')} points", lines, facts


def suggest_commands(result: TuneResult) -> list[tuple[str, str]]:
    """Return rows (purpose, command) of what can be done with the best model and the best recipe."""
    run, recipe = (shlex.quote(str(path.absolute())) for path in (result.run, result.run_dir / "best.toml"))
    model = result.model if isinstance(result.model, str) else result.plan["model"]
    weights = result.plan.get("weights")
    train = f"fine-tune {model}:{weights} PHOTOS" if weights else f"train {model} PHOTOS"
    size = result.plan.get("image_size")
    if size is not None:
        size = (size, size) if isinstance(size, int) else tuple(size)
        train += f" --image-size {size[0]}" if size[0] == size[1] else f" --image-size {size[0]}x{size[1]}"
    doubt = ""
    if result.best.number and result.comparison.get("low", 1) <= 0:
        is_worse = result.comparison["high"] < 0
        doubt = f" (it is {'worse than' if is_worse else 'not proven better than'} the default recipe)"
    purpose = f"Train with the best recipe{doubt}; PHOTOS stands for your images"
    return [
        ("Classify a folder of new images with the best model", f"cnnzoo predict {run} new_images/ --out answers.csv"),
        ("Export the best model", f"cnnzoo export {run} exported --format onnx"),
        (purpose, f"cnnzoo {train} --recipe {recipe}"),
    ]


def _list_files(result: TuneResult) -> list[tuple[str, str, str]]:
    """Return the files of a search for its page: (what it is, address, name)."""
    paths = {
        "The best model on the test split": result.run / "report.html",
        "All trials as a table": result.run_dir / "trials.csv",
        "The best recipe": result.run_dir / "best.toml",
    }
    return [
        (text, file_address(path, result.run_dir), path.relative_to(result.run_dir).as_posix())
        for text, path in paths.items()
        if path.parent == result.run_dir or path.exists()  # the tables are written together with the page
    ]


def _trial_address(search_folder: Path, trial: TrialResult) -> str | None:
    """Return the address of a trial's report, or of its log if it has none; None if it has neither."""
    folder = search_folder / "trials" / str(trial.number)
    for path in (folder / RUN_FOLDER / "report.html", folder / "log.txt"):
        if path.exists():
            return file_address(path, search_folder)
    return None
