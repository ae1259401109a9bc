"""tune: a search over recipes and rows by Keras Tuner, each trial in its process, that ends in a comparison."""

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from cnnzoo.core.errors import InputError, check_image_size, check_integer, unknown_name
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.report import HEADLINE_METRICS
from cnnzoo.models import Variant
from cnnzoo.registry import registered_rows
from cnnzoo.training import recipes
from cnnzoo.training.recipe import Recipe
from cnnzoo.training.run import RUN_FILES as TRAININGS
from cnnzoo.training.run import Run, check_run_dir
from cnnzoo.tuning import space as spaces
from cnnzoo.tuning import trial as trials_
from cnnzoo.tuning.result import TuneResult
from cnnzoo.tuning.search import Search
from cnnzoo.tuning.server import Limits, TrialServer
from cnnzoo.tuning.trial import SearchConfig


def tune(
    model: str | Variant,
    data: ImageData,
    *,
    space: Mapping[str, Any] | str | Path | None = None,
    trials: int = 20,
    oracle: str = "random",
    objective: str = "accuracy",
    recipe: str | Recipe | None = None,
    weights: Any = None,
    image_size: int | Sequence[int] | None = None,
    seed: int = 0,
    seeds: int = 1,
    run_dir: Any = None,
    workers: int = 1,
    resume: bool | None = None,
    overwrite: bool = False,
    prune: bool = True,
    memory: float | None = None,
    patience: float = 600.0,
    verbose: bool = True,
) -> TuneResult | None:
    """Search for a better recipe, and row, than the default; then compare both on the test split.

    Trials never see that. The default is the first one. Each is a run in a process of its own: one that crashes, hangs,
    or takes too much memory is recorded with its reason, and the search goes on. The same call goes on with a search
    that was stopped, and with the epoch of the trial that was running.

    Args:
        model: a name of `list_models`, or a row.
        data: from `load_data`; trials are scored on its validation split.
        space: {field: [values] or {"low", "high", "step", "log"}} or the path of such a TOML file; fields are those of
            a recipe, "model", and "row.FIELD". By default the family's, `tuning.space.DEFAULTS`.
        trials: how many.
        oracle: "random", "bayesian", "hyperband" or "grid", from Keras Tuner.
        objective: a metric of `Report.metrics`, on validation.
        recipe: what fields start from, "sgd" by default, and "finetune" with weights.
        weights: as in `get`; trials then `fine_tune`, else they `fit_and_evaluate`.
        image_size: one number or (height, width), in pixels; the network's own by default.
        seed: of the draws and of every trial.
        seeds: how many times the best and the default are trained anew, with seeds of their own, to be compared.
        run_dir: where to write; runs/tune-MODEL-SOURCE by default.
        workers: trials at a time on this machine. On several, Keras Tuner's variables KERASTUNER_TUNER_ID,
            KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT make this call its chief or a worker; run_dir is shared.
        resume, overwrite: as in `fit_and_evaluate`.
        prune: end trials that are below three quarters of the others at the same share of their training.
        memory: bytes that a trial may use; by default four fifths of the machine's, divided by the workers.
        patience: seconds in which a trial does nothing, after which it counts as hung.
        verbose: show progress.

    Returns:
        The trials, the best recipe and row, and their report; None for a worker of a chief elsewhere.

    Raises:
        InputError: where something does not go together, or no trial succeeded (with their reasons).
        Interrupted: after Ctrl-C; the same call goes on.
    """
    search = Search(
        _make_config(model, data, space, objective, recipe, weights, image_size),
        check_integer("trials", trials, 1),
        oracle,
        check_integer("seed", seed, 0, 2**31),
        _resolve_run_dir(model, data, run_dir),
        check_integer("workers", workers, 1, 1024),
        bool(prune) and oracle != "hyperband",
        verbose,
    )
    check_integer("seeds", seeds, 1, 1000)
    for key, value in {"prune": prune, "overwrite": overwrite}.items():
        if not isinstance(value, bool):
            raise InputError(f"{key} is True or False. Received: {value!r}")
    limits = Limits(
        _positive_or_default("memory", memory, 0.8 * _available_memory() / workers),
        _positive_or_default("patience", patience, 600.0),
    )
    plan, task = search.plan(), functools.partial(trials_.run_job, search.setting)
    if search.worker:
        if search.joined(plan):
            with TrialServer(task, limits) as search.server:
                search.go()
        return None
    check_run_dir(search.folder, resume, overwrite)
    with TrialServer(task, limits) as search.server:
        search.check()
        with SearchRun(search.folder, plan, resume=resume, overwrite=overwrite) as run:
            search.go()
            result = search.finish(seeds)
            result.save(search.folder)
            run.close("done", trials=len(result.trials))
    return result


def _positive_or_default(name: str, value: float | None, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(f"{name} is a number above 0. Received: {value!r}")
    return value


def _available_memory() -> float:
    """Bytes of memory: the machine's, or the container's where it has fewer."""
    try:
        bound = float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # "max", say
        bound = math.inf
    return min(bound, psutil.virtual_memory().total)


class SearchRun(Run):
    """The folder of a search."""

    files = (*TRAININGS, "oracle.json", "trials", "trials.csv", "final", "workers", "best.toml")

    def progress(self) -> str:
        assert self.folder
        ended = len(list(self.folder.glob(f"trials/*/{trials_.OUTCOME_FILE}")))
        return f"{ended} trials have ended"


def _resolve_run_dir(model: str | Variant, data: ImageData, run_dir: Any) -> Path:
    if not isinstance(run_dir, str | Path | None):
        raise InputError(f"run_dir is the path of a folder. Received: {run_dir!r}")
    name = model if isinstance(model, str) else type(model).__name__
    return Path(run_dir or Path("runs") / f"tune-{name}-{Path(data.source.replace(':', '-')).stem}").resolve()


def _make_config(
    model: str | Variant, data: ImageData, space: Any, objective: str, recipe: Any, weights: Any, image_size: Any
) -> SearchConfig:
    if not isinstance(data, ImageData):
        raise InputError(f"data comes from cnnzoo.load_data. Received: {type(data).__name__}")
    if not isinstance(model, str | Variant):
        raise InputError(f"model is a name of cnnzoo.list_models() or a row. Received: {model!r:.200}")
    allowed = [name for name in HEADLINE_METRICS if name != "top5_accuracy" or len(data.classes) > 5]
    if objective not in allowed:
        raise unknown_name("metric", objective, allowed)
    rows = registered_rows()
    for name, row in {"the model": model, **rows}.items():
        if type(row).__module__ == "__main__":
            raise InputError(
                f"The class of {name}, {type(row).__name__}, is in the script itself: trials import it from a module"
            )
    size = None if image_size is None else check_image_size(image_size)
    base = recipes.resolve_recipe(recipe or ("finetune" if weights else "sgd"))
    made = spaces.make_space(model, base, space, bool(weights))
    return SearchConfig(made, data, weights, objective, size, rows)
