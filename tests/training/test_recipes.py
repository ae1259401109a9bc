"""Recipes are rows of data, and refuse values that make no sense."""

import re

import pytest

import cnnzoo
from cnnzoo.training import recipes
from cnnzoo.training.recipe import DESCRIPTIVE_FIELDS, RANGES, parse_settings


def parse_recipe(*settings):
    return recipes.resolve_recipe("sgd", parse_settings(settings))


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_states_its_source_cost_and_result(name):
    assert all(getattr(cnnzoo.recipe(name), field) for field in DESCRIPTIVE_FIELDS)


def test_settings_change_fields():
    recipe = parse_recipe("learning_rate=0.2", " epochs = 3", "augment=shift", "rubbish=1")
    assert (recipe.learning_rate, recipe.epochs, recipe.augment, recipe.rubbish) == (0.2, 3, "shift", 1.0)
    steps = parse_recipe("learning_rate=auto", "schedule=step", "drops=[0.5, 0.75]")
    assert (steps.learning_rate, steps.drops) == ("auto", (0.5, 0.75))


def test_a_recipe_is_made_of_a_name_a_file_or_another_recipe(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('epochs = 2\nbatch_size = 8\nlearning_rate = 0.1\nsource = "me"\n')
    assert (
        cnnzoo.recipe(file)
        == cnnzoo.recipe(str(file))
        == cnnzoo.Recipe(epochs=2, batch_size=8, learning_rate=0.1, source="me")
    )
    tuned = cnnzoo.recipe("finetune", epochs=2)
    assert cnnzoo.recipe(tuned) == tuned == cnnzoo.recipe("finetune", epochs=2)
    assert cnnzoo.recipe(tuned, bn="train").bn == "train"
    file.write_text("epochs = 2")
    with pytest.raises(cnnzoo.InputError, match="lacks batch_size, learning_rate"):
        cnnzoo.recipe(file)
    with pytest.raises(cnnzoo.InputError, match=r"There is no recipe '.*none\.toml'"):
        cnnzoo.recipe(tmp_path / "none.toml")


@pytest.mark.parametrize("field", RANGES)
def test_ranges_end_where_they_say(field):
    """Values at an open end, or just outside a closed one, are refused."""
    interval = RANGES[field]
    whole = field in ("epochs", "batch_size", "stages", "patience")
    outside = [interval.low if interval.closed in ("right", "neither") else interval.low - 1]
    if interval.high < float("inf"):
        outside.append(interval.high if interval.closed in ("left", "neither") else interval.high + 1)
    for value in outside:
        with pytest.raises(cnnzoo.InputError, match=f"recipe field {field} must be in {re.escape(str(interval))}"):
            cnnzoo.recipe("sgd", **{field: int(value) if whole else float(value)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["learning_rat=0.1"], "Did you mean learning_rate"),
        (["learning_rate"], "must have the form field=value"),
        (["learning_rate=fast"], "learning_rate must be in (0, inf) or 'auto'. Received: 'fast'"),
        (["epochs=2.5"], "epochs must be int"),
        (["epochs=True"], "epochs must be int"),
        (["epochs=0"], "epochs must be in [1, 1,000,000]"),
        (["momentum=1.0"], "momentum must be in [0, 1)"),
        (["learning_rate=-1"], "learning_rate must be in (0, inf)"),
        (["learning_rate=nan"], "learning_rate must be in (0, inf)"),
        (["warmup_epochs=99"], "warmup_epochs must be in [0, epochs=30]"),
        (["learning_rate=1e400"], "learning_rate must be in (0, inf)"),
        (["epochs={[]}"], "epochs must be int"),
        (["augment=flip"], "Unknown augmentation"),
        (["optimizer=adamv"], "Did you mean adamw"),
        (["precision=fp16"], "Unknown precision of a recipe"),
        (["schedule=step"], "'step' needs drops"),
        (["schedule=step", "drops=(0.5, 2)"], "drops must be fractions of the run between 0 and 1. Received: (0.5, 2)"),
        (["ema=1.0"], "ema must be in [0, 1)"),
        (["stages=-1"], "stages must be in [0, inf)"),
        (["patience=0"], "patience must be in [1, inf)"),
        (["stage_decay=0"], "stage_decay must be in (0, 1]"),
        (["source=me"], "Unknown recipe field"),
    ],
)
def test_invalid_settings_raise_an_error(settings, message):
    with pytest.raises(cnnzoo.InputError, match=re.escape(message)):
        parse_recipe(*settings)


def test_an_unknown_recipe_raises_an_error():
    with pytest.raises(cnnzoo.InputError, match="Did you mean sgd"):
        cnnzoo.recipe("sdg")


def test_a_changed_recipe_is_found_by_its_source():
    for name in recipes.RECIPES:
        assert recipes.find_named_recipe(cnnzoo.recipe(name, epochs=90)) == name, "each has a source of its own"
