"""Shares of 0: everything is trained on beside the test part of the source."""

import csv

import pytest
from helpers.image_files import write_class_folders
from helpers.images import make_blobs

import cnnzoo

IMAGES, LABELS = make_blobs(60)
PAIR = (IMAGES[:45], LABELS[:45]), (IMAGES[45:], LABELS[45:])
TRIPLE = (IMAGES[:36], LABELS[:36]), (IMAGES[36:45], LABELS[36:45]), (IMAGES[45:], LABELS[45:])


def count(data):
    """Return the numbers of images in train, validation and test."""
    return tuple(len(split) for split in data.splits.values())


@pytest.mark.parametrize(
    ("source", "splits", "expected"),
    [
        (PAIR, (1, 0, 0), (45, 0, 15)),
        (PAIR, (0.9, 0, 0.1), (45, 0, 15)),
        (PAIR, (0.8, 0.2, 0), (36, 9, 15)),
        (TRIPLE, (1, 0, 0), (45, 0, 15)),  # the validation part too
        (TRIPLE, (0.8, 0.2, 0), (36, 9, 15)),
        ((IMAGES, LABELS), (0.8, 0, 0.2), (48, 0, 12)),
        ({"train": PAIR[0], "validation": PAIR[1]}, (1, 0, 0), (45, 0, 15)),  # whose validation part is the test split
    ],
)
def test_arrays_are_divided_by_shares_of_zero(source, splits, expected):
    data = cnnzoo.load_data(source, splits=splits)
    assert count(data) == expected
    assert data.split_options == (tuple(map(float, splits)), 0)


def test_a_validation_part_that_is_trained_on_is_named():
    data = cnnzoo.load_data(TRIPLE, splits=(1, 0, 0))
    assert "The validation part (9 images) is used for training, as the share of validation is 0." in data.notes
    assert (data.train.images[36:] == IMAGES[36:45, ..., None]).all()
    assert data.train.labels[36:].tolist() == LABELS[36:45].tolist()


def test_a_folder_with_train_and_val_is_trained_on_whole(tmp_path):
    write_class_folders(tmp_path / "train", {"a": 4, "b": 4})
    write_class_folders(tmp_path / "val", {"a": 2, "b": 2}, seed=2000)
    data = cnnzoo.load_data(tmp_path, splits=(1, 0, 0))
    assert count(data) == (8, 0, 4)
    assert (
        "The validation part is used as the test split, and the training part (8 images) for training alone."
        in data.notes
    )


def test_a_table_with_a_column_of_splits_is_trained_on_whole(tmp_path):
    write_class_folders(tmp_path, {"a": 4, "b": 4})
    with (tmp_path / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for i, path in enumerate(sorted(tmp_path.glob("?/*.png"))):
            rows.writerow([path.relative_to(tmp_path), path.parent.name, ("train", "train", "val", "test")[i % 4]])
    assert count(cnnzoo.load_data(tmp_path / "table.csv", splits=(1, 0, 0))) == (6, 0, 2)


@pytest.mark.parametrize(
    ("splits", "remedy"),
    [((1, 0, 0), r"splits=\(0.9, 0, 0.1\) \(--splits 0.9,0,0.1\)"), ((0.9, 0.1, 0), r"splits=\(0.8, 0.1, 0.1\)")],
)
def test_a_source_without_a_test_part_is_refused(splits, remedy):
    with pytest.raises(cnnzoo.InputError, match=f"leaves no image for the test split.* It has none.*{remedy}"):
        cnnzoo.load_data((IMAGES, LABELS), splits=splits)


def test_other_shares_without_validation_are_proposed():
    with pytest.raises(cnnzoo.InputError, match=r"These shares work: splits=\(0.85, 0, 0.15\)"):
        cnnzoo.load_data((IMAGES[:20], LABELS[:20]), splits=(0.95, 0, 0.05))


@pytest.mark.parametrize("splits", [(0, 1, 0), (0, 0.5, 0.5), (1, 0), (-1, 1, 1), (1, 0, 0.1), (float("nan"), 0, 1), 1])
def test_other_shares_are_refused(splits):
    with pytest.raises(cnnzoo.InputError, match=r"add up to 1 .*\(1, 0, 0\) to train on everything"):
        cnnzoo.load_data(PAIR, splits=splits)
