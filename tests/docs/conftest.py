"""Short trainings and measurements, for pages and examples that show long ones."""

from dataclasses import replace

import pytest
from helpers.processes import fork_trial_servers
from helpers.quick_speeds import use_quick_speeds

from cnnzoo.training import recipes


@pytest.fixture
def shorten_recipes(monkeypatch):
    """A function that makes all published recipes end after some epochs."""

    def shorten(epochs):
        for name, recipe in recipes.RECIPES.items():
            warmup = min(recipe.warmup_epochs, 1)
            monkeypatch.setitem(recipes.RECIPES, name, replace(recipe, epochs=epochs, warmup_epochs=warmup))

    return shorten


@pytest.fixture(scope="module", autouse=True)
def quick_processes():
    with fork_trial_servers(), use_quick_speeds():
        yield
