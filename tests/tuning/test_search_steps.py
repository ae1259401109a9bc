"""What the page of a search suggests: each step comes from its trials or its comparison, with a valid command."""

import json
import shlex
from dataclasses import replace
from types import SimpleNamespace

import pytest

from cnnzoo.cli.main import cli as commands
from cnnzoo.tuning.next_steps import suggest_steps
from cnnzoo.tuning.trial_result import TrialResult

SPACE = {"learning_rate": [0.001, 0.1, None, True], "momentum": [0.8, 1.0, None, False], "augment": ["none", "shift"]}
COMMAND = ["/bin/cnnzoo", "tune", "lenet5", "my photos", "--trials=9", "--seeds", "2", "--overwrite"]


@pytest.fixture
def result(tmp_path):
    """A search of nine trials that is fine: its best trial is an early one, amid its ranges, and proven better."""
    trials = [
        TrialResult(
            i, {"learning_rate": 0.01, "momentum": 0.9, "augment": "none"}, "completed", 0.9 - 0.01 * abs(i - 2)
        )
        for i in range(9)
    ]
    (tmp_path / "run.json").write_text(json.dumps({"command": COMMAND}))
    return SimpleNamespace(
        trials=tuple(trials),
        best=trials[2],
        objective="accuracy",
        default=object(),
        comparison={"low": 0.01, "high": 0.03, "seeds": 2},
        plan={"space": SPACE, "oracle": "random"},
        run_dir=tmp_path,
        format_points={"low": "-1.0", "high": "+3.0"}.get,
    )


def check_command(command, *options):
    name, subcommand, *arguments = shlex.split(command)
    assert (name, subcommand, arguments[:2]) == ("cnnzoo", "tune", ["lenet5", "my photos"])
    commands.commands[subcommand].make_context(subcommand, arguments)  # exits if an option is unknown
    for option in (*options, "--resume"):
        assert command.count(option) == 1
    assert "--overwrite" not in command


def test_a_search_without_doubts_suggests_nothing(result):
    assert suggest_steps(result) == []


def test_a_difference_that_may_be_chance_needs_more_seeds(result):
    result.comparison["low"] = -0.01
    (step,) = suggest_steps(result)
    assert step.title == "Train both recipes again with 6 seeds"
    assert "its interval, -1.0 to +3.0 points, contains 0" in step.evidence
    check_command(step.command, "--seeds 6", "--trials=9")
    (result.run_dir / "run.json").write_text(json.dumps({"command": ["script.py"]}))
    assert suggest_steps(result)[0].command == ""
    (result.run_dir / "run.json").unlink()
    assert suggest_steps(result)[0].command == ""


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.099, 0.0985, 0.0999), "are at its upper end: 0.0999, 0.099, 0.0985, in a range from 0.001 to 0.1"),
        ((0.0011, 0.00101, 0.00102), "are at its lower end"),
        ((0.099, 0.0985, 0.05), None),
    ],
)
def test_a_range_is_widened_if_the_best_trials_are_at_its_end(result, values, text):
    trials = list(result.trials)
    for i, value in zip((1, 3, 2), values, strict=True):
        trials[i] = replace(trials[i], chosen=trials[i].chosen | {"learning_rate": value})
    result.trials = tuple(trials)
    steps = suggest_steps(result)
    assert bool(steps) == bool(text)
    if text:
        assert steps[0].title == "Widen the range of learning_rate in --space"
        assert text in steps[0].evidence


def test_a_search_that_was_still_improving_goes_on(result):
    result.best = result.trials[7]
    (step,) = suggest_steps(result)
    assert step.title == "Continue the search, to 18 trials"
    assert step.evidence == "Trial 7 of 9 was the best, so the search was still improving."
    check_command(step.command, "--trials 18", "--seeds 2")
    result.plan["oracle"] = "grid"
    assert suggest_steps(result) == [], "a grid has no more"


def test_failures_are_told(result):
    result.trials = (*result.trials, replace(result.trials[0], number=9, status="failed", reason="x"))
    (step,) = suggest_steps(result)
    assert (step.evidence, step.address) == ("1 of 10 trials failed.", "#failures")
