"""A time budget shortens the schedule, is told, and is kept when the run is resumed."""

import json
from dataclasses import replace

import pytest
from helpers.pages import Page
from helpers.training import RECIPE, CrashAt, CrashError, fit, new_lenet, read_report

import cnnzoo
from cnnzoo.training import trainer
from cnnzoo.training.budget import Speed, count_epochs, shorten_recipe


def test_the_epochs_that_fit_are_counted():
    assert count_epochs(100, Speed(epoch=10, image=0.0), 50) == 9, "five percent are left for surprises"
    assert count_epochs(100, Speed(epoch=10, image=0.5), 50) == 4
    assert count_epochs(10, Speed(epoch=10, image=0.0), 50) == 0
    assert count_epochs(-5, Speed(epoch=10, image=0.0), 50) == 0


def test_the_whole_schedule_is_shortened():
    recipe = cnnzoo.recipe("finetune", epochs=10, warmup_epochs=2, unfreeze_epochs=1)
    short = shorten_recipe(recipe, 4)
    assert (short.epochs, short.warmup_epochs, short.unfreeze_epochs) == (4, 0.8, 0.4)
    assert shorten_recipe(recipe, 20) == recipe


@pytest.mark.slow
def test_a_short_budget_equals_a_recipe_of_fewer_epochs(data, tmp_path, monkeypatch):
    """The trial steps leave no trace, and a resumed run keeps the schedule of its start."""
    monkeypatch.setattr(trainer, "measure_speed", measure_and_claim(trainer.measure_speed, Speed(20.0, 0.0)))
    folder = tmp_path / "torn"
    with pytest.raises(CrashError):
        fit(new_lenet(), data, run_dir=folder, minutes=1, callbacks=[CrashAt(1, 1)])
    report = fit(new_lenet(), data, run_dir=folder)  # without the budget
    assert len(report.history["loss"]) == 2
    assert report.notes[-1] == "The time budget of 1 minute allows 2 of 4 epochs, at 20.0 s each."
    short = fit(new_lenet(), data, recipe=replace(RECIPE, epochs=2, warmup_epochs=0.5), run_dir=tmp_path / "short")
    assert short.history == report.history
    assert read_report(folder) != read_report(tmp_path / "short"), "the note is only in one of them"
    assert "2 of 4 epochs" in json.loads((folder / "run.json").read_text())["notes"][-1]


def measure_and_claim(measure, speed):
    """Return a `measure_speed` that measures, but returns `speed`."""

    def measure_speed(*arguments):
        measured = measure(*arguments)
        assert 0 < measured.image < measured.epoch
        return speed

    return measure_speed


@pytest.mark.parametrize(
    ("task", "minutes", "epochs", "note"),
    [
        (cnnzoo.fit_and_evaluate, 0.01, 1, "allows no whole epoch; one is trained all the same: "),
        (cnnzoo.fine_tune, 0.01, 0, "allows no epoch after the linear probe: "),
        (cnnzoo.fit_and_evaluate, 1000, 4, "All 4 epochs fit into the time budget of 1000 minutes"),
    ],
)
def test_what_the_budget_allows_is_said(blurred, monkeypatch, capsys, task, minutes, epochs, note):
    monkeypatch.setattr(trainer, "measure_speed", lambda *_: Speed(20.0, 0.0))
    capsys.readouterr()
    report = task(new_lenet(), blurred, recipe=RECIPE, minutes=minutes)
    assert len(report.history.get("loss", [])) == epochs
    assert note in report.notes[-1]
    assert ("an epoch takes 20 s, and the evaluation at the end 0 s" in report.notes[-1]) == (minutes < 1)
    assert capsys.readouterr().err.count(note) == 1, "as soon as it is known"
    assert str(report).count(note) == (epochs == 0), "why nothing was trained is said with the figures"
    assert Page(report.to_html()).text.count(note) == 1 + (epochs == 0), "in Setup, and near the top"


@pytest.fixture(scope="module")
def blurred(data):
    """Images of which no probe classifies all."""
    noise = data.train.labels.copy()
    noise[::3] = (noise[::3] + 1) % 3
    images = data.validation.labels.copy()
    images[::3] = (images[::3] + 1) % 3
    return replace(data, train=replace(data.train, labels=noise), validation=replace(data.validation, labels=images))
