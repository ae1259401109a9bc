"""tune: search for a better recipe and model, each trial in its own process, and compare it with the default.

What it runs is imported when it is called, as it imports Keras: so `verbose` decides whether that is shown.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError, check_image_size, check_integer, shorten_repr, unknown_name
from cnnzoo.core.paths import check_path, resolve_path
from cnnzoo.core.text import format_count
from cnnzoo.data.images import ImageData
from cnnzoo.data.loader import Loader
from cnnzoo.evaluation.compatibility import check_image_data, check_not_empty
from cnnzoo.evaluation.report import HEADLINE_METRICS
from cnnzoo.models import Variant
from cnnzoo.registry import registered_variants
from cnnzoo.training import recipes
from cnnzoo.training.recipe import OF_RECIPE, Recipe
from cnnzoo.training.run import RUN_FILES, Run, check_run_dir
from cnnzoo.training.trackers import check_tracker
from cnnzoo.tuning.distributed import wait_for_chief
from cnnzoo.tuning.server import Limits, TrialServer
from cnnzoo.tuning.space import make_space

if TYPE_CHECKING:
    from cnnzoo.tuning.result import TuneResult
    from cnnzoo.tuning.trial import SearchConfig

MAX_LIMIT = 1e12  # gigabytes or seconds: a larger limit limits nothing
SHARE_OF_MEMORY = 0.8  # for all trials together


@check_arguments(OF_RECIPE)
def tune(
    model: str | Variant,
    data: ImageData,
    *,
    space: Mapping[str, Any] | str | Path | None = None,
    trials: int = 20,
    oracle: str = "random",
    objective: str = "accuracy",
    recipe: str | Recipe | None = None,
    weights: str | Path | None = None,
    image_size: int | Sequence[int] | None = None,
    seed: int = 0,
    seeds: int = 1,
    run_dir: str | Path | None = None,
    workers: int = 1,
    resume: bool | None = None,
    overwrite: bool = False,
    prune: bool = True,
    memory_gb: float | None = None,
    timeout: float = 600.0,
    verbose: bool = True,
    track: str | None = None,
) -> TuneResult | None:
    """Search for a recipe, and a model, that is better than the default, and compare both on the test split.

    The first trial is the default. Each trial is a run in a process of its own, scored on the validation split; no
    trial uses the test split. A trial that crashes, hangs or takes too much memory is recorded with its reason, and the
    search goes on. At the end, the best recipe and the default are trained again and evaluated on the test split. To
    continue a search that was stopped, repeat the same call: the trial that was running continues with its epoch.

    Args:
        model: a name of `list_models`, or a row (`Variant`).
        data: images, from `load_data`.
        space: {field: [values] or {"low", "high", "step", "log"}}, or the path of such a TOML file. A field is one of a
            recipe, "model", or "row.FIELD" for a field of the row. By default that of the model's family,
            `tuning.default_spaces.DEFAULT_SPACES`.
        trials: the number of trials.
        oracle: the strategy that proposes trials: "random", "bayesian", "hyperband" or "grid", from Keras Tuner.
        objective: the metric of `Report.metrics` by which trials are ranked, on the validation split.
        recipe: the default recipe; "sgd" by default, and "finetune" with weights.
        weights: pretrained weights as in `get`; trials then use `fine_tune` instead of `fit_and_evaluate`.
        image_size: one number, or height and width; the network's own by default.
        seed: the seed of the proposals and of every trial.
        seeds: number of times that the best recipe and the default are trained again, each with its own seed.
        run_dir: the folder of the search; runs/tune-MODEL-SOURCE by default.
        workers: the number of trials at a time on this machine. With Keras Tuner's environment variables
            KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, this call is the chief or a worker of
            a search on several machines, which share `run_dir`.
        resume: as in `fit_and_evaluate`.
        overwrite: as in `fit_and_evaluate`.
        prune: whether to stop trials whose best accuracy is in the lowest quarter at that point of their training.
        memory_gb: gigabytes of memory that a trial may use; by default 80 % of the machine's, divided by `workers`.
        timeout: the seconds without progress after which a trial counts as hung.
        verbose: whether to show progress.
        track: "mlflow", "wandb" or "tensorboard", as in `fit_and_evaluate`: each trial, and each training of the final
            comparison, is a run of the tracker.

    Returns:
        The trials, the best recipe and model, and their report; None in a worker whose chief runs elsewhere.

    Raises:
        InputError: if arguments are invalid or do not fit together, or no trial succeeded.
        TrainingError: if the process that starts the trials ends, or every trial fails when it is trained again.
        Interrupted: after Ctrl-C; repeat the same call to continue.

    Example:
        >>> data = cnnzoo.load_data("digits")
        >>> space = {"learning_rate": {"low": 0.01, "high": 0.3, "log": True}, "augment": ["none", "shift"]}
        >>> result = cnnzoo.tune("lenet5", data, space=space, trials=20)  # doctest: +SKIP
        >>> print(result.verdict())  # doctest: +SKIP
        On 180 test images that no trial saw: ...
        >>> cnnzoo.tune("lenet5", data, space=space, trials=20, oracle="baysian")
        Traceback (most recent call last):
        ...
        cnnzoo.core.errors.InputError: Unknown oracle. Did you mean bayesian...
    """
    from cnnzoo.tuning.retraining import finish_search
    from cnnzoo.tuning.search import Search, SearchOptions
    from cnnzoo.tuning.trial import run_job

    # Check the arguments before anything is written or started.
    check_tracker(track, run_dir or "runs")
    config = _make_config(model, data, space, objective, recipe, weights, image_size)
    check_not_empty(config.data, "train", "validation", "test")
    options = SearchOptions(
        trials=check_integer("trials", trials, 1),
        oracle=oracle,
        seed=check_integer("seed", seed, 0, 2**31),
        workers=check_integer("workers", workers, 1, 1024),
        prune=bool(prune) and oracle != "hyperband",
        verbose=verbose,
    )
    config = replace(config, data=config.data.with_loader(Loader(config.data.workers, share=workers)), track=track)
    search = Search(config, options, _resolve_run_dir(model, data, run_dir))
    check_integer("seeds", seeds, 1, 1000)
    for name, value in {"prune": prune, "overwrite": overwrite}.items():
        if not isinstance(value, bool):
            raise InputError(f"{name} must be True or False. Received: {value!r}")
    memory = SHARE_OF_MEMORY * _available_memory() / workers
    if memory_gb is not None:
        memory = 1e9 * _check_positive("memory_gb", memory_gb)
    limits = Limits(memory, _check_positive("timeout", timeout))
    plan, run_trial = search.plan(), functools.partial(run_job, config)

    # A worker serves the search of its chief.
    if search.role.is_worker:
        if wait_for_chief(search.folder, plan):
            with TrialServer(run_trial, limits) as search.server:
                search.run_trials()
        return None

    check_run_dir(search.folder, resume, overwrite)
    with TrialServer(run_trial, limits) as search.server:
        search.check_compatibility()
        with SearchRun(search.folder, plan, resume=resume, overwrite=overwrite) as run:
            search.run_trials()
            result = finish_search(search, seeds)
            result.save(search.folder)
            run.close("done", trials=len(result.trials), winner=result.run.relative_to(search.folder).as_posix())
    return result


def _check_positive(name: str, value: float) -> float:
    """Return a number above 0; raise InputError if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(f"{name} must be a number above 0. Received: {shorten_repr(value)}")
    return float(min(value, MAX_LIMIT))


