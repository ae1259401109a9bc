"""Sample images of a data set: in notebooks, and by `data.show`."""

import numpy as np
import pytest
from helpers.notebooks import HOSTILE, check_summary
from PIL import Image

import cnnzoo
from cnnzoo.data.samples import describe_label, load_sample, sample_classes


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "photos"
    rng = np.random.default_rng(0)
    for label in ("ants", "bees"):
        (folder / label).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (60, 90, 3), "uint8")
            Image.fromarray(pixels).resize((900, 600)).save(folder / label / f"{i}.jpg")
    return folder


@pytest.fixture
def photo_data(photos):
    return cnnzoo.load_data(photos, doctor=False)


def test_a_notebook_shows_counts_and_images_of_every_class(photo_data):
    page = check_summary(photo_data._repr_html_())
    assert "photos: 20 image files in 2 classes" in page.text
    assert "all 16 2 2" in page.text
    assert [image["alt"] for image in page.all("img")] == ["ants"] * 5 + ["bees"] * 5


def test_hostile_class_names_and_many_classes_stay_small():
    names = [f"{HOSTILE}{i}" for i in range(150)]
    images = np.random.default_rng(0).integers(0, 256, (600, 16, 16, 3), "uint8")
    data = cnnzoo.load_data((images, names * 4), splits=(0.5, 0.25, 0.25))
    page = check_summary(data._repr_html_())
    assert "131 more" in page.text
    check_summary(data.show(count=100)._repr_html_())


def test_samples_cover_the_classes_first(data):
    labels = [tile.lines[0] for tile in sample_classes(data, 7)]
    assert labels == sorted(labels)
    assert {labels.count(name) for name in data.classes} == {2, 3}


def test_photos_are_shown_small_and_upright(photo_data):
    assert photo_data.show().tiles[0].pixels.shape == (320, 480, 3)
    resized = photo_data.resize_to((32, 32, 3), pad=0)
    assert load_sample(resized.train.images, 0).shape == (32, 32, 3)


def test_a_photo_that_was_removed_has_its_reason(photo_data):
    for photo in photo_data.train.images.photos:
        photo.source.rename(photo.source.with_suffix(".moved"))
    try:
        assert "no such file" in photo_data.show().tiles[0].problem
        check_summary(photo_data._repr_html_())
    finally:
        for photo in photo_data.train.images.photos:
            photo.source.with_suffix(".moved").rename(photo.source)


def test_the_same_seed_shows_the_same_images(data):
    first, again, other = (data.show(count=6, seed=seed).tiles for seed in (0, 0, 1))
    assert all((a.pixels == b.pixels).all() for a, b in zip(first, again, strict=True))
    assert not all((a.pixels == b.pixels).all() for a, b in zip(first, other, strict=True))


def test_augmented_images_have_one_size_and_the_labels_of_the_mix(photo_data):
    gallery = photo_data.show(count=4, augment="gentle+mixup")
    assert {tile.pixels.shape for tile in gallery.tiles} == {(224, 224, 3)}
    assert gallery.title == "4 images of photos, train, augmented with gentle+mixup"
    assert photo_data.transform is None, "the data itself keeps the sizes of its photos"


def test_show_writes_a_picture(data, tmp_path):
    assert len(data.show("test", 500, path=tmp_path / "a.png")) == len(data.test)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("options", "message"),
    {
        "split": ({"split": "dev"}, "Unknown split"),
        "count": ({"count": 0}, "count must be a whole number from 1 to"),
        "augment": ({"augment": "basik"}, "Did you mean basic"),
        "path": ({"path": "a.jpg"}, r"must be a \.png file"),
        "name": ({"n": 3}, "ImageData.show has no argument 'n'"),
    }.values(),
)
def test_wrong_options_are_refused(data, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        data.show(**options)


def test_data_for_evaluation_alone_shows_its_test_images(photos):
    data = cnnzoo.load_data(photos, split="test", doctor=False)
    assert data.show(count=3).title == "3 images of photos, test"
    check_summary(data._repr_html_())
    with pytest.raises(cnnzoo.InputError, match="train split of photos is empty"):
        data.show("train")


def test_labels_of_mixed_images_name_both_classes():
    assert describe_label(np.array([0.0, 1.0]), ["a", "b"]) == ("b",)
    assert describe_label(np.array([0.25, 0.75]), ["a", "b"]) == ("75 % b", "25 % a")
