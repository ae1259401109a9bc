"""The internals of Keras Tuner that searches rely on, each by name: a release without one fails here first."""

import ast
import inspect
import tomllib
from pathlib import Path

import keras_tuner
import pytest
from helpers.paths import ROOT
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.src import config, protos
from keras_tuner.src.distribute import oracle_client
from keras_tuner.src.engine import oracle as oracle_module

from cnnzoo.training.recipes import resolve_recipe
from cnnzoo.tuning import keras_tuner_compat
from cnnzoo.tuning.oracles import ORACLES, make_oracle
from cnnzoo.tuning.space import make_space

COMPAT = Path(keras_tuner_compat.__file__)
ORACLE_INTERNALS = {
    "random": {"_get_oracle_fname", "_random_values", "_retry_queue", "_save_trial"},
    "bayesian": {"_random_state"},
    "hyperband": {"_brackets", "_get_size"},
    "grid": {"_compare", "_ordered_ids", "_populate_next"},
}
TUNER_INTERNALS = {"_get_tuner_fname", "_is_worker"}
# Public by their names, but not documented
ORACLE_ATTRIBUTES = {"max_trials", "ongoing_trials", "seed", "start_order", "end_order", "trials", "tuner_ids"}
ORACLE_ATTRIBUTES |= {"verbose"}


@pytest.mark.parametrize("name", ORACLES)
def test_the_oracles_have_the_internals_that_are_used(name):
    space = make_space("lenet5", resolve_recipe("sgd"), {"batch_size": [16, 32]})
    oracle = make_oracle(name, space, keras_tuner.Objective("accuracy", "max"), 100, 0)
    for member in ORACLE_INTERNALS["random"] | ORACLE_INTERNALS[name] | ORACLE_ATTRIBUTES:
        assert hasattr(oracle, member), member


@pytest.mark.parametrize("member", sorted(TUNER_INTERNALS))
def test_tuners_have_the_internals_that_are_used(member):
    assert callable(getattr(BaseTuner, member))


def test_modules_have_the_internals_that_are_used():
    assert oracle_module.THREADS["an oracle that does not exist"] is None
    assert isinstance(config.DEBUG, bool)
    assert callable(protos.get_service_grpc().OracleStub)
    assert "self.stub = " in inspect.getsource(oracle_client.OracleClient)
    del oracle_module.THREADS["an oracle that does not exist"]


def test_the_lists_above_name_every_internal():
    tree = ast.parse(COMPAT.read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} - functions
    private = {name for name in used if name.startswith("_") and not name.startswith("__")}
    assert private == TUNER_INTERNALS.union(*ORACLE_INTERNALS.values())


def test_no_other_file_uses_internals():
    for path in COMPAT.parents[1].rglob("*.py"):
        assert path == COMPAT or "keras_tuner.src" not in path.read_text(), path


def test_the_version_is_bounded():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "keras-tuner>=1.4.8,<1.5" in extras["tune"]
    assert keras_tuner.__version__.startswith("1.4.")
