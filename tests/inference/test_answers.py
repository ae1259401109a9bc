"""Predictions written to a file: in every format, continued after an interruption, and nothing lost."""

import csv
import itertools
import json
import shutil
import time

import numpy as np
import pytest
from helpers.processes import start_command
from PIL import Image

import cnnzoo
from cnnzoo.inference import answers

SUFFIXES = [".csv", ".jsonl", ".parquet"]
IMAGES = 31


def read_rows(path):
    if path.suffix == ".csv":
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


def assert_same_rows(path, expected_path):
    """Check that the rows are equal, except for the rounding of other batches."""
    for row, expected in zip(read_rows(path), read_rows(expected_path), strict=True):
        for key, value in row.items():
            if key.startswith("probability") and value:
                assert float(value) == pytest.approx(float(expected[key]), abs=1e-6)
            else:
                assert value == expected[key]


@pytest.fixture(scope="module")
def write_once(classifier, photos, tmp_path_factory):
    """A function from a suffix to a complete file of predictions for all photos."""
    folder = tmp_path_factory.mktemp("complete")

    def write(suffix):
        path = folder / f"complete{suffix}"
        if not path.exists():
            classifier.predict_to(path, photos, verbose=False)
        return path

    return write


@pytest.fixture
def interrupt(monkeypatch):
    """A function that calls `predict_to` and interrupts it after some predictions, with few rows per chunk."""

    def predict_to(classifier, path, images, after):
        predict_batches = type(classifier)._predict_batches

        def stop(*arguments):
            yield from itertools.islice(predict_batches(classifier, *arguments), after)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(answers, "RECORD_INTERVAL", 0.0)
            patch.setattr(answers, "PARQUET_PART_ROWS", 8)
            patch.setattr(answers, "TEXT_CHUNK_ROWS", 4)
            patch.setattr(classifier, "_predict_batches", stop)
            with pytest.raises(cnnzoo.Interrupted, match=r"\d+ predictions are kept in .*Repeat the same call"):
                classifier.predict_to(path, images, verbose=False)

    return predict_to


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_image_has_its_row(classifier, photos, tmp_path, suffix):
    path = tmp_path / f"answers{suffix}"
    result = classifier.predict_to(path, photos, top=2)
    assert (result.path, result.images, result.errors) == (path, IMAGES, 1)
    predictions, rows = list(classifier.stream(photos, top=2)), read_rows(path)
    assert len({row["path"] for row in rows}) == IMAGES
    for row, prediction in zip(rows, predictions, strict=True):
        assert row["path"] == prediction.source
        if row["error"]:
            assert "7 über.jpg" in row["path"]
            assert "not a JPEG, PNG" in row["error"]
            assert not row["class_1"]
            continue
        assert (row["class_1"], row["class_2"]) == prediction.classes
        assert [float(row["probability_1"]), float(row["probability_2"])] == pytest.approx(
            prediction.probabilities, abs=1e-5
        )
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name], "the record is left"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_file_is_continued(classifier, photos, tmp_path, suffix, write_once, interrupt):
    path = tmp_path / f"answers{suffix}"
    interrupt(classifier, path, photos, after=19)
    if suffix != ".parquet":
        with path.open("ab") as file:
            file.write(b"half a li")  # of a row after the last record
    for change in ({"top": 2}, {"images": [photos / "a"]}):
        with pytest.raises(cnnzoo.InputError, match="was begun with other settings"):
            classifier.predict_to(path, **{"images": photos, "verbose": False, **change})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "identity", lambda: "another model of the same name")
        with pytest.raises(cnnzoo.InputError, match="was begun with other settings: weights"):
            classifier.predict_to(path, photos, verbose=False)
    result = classifier.predict_to(path, photos, verbose=False)
    assert (result.images, result.errors) == (IMAGES, 1)
    assert_same_rows(path, write_once(suffix))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_was_removed_is_written_again(classifier, photos, tmp_path, suffix, write_once, interrupt):
    path = tmp_path / f"answers{suffix}"
    interrupt(classifier, path, photos, after=20)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert classifier.predict_to(path, photos, overwrite=True, verbose=False).images == IMAGES
    assert_same_rows(path, write_once(suffix))


