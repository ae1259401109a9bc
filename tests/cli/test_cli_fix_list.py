"""Fix lists on the command line: a training with one, resumed, and evaluated."""

import csv
import json
import shutil

import pytest
from helpers.commands import run_command
from helpers.image_files import write_class_folders
from helpers.pages import Page

import cnnzoo
from cnnzoo.cli.rerun import replace_lost_fix_lists
from cnnzoo.data.fix_list import Fix, FixList

QUICK = ("--splits", "0.6", "0.2", "0.2", "--set", "epochs=1", "--set", "batch_size=8", "--set", "learning_rate=0.01")
FIXES = FixList((Fix("a/a_0.png", "exclude"), Fix("b/b_1.png", "relabel", "a")))


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """Photos, a fix list, and a run that was trained with it by a command."""
    folder = tmp_path_factory.mktemp("fixed")
    write_class_folders(folder / "p", {"a": 15, "b": 15}, size=(32, 32))
    FIXES.save(folder / "fixes.csv")
    options = ("--fix-list", folder / "fixes.csv", "--run-dir", folder / "run")
    done = run_command("train", "lenet5", folder / "p", *QUICK, *options)
    assert done.code == 0, done.err
    assert done.out.count("fix_list.csv") == 1, "among the files that were written"
    return folder


def test_the_run_records_what_was_changed(fixed):
    record = json.loads((fixed / "run" / "run.json").read_text())
    assert record["plan"]["data"]["fix_list"] == {"sha256": FIXES.digest, "excluded": 1, "relabeled": 1}
    assert "Fix list fixes.csv: 1 image excluded, 1 relabeled." in (fixed / "run" / "report.json").read_text()
    assert (fixed / "run" / "fix_list.csv").read_bytes() == (fixed / "fixes.csv").read_bytes()
    page = Page((fixed / "run" / "doctor.html").read_text(encoding="utf-8"))
    assert f"fix-list {fixed / 'run' / 'fix_list.csv'}" in page.text, "commands apply the list of the run"


def test_a_run_is_resumed_with_the_same_fixes_only(fixed, cli, tmp_path):
    shutil.copytree(fixed / "run", tmp_path / "run")
    words = ("train", "lenet5", fixed / "p", *QUICK, "--run-dir", tmp_path / "run", "--resume")
    assert cli(*words, "--fix-list", fixed / "run" / "fix_list.csv").code == 0
    other = FixList((*FIXES.fixes, Fix("b/b_2.png", "exclude")))
    other.save(tmp_path / "other.csv")
    refused = cli(*words, "--fix-list", tmp_path / "other.csv")
    assert (refused.code, "data.fix_list.excluded: 1 before, 2 now" in refused.err) == (2, True)
    assert cli(*words).code == 2


def test_the_own_data_of_a_run_is_evaluated_with_its_fixes(fixed, cli, tmp_path):
    done = cli("evaluate", fixed / "run", fixed / "p", "--fix-list", fixed / "run" / "fix_list.csv")
    assert "the test split of its training is evaluated" in done.out
    assert cnnzoo.load(fixed / "run").classes == ("a", "b")
    without = cli("evaluate", fixed / "run", fixed / "p")
    assert f"The images are divided with the fix list of the training, {fixed / 'run' / 'fix_list.csv'}" in without.err
    assert without.out == done.out
    for name in ("model.keras", "training_images.npy"):
        shutil.copy(fixed / "run" / name, tmp_path)
    alone = cli("evaluate", tmp_path / "model.keras", fixed / "p")
    assert "was trained with a fix list" in alone.err


