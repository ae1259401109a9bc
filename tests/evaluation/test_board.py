"""The leaderboard: real runs in one table if their images are the same, and whatever else a folder may hold."""

import csv
import errno
import io
import json
import os
import re
import shlex
import shutil
import threading
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from filelock import FileLock
from helpers.images import make_blobs
from helpers.training import CrashAt, CrashError, fit, new_lenet

import cnnzoo
from cnnzoo.core.files import is_locked
from cnnzoo.evaluation.evaluations import EVALUATIONS_FILE, read_evaluations, record_evaluation
from cnnzoo.training import run as run_file
from cnnzoo.training.run import Run

NAME = "a <u>&\n\x1b[31m'\""


@pytest.fixture
def runs(trained, tmp_path):
    """A folder with two copies of a finished run, one of which had another recipe and a lower accuracy."""
    root = tmp_path / "runs"
    first = shutil.copytree(trained.folder, root / "first")
    change_record(first, accuracy=0.9)
    second = shutil.copytree(trained.folder, root / "nested" / NAME)
    change_record(second, accuracy=0.8, epochs=7)
    return root


def change_record(folder, accuracy=None, epochs=None, **fields):
    """Change run.json as if the run had reached another accuracy, or had another recipe."""
    path = folder / "run.json"
    record = json.loads(path.read_text())
    if accuracy is not None:
        record["figures"] |= {"accuracy": accuracy, "intervals_95": {"accuracy": [accuracy - 0.05, accuracy + 0.05]}}
    if epochs:
        record["plan"]["recipe"]["epochs"] = epochs
    path.write_text(json.dumps(record | fields))


class Links(HTMLParser):
    """Collects the addresses of links, and the names of tags."""

    def __init__(self, page):
        super().__init__()
        self.addresses, self.tags = [], set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "a":
            self.addresses.append(dict(attrs)["href"])


def test_runs_on_the_same_images_share_a_table(runs, trained):
    board = cnnzoo.board(runs)
    assert [(run.name, run.state, run.accuracy) for run in board.runs] == [
        ("first", "done", 0.9),
        (f"nested/{NAME}", "done", 0.8),
    ]
    (group,) = board.groups
    assert group.settings == ["recipe.epochs"]
    assert "epochs of the recipe" in board.to_html(), "as another column is called epochs"
    run = board.runs[0]
    assert run.parameters == 61_111  # LeNet-5 of three classes
    assert run.interval == pytest.approx((0.85, 0.95))
    assert run.history == {key: pytest.approx(values) for key, values in trained.report.history.items()}
    assert run.validation_accuracy == trained.report.history["val_accuracy"][trained.report.best_epoch - 1]


def test_models_of_any_input_size_and_function_are_comparable(tmp_path):
    """Arrays are resized to the model, so the fingerprints of their pixels differ; the images are the same."""
    data = cnnzoo.load_data(make_blobs(36), splits=(0.5, 0.25, 0.25))
    recipe = cnnzoo.Recipe(epochs=1, batch_size=6, learning_rate=0.01)
    fit(new_lenet(), data, recipe=recipe, run_dir=tmp_path / "small")
    model = cnnzoo.get("lenet5", classes=3, image_size=40)
    options = {"recipe": cnnzoo.recipe("finetune", epochs=1, batch_size=6), "verbose": False}
    cnnzoo.fine_tune(model, data, run_dir=tmp_path / "large", **options)
    (group,) = cnnzoo.board(tmp_path).groups
    assert len(group.runs) == 2
    assert {"function", "recipe.learning_rate"} <= set(group.settings)
    assert group.evaluations == 3  # two trainings and a linear probe

    other = cnnzoo.load_data(make_blobs(36), splits=(0.5, 0.25, 0.25), seed=1)
    fit(new_lenet(), other, recipe=recipe, run_dir=tmp_path / "other")
    assert [len(group.runs) for group in cnnzoo.board(tmp_path).groups] == [2, 1]


def test_the_content_fingerprint_ignores_order_and_size(data):
    test = data.test
    fingerprint = test.content_fingerprint(data.classes)
    resized = data.resize_to((32, 32, 1), 0)
    assert resized.test.fingerprint(data.classes) != test.fingerprint(data.classes)
    assert resized.content_fingerprints["test"] == fingerprint
    assert test.take(range(len(test))[::-1]).content_fingerprint(data.classes) == fingerprint
    assert test.take(range(len(test) - 1)).content_fingerprint(data.classes) != fingerprint
    names = tuple(reversed(data.classes))
    assert test.content_fingerprint(names) != fingerprint  # other labels
    assert test.content_fingerprint((*data.classes, "one more")) != fingerprint


