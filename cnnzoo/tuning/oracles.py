"""The oracles by name: what proposes the values of the trials."""

from typing import Any

from keras_tuner import Objective

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.tuning.keras_tuner_compat import BayesianOracle, GridOracle, HyperbandOracle, RandomOracle
from cnnzoo.tuning.space import Space

ORACLES: dict[str, Any] = {
    "random": RandomOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
    "grid": GridOracle,
}
UNLIMITED = 1_000_000_000  # for what Keras Tuner would limit: consecutive failures, iterations of Hyperband


def make_oracle(name: str, space: Space, objective: Objective, trials: int, seed: int) -> Any:
    """Return a new oracle.

    Args:
        name: a key of `ORACLES`.
        space: the values to choose from.
        objective: the metric and its direction.
        trials: the number of trials after which the oracle stops.
        seed: the seed of the draws.

    Raises:
        InputError: if the name is unknown, or Hyperband needs more than `trials` trials for its first bracket.
    """
    if not isinstance(name, str) or name not in ORACLES:
        raise unknown_name("oracle", name, ORACLES)
    options: dict[str, Any] = {}
    if name == "hyperband":  # begins new brackets until there are enough trials
        options = {"max_epochs": space.recipe.epochs, "hyperband_iterations": UNLIMITED}
    oracle = ORACLES[name](
        objective=objective,
        hyperparameters=space.hyperparameters(),
        allow_new_entries=False,
        seed=seed + 1,  # Keras Tuner takes 0 for "draw a seed"
        max_consecutive_failed_trials=UNLIMITED,
        **options,
    )
    if name == "hyperband" and trials < (needed := oracle.min_trials()):
        raise InputError(
            f"Hyperband over {space.recipe.epochs} epochs begins with {needed} trials, most of them short. Set trials "
            f"to {needed} or more, use fewer epochs, or choose another oracle. Received: trials={trials}"
        )
    oracle.max_trials = trials
    oracle.verbose = 0
    return oracle
