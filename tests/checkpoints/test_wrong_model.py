"""A checkpoint of another model is recognized by its number of parameters, before anything is built."""

import numpy as np
import pytest

import cnnzoo
from cnnzoo.cards import Card, default_class_names
from cnnzoo.checkpoints.source import WeightsSource
from cnnzoo.checkpoints.variant_check import check_variant
from cnnzoo.cli.inference import hint_at_class_names

ROWS = {name: cnnzoo.info(name).row for name in cnnzoo.list_models()}


@pytest.fixture(scope="module")
def lenet_file(tmp_path_factory):
    """Tensors with as many elements as lenet_caffe has parameters, and statistics that do not count."""
    path = tmp_path_factory.mktemp("weights") / "caffe.npz"
    np.savez(
        path,
        **{
            "a.weight": np.zeros((431_080 - 80,), "float32"),
            "a.bias": np.zeros(80, "float32"),
            "bn.running_mean": np.zeros(80, "float32"),
        },
    )
    return path


def test_the_model_of_that_size_is_named(lenet_file):
    source = WeightsSource.from_file(lenet_file, "", "resnet18", None)
    with pytest.raises(cnnzoo.InputError, match="431,080 parameters, as lenet_caffe.*get.'lenet_caffe', weights="):
        check_variant(source, "resnet18", ROWS["resnet18"], lambda: ROWS)


def test_a_file_of_the_models_own_size_passes(lenet_file):
    source = WeightsSource.from_file(lenet_file, "", "lenet_caffe", None)
    assert check_variant(source, "lenet_caffe", ROWS["lenet_caffe"], lambda: ROWS) is source


@pytest.mark.parametrize(
    ("model", "card", "hint"),
    [
        (
            "resnet18:net.pth",
            Card("resnet18", default_class_names(1000)),
            "--classes imagenet, --classes names.txt",
        ),
        ("resnet18:net.pth", Card("resnet18", default_class_names(7)), "Names: --classes names.txt"),
        ("resnet18:net.pth", Card("resnet18", ("cat", "dog")), ""),
        ("lenet5:digits", Card("lenet5", default_class_names(10), weights={"tag": "digits"}), ""),
        ("lenet5:tuned.keras", Card("lenet5", default_class_names(10), training={"seed": 0}), ""),
        ("runs/digits", Card("lenet5", default_class_names(10)), ""),
    ],
)
def test_predict_says_how_to_name_the_classes_of_a_file(model, card, hint):
    answer = hint_at_class_names(model, card)
    assert answer.endswith(hint)
    assert bool(answer) == bool(hint)
