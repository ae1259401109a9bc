"""What to do next with a search: steps that its trials and its comparison suggest, the most useful first."""

import math
import shlex
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import read_json
from cnnzoo.core.pages import Step
from cnnzoo.core.text import format_count
from cnnzoo.tuning.trial_result import rank_trials, succeeded

TuneResult = Any  # `tuning.result` imports `tuning.page`, which imports this file, so this file cannot import it

LAST_TRIALS = 1 / 3  # of a search, in which a best trial says that more trials may find a better one
EDGE = 0.05  # of a range, in which a best value says that the range is too narrow
BEST_TRIALS = 3  # whose values are looked at
FLAGS = ("--resume", "--no-resume", "--overwrite")  # of the search that has ended


def suggest_steps(result: TuneResult) -> list[Step]:
    """Return what to do next; empty if nothing is doubtful.

    Args:
        result: the result of a search.
    """
    steps = [_compare_with_more_seeds(result), _widen_a_range(result), _run_more_trials(result), _read_logs(result)]
    return [step for step in steps if step is not None]


def _compare_with_more_seeds(result: TuneResult) -> Step | None:
    compared = result.comparison
    if result.default is None or not result.best.number or not compared["low"] <= 0 <= compared["high"]:
        return None
    seeds = 3 * compared["seeds"]
    evidence = (
        f"The difference may be chance: its interval, {result.format_points('low')} to "
        f"{result.format_points('high')} points, contains 0. More seeds, or more test images, make it narrower."
    )
    command = _search_command(result, {"--seeds": str(seeds)})
    return Step(f"Train both recipes again with {seeds} seeds", evidence, command)


def _widen_a_range(result: TuneResult) -> Step | None:
    """Suggest a wider range of the first field for which the best trials are at one end."""
    best = rank_trials(succeeded(result.trials), result.objective)[:BEST_TRIALS]
    for name, values in result.plan.get("space", {}).items():
        if len(values) != 4 or not isinstance(values[3], bool) or len(best) < BEST_TRIALS:
            continue  # only ranges have ends: (low, high, step, logarithmic)
        low, high = values[:2]
        found = [float(trial.chosen[name]) for trial in best if trial.chosen.get(name) is not None]
        if len(found) < BEST_TRIALS:
            continue
        places = [_place(value, low, high, values[3]) for value in found]
        end = "lower" if max(places) < EDGE else "upper" if min(places) > 1 - EDGE else ""
        if end:
            evidence = (
                f"The best {BEST_TRIALS} trials are at its {end} end: "
                f"{', '.join(f'{value:.3g}' for value in found)}, in a range from {low:g} to {high:g}."
            )
            return Step(f"Widen the range of {name} in --space", evidence, "", "#trials", "See the trials")
    return None


def _place(value: float, low: float, high: float, is_logarithmic: bool) -> float:
    """Return where a value is in a range, from 0 to 1."""
    if is_logarithmic:
        value, low, high = (math.log(max(number, 1e-300)) for number in (value, low, high))
    return (value - low) / ((high - low) or 1)


def _run_more_trials(result: TuneResult) -> Step | None:
    count = len(result.trials)
    if count < BEST_TRIALS or result.best.number < (1 - LAST_TRIALS) * count or result.plan.get("oracle") == "grid":
        return None
    evidence = f"Trial {result.best.number} of {count} was the best, so the search was still improving."
    command = _search_command(result, {"--trials": str(2 * count)})
    return Step(f"Continue the search, to {2 * count} trials", evidence, command)


def _read_logs(result: TuneResult) -> Step | None:
    failed = sum(trial.status == "failed" for trial in result.trials)
    if not failed:
        return None
    evidence = f"{failed:,} of {format_count(len(result.trials), 'trial')} failed."
    return Step("Read why trials failed", evidence, "", "#failures", "See the failures")


def _search_command(result: TuneResult, changes: dict[str, str]) -> str:
    """Return the command that continues the search with other values of some options; "" if Python started it."""
    try:
        command = read_json(result.run_dir / "run.json", {"command": list[str]})["command"]
    except (InputError, OSError):
        return ""
    if "tune" not in command[:2]:
        return ""
    changes = {**changes, "--run-dir": str(result.run_dir)}
    kept, rest = ["cnnzoo", "tune"], iter(command[command.index("tune") + 1 :])
    for argument in rest:
        option, equals, _ = argument.partition("=")
        if option in changes:
            if not equals:
                next(rest, "")
        elif argument not in FLAGS:
            kept.append(argument)
    return shlex.join([*kept, *(word for change in changes.items() for word in change), "--resume"])
