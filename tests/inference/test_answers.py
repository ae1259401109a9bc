"""Answers to a file as they come: in every format, going on after a stop, and nothing dropped."""

import csv
import itertools
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import cnnzoo
from cnnzoo.inference import answers

SUFFIXES = [".csv", ".jsonl", ".parquet"]


@pytest.fixture(scope="module")
def classifier(trained):
    return cnnzoo.load(trained.folder)


@pytest.fixture(scope="module")
def photos(data, tmp_path_factory):
    """Files in two folders, one of them no image."""
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(np.concatenate([data.train.images, data.test.images])[:30]):
        path = folder / ("a" if i % 2 else "b") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    (folder / "b" / "7 über.jpg").write_bytes(b"no image")
    (folder / ".DS_Store").write_bytes(b"litter")
    return folder


def rows(path):
    if path.suffix == ".csv":
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


def same(one, other):
    """Equal rows, but for the rounding of other batches."""
    for a, b in zip(rows(one), rows(other), strict=True):
        for key in a:
            if key.startswith("probability") and a[key]:
                assert float(a[key]) == pytest.approx(float(b[key]), abs=1e-6)
            else:
                assert a[key] == b[key]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_image_has_a_row_in_the_answers(classifier, photos, tmp_path, suffix):
    out = tmp_path / f"answers{suffix}"
    done = classifier.predict_to(out, photos, top=2)
    assert (done.path, done.images, done.errors) == (out, 31, 1)
    answers = rows(out)
    assert [row["path"] for row in answers] == [prediction.source for prediction in classifier.stream(photos)]
    assert len({row["path"] for row in answers}) == 31
    for row in answers:
        if row["error"]:
            assert "7 über.jpg" in row["path"]
            assert "no JPEG, PNG" in row["error"]
            assert not row["class_1"]
            continue
        answer = classifier.predict(row["path"], top=2)[0]
        assert (row["class_1"], row["class_2"]) == answer.classes
        assert [float(row["probability_1"]), float(row["probability_2"])] == pytest.approx(
            answer.probabilities, abs=1e-5
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name], "no record is left"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_interrupted_answers_can_be_continued(classifier, photos, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(answers, "RECORD_INTERVAL", 0.0)
    monkeypatch.setattr(answers, "PARQUET_PART_ROWS", 8)
    monkeypatch.setattr(answers, "TEXT_CHUNK_ROWS", 4)
    whole, torn = tmp_path / f"whole{suffix}", tmp_path / f"torn{suffix}"
    classifier.predict_to(whole, photos, verbose=False)
    real, seen = classifier._stream, []

    def stop(*arguments):
        for i, prediction in enumerate(real(*arguments)):
            if i == 19:
                raise KeyboardInterrupt
            seen.append(prediction.source)
            yield prediction

    monkeypatch.setattr(classifier, "_stream", stop)
    with pytest.raises(cnnzoo.Interrupted, match=r"Stopped; \d+ answers are kept in .*goes on with them"):
        classifier.predict_to(torn, photos, verbose=False)
    monkeypatch.undo()
    if suffix != ".parquet":
        with torn.open("ab") as file:
            file.write(b"half a li")  # of what was written after the last record
    for change in ({"top": 2}, {"images": [photos / "a"]}):
        with pytest.raises(cnnzoo.InputError, match="was begun otherwise"):
            classifier.predict_to(torn, **{"images": photos, "verbose": False, **change})
    done = classifier.predict_to(torn, photos, verbose=False)
    assert (done.images, done.errors) == (31, 1)
    same(torn, whole)


def test_a_results_file_among_the_images_is_skipped(classifier, photos, tmp_path):
    """And a folder that changed since is told, as the answers would go to other images."""
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    for name in ("answers.csv", "answers.parquet"):
        assert classifier.predict_to(folder / name, folder, verbose=False).images == 31 + (name != "answers.csv")
    (folder / "answers.csv").unlink()
    real, out = classifier._stream, folder / "answers.jsonl"

    def stop(*arguments):
        yield from itertools.islice(real(*arguments), 20)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "RECORD_INTERVAL", 0.0)
        patch.setattr(answers, "TEXT_CHUNK_ROWS", 4)
        patch.setattr(classifier, "_stream", stop)
        with pytest.raises(KeyboardInterrupt):
            classifier.predict_to(out, folder / "a", verbose=False)
    Image.fromarray(np.zeros((8, 8), "uint8")).save(folder / "a" / "0.png")
    with pytest.raises(cnnzoo.InputError, match="was begun with other images: number 12 was "):
        classifier.predict_to(out, folder / "a", verbose=False)
    assert classifier.predict_to(out, folder / "a", overwrite=True, verbose=False).images == 16


