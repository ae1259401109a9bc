"""The images that a classifier accepts."""

import shutil
from contextlib import contextmanager
from warnings import catch_warnings

import pytest

import cnnzoo
from cnnzoo.inference.inputs import iter_images


def test_folders_patterns_and_lists_become_files(photos):
    def names(images):
        return [name.removeprefix(f"{photos}/") for name, _ in iter_images(images)]

    assert names(photos / "a")[:3] == ["a/1.png", "a/3.png", "a/5.png"]
    assert names(photos / "a")[-1] == "a/29.png", "not in natural order"
    assert names(str(photos / "a" / "1*.png"))[:2] == ["a/1.png", "a/11.png"]
    assert names([photos / "b" / "0.png", str(photos / "a" / "[13].png")]) == ["b/0.png", "a/1.png", "a/3.png"]
    assert names((photos / "a").glob("1.png")) == ["a/1.png"]
    with pytest.raises(cnnzoo.InputError, match="There are no files at"):
        names(photos / "*.nothing")
    with pytest.raises(cnnzoo.InputError, match=r"An image must be a path, .*\. Received: 3"):
        names([3])
    with pytest.raises(cnnzoo.InputError, match=r"Images must be a path, .*\. Received: 3"):
        names(3)


def test_paths_bytes_and_arrays_give_the_same_answer(classifier, photos, data):
    path, content, pixels = photos / "a" / "1.png", (photos / "a" / "1.png").read_bytes(), data.train.images[1]
    by_path, by_bytes, by_array = (classifier.predict(images)[0] for images in (path, content, pixels[None]))
    assert by_path.classes == by_bytes.classes == by_array.classes
    assert [prediction.source for prediction in classifier.stream([content, pixels])] == ["0", "1"]


def test_documents_in_folders_are_left_out_with_one_warning(classifier, photos, tmp_path):
    folder = tmp_path / "new"
    shutil.copytree(photos / "a", folder)
    for name in ("notes.txt", "README", "labels.csv"):
        (folder / name).write_text("no image")
    for images in (folder, str(folder / "*")):
        with pytest.warns(UserWarning, match=r"and 2 other files were left out") as warnings:
            predictions = classifier.predict(images)
        assert (len(predictions), len(warnings), any(p.error for p in predictions)) == (15, 1, False)
    assert [name for name, _ in iter_images(folder / "*.txt")] == [str(folder / "notes.txt")], "asked for by its suffix"
    with pytest.raises(cnnzoo.InputError, match=r"Cannot read .*notes\.txt"):
        classifier.predict(folder / "notes.txt")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("no image")
    with pytest.raises(cnnzoo.InputError, match=r"There are no images at .*, but documents or tables, such as .*a\.md"):
        classifier.predict(tmp_path / "notes")


def test_predictions_within_the_folder_of_the_images_are_no_document(classifier, photos, tmp_path):
    folder = tmp_path / "new"
    shutil.copytree(photos / "a", folder)
    for _ in range(2):
        with catch_warnings(record=True) as warnings:
            assert classifier.predict_to(folder / "answers.csv", folder, overwrite=True).images == 15
        assert not warnings
    (folder / "notes.txt").write_text("no image")
    with pytest.warns(UserWarning, match=r"new/notes\.txt was left out"):
        assert classifier.predict_to(folder / "answers.csv", folder, overwrite=True)[1:3] == (15, 0)


def test_a_stream_shows_its_progress_while_a_batch_is_computed_only(classifier, photos, monkeypatch):
    shown, open_count = [], 0

    @contextmanager
    def record(activity, total=None, unit="", verbose=True, done=0):
        nonlocal open_count
        shown.append((activity, total, done))
        open_count += 1
        yield
        open_count -= 1

    monkeypatch.setattr("cnnzoo.inference.classifier.show_progress", record)
    for prediction in classifier.stream(photos / "a", batch_size=10, verbose=True):
        assert (open_count, bool(prediction.classes)) == (0, True)
    progress = [(total, done) for activity, total, done in shown if activity == "Classifying the images"]
    assert progress == [(15, 0), (15, 10), (15, 15)]
