"""tune as a whole: with real trainings in real processes, and what it shows."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import cnnzoo
from cnnzoo.training import recipes
from cnnzoo.tuning import result

RECIPE = cnnzoo.Recipe(epochs=2, batch_size=12, learning_rate=0.001)
RANGES = {"learning_rate": {"low": 0.001, "high": 0.1, "log": True}, "augment": ["none", "shift"]}
pytestmark = pytest.mark.slow


def tune(data, folder, **options):
    return cnnzoo.tune(
        "lenet5",
        data,
        **{"space": RANGES, "recipe": RECIPE, "trials": 4, "verbose": False, "run_dir": folder, **options},
    )


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    return tune(data, tmp_path_factory.mktemp("search") / "a", trials=9, seeds=2)


def test_a_search_ends_in_a_better_recipe_that_is_proven_on_the_test_split(found, data):
    assert len(found.trials) == 9
    assert [t.number for t in found.trials] == list(range(9))
    assert found.trials[0].chosen == {"learning_rate": 0.001, "augment": "none"}
    assert found.best.score == max(t.score for t in found.trials) > found.trials[0].score
    assert found.recipe == replace(RECIPE, **found.best.chosen)
    assert found.report.split == found.default.split == "test"
    assert found.report.labels.tolist() == data.test.labels.tolist()
    pairs = np.subtract(found.comparison["best"], found.comparison["default"])
    assert found.comparison["difference"] == pytest.approx(pairs.mean())
    assert found.comparison["low"] <= pairs.mean() <= found.comparison["high"]
    assert "points (95 % interval" in str(found)
    assert cnnzoo.load(found.run).predict([data.test.images[0]])


def test_what_is_written_can_be_used(found, cli):
    rows = list(csv.DictReader((found.run_dir / "trials.csv").read_text().splitlines()))
    assert len(rows) == 9
    assert rows[0]["trial"] == str(found.best.number)
    assert recipes.resolve_recipe(str(found.run_dir / "best.toml")) == replace(
        found.recipe, source="", cost="", result=""
    )
    page = (found.run_dir / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3, "history, parallel coordinates, importance"
    assert json.loads((found.run_dir / "run.json").read_text())["status"] == "done"


def test_the_same_seed_gives_the_same_search(found, data, tmp_path):
    again = tune(data, tmp_path / "a", trials=3, workers=2)
    for a, b in zip(found.trials, again.trials, strict=False):
        assert (a.chosen, a.score, a.history) == (b.chosen, b.score, b.history)


def test_another_search_is_refused_and_an_ended_one_can_get_more_trials(data, tmp_path):
    tune(data, tmp_path / "a", trials=1)
    with pytest.raises(cnnzoo.InputError, match="already holds a run"):
        tune(data, tmp_path / "a", trials=2)
    with pytest.raises(
        cnnzoo.InputError, match="different run, so it cannot be resumed: .*oracle: 'random' before, 'grid' now"
    ):
        tune(data, tmp_path / "a", trials=2, oracle="grid", resume=True)
    more = tune(data, tmp_path / "a", trials=6, resume=True)
    assert len(more.trials) == 6
    assert more.best.number > 0, "another best than the first time, trained anew beside it"
    assert len(tune(data, tmp_path / "a", trials=1, overwrite=True).trials) == 1


def test_failed_trials_are_recorded_and_the_search_goes_on(data, tmp_path):
    ranges = {"learning_rate": [0.001, 1e38], "warmup_epochs": [0.0, 1.5], "epochs": [2, 1]}
    got = tune(data, tmp_path / "a", oracle="grid", trials=8, space=ranges)
    failures = [t for t in got.trials if t.status == "failed"]
    assert {("became" in t.reason, "warmup_epochs must be in" in t.reason) for t in failures} == {
        (True, False),
        (False, True),
    }
    assert len(failures) < 8
    assert "failed" in str(got)
    page = (tmp_path / "a" / "report.html").read_text()
    assert "Failures" in page


def test_a_search_without_any_success_lists_the_reasons(data, tmp_path):
    with pytest.raises(cnnzoo.InputError, match="None of the 2 trials succeeded: The loss became .*trial 0"):
        tune(
            data,
            tmp_path / "a",
            recipe=replace(RECIPE, learning_rate=1e38),
            space={"augment": ["none", "shift"]},
            trials=2,
        )


def test_a_default_that_fails_can_be_improved(data, tmp_path):
    ranges = {"learning_rate": [0.01, 0.05]}
    got = tune(data, tmp_path / "a", recipe=replace(RECIPE, learning_rate=1e38), space=ranges, oracle="grid", trials=3)
    assert got.trials[0].status == "failed"
    assert got.default is None
    assert "the default fails" in str(got)
    assert cnnzoo.load(got.run)


def test_fine_tuning_can_be_searched(data, tmp_path):
    recipe = replace(recipes.resolve_recipe("finetune"), epochs=2, batch_size=12, precision="float32")
    got = tune(data, tmp_path / "a", weights="mnist", recipe=recipe, space={"learning_rate": [1e-3, 1e-2]}, trials=2)
    assert got.report.probe
    assert all(t.status == "completed" for t in got.trials)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials is a whole number from 1"),
        ({"oracle": "baysian"}, "Unknown oracle. Did you mean bayesian"),
        ({"objective": "acuracy"}, "Unknown metric. Did you mean accuracy"),
        ({"recipe": "sdg"}, "Unknown recipe. Did you mean sgd"),
        ({"workers": 0}, "workers is a whole number from 1"),
        ({"seeds": 0}, "seeds is a whole number from 1"),
    ],
)
def test_bad_input_is_refused_at_once(data, tmp_path, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        tune(data, tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_the_interval_of_one_training_is_over_images_and_of_several_over_seeds(trained):
    report = trained.report
    wrong = replace(report, probabilities=np.roll(report.probabilities, 1, axis=1))
    one = result.compare_with_default([wrong], [report])
    assert one["difference"] == pytest.approx(report.accuracy - wrong.accuracy)
    assert one["low"] < one["difference"] < one["high"] or one["low"] == one["high"]
    two = result.compare_with_default([wrong, report], [report, report])
    assert two["difference"] == pytest.approx((report.accuracy - wrong.accuracy) / 2)
    assert two["low"] < 0 < two["high"]