def test_evaluations_of_the_test_split_are_counted(trained, data, tmp_path, cli):
    folder = shutil.copytree(trained.folder, tmp_path / "runs" / "a")
    (folder / EVALUATIONS_FILE).unlink(missing_ok=True)
    (group,) = cnnzoo.board(tmp_path / "runs").groups
    assert (group.evaluations, group.is_lower_bound) == (1, True)  # as in runs of earlier versions
    assert "at least once" in " ".join(group.describe_evaluations())

    shutil.copy(trained.folder / EVALUATIONS_FILE, folder)
    before = cnnzoo.board(tmp_path / "runs").groups[0].evaluations
    cnnzoo.evaluate(folder, data, verbose=False)
    cnnzoo.evaluate(folder / "model.keras", data, split="validation", verbose=False)
    lines = read_evaluations(folder)
    assert [line["split"] for line in lines[-2:]] == ["test", "validation"]
    assert lines[-2]["accuracy"] == trained.report.accuracy
    with (folder / EVALUATIONS_FILE).open("a") as file:
        file.write('{"torn": \nnull\n[1]\n')
    (group,) = cnnzoo.board(tmp_path / "runs").groups
    assert (group.evaluations, group.is_lower_bound) == (before + 1, False)
    cnnzoo.evaluate(trained.model, data, verbose=False)  # a model without a run
    assert len(read_evaluations(folder)) == len(lines)


def test_the_command_evaluate_is_counted(trained, tmp_path, cli):
    folder = shutil.copytree(trained.folder, tmp_path / "a")
    count = len(read_evaluations(folder))
    images = tmp_path / "blobs.npz"
    x, y = make_blobs()
    import numpy as np

    np.savez(images, images=x, labels=np.array(["a", "b", "c"])[y])
    result = cli("evaluate", folder, images)
    assert result.code == 0, result.err
    assert len(read_evaluations(folder)) == count + 1


def test_looks_of_several_kinds_are_told_apart(runs):
    lines = [{"fingerprint": next(iter(cnnzoo.board(runs).runs[0].keys)), "what": what, "split": "test"} for what in
             ("training", "linear probe", "evaluate", "evaluate", ["odd"])]  # fmt: skip
    for folder, own in (("first", lines[:2]), (f"nested/{NAME}", [lines[0], *lines[2:]])):
        (runs / folder / EVALUATIONS_FILE).write_text("\n".join(map(json.dumps, own)))
    (group,) = cnnzoo.board(runs).groups
    assert group.evaluations == 6
    text = "evaluated 6 times: 2 times at the end of a training, once for a linear probe, 2 times by evaluate or "
    assert f"{text}benchmark, once otherwise." in group.describe_evaluations()[0]
    shutil.rmtree(runs / "nested")
    page = cnnzoo.board(runs).to_html()
    assert "1 run on " in page
    assert "settings in which the runs differ" not in page


def test_the_best_of_many_is_said_to_be_too_high(runs):
    lines = " ".join(cnnzoo.board(runs).groups[0].describe_evaluations())
    assert "too high by chance" in lines
    assert "by its accuracy on validation" in lines


def test_the_best_of_many_may_be_without_mistakes_by_chance(runs):
    record = json.loads((runs / "first" / "run.json").read_text())
    record["figures"] |= {"accuracy": 1.0, "intervals_95": {"accuracy": [0.9, 1.0]}}
    (runs / "first" / "run.json").write_text(json.dumps(record))
    (line,) = [line for line in cnnzoo.board(runs).groups[0].describe_evaluations() if "by chance" in line]
    assert float(re.search(r"by up to (\S+) points", line)[1]) > 1


def test_overwriting_a_run_keeps_its_evaluations(data, tmp_path):
    recipe = cnnzoo.Recipe(epochs=1, batch_size=12, learning_rate=0.05)
    for overwrite in (False, True):
        fit(new_lenet(), data, recipe=recipe, run_dir=tmp_path / "a", overwrite=overwrite)
    assert len(read_evaluations(tmp_path / "a")) == 2


