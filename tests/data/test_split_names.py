"""Names of splits within the names of folders."""

import pytest

from cnnzoo.data.split_names import guess_split, resolve_evaluation

NAMES = {
    "train": [
        "train",
        "Training",
        "TRAIN",
        "training_set",
        "trainset",
        "TrainImages",
        "train2017",
        "01_train",
        "seg_train",
    ],
    "validation": ["val", "valid", "validation-data", "dev", "Dev Set", "development", "devset", "val (1)"],
    "test": ["test", "Testing", "test_set", "hold-out", "HoldOut", "held out", "unseen_data", "cifar10_test", "tst"],
    "evaluation": ["eval", "evaluation_set", "Eval"],
    "unlabeled": ["seg_pred", "unlabelled", "to_predict"],
    "": [
        "cat",
        "contest",
        "latest",
        "retrain",
        "trains",
        "tested",
        "devil",
        "value",
        "trainer",
        "train_test",
        "",
        "2017",
    ],
}


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in NAMES.items() for name in names])
def test_words_of_names_tell_the_split(split, name):
    assert guess_split(name).split == split


def test_only_names_that_say_nothing_else_are_certain():
    assert all(guess_split(name).is_certain for name in ("train", "test_set", "Train Images", "trainset", "dev"))
    assert not any(guess_split(name).is_certain for name in ("seg_train", "bullet_train", "test_tube", "cat"))


def test_eval_is_the_split_that_is_missing():
    assert resolve_evaluation({"a": "train", "b": "evaluation"}) == {"a": "train", "b": "test"}
    assert resolve_evaluation({"a": "test", "b": "evaluation"}) == {"a": "test", "b": "validation"}
    assert resolve_evaluation({"b": "evaluation"}, ["test"]) == {"b": "validation"}
