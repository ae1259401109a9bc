"""The end of a search: train the best recipe and the default again, and compare them on the test split."""

from collections.abc import Sequence
from typing import Any

from cnnzoo.core.errors import InputError, TrainingError
from cnnzoo.core.text import format_count
from cnnzoo.evaluation.report import Report
from cnnzoo.training.state import RESTART_HINT
from cnnzoo.tuning.result import TuneResult, compare_with_default
from cnnzoo.tuning.search import Search
from cnnzoo.tuning.trial import RUN_FOLDER, TrialJob
from cnnzoo.tuning.trial_result import TrialResult, rank_trials, read_trials


def finish_search(search: Search, seeds: int) -> TuneResult:
    """Train the best trial and the default again, each with `seeds` seeds, and compare them on the test split.

    A trial that fails this time is skipped for the next best one.

    Raises:
        InputError: if no trial succeeded.
        TrainingError: if every trial fails when it is trained again.
    """
    trials = read_trials(search.folder)
    ranked = rank_trials(trials, search.config.objective)
    if not ranked:
        raise InputError(f"None of the {len(trials)} trials succeeded: {_list_failures(trials)}; {RESTART_HINT}")
    default_reports, default_failure = retrain(search, 0, {}, seeds)
    for best in ranked:
        if best.number == 0:
            reports, failure = default_reports, default_failure
        else:
            reports, failure = retrain(search, best.number, best.chosen, seeds)
        if reports:
            return _make_result(search, trials, best, reports, default_reports, default_failure)
        search.progress.say(f"Trial {best.number} failed when trained again; trying the next best one: {failure}")
    raise TrainingError(f"Every trial failed when trained again: {failure}")


def retrain(search: Search, number: int, chosen: dict[str, Any], seeds: int) -> tuple[list[Report], str]:
    """Train the recipe of a trial again with new seeds.

    Returns:
        The reports on the test split, one per seed, and ""; or no report and the reason of the first failure.
    """
    name = "the default" if number == 0 else f"trial {number}"
    search.progress.say(f"Training {name} again, to evaluate it on the test split")
    folder = search.folder / "final" / str(number)
    first_seed = search.options.seed + 1
    jobs = [TrialJob(folder / str(i + 1), chosen, first_seed + i, final=True) for i in range(seeds)]
    with search.progress.show(f"Training {name} again with {format_count(seeds, 'seed')}"):
        outcomes = search.run_jobs(jobs)
    failures = [reason for status, reason in outcomes if status == "failed"]
    if failures:
        return [], failures[0]
    return [report for _, report in outcomes], ""


def _list_failures(trials: Sequence[TrialResult]) -> str:
    """Return the reasons of failed trials, each with the numbers of its trials."""
    numbers: dict[str, list[str]] = {}
    for trial in trials:
        numbers.setdefault(trial.reason, []).append(str(trial.number))
    return "; ".join(f"{reason} (trial {', '.join(trials)})" for reason, trials in numbers.items())


def _make_result(
    search: Search,
    trials: Sequence[TrialResult],
    best: TrialResult,
    reports: Sequence[Report],
    default_reports: Sequence[Report],
    default_failure: str,
) -> TuneResult:
    space = search.config.space
    model, recipe = space.apply(best.chosen)
    if default_reports:
        comparison = compare_with_default(default_reports, reports)
    else:
        comparison = {"default failed": default_failure}
    return TuneResult(
        model=model,
        recipe=recipe,
        best=best,
        trials=tuple(trials),
        fields=tuple(dimension.field for dimension in space.dimensions),
        objective=search.config.objective,
        report=reports[0],
        default=default_reports[0] if default_reports else None,
        comparison=comparison,
        run_dir=search.folder,
        run=search.folder / "final" / str(best.number) / "1" / RUN_FOLDER,
        plan=search.plan(),
    )
