"""fit_and_evaluate: train by a recipe, keep the best epoch, measure once on the untouched test split."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from cnnzoo import cards
from cnnzoo.core.errors import InputError, TrainingError, check_integer
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.evaluate import (
    EVALUATION_BATCH_SIZE,
    check_and_bind,
    check_not_empty,
    evaluate,
    fit_validation_temperature,
    match_class_names,
)
from cnnzoo.evaluation.report import Report
from cnnzoo.surgery.outputs import as_functional
from cnnzoo.training import recipes, state
from cnnzoo.training.callbacks import CheckpointCallback, InterruptCallback, ProgressCallback, combine_callbacks
from cnnzoo.training.distribution import replicate, resolve_devices
from cnnzoo.training.plan import check_sample_weight, make_plan
from cnnzoo.training.precision import mixed_precision, resolve_precision
from cnnzoo.training.prepare import (
    compile_for_training,
    frozen_layers,
    make_reproducible,
    recompile_for_saving,
    strip_for_saving,
)
from cnnzoo.training.recipes import Recipe
from cnnzoo.training.run import Run, flatten_dict, installed_versions


def fit_and_evaluate(
    model: Any,
    data: ImageData,
    *,
    recipe: str | Recipe = "sgd",
    run_dir: Any = None,
    seed: int = 0,
    resume: bool | None = None,
    overwrite: bool = False,
    sample_weight: Any = None,
    callbacks: Sequence[Any] = (),
    tensorboard: bool = False,
    devices: str | Sequence[str] | None = None,
    deterministic: bool = True,
    checkpoint_every: float = 60.0,
    verbose: bool = True,
) -> Report:
    """Train `model` on the training split, keep its best epoch by validation, report on the test split.

    Args:
        model: a Keras classifier of images (B, H, W, C) of 0 to 255; it ends with its best epoch's weights.
        data: from `load_data`; brought to the model's size.
        recipe: a name of `training.recipes.RECIPES` or a `Recipe`.
        run_dir: where to write report.json, report.html, predictions.csv, model.keras and run.json, if anywhere.
        seed: of the order of the data, of augmentation and of every draw from here on.
        resume: by default the same call goes on with a run in `run_dir` that was stopped, after the last step that was
            kept, and refuses one that has ended; True measures that again, False refuses both.
        overwrite: start anew where `run_dir` holds a run.
        sample_weight: how much each image of `data.train` counts, (N,), of mean one or so.
        callbacks: more `keras.callbacks.Callback`s.
        tensorboard: write event files into `run_dir`/tensorboard.
        devices: "auto" for all local GPUs, a list like ["GPU:0", "GPU:1"], or None for the backend's default device.
        deterministic: choose operations that give the same bits each time, where the backend has several.
        checkpoint_every: seconds between the states that are kept within an epoch; each epoch's end is kept anyway.
        verbose: show progress.

    Raises:
        InputError: where model, data, recipe and run_dir do not go together.
        TrainingError: where the loss is no longer a number; the model holds the last good weights.
        Interrupted: after Ctrl-C; the run can be resumed.
    """
    recipe = recipes.resolve_recipe(recipe)
    if not isinstance(data, ImageData):
        raise InputError(f"data comes from cnnzoo.load_data. Received: {type(data).__name__}")
    given, model = model, as_functional(model)
    data = check_and_bind(model, data)
    match_class_names(cards.card(model).classes, data.classes)
    options = TrainerOptions(
        run_dir,
        seed,
        resume,
        overwrite,
        sample_weight,
        callbacks,
        tensorboard,
        devices,
        deterministic,
        checkpoint_every,
        verbose,
    )
    report = run_training("fit_and_evaluate", model, data, recipe, options)
    cards.attach_card(given, cards.card(model))
    return report


@dataclasses.dataclass(frozen=True)
class TrainerOptions:
    """What does not change what is learned, but where, how safely and how visibly; and the seed."""

    run_dir: Any
    seed: int
    resume: bool | None
    overwrite: bool
    sample_weight: Any
    callbacks: Sequence[Any]
    tensorboard: bool
    devices: str | Sequence[str] | None
    deterministic: bool
    checkpoint_every: float
    verbose: bool

    def __post_init__(self) -> None:
        check_integer("seed", self.seed, 0)
        if not isinstance(self.run_dir, str | Path | None):
            raise InputError(f"run_dir is the path of a folder. Received: {self.run_dir!r}")
        if not isinstance(self.callbacks, list | tuple) or not all(
            isinstance(each, keras.callbacks.Callback) for each in self.callbacks
        ):
            raise InputError(f"callbacks is a list of keras.callbacks.Callback. Received: {self.callbacks!r:.200}")
        if self.resume and self.run_dir is None:
            raise InputError("resume needs the run_dir of the run")
        if not isinstance(self.checkpoint_every, int | float) or not self.checkpoint_every >= 0:
            raise InputError(f"checkpoint_every is a number of seconds. Received: {self.checkpoint_every!r}")
        if self.tensorboard and self.run_dir is None:
            raise InputError("tensorboard=True writes into the run_dir. Received: run_dir=None")
        if self.tensorboard and not find_spec("tensorboard"):  # which Keras' callback needs
            raise InputError("Event files need tensorboard: pip install 'cnnzoo[tensorboard]'")
        resolve_devices(self.devices)


PrepareModel = Callable[[Any, ImageData, Run, Any], None]


def run_training(
    how: str, model: Any, data: ImageData, recipe: Recipe, options: TrainerOptions, before: PrepareModel | None = None
) -> Report:
    """Train and report by `recipe`; `before` does what comes first in a run that has no state yet."""
    check_not_empty(data, "train", "validation", "test")
    seed = options.seed
    weights = check_sample_weight(options.sample_weight, len(data.train))
    recipe = dataclasses.replace(recipe, precision=resolve_precision(recipe.precision))
    assert data.transform
    seen = {"crop": data.transform.crop, "interpolation": data.transform.interpolation}
    card = dataclasses.replace(
        cards.card(model), classes=data.classes, pad=data.pad or 0, transform=seen, temperature=None
    )
    notes = data.account(), *data.notes
    plan = make_plan(how, model, data, recipe, seed, weights)
    with Run(options.run_dir, plan, notes, resume=options.resume, overwrite=options.overwrite) as run:
        cards.attach_card(
            model, dataclasses.replace(card, training={key: plan[key] for key in ("recipe", "seed", "data")})
        )
        make_reproducible(seed, options.deterministic)
        start = time.perf_counter()
        if before and not run.latest:
            before(model, data, run, weights)
        try:
            train_model(model, data, recipe, run, options, weights)
        except TrainingError as error:
            if run.folder:
                recompile_for_saving(model)
                with suppress(OSError, InputError):  # of a disk that is full, which the error tells already
                    path = cards.save(strip_for_saving(model), run.folder / "model.keras")
                    error.args = (f"{error}, saved as {path}",)
            raise
        cards.attach_card(
            model, dataclasses.replace(cards.card(model), temperature=fit_validation_temperature(model, data))
        )
        report = dataclasses.replace(
            evaluate(model, data),
            history=run.state.history,
            best_epoch=run.state.best_epoch,
            probe=run.state.probe,
            run_dir=run.folder,
            notes=tuple(run.record["notes"]),
            record=flatten_dict(
                {"learning_rate": {"found": run.state.learning_rate}} if run.state.learning_rate else {}
            )
            | flatten_dict(
                {"seed": seed, "images": plan["data"]["images"], "recipe": plan["recipe"], **installed_versions()}
            ),
        )
        if run.folder:
            cards.save(strip_for_saving(model), run.folder / "model.keras")
            report.save(run.folder)
            if data.diagnosis:
                data.diagnosis.save(run.folder)
        run.close("done", seconds=round(time.perf_counter() - start, 1), accuracy=report.accuracy)
    return report


def train_model(
    model: Any, data: ImageData, recipe: Recipe, run: Run, options: TrainerOptions, weights: Any = None
) -> None:
    """Fit `model` by `recipe`, from the run's last state on, and leave the best epoch's weights in it."""
    if recipe.learning_rate == "auto":
        recipe = _find_learning_rate(model, data, recipe, run, options, weights)
    with ExitStack() as stack:
        network = stack.enter_context(replicate(model, options.devices))
        stack.enter_context(frozen_layers(network, recipe))
        stack.enter_context(mixed_precision(network, recipe.precision))
        heads = tuple(network.output) if isinstance(network.output, dict) else ()
        batches, rest = (
            Batches(
                data.train,
                len(data.classes),
                recipe.batch_size,
                options.seed,
                recipe.augment,
                balance=recipe.balance,
                weights=weights,
                heads=heads,
                start=start,
            )
            for start in (0, run.state.step)
        )
        validation = Batches(
            data.validation, len(data.classes), max(recipe.batch_size, EVALUATION_BATCH_SIZE), heads=heads
        )
        compile_for_training(network, recipe, len(batches))
        best, meters = state.restore_state(run.latest, network) if run.latest else (None, [])
        if best is None and run.state.probe:  # it stays unless an epoch is better by more than chance
            share = run.state.probe["validation_accuracy"]
            run.state.best = (share + math.sqrt(share * (1 - share) / len(data.validation)), 0.0)
            run.state.stopped = share == 1  # which no epoch is better than
        keeper = CheckpointCallback(
            run, batches, best, meters if run.state.step else [], recipe.patience, options.checkpoint_every
        )
        done = run.state.epoch * len(batches) + run.state.step
        meter = [ProgressCallback(recipe.epochs, len(batches), done)] if options.verbose else []
        board = []
        if options.tensorboard and run.folder:
            board = [keras.callbacks.TensorBoard(run.folder / "tensorboard", write_graph=False)]
        if options.verbose and done:
            meter[0].console.print(
                f"Going on after {run.state.epoch} epochs and {run.state.step} steps", highlight=False
            )
        stop = stack.enter_context(InterruptCallback(keeper))
        for each in meter:
            stack.callback(each.close)
        every = [keeper, stop, *options.callbacks, *board, *meter]
        shared = combine_callbacks(network, every, epochs=recipe.epochs, steps=len(batches))

        def fit(part: Any, epochs: int) -> None:
            network.fit(
                part,
                validation_data=validation,
                initial_epoch=run.state.epoch,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                callbacks=shared,
            )

        shared.begin()
        if run.state.step:  # an epoch of which a part is done
            keeper.batches = rest
            network.test_on_batch(*validation[0])  # until Keras has seen a batch, there are no meters to restore
            fit(rest, run.state.epoch + 1)
            keeper.batches = batches
        if run.state.epoch < recipe.epochs and not run.state.stopped and not network.stop_training:
            fit(batches, recipe.epochs)
        shared.end()
        network.set_weights(keeper.best)
    recompile_for_saving(model)


def _find_learning_rate(
    model: Any, data: ImageData, recipe: Recipe, run: Run, options: TrainerOptions, weights: Any
) -> Recipe:
    """The recipe with the learning rate that the range test suggests, once a run."""
    from cnnzoo.training.lr_range import lr_find

    if run.state.learning_rate is None:
        found = lr_find(model, data, recipe=recipe, seed=options.seed, sample_weight=weights, verbose=options.verbose)
        run.state.learning_rate = found.suggestion
        if run.folder:
            found.save(run.folder / "lr_find.png")
    return dataclasses.replace(recipe, learning_rate=run.state.learning_rate)
