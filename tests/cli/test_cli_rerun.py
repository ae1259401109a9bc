"""rerun: repeat a run and compare."""

import json
import shutil

import pytest


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