def _available_memory() -> float:
    """Return the bytes of memory of the machine, or of the container if it has fewer."""
    try:
        container = float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no container, or "max"
        container = math.inf
    return min(container, float(psutil.virtual_memory().total))


class SearchRun(Run):
    """The run folder of a search."""

    files = (*RUN_FILES, "oracle.json", "trials", "trials.csv", "final", "workers", "best.toml")

    def _describe_failure(self, error: BaseException | None) -> dict[str, Any]:
        return {}  # a search keeps no weights

    @property
    def is_begun(self) -> bool:
        """Whether a trial has ended, with which the next ones would be compared."""
        return bool(self._ended_trials())

    def progress(self) -> str:
        ended = len(self._ended_trials())
        return f"{format_count(ended, 'trial')} {'has' if ended == 1 else 'have'} ended"

    def _ended_trials(self) -> list[Path]:
        from cnnzoo.tuning.trial import OUTCOME_FILE

        return list(self.folder.glob(f"trials/*/{OUTCOME_FILE}")) if self.folder else []


def _resolve_run_dir(model: str | Variant, data: ImageData, run_dir: str | Path | None) -> Path:
    """Return the absolute path of the search's folder; raise InputError if `run_dir` is not a path."""
    if not isinstance(run_dir, str | Path | None):
        raise InputError(f"run_dir must be the path of a folder. Received: {run_dir!r}")
    if run_dir is None:
        name = model if isinstance(model, str) else type(model).__name__
        run_dir = Path("runs") / f"tune-{name}-{Path(data.source.replace(':', '-')).stem}"
    return resolve_path(check_path(run_dir, "run_dir"))


def _make_config(
    model: str | Variant,
    data: ImageData,
    space: Mapping[str, Any] | str | Path | None,
    objective: str,
    recipe: str | Recipe | None,
    weights: str | Path | None,
    image_size: int | Sequence[int] | None,
) -> SearchConfig:
    """Return what all trials share; raise InputError if it is invalid."""
    from cnnzoo.tuning.trial import SearchConfig

    check_image_data(data)
    if not isinstance(model, str | Variant):
        raise InputError(f"model must be a name of cnnzoo.list_models() or a row. Received: {model!r:.200}")
    objectives = [name for name in HEADLINE_METRICS if name != "top5_accuracy" or len(data.classes) > 5]
    if objective not in objectives:
        raise unknown_name("metric", objective, objectives)
    rows = registered_variants()
    for name, row in {"the model": model, **rows}.items():
        if type(row).__module__ == "__main__":
            raise InputError(
                f"The class of {name}, {type(row).__name__}, is defined in the script itself. Trials run in processes "
                "of their own, which import it: move it into a module"
            )
    default_recipe = recipes.resolve_recipe(recipe or ("finetune" if weights else "sgd"))
    search_space = make_space(model, default_recipe, space, bool(weights))
    size = None if image_size is None else check_image_size(image_size)
    return SearchConfig(search_space, data, weights, objective, size, rows)
