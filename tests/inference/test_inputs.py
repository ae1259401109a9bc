"""The images that a classifier accepts."""

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
