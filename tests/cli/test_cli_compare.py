"""The command that compares two models: what it prints, and its exit codes."""

import csv
import json

import numpy as np
import pytest
from helpers.paths import ROOT

COUNT = 40


@pytest.fixture
def predictions(tmp_path):
    """Predictions of two models; B is right on ten images more than A."""
    for name, right in (("a", 20), ("b", 30)):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "true", "predicted", "probability", "p(cat)", "p(dog)"])
            for i in range(COUNT):
                true = "cat" if i % 2 else "dog"
                answer = true if i < right else {"cat": "dog", "dog": "cat"}[true]
                p = [0.75, 0.25] if answer == "cat" else [0.25, 0.75]
                writer.writerow([f"{i}.png", true, answer, 0.75, *p])
    return tmp_path / "a.csv", tmp_path / "b.csv"


def test_the_command_prints_the_comparison(cli, predictions, tmp_path):
    answer = cli("compare", *predictions, "--margin", 0.01, "--slices", "folder", "--out", tmp_path / "c.html")
    assert answer.code == 0
    assert "+25.0 points" in answer.out
    assert "B is better than A (p = 0.002). B is no worse than A by 1 point (p < 0.001)." in answer.out
    assert "By folder: all images are in one group, ." in answer.out
    assert f"Written to {tmp_path / 'c.html'}" in answer.err
    assert "<title>" in (tmp_path / "c.html").read_text()


def test_json(cli, predictions):
    answer = json.loads(cli("compare", *predictions, "--json").out)
    assert (answer["images"], answer["difference"], answer["p_value"]) == (COUNT, 0.25, 2 / 2**10)
    assert len(answer["gains"]) == 10
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    documented = next(line for line in page.splitlines() if line.startswith("| `compare` |"))
    assert all(f"`{key}`" in documented for key in answer)


@pytest.mark.parametrize(
    ("swapped", "options", "code"),
    [
        (False, (), 0),
        (True, (), 0),
        (False, ("--fail-if-worse",), 0),
        (True, ("--fail-if-worse",), 1),
        (False, ("--fail-if-worse", "--margin", "0.01"), 0),
        (True, ("--fail-if-worse", "--margin", "0.01"), 1),
        (True, ("--fail-if-worse", "--margin", "0.6"), 0),
    ],
)
def test_fail_if_worse_sets_the_exit_code(cli, predictions, swapped, options, code):
    files = reversed(predictions) if swapped else predictions
    assert cli("compare", *files, *options).code == code


def test_an_equal_model_fails_a_margin_that_the_data_cannot_show(cli, predictions):
    """Of 40 images without a difference, a margin of a hundredth of a point proves nothing."""
    answer = cli("compare", predictions[0], predictions[0], "--fail-if-worse", "--margin", 0.0001)
    assert answer.code == 1
    assert "B is not shown to be no worse than the margin" in answer.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--margin", "1"), "margin must be a share above 0 and below 1"),
        (("--margin", "x"), "--margin must be a number"),
        (("--on", "tset"), "Did you mean test?"),
        (("--slices", "folders"), "Did you mean folder?"),
        (("--slices", "folder", "size"), "for several, repeat it: --slices A --slices B"),
        (("--out", "page.pdf"), "--out must be a .html file, for the page, or a .json file"),
        (("--data", "no/such/folder"), "there is nothing at"),
    ],
)
def test_wrong_options(cli, predictions, words, message):
    answer = cli("compare", *predictions, *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_the_folder_of_a_run_that_does_not_exist(cli, predictions):
    answer = cli("compare", predictions[0].with_name("aa.csv"), predictions[1])
    assert answer.code == 2
    assert "Did you mean" in answer.err


def test_networks_and_runs_are_compared_by_different_commands(cli, predictions):
    answer = cli("compare", "resnet18", "resnet50")
    assert answer.code == 2
    assert "To compare the networks: cnnzoo diff resnet18 resnet50" in answer.err
    answer = cli("diff", *predictions)
    assert answer.code == 2
    assert f"For the results of two runs: cnnzoo compare {predictions[0]} {predictions[1]}" in answer.err


@pytest.mark.slow
def test_two_runs_are_compared_with_their_pictures(cli, run, train_arguments, tmp_path):
    again = cli(*train_arguments[:-1], 3, "--set", "learning_rate=1e-9", "--run-dir", tmp_path / "b")
    assert again.code == 0, again.err
    answer = cli("compare", run.folder, tmp_path / "b", "--out", tmp_path / "c.html", "--json")
    assert answer.code == 0, answer.err
    figures = json.loads(answer.out)
    reports = [json.loads((folder / "report.json").read_text()) for folder in (run.folder, tmp_path / "b")]
    assert [figures[name]["accuracy"] for name in "ab"] == [report["metrics"]["accuracy"] for report in reports]
    flips = len(figures["gains"]) + len(figures["losses"])
    assert flips
    assert (tmp_path / "c.html").read_text().count('src="data:image/') == min(flips, 48)
    assert np.isfinite(figures["p_value"])