def test_the_file_itself_is_not_among_its_images(classifier, photos, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    assert classifier.predict_to(folder / "answers.csv", folder, verbose=False).images == IMAGES
    # The .csv is now one of the documents.
    with pytest.warns(UserWarning, match=r"answers\.csv was left out"):
        assert classifier.predict_to(folder / "answers.parquet", folder, verbose=False).images == IMAGES
    named = [folder / "a", str(folder / "*.csv")]
    assert classifier.predict_to(folder / "answers.csv", named, overwrite=True, verbose=False).images == 15


def test_changed_images_are_noticed(classifier, photos, tmp_path, interrupt):
    folder, path = tmp_path / "photos", tmp_path / "answers.jsonl"
    shutil.copytree(photos / "a", folder)
    interrupt(classifier, path, folder, after=12)
    Image.fromarray(np.zeros((8, 8), "uint8")).save(folder / "0.png")
    with pytest.raises(cnnzoo.InputError, match="was begun with other images: number 12 was "):
        classifier.predict_to(path, folder, verbose=False)
    assert classifier.predict_to(path, folder, overwrite=True, verbose=False).images == 16


def test_refused_calls_leave_everything_as_it_was(classifier, photos, tmp_path, write_once):
    path = tmp_path / "a.csv"
    with pytest.raises(cnnzoo.InputError, match="top must be a whole number"):
        classifier.predict_to(path, photos, top=0)
    with pytest.raises(cnnzoo.InputError, match="There are no files"):
        classifier.predict_to(path, [photos / "a", str(photos / "typo*.png")])
    with pytest.raises(cnnzoo.InputError, match="Unknown kind of file.*Received: '.txt'"):
        classifier.predict_to(tmp_path / "c.txt", photos)
    assert not list(tmp_path.iterdir())
    shutil.copyfile(write_once(".csv"), path)
    content = path.read_bytes()
    with pytest.raises(cnnzoo.InputError, match="already exists"):
        classifier.predict_to(path, photos)
    with pytest.raises(cnnzoo.InputError, match="batch_size"):
        classifier.predict_to(path, photos, batch_size=0, overwrite=True)
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


def test_existing_files_are_replaced_on_request_only(classifier, photos, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(cnnzoo.InputError, match="already exists; overwrite=True"):
        classifier.predict_to(path, photos)
    assert path.read_text() == "mine"
    classifier.predict_to(path, photos, overwrite=True, verbose=False)
    assert len(read_rows(path)) == IMAGES
    (tmp_path / "b.parquet").mkdir()
    (tmp_path / "b.parquet" / "thesis.tex").write_text("mine")
    with pytest.raises(cnnzoo.InputError, match=r"also holds other files, such as thesis\.tex"):
        classifier.predict_to(tmp_path / "b.parquet", photos, overwrite=True)


def test_iterators_are_read_once(classifier, photos, tmp_path):
    paths = (path for path in sorted((photos / "a").iterdir()))
    assert classifier.predict_to(tmp_path / "a.csv", paths, verbose=False).images == 15


@pytest.mark.slow
def test_a_killed_process_loses_nothing(trained, photos, tmp_path):
    """The same command then writes the same file as one that was not killed."""
    many = tmp_path / "many"
    many.mkdir()
    for i in range(40):
        shutil.copytree(photos, many / f"{i:03}")
    path, complete = tmp_path / "killed.csv", tmp_path / "complete.csv"
    arguments = ("predict", trained.folder, many, "--runtime", "keras", "--out", path)
    process = start_command(*arguments)
    while not path.exists() or path.stat().st_size < 8_000:
        time.sleep(0.01)
        assert process.poll() is None, process.communicate()
    process.kill()
    process.wait()
    continued = start_command(*arguments)
    out, error = continued.communicate()
    assert continued.returncode == 2, error
    assert "1,240 images, 40 of them unreadable" in out
    cnnzoo.load(trained.folder, "keras").predict_to(complete, many, top=3, verbose=False)
    assert_same_rows(path, complete)