def test_unfinished_runs_have_a_state(runs, data):
    with pytest.raises(CrashError):
        fit(new_lenet(), data, run_dir=runs / "crashed", callbacks=[CrashAt(1, 1)])
    crashed = next(run for run in cnnzoo.board(runs).runs if run.name == "crashed")
    assert (crashed.state, crashed.accuracy, len(crashed.history["loss"])) == ("failed", None, 1)
    assert crashed.note.startswith("1 of 4 epochs; CrashError")

    change_record(runs / "crashed", status="interrupted", failure={})
    assert find_run(runs, "crashed").state == "interrupted"
    change_record(runs / "crashed", status="running")
    stopped = find_run(runs, "crashed")
    assert stopped.state == "stopped"
    assert "its process has ended" in stopped.note
    with FileLock(runs / "crashed" / ".lock"):
        assert find_run(runs, "crashed").state == "running"
    text = str(cnnzoo.board(runs))
    assert "stopped" in text
    assert "1 of 4 epochs" in text


def find_run(root, name):
    return next(run for run in cnnzoo.board(root).runs if run.name == name)


def write_record(folder, content):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(content)


def test_damaged_runs_and_those_of_other_programs_get_a_note(runs):
    good = json.loads((runs / "first" / "run.json").read_text())
    write_record(runs / "torn", '{"status": "do')
    write_record(runs / "empty", "")
    write_record(runs / "list", "[1, 2]")
    write_record(runs / "other", '{"run_id": 3, "status": 1, "plan": null}')
    write_record(runs / "no-data", '{"status": "done", "plan": {}}')
    write_record(runs / "deep", "[" * 10_000)
    write_record(runs / "figures", json.dumps(good | {"figures": {"accuracy": "high"}}))
    write_record(runs / "range", json.dumps(good | {"figures": {"accuracy": 17}}))
    write_record(runs / "gone", json.dumps({key: good[key] for key in good if key != "figures"}))
    (runs / "a folder" / "run.json").mkdir(parents=True)
    (runs / "binary").mkdir()
    (runs / "binary" / "run.json").write_bytes(b"\xff\x00" * 50)
    (runs / "loop").symlink_to(runs)
    board = cnnzoo.board(runs)
    assert len(board.runs) == 2
    notes = {note.name: note.note for note in board.notes}
    assert notes.keys() == {
        *("torn", "empty", "list", "other", "no-data", "deep", "figures", "range", "gone", "binary"),
    }
    assert notes["other"] == "run.json is not that of a run of cnnzoo"
    assert "report.json cannot be read" in notes["gone"]
    assert "damaged" in notes["torn"]
    assert "torn" in str(board)
    assert "torn" in board.to_html()


def list_places(value, place=()):
    """Yield the place of every value in nested objects and lists, of which only the first items count."""
    if place:
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        yield from list_places(item, (*place, key))


@pytest.mark.parametrize("value", [None, "<u>", -1, float("inf"), 10**400, [], {"a": 1}], ids=lambda v: f"{v!r:.9}")
def test_no_wrong_value_in_a_record_stops_the_others(runs, value):
    good = (runs / "first" / "run.json").read_text()
    places = list(list_places(json.loads(good)))
    for i, (*parents, key) in enumerate(places):
        record = json.loads(good)
        parent = record
        for name in parents:
            parent = parent[name]
        parent[key] = value
        write_record(runs / f"changed{i}", json.dumps(record))
    board = cnnzoo.board(runs)
    assert len(board.runs) + len(board.notes) == len(places) + 2
    assert {"first", f"nested/{NAME}"} <= {run.name for run in board.runs}
    assert board.to_html()
    assert board.to_csv()
    assert board.to_json()
    assert str(board)


def test_a_count_that_no_data_set_has_is_damage(runs):
    """Beside another run, as the table then says by how much the best accuracy is too high."""
    record = json.loads((runs / "first" / "run.json").read_text())
    for name, count in (("huge", 10**400), ("negative", -1)):
        record["plan"]["data"]["images"]["test"] = count
        write_record(runs / name, json.dumps(record))
    board = cnnzoo.board(runs)
    assert [note.name for note in board.notes] == ["huge", "negative"]
    assert "damaged" in str(board)


