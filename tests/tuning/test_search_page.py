"""The page of a search: its figures are those of the result, and its commands are valid, whatever the names."""

import shlex
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from helpers.pages import Page

from cnnzoo.cli.main import cli as commands
from cnnzoo.tuning import figures, page
from cnnzoo.tuning.result import TuneResult, compare_with_default
from cnnzoo.tuning.trial_result import TrialResult

HOSTILE = "<script>alert('x')</script>\x1b\u202e\n."
RATES = (0.01, 0.3, 0.001, 0.05, 0.02, 0.1, 0.003, 0.2, 0.004)


@pytest.fixture(scope="module")
def result(trained, tmp_path_factory):
    """A search of nine trials, of which one was pruned and one failed; its best trial has the report of a real run."""
    folder = tmp_path_factory.mktemp("my search")
    (folder / "trials" / "3").mkdir(parents=True)
    (folder / "trials" / "3" / "log.txt").write_text("log")
    run = folder / "final" / "3" / "1" / "run"
    run.mkdir(parents=True)
    trials = [
        TrialResult(i, {"learning_rate": rate, "augment": HOSTILE}, "completed", 0.5 + 0.05 * (i == 3) + 0.01 * i, 3.2)
        for i, rate in enumerate(RATES)
    ]
    trials[1] = replace(trials[1], status="hopeless")
    trials[8] = replace(trials[8], status="failed", score=float("nan"), reason=f"it stopped: {HOSTILE}")
    report = trained.report
    result = TuneResult(
        *("lenet5", trained.recipe, trials[3], tuple(trials), ("learning_rate", "augment"), "accuracy"),
        *(report, report, compare_with_default([report], [report]), folder, run),
        {"model": "lenet5", "oracle": "random", "seed": 0, "data": {"source": HOSTILE}, "recipe": {"augment": "none"}},
    )
    (run / "report.html").write_text(report.to_html())
    result.save(folder)
    return result


def with_interval(result, difference, low, high):
    changes = {"difference": difference, "low": low, "high": high}
    return replace(result, comparison=result.comparison | changes)


def test_the_page_keeps_its_promises_with_hostile_names(result):
    html = (result.run_dir / "report.html").read_text(encoding="utf-8")
    parsed = Page(html)
    parsed.check()
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "\\u202e\\n" in html
    assert len(parsed.all("svg")) == 3, "history, importance, parallel coordinates"
    files = [link["href"] for link in parsed.all("a") if not link["href"].startswith("#")]
    assert {"trials/3/log.txt", "final/3/1/run/report.html", "best.toml", "trials.csv"} <= set(files)
    assert all((result.run_dir / file).is_file() for file in files)
    assert "Trial 8: it stopped" in parsed.text


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.0126, 0.05, "Not proven: the interval of the difference contains 0."),
        (0, 0.05, "Not proven"),
        (0.01, 0.05, "so the best recipe is better than the default"),
        (-0.05, -0.01, "so the best recipe is worse than the default"),
    ],
)
def test_the_page_says_in_words_what_is_proven(result, low, high, words):
    result = with_interval(result, (low + high) / 2, low, high)
    text = Page(result.to_html()).text
    assert words in text
    assert words in result.verdict()
    assert ("not proven better than the default recipe" in text) == (low <= 0 <= high)
    assert ("worse than the default recipe" in text) == (high < 0)
    for key in ("difference", "low", "high"):
        assert result.format_points(key) in text
        assert result.format_points(key) in result.verdict()
    accuracy = 100 * result.report.accuracy
    assert f"{accuracy:.0f} %" in text


def test_the_page_says_when_the_default_is_the_best_or_failed(result):
    text = Page(replace(result, best=result.trials[0]).to_html()).text
    assert "No better recipe No trial beat the default" in text
    failed = replace(result, default=None, comparison={"default failed": "the loss became NaN"})
    assert "The default failed when it was trained again: the loss became NaN." in Page(failed.to_html()).text


@pytest.mark.parametrize("weights", [None, "digits"])
def test_commands_are_valid(result, weights):
    result = replace(result, plan=result.plan | {"weights": weights, "image_size": [32, 40] if weights else 48})
    suggested = [shlex.split(command) for _, command in page.suggest_commands(result)]
    assert [command[1] for command in suggested] == ["predict", "export", "fine-tune" if weights else "train"]
    assert suggested[0][2] == str(result.run)
    assert ("--image-size 32x40" if weights else "--image-size 48") in " ".join(suggested[2])
    assert (result.run_dir / "best.toml").samefile(suggested[2][-1])
    for _, subcommand, *arguments in suggested:
        commands.commands[subcommand].make_context(subcommand, arguments)  # exits if an option is unknown


def test_few_scores_are_ticks_with_few_digits():
    assert [text for _, text in figures.scale_to_unit([0.87222222, 0.87777777])[1]] == ["0.872", "0.878"]
    assert [text for _, text in figures.scale_to_unit([128, 1024])[1]] == ["128", "1024"]


@pytest.mark.parametrize("count", [1, 2, 30])
@pytest.mark.parametrize("objective", ["accuracy", "log_loss"])
def test_searches_of_any_size_are_drawn(count, objective):
    trials = [TrialResult(i, {"a": i, HOSTILE: "W" * 500}, "completed", 0.5) for i in range(count)]
    charts = [figures.draw_history(trials, objective, objective, str)]
    charts.append(figures.draw_parallel_coordinates(trials, ["a", HOSTILE], objective, objective))
    for chart in charts:
        assert ElementTree.fromstring(chart).get("aria-label")
        assert "nan" not in chart


def test_the_best_trial_of_a_loss_is_the_lowest():
    trials = [TrialResult(i, {"a": i}, "completed", score) for i, score in enumerate((0.9, 0.1, 0.5))]
    chart = figures.draw_parallel_coordinates(trials, ["a"], "log_loss", "log loss")
    best = chart[: chart.index('stroke="var(--orange)"')].rpartition('points="')[2]
    assert best.startswith("24.0,160.0 "), "trial 1 of 0 to 2: the middle of its axis"
