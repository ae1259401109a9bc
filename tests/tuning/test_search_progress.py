"""The lines that a search prints while it runs: scores as at its end, and one count of trials."""

from types import SimpleNamespace

import pytest

from cnnzoo.tuning import progress
from cnnzoo.tuning.trial import write_outcome
from cnnzoo.tuning.trial_result import TrialResult


@pytest.mark.parametrize(("objective", "score"), [("accuracy", "87.2 %"), ("log_loss", "0.872")])
def test_the_line_of_a_trial(objective, score, monkeypatch, tmp_path):
    result = TrialResult(0, {"learning_rate": 0.01}, "completed", score=0.8722, seconds=12.3)
    monkeypatch.setattr(progress, "read_trials", lambda folder: [result])
    table = progress.ProgressTable(tmp_path, SimpleNamespace(dimensions=()), objective, 2, 1, verbose=False)
    lines = []
    table.say = lines.append
    table.end_trial(SimpleNamespace(trial_id="0"))
    assert lines == [f"trial 0: {objective} {score} in 12 s; learning_rate=0.01 (1 of 2 trials done)"]


@pytest.mark.parametrize(("recorded", "duration"), [({"seconds": 183.4}, " in 183 s"), ({}, "")])
def test_the_line_of_a_failed_trial_has_its_duration(recorded, duration, tmp_path):
    folder = tmp_path / "trials" / "0000"
    folder.mkdir(parents=True)
    write_outcome(folder, {"chosen": {"clip": 1.0}, "reason": "too slow"} | recorded)
    table = progress.ProgressTable(tmp_path, SimpleNamespace(dimensions=()), "accuracy", 2, 1, verbose=False)
    lines = []
    table.say = lines.append
    table.end_trial(SimpleNamespace(trial_id="0000"))
    assert lines == [f"trial 0: failed: too slow{duration}; clip=1.0 (1 of 2 trials done)"]