def test_names_of_data_and_folders_act_on_no_terminal_and_no_page(trained, tmp_path):
    root = tmp_path / os.fsdecode(b"runs \xff\n\x1b[31m")
    folder = shutil.copytree(trained.folder, root / "a")
    record = json.loads((folder / "run.json").read_text())
    record["plan"]["data"]["source"] = "<b>\x1b[2J\u202e\udcff\n"
    (folder / "run.json").write_text(json.dumps(record))
    board = cnnzoo.board(root)
    board.save(root)
    page = (root / "board.html").read_text(encoding="utf-8")
    for text in (str(board), repr(board), page, board._repr_html_(), board.to_csv(), board.to_json()):
        assert not set("\x1b\u202e\udcff") & set(text)
    assert "Leaderboard of " in page
    assert r"runs \udcff\n\x1b[31m" in page


def test_a_folder_that_cannot_be_read_gets_a_note(runs, monkeypatch):
    (runs / "secret").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    board = cnnzoo.board(runs)
    assert [(note.name, note.note) for note in board.notes] == [
        ("secret", "the folder cannot be read: Permission denied")
    ]
    assert len(board.runs) == 2


def test_an_accuracy_of_0_stands_before_runs_without_one(runs):
    change_record(runs / "first", accuracy=0.05)
    record = json.loads((runs / "first" / "run.json").read_text())
    record["figures"] |= {"accuracy": 0.0, "intervals_95": {"accuracy": [0.0, 0.1]}}
    (runs / "first" / "run.json").write_text(json.dumps(record))
    shutil.rmtree(runs / "nested")
    shutil.copytree(runs / "first", runs / "a")
    change_record(runs / "a", status="interrupted")
    assert [(run.name, run.accuracy) for run in cnnzoo.board(runs).runs] == [("first", 0.0), ("a", None)]
    assert cnnzoo.board(runs).to_html().count('class="best"') == 1


def test_a_line_after_a_torn_one_is_counted(trained, data, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "a")
    (folder / EVALUATIONS_FILE).write_text('{"fingerprint": "cut o')
    for accuracy in (0.25, 0.5):
        record_evaluation(folder, data, "test", accuracy, "evaluate")
    assert [line["accuracy"] for line in read_evaluations(folder)] == [0.25, 0.5]


def test_the_command_prints_the_tables_where_it_cannot_write(runs, tmp_path, cli):
    (tmp_path / "file").touch()
    for arguments in ((), ("--json",)):
        result = cli("board", runs, "--out", tmp_path / "file" / "board", *arguments)
        assert result.code == 2
        assert "first" in result.out


