"""Search spaces: fields of recipes and rows, their values, and errors."""

from dataclasses import replace

import keras_tuner
import pytest

import cnnzoo
from cnnzoo.models import FAMILIES
from cnnzoo.training.recipes import resolve_recipe
from cnnzoo.tuning.space import make_space

SGD = resolve_recipe("sgd")


def choose(space, **values):
    """The values of a trial: the defaults, except those given."""
    return space.decode(space.hyperparameters().values | values)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_a_space_that_keeps_the_default(family):
    name = next(iter(FAMILIES[family]))
    for weights in (False, True):
        base = resolve_recipe("finetune" if weights else "sgd")
        space = make_space(name, base, None, weights)
        assert len(space.dimensions) >= 5
        assert space.apply(space.defaults()) == (name, base)
        for values in ({}, {"learning_rate": space.hyperparameters().space[0].random_sample(0)}):
            space.apply(choose(space, **values))


def test_values_reach_the_recipe_and_the_row():
    ranges = {
        "learning_rate": {"low": 0.001, "high": 1, "log": True},
        "epochs": {"low": 2, "high": 8},
        "augment": ["none", "shift"],
        "clip": [None, 1.0],
        "model": ["resnet18", "resnet34"],
        "row.width": [64, 128],
        "row.depths": [[1, 1, 1, 1], [2, 2, 2, 2]],
    }
    space = make_space("resnet18", SGD, ranges)
    chosen = choose(
        space,
        learning_rate=0.123456789,
        epochs=3,
        augment="shift",
        clip="1.0",
        model="resnet34",
        **{"row.width": 128, "row.depths": "(1, 1, 1, 1)"},
    )
    row, recipe = space.apply(chosen)
    assert recipe == replace(SGD, learning_rate=0.1235, epochs=3, augment="shift", clip=1.0)
    assert row == replace(cnnzoo.info("resnet34").row, width=128, depths=(1, 1, 1, 1))
    assert space.apply(space.defaults()) == (replace(cnnzoo.info("resnet18").row, width=64, depths=(2, 2, 2, 2)), SGD)


def test_the_default_stays_as_it_is_to_the_last_digit():
    recipe = replace(SGD, learning_rate=0.0123456789)
    space = make_space("lenet5", recipe, {"learning_rate": {"low": 0.001, "high": 1, "log": True}})
    assert space.apply(space.defaults()) == ("lenet5", recipe)


def test_a_space_of_a_file_is_that_of_the_mapping(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        'learning_rate = {low = 0.001, high = 1, log = true}\nmodel = ["resnet18"]\n"row.depths" = [[1, 1, 1, 1]]\n'
    )
    ranges = {"learning_rate": {"low": 0.001, "high": 1, "log": True}}
    ranges |= {"model": ["resnet18"], "row.depths": [[1, 1, 1, 1]]}
    assert make_space("resnet18", SGD, path) == make_space("resnet18", SGD, ranges)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"learning_rat": [0.1]}, "Unknown field of a space. Did you mean learning_rate"),
        ({"row.width": [1]}, "Unknown field of LeNet"),
        ({"model": ["lenet6"]}, "Unknown model. Did you mean lenet"),
        ({"learning_rate": {"low": 0.1, "hi": 1}}, "Unknown key of the range of learning_rate"),
        ({"learning_rate": {"low": 0.1, "high": float("inf")}}, "must consist of finite numbers"),
        (
            {"batch_size": {"low": 8, "high": 64, "step": 1.5}},
            "batch_size is an integer, so low, high and step must",
        ),
        ({"augment": [["none"], {}]}, "The recipe field augment must be str"),
        ({"learning_rate": {"low": 0.1}}, "A range needs numbers low and high"),
        ({"learning_rate": {"low": 1, "high": 0.1}}, "The range of learning_rate is empty"),
        ({"learning_rate": {"low": 0, "high": 0.1, "log": True}}, "above 0 if log is true"),
        ({"momentum": {"low": 0.5, "high": 1.5}}, r"momentum must be in \[0, 1\)\. Received: 1\.5"),
        ({"augment": ["none", "shfit"]}, "Unknown augmentation. Did you mean shift"),
        ({"augment": {"low": 0, "high": 1}}, "which is not a number: give a list"),
        ({"batch_size": []}, "takes a list of values or a range"),
        ({"batch_size": 32}, "takes a list of values or a range"),
        ({}, "A space is a mapping"),
        ("no.toml", "Cannot read 'no.toml' as TOML"),
    ],
)
def test_invalid_spaces_are_refused(ranges, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        make_space("lenet5", SGD, ranges)


def test_weights_belong_to_one_model():
    with pytest.raises(cnnzoo.InputError, match="Weights belong to one model"):
        make_space("lenet5", SGD, {"model": ["lenet5", "lenet5_relu"]}, weights=True)


def test_values_survive_keras_tuners_messages():
    """Between machines they are sent as protocol buffers."""
    ranges = {"learning_rate": {"low": 0.001, "high": 1, "log": True}, "clip": [None, 1.0], "batch_size": [16, 32]}
    space = make_space("lenet5", SGD, ranges)
    hp = space.hyperparameters()
    hp.values["learning_rate"] = 0.0123456
    received = keras_tuner.HyperParameters.from_proto(hp.to_proto())
    assert space.decode(received.values) == space.decode(hp.values)
    assert space.decode(received.values)["learning_rate"] == 0.01235
