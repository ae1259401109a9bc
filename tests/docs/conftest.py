"""Short trainings, for pages and examples that show long ones."""

from dataclasses import replace

import pytest
import sklearn.datasets
from helpers.processes import fork_trial_servers
from sklearn.utils import Bunch

from cnnzoo.training import recipes


@pytest.fixture
def shorten_recipes(monkeypatch):
    """A function that makes all published recipes end after some epochs."""

    def shorten(epochs):
        for name, recipe in recipes.RECIPES.items():
            warmup = min(recipe.warmup_epochs, 1)
            monkeypatch.setitem(recipes.RECIPES, name, replace(recipe, epochs=epochs, warmup_epochs=warmup))

    return shorten


@pytest.fixture
def few_digits(monkeypatch):
    """A third of scikit-learn's digits instead of all."""
    digits = sklearn.datasets.load_digits()
    some = Bunch(images=digits.images[:600], target=digits.target[:600])
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: some)


@pytest.fixture(scope="module", autouse=True)
def forked_trial_servers():
    with fork_trial_servers():
        yield
