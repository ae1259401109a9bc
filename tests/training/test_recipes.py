"""Recipes are data, and refuse what makes no sense."""

import re

import pytest

import cnnzoo
from cnnzoo.training import recipes


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_states_its_source_cost_and_result(name):
    recipe = recipes.resolve_recipe(name)
    assert recipe.source
    assert recipe.cost
    assert recipe.result


def test_fields_are_replaced():
    recipe = recipes.resolve_recipe(
        "sgd", recipes.parse_settings(["learning_rate=0.2", " epochs = 3", "augment=shift", "rubbish=1"])
    )
    assert (recipe.learning_rate, recipe.epochs, recipe.augment, recipe.rubbish) == (0.2, 3, "shift", 1.0)
    assert recipes.resolve_recipe(recipe) is not None
    falling = recipes.resolve_recipe(
        "sgd", recipes.parse_settings(["learning_rate=auto", "schedule=step", "drops=[0.5, 0.75]"])
    )
    assert (falling.learning_rate, falling.drops) == ("auto", (0.5, 0.75))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["learning_rat=0.1"], "Did you mean learning_rate"),
        (["learning_rate"], "reads field=value"),
        (["learning_rate=fast"], "learning_rate is out of range. Received: 'fast'"),
        (["epochs=2.5"], "epochs is int"),
        (["epochs=True"], "epochs is int"),
        (["epochs=0"], "epochs is out of range"),
        (["momentum=1.0"], "momentum is out of range"),
        (["learning_rate=-1"], "learning_rate is out of range"),
        (["learning_rate=nan"], "learning_rate is"),
        (["warmup_epochs=99"], "warmup_epochs is out of range"),
        (["learning_rate=1e400"], "learning_rate is out of range"),
        (["epochs={[]}"], "epochs is int"),
        (["augment=flip"], "Unknown augmentation"),
        (["optimizer=adamv"], "Did you mean adamw"),
        (["precision=fp16"], "Unknown precision of a recipe"),
        (["schedule=step"], "'step' needs drops"),
        (["schedule=step", "drops=(0.5, 2)"], "drops is shares of the run between 0 and 1. Received: (0.5, 2)"),
        (["ema=1.0"], "ema is out of range"),
        (["stages=-1"], "stages is out of range"),
        (["patience=0"], "patience is out of range"),
        (["stage_decay=0"], "stage_decay is out of range"),
        (["source=me"], "Unknown recipe field"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(cnnzoo.InputError, match=re.escape(message)):
        recipes.resolve_recipe("sgd", recipes.parse_settings(settings))


def test_an_unknown_recipe_is_named():
    with pytest.raises(cnnzoo.InputError, match="Did you mean sgd"):
        recipes.resolve_recipe("sdg")