def test_a_look_at_its_lock_does_not_keep_a_run_from_starting(runs, monkeypatch):
    """The leaderboard holds the lock for a moment; another training would hold it for long."""
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(run_file, "LOCK_SECONDS", 30.0)
    folder, plan = runs / "first", json.loads((runs / "first" / "run.json").read_text())["plan"]
    descriptor = os.open(folder / ".lock", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    threading.Timer(0.01, os.close, (descriptor,)).start()
    with Run(folder, plan, resume=True) as run:
        assert is_locked(folder / ".lock")
        assert run.is_trained
    assert not is_locked(folder / ".lock")


@pytest.mark.parametrize("missing", [("state",), ("report.json", "report.html"), ("state", "report.json")])
def test_a_run_whose_files_were_deleted_keeps_its_figures(runs, missing):
    for name in missing:
        path = runs / "first" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run = find_run(runs, "first")
    assert run.accuracy == 0.9
    assert bool(run.history) == (missing != ("state", "report.json"))


def test_runs_of_earlier_versions_are_read_from_their_report(runs, trained):
    record = json.loads((runs / "first" / "run.json").read_text())
    for name in ("figures", "fingerprints", "parameters"):
        del record[name]
    (runs / "first" / "run.json").write_text(json.dumps(record))
    run = find_run(runs, "first")
    assert (run.accuracy, run.parameters) == (trained.report.accuracy, None)
    assert run.interval == tuple(trained.report.metrics["intervals_95"]["accuracy"])
    assert run.best_epoch == trained.report.best_epoch
    (group,) = cnnzoo.board(runs).groups
    assert group.settings == ["recipe.epochs"]  # the training images are the same, too
    assert len(group.runs) == 2  # by the other fingerprint, which both have


def test_trials_are_compared_on_validation(runs):
    record = json.loads((runs / "first" / "run.json").read_text())
    prints = record["plan"]["data"]["fingerprints"]
    prints["test"] = prints["validation"]
    record["fingerprints"]["test"] = record["fingerprints"]["validation"]
    write_record(runs / "search" / "trials" / "0" / "run", json.dumps(record))
    search = {"status": "done", "plan": {"how": "tune"}}
    (runs / "search" / "run.json").write_text(json.dumps(search))
    (runs / "search" / "trials" / "0" / "outcome.json").write_text("{}")
    board = cnnzoo.board(runs)
    assert [group.runs[0].split for group in board.groups] == ["test", "validation"]
    assert "validation images" in board.groups[1].title
    assert [note.note for note in board.notes] == ["a search: 1 trial has ended, done"]


def test_the_page_links_to_the_reports_and_escapes_names(runs, tmp_path):
    cnnzoo.board(runs).save(runs)
    page = (runs / "board.html").read_text()
    links = Links(page)
    assert "u" not in links.tags
    assert "\x1b" not in page
    addresses = [address for address in links.addresses if not address.startswith("#")]
    assert len(addresses) == 2
    for address in addresses:
        assert (runs / unquote(address)).is_file()
    cnnzoo.board(runs).save(tmp_path / "elsewhere")
    moved = Links((tmp_path / "elsewhere" / "board.html").read_text())
    for address in (a for a in moved.addresses if not a.startswith("#")):
        assert (tmp_path / "elsewhere" / unquote(address)).is_file()
    assert "<svg" in page
    assert "<script>" in page  # sorts the table
    assert cnnzoo.board(runs)._repr_html_().count("<tr") == page.count("<tr")
    assert "\x1b" not in str(cnnzoo.board(runs))


def test_the_csv_table_has_every_run_and_no_formulas(runs):
    change_record(runs / "first", started="=cmd()")
    rows = list(csv.DictReader(io.StringIO(cnnzoo.board(runs).to_csv())))
    assert [float(row["accuracy"]) for row in rows] == [0.9, 0.8]
    assert [row["recipe.epochs"] for row in rows] == ["3", "7"]
    assert rows[0]["started"] == "'=cmd()"
    assert len({row["table"] for row in rows}) == 1


def test_long_tables_are_cut_in_the_terminal_only(runs):
    record = (runs / "first" / "run.json").read_text()
    for i in range(40):
        write_record(runs / f"more{i:02}", record)
    board = cnnzoo.board(runs)
    assert "and 22 more runs, in board.html and board.csv" in str(board)
    assert board.to_html().count("<tr") == 43
    assert len(board.to_csv().splitlines()) == 43


def test_the_command_prints_the_tables_and_writes_them(runs, cli, tmp_path):
    assert "second: " not in cli("board", runs).out  # no shell takes this name as it is shown
    (runs / "nested" / NAME).rename(runs / "it's second")
    result = cli("board", runs)
    assert result.code == 0, result.err
    assert "90 %" in result.out or "90.0 %" in result.out
    assert (runs / "board.html").is_file()
    assert (runs / "board.csv").is_file()
    command = shlex.split(result.out.rpartition("second: ")[2])
    assert command[:2] == ["cnnzoo", "compare"]
    compared = cli(*command[1:], "--out", tmp_path / "compared.html")
    assert compared.code == 0, compared.err
    assert "cnnzoo compare" in (runs / "board.html").read_text().replace('</span> <span class="word">', " ")
    shown = cli("board", runs, "--json", "--out", tmp_path / "out")
    content = json.loads(shown.out)
    assert [run["accuracy"] for run in content["runs"]] == [0.9, 0.8]
    assert "Written to" in shown.err
    assert (tmp_path / "out" / "board.html").is_file()


def test_a_folder_without_runs_is_an_error(tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "file").write_text("")
    for path, message in (
        ("photos", "There is no run in 'photos': neither it nor a folder below it holds a run.json"),
        ("photo", "There is no folder 'photo'. Did you mean photos?"),
        ("file", "This is a file 'file'"),
        ("runs", "There is no folder 'runs'; trainings write"),
        ("", "is empty"),
    ):
        result = cli("board", path)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        with pytest.raises(cnnzoo.InputError):
            cnnzoo.board(path)
    assert "There is no folder 'runs'" in cli("board").err
    with pytest.raises(cnnzoo.InputError, match="must be a path"):
        cnnzoo.board(3)
    assert "--out must be a folder" in cli("board", "photos", "--out", "file").err
    assert "For example: --out leaders" in cli("board", "photos", "--out", "leaders.html").err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "photos"]