def test_a_refused_request_leaves_no_file_behind(classifier, photos, tmp_path):
    out = tmp_path / "a.csv"
    with pytest.raises(cnnzoo.InputError, match="top is a whole number"):
        classifier.predict_to(out, photos, top=0)
    with pytest.raises(cnnzoo.InputError, match="There are no files"):
        classifier.predict_to(out, [photos / "a", str(photos / "typo*.png")])
    assert not list(tmp_path.iterdir())
    classifier.predict_to(out, photos, verbose=False)
    before = out.read_bytes()
    with pytest.raises(cnnzoo.InputError, match="is there already") as error:
        classifier.predict_to(out, photos)
    with pytest.raises(cnnzoo.InputError, match="batch_size"):
        classifier.predict_to(out, photos, batch_size=0, overwrite=True)
    assert (out.read_bytes(), error.value is not None) == (before, True)
    classifier.predict_to(out, photos, overwrite=True, verbose=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_images_whose_answers_were_removed_are_classified_again(classifier, photos, tmp_path, suffix, monkeypatch):
    """And what was begun by another model, of the same name, is not gone on with."""
    monkeypatch.setattr(answers, "RECORD_INTERVAL", 0.0)
    monkeypatch.setattr(answers, "TEXT_CHUNK_ROWS", 4)
    out, real = tmp_path / f"a{suffix}", classifier._stream

    def stop(*arguments):
        yield from itertools.islice(real(*arguments), 20)
        raise KeyboardInterrupt

    monkeypatch.setattr(classifier, "_stream", stop)
    with pytest.raises(KeyboardInterrupt):
        classifier.predict_to(out, photos, verbose=False)
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(classifier, "origin", lambda: "another")
        with pytest.raises(cnnzoo.InputError, match="was begun otherwise: weights"):
            classifier.predict_to(out, photos, verbose=False)
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    assert classifier.predict_to(out, photos, overwrite=True, verbose=False).images == 31
    classifier.predict_to(tmp_path / f"b{suffix}", photos, verbose=False)
    same(out, tmp_path / f"b{suffix}")


def test_iterators_of_paths_are_accepted(classifier, photos, tmp_path):
    one = classifier.predict((photos / "a").glob("1.png"))
    assert [answer.source for answer in one] == [str(photos / "a" / "1.png")]
    paths = (path for path in sorted((photos / "a").iterdir()))
    assert classifier.predict_to(tmp_path / "a.csv", paths, verbose=False).images == 15


def test_existing_answers_are_not_replaced_by_mistake(classifier, photos, tmp_path):
    out = tmp_path / "a.csv"
    out.write_text("mine")
    with pytest.raises(cnnzoo.InputError, match="is there already; overwrite=True"):
        classifier.predict_to(out, photos)
    assert out.read_text() == "mine"
    classifier.predict_to(out, photos, overwrite=True, verbose=False)
    assert len(rows(out)) == 31
    (tmp_path / "b.parquet").mkdir()
    (tmp_path / "b.parquet" / "thesis.tex").write_text("mine")
    with pytest.raises(cnnzoo.InputError, match=r"holds other things, thesis\.tex"):
        classifier.predict_to(tmp_path / "b.parquet", photos, overwrite=True)
    with pytest.raises(cnnzoo.InputError, match="Unknown kind of file.*Received: '.txt'"):
        classifier.predict_to(tmp_path / "c.txt", photos)
    with pytest.raises(cnnzoo.InputError, match="There are no files at"):
        classifier.predict_to(tmp_path / "d.csv", tmp_path / "*.nothing")


def test_sources_are_folders_patterns_lists_bytes_and_arrays(classifier, photos, data):
    def names(images):
        return [prediction.source.removeprefix(f"{photos}/") for prediction in classifier.stream(images)]

    assert names(photos / "a")[:3] == ["a/1.png", "a/3.png", "a/5.png"]
    assert names(photos / "a")[-1] == "a/29.png", "in natural order"
    assert names(str(photos / "a" / "1*.png"))[:2] == ["a/1.png", "a/11.png"]
    assert names([photos / "b" / "0.png", str(photos / "a" / "[13].png")]) == ["b/0.png", "a/1.png", "a/3.png"]
    content, pixels = (photos / "a" / "1.png").read_bytes(), data.train.images[1]
    by_path, by_bytes, by_array = (classifier.predict(x)[0] for x in (photos / "a" / "1.png", content, pixels[None]))
    assert by_path.classes == by_bytes.classes == by_array.classes
    assert names([content, pixels]) == ["0", "1"]
    with pytest.raises(cnnzoo.InputError, match="An image is a path, bytes, or an array"):
        names([3])


@pytest.mark.slow
def test_kill_9_loses_nothing(trained, photos, tmp_path):
    """A process that is killed at work; the same command writes the same file as one that was not."""
    many = tmp_path / "many"
    many.mkdir()
    for i in range(40):
        shutil.copytree(photos, many / f"{i:03}")
    command = [sys.executable, "-m", "cnnzoo", "predict", trained.folder, many, "--runtime", "keras", "--out"]
    torn, whole = tmp_path / "torn.csv", tmp_path / "whole.csv"
    process = subprocess.Popen([*command, torn], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not torn.exists() or torn.stat().st_size < 8_000:
        time.sleep(0.01)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for out in (torn, whole):
        done = subprocess.run([*command, out], capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert "1,240 images, 40 of them unreadable" in done.stdout
    same(torn, whole)
