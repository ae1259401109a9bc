"""rerun: repeat a run and compare."""

import json
import shutil

import pytest

from cnnzoo.cli.rerun import convert_old_report


@pytest.fixture
def run_copy(run, tmp_path):
    return shutil.copytree(run.folder, tmp_path / "run")


def test_rerun_gives_the_same_figures(cli, run_copy):
    answer = cli("rerun", run_copy / "run.json")
    assert answer.code == 0, answer.err
    assert "are the same" in answer.out
    again = run_copy.with_name("run-again")
    assert (again / "report.json").read_bytes() == (run_copy / "report.json").read_bytes()


def test_rerun_lists_figures_that_differ(cli, run_copy, tmp_path):
    report = json.loads((run_copy / "report.json").read_text())
    report["metrics"]["accuracy"] += 0.25
    (run_copy / "report.json").write_text(json.dumps(report))
    answer = cli("rerun", run_copy, "--run-dir", tmp_path / "other")
    assert answer.code == 1
    assert "metrics.accuracy: " in answer.out
    assert "1 of " in answer.err


def test_rerun_repeats_commands_only(cli, trained, tmp_path):
    answer = cli("rerun", trained.folder)
    assert answer.code == 2
    assert "was written by the program" in answer.err
    assert "does not hold a finished run of train or fine-tune" in cli("rerun", tmp_path).err


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run.json", [], "run.json is not an object"),
        ("report.json", 5, "report.json is not an object"),
        ("run.json", {"command": "train"}, "run.json has the command 'train'"),
        ("run.json", {"command": ["train", 5]}, "run.json has the command"),
        ("run.json", {"command": ["train"], "folder": "."}, "run.json has the versions None"),
        ("run.json", {"command": ["train"], "folder": "no/folder", "versions": {}}, "'no/folder', does not exist"),
    ],
)
def test_damaged_files_of_a_run_are_an_error(cli, run_copy, file, content, message):
    (run_copy / file).write_text(json.dumps(content))
    answer = cli("rerun", run_copy)
    assert answer.code == 2
    assert message in answer.err


def test_reports_of_old_versions_are_compared_by_what_they_mean():
    """Until 0.8, the figures without the temperature stood first."""
    bins = {"confidence": [0.9], "accuracy": [0.8], "images": [10.0]}
    scores = {"f1": 0.8, "roc_auc": 0.9, "average_precision": 0.9, "images": 10}
    old = {
        "accuracy": 0.8,
        "log_loss": 0.7,
        "calibration_error": 0.1,
        "roc_auc": 0.9,
        "per_class": {"cat": scores},
        "reliability": bins,
        "calibrated": {"temperature": 1.5, "log_loss": 0.5, "calibration_error": 0.05},
    }
    new = convert_old_report({"model": "a", "metrics": old})["metrics"]
    assert (new["log_loss"], new["calibration_error"]) == (0.5, 0.05)
    assert new["uncalibrated"] == {"log_loss": 0.7, "calibration_error": 0.1, "reliability": bins}
    assert new["per_class"] == {"cat": {"f1": 0.8, "images": 10}}
    assert "roc_auc" not in new
    assert new["accuracy"] == 0.8
    for same in (
        {"metrics": old | {"calibrated": old["calibrated"] | {"temperature": 1.0}}},
        {"metrics": new | {"calibrated": {"temperature": 1.5, "reliability": bins}}},
        {"metrics": {"accuracy": 1}},
        {"metrics": None},
        {},
    ):
        assert convert_old_report(same) == same
