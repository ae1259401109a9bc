"""Files that results are written to: what would cost somebody a file is refused before anything slow."""

import os

import pytest

import cnnzoo
from cnnzoo.core.errors import InputError
from cnnzoo.core.outputs import OWN_FILES, RECORDS, check_output_file, write_text_file
from cnnzoo.evaluation.report import REPORT_FILES

SUFFIXES = (".html", ".json", ".csv")


def check(path):
    return check_output_file(path, "--out", SUFFIXES, "a page")


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("name", OWN_FILES)
def test_files_that_a_folder_lives_by_are_kept(tmp_path, record, name):
    (tmp_path / name).write_text("kept")
    (tmp_path / record).touch()
    with pytest.raises(InputError, match=r"--out cannot be .*: the run, report or export in that folder would lose"):
        check(tmp_path / name)
    (tmp_path / record).unlink()
    if name not in RECORDS:
        assert check(tmp_path / name) == tmp_path / name  # a file of the same name elsewhere


def test_files_of_reports_are_among_them():
    assert set(REPORT_FILES) <= set(OWN_FILES)


def test_other_files_beside_a_run_are_replaced(tmp_path):
    (tmp_path / "run.json").touch()
    for text in ("old", "new \udcff"):
        write_text_file(check(tmp_path / "compare.html"), text)
    assert (tmp_path / "compare.html").read_text() == r"new \udcff"


def test_places_that_cannot_be_written_to_are_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path in ("file/page.html", "file/a/b/page.html"):
        with pytest.raises(InputError, match="Cannot write to .*: .*file' is not a folder"):
            check(tmp_path / path)
    assert check(tmp_path / "new" / "folder" / "page.html")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # this may run as root, whom nothing stops
    with pytest.raises(InputError, match="Cannot write to .*: Permission denied"):
        check(tmp_path / "new" / "page.html")


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "a.csv", "b.csv", "--data", "table.json", "--out", "table.json"),
        ("compare", "a.csv", "b.csv", "--data", "table.json", "--out", "link.json"),
        ("benchmark", "model.keras", "table.csv", "--out", "table.csv"),
    ],
)
def test_no_command_overwrites_its_input(tmp_path, monkeypatch, cli, words):
    monkeypatch.chdir(tmp_path)
    cnnzoo.save(cnnzoo.get("lenet5"), "model.keras")
    for name in ("a.csv", "b.csv", "table.json", "table.csv"):
        (tmp_path / name).write_text("path,label\n")
    (tmp_path / "link.json").symlink_to(tmp_path / "table.json")
    result = cli(*words)
    assert result.code == 2
    assert "the command reads that file. Give another name" in result.err
    assert (tmp_path / words[-1]).read_text() == "path,label\n"


def test_no_command_overwrites_a_run(trained, monkeypatch, cli, tmp_path):
    report = trained.folder / "report.json"
    content = report.read_bytes()
    result = cli("compare", trained.folder, trained.folder, "--out", report)
    assert (result.code, report.read_bytes()) == (2, content)
    assert "would lose this file" in result.err
    for command in ("explain", "filters"):
        result = cli(command, trained.folder, tmp_path / "photo.png", "--out", trained.folder / "report.html")
        assert result.code == 2
        assert "would lose this file" in result.err