@pytest.mark.parametrize("names_both", [False, True])
def test_corrected_labels_are_measured_on_the_images_of_the_test_split(fixed, cli, tmp_path, names_both):
    tested = [row["image"] for row in read_predictions(cli, fixed, tmp_path / "before")]
    wrong, gone = tested[:2]
    label = "b" if wrong.startswith("a") else "a"
    FixList((Fix(wrong, "relabel", label), Fix(gone, "exclude"))).save(tmp_path / "edited.csv")
    lists = ["--fix-list", fixed / "run" / "fix_list.csv"] if names_both else []
    rows = read_predictions(cli, fixed, tmp_path / "after", *lists, "--fix-list", tmp_path / "edited.csv")
    assert [row["image"] for row in rows] == [name for name in tested if name != gone]
    assert {row["image"]: row["true"] for row in rows}[wrong] == label


def test_an_export_is_compared_on_the_validation_split_of_the_run(fixed, cli, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("cnnzoo.export", lambda *_, data, **__: seen.append(data) or "exported")
    own = cli("export", fixed / "run", tmp_path / "out", "--data", fixed / "p")
    assert own.code == 0, own.err
    trained = json.loads((fixed / "run" / "run.json").read_text())["plan"]["data"]
    assert seen[0].fingerprints == trained["fingerprints"]
    counts = f"{trained['images']['train']} training images", f"{trained['images']['validation']} validation images"
    assert all(count in own.out for count in counts)
    assert f"evaluate {tmp_path / 'out'} {fixed / 'p'} --fix-list {fixed / 'run' / 'fix_list.csv'}\n" in own.out

    other = cli("export", fixed / "run", tmp_path / "out", "--data", fixed / "p", "--seed", 5)
    assert seen[1].fingerprints != trained["fingerprints"]
    assert "splits of its training" not in other.out


def read_predictions(cli, fixed, out, *options):
    done = cli("evaluate", fixed / "run", fixed / "p", "--out", out, *options)
    assert done.code == 0, done.err
    with (out / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_fix_list_that_is_wrong_fails_before_the_training(fixed, cli, tmp_path):
    (tmp_path / "bad.csv").write_text("path,action\nnone.png,exclude\n")
    for name, message in (("none.csv", "does not exist"), ("bad.csv", "no image of the data")):
        done = cli("train", "lenet5", fixed / "p", "--fix-list", tmp_path / name, "--run-dir", tmp_path / "run")
        assert (done.code, len(done.err.strip().splitlines())) == (2, 1)
        assert message in done.err
    assert not (tmp_path / "run").exists()


def test_a_rerun_applies_the_same_fixes(fixed, cli, tmp_path):
    done = cli("rerun", fixed / "run", "--run-dir", tmp_path / "again")
    assert done.code == 0, done.err
    assert "are the same" in done.out
    assert (tmp_path / "again" / "fix_list.csv").read_bytes() == (fixed / "fixes.csv").read_bytes()


def test_a_rerun_takes_the_copy_of_a_fix_list_that_is_gone(fixed, cli, tmp_path):
    (fixed / "fixes.csv").rename(tmp_path / "moved.csv")
    try:
        done = cli("rerun", fixed / "run", "--run-dir", tmp_path / "again")
    finally:
        (tmp_path / "moved.csv").rename(fixed / "fixes.csv")
    assert done.code == 0, done.err
    assert "fixes.csv does not exist any more; the run's own copy is used" in done.err
    assert "are the same" in done.out


def test_the_fix_lists_of_a_command_are_replaced_only_if_one_is_gone(fixed):
    present, copy = str(fixed / "fixes.csv"), str(fixed / "run" / "fix_list.csv")
    words = ["train", "lenet5", "p", f"--fix-list={present}"]
    assert replace_lost_fix_lists(words, fixed, fixed / "run") == (words, "")
    lost = [*words, "--fix-list", "b/none.csv"]
    assert replace_lost_fix_lists(lost, fixed, fixed / "run") == (
        ["train", "lenet5", "p", "--fix-list", copy],
        "fixes.csv and none.csv",
    )
    assert replace_lost_fix_lists(lost, fixed, fixed / "elsewhere") == (lost, "")
