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
        (["learning_rate"], "has the form field=value"),
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
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(cnnzoo.InputError, match=re.escape(message)):
        recipes.resolve_recipe("sgd", recipes.parse_settings(settings))


def test_an_unknown_recipe_is_named():
    with pytest.raises(cnnzoo.InputError, match="Did you mean sgd"):
        recipes.resolve_recipe("sdg")
