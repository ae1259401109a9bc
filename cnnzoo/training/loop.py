"""fit_and_evaluate: train by a recipe, keep the best epoch, measure once on the untouched test split."""

import dataclasses
import hashlib
import time
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cnnzoo import cards
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.errors import InputError, TrainingError, integer, unknown
from cnnzoo.evaluation.predict import gives_probabilities, probabilities
from cnnzoo.evaluation.report import Report
from cnnzoo.training import recipes
from cnnzoo.training.callbacks import Keeper, Meter, Stop
from cnnzoo.training.recipes import Recipe
from cnnzoo.training.run import Run, flat, versions


def fit_and_evaluate(
    model: Any,
    data: ImageData,
    *,
    recipe: str | Recipe = "sgd",
    run_dir: Any = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[Any] = (),
    verbose: bool = True,
) -> Report:
    """Train `model` on the training split, keep its best epoch by validation, report on the test split.

    Args:
        model: a Keras classifier of images (B, H, W, C) of 0 to 255; it ends with its best epoch's weights.
        data: from `load_data`; brought to the model's size.
        recipe: a name of `training.recipes.RECIPES` or a `Recipe`.
        run_dir: where to write report.json, report.html, predictions.csv, model.keras and run.json, if anywhere.
        seed: of the order of the data, of augmentation and of every draw from here on.
        resume: go on with the run in `run_dir` after the last epoch that it finished.
        overwrite: start anew where `run_dir` holds a run.
        callbacks: more `keras.callbacks.Callback`s.
        verbose: show progress.

    Raises:
        InputError: where model, data, recipe and run_dir do not go together.
        TrainingError: where the loss is no longer a number; the model holds the last good weights.
        Interrupted: after Ctrl-C; the run can be resumed.
    """
    recipe, seed = recipes.find(recipe), integer("seed", seed, 0)
    if not isinstance(data, ImageData):
        raise InputError(f"data comes from cnnzoo.load_data. Received: {type(data).__name__}")
    data = meet(model, data)
    assert data.transform
    how = {"crop": data.transform.crop, "interpolation": data.transform.interpolation}
    card = dataclasses.replace(cards.card(model), classes=data.classes, pad=data.pad or 0, transform=how)
    notes = (data.account(), *data.notes)
    plan: dict[str, Any] = {
        "model": model.name,
        "variables": _fingerprint(model),
        "preprocessing": card.preprocessing,
        "weights": card.weights,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "data": {
            "source": data.source,
            "fingerprints": data.fingerprints,
            "classes": list(data.classes),
            "images": {name: len(split) for name, split in data.splits.items()},
            "size": notes[0],
            "cropped from": "resized images" if data.photos and data.cache in ("memory", "disk") else "originals",
        },
    }
    with Run(run_dir, plan, resume=resume, overwrite=overwrite) as run:
        cards.attach(model, dataclasses.replace(card, training={key: plan[key] for key in ("recipe", "seed", "data")}))
        reproducible(seed)
        start = time.perf_counter()
        train(model, data, recipe, run, seed, callbacks, verbose)
        report = dataclasses.replace(
            evaluate(model, data),
            history=run.state.history,
            best_epoch=run.state.best_epoch,
            run_dir=run.folder,
            notes=notes,
            record=flat({"seed": seed, "images": plan["data"]["images"], "recipe": plan["recipe"], **versions()}),
        )
        if run.folder:
            cards.save(model, run.folder / "model.keras")
            report.save(run.folder)
            if data.diagnosis:
                data.diagnosis.save(run.folder)
        run.close("done", seconds=round(time.perf_counter() - start, 1), accuracy=report.accuracy)
    return report


def train(
    model: Any, data: ImageData, recipe: Recipe, run: Run, seed: int, callbacks: Sequence[Any], verbose: bool
) -> None:
    """Fit `model` by `recipe`, from the run's last state on, and leave the best epoch's weights in it."""
    classes = len(data.classes)
    batches = Batches(data.train, classes, recipe.batch_size, seed, recipe.augment)
    validation = Batches(data.validation, classes, max(recipe.batch_size, 256))
    compile_by(model, recipe, len(batches))
    keeper = Keeper(run, batches, run.restore(model))
    meter = [Meter(recipe.epochs, len(batches), run.state.epoch)] if verbose else []
    try:
        with Stop() as stop:
            model.fit(
                batches,
                validation_data=validation,
                initial_epoch=run.state.epoch,
                epochs=recipe.epochs,
                shuffle=False,
                verbose=0,
                callbacks=[keeper, stop, *callbacks, *meter],
            )
    except TrainingError as error:
        if run.folder:
            path = cards.save(model, run.folder / "model.keras")
            raise TrainingError(f"{error}, saved as {path}") from None
        raise
    finally:
        for each in meter:
            each.close()
    model.set_weights(keeper.best)


def compile_by(model: Any, recipe: Recipe, steps_per_epoch: int) -> None:
    """Give `model` the recipe's optimizer and loss."""
    steps, warmup = recipe.epochs * steps_per_epoch, round(recipe.warmup_epochs * steps_per_epoch)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else recipe.learning_rate,
        max(steps - warmup, 1),
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.SGD(rate, recipe.momentum, recipe.nesterov, weight_decay=recipe.weight_decay or None)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    entropy = keras.losses.CategoricalCrossentropy(
        from_logits=not gives_probabilities(model), label_smoothing=recipe.label_smoothing
    )

    def with_rubbish(y_true, logits):
        """Equation 9 of LeCun et al. 1998: cross-entropy that also competes with a constant logit -j."""
        ops = keras.ops
        none, minus_j = ops.zeros_like(logits[:, :1]), ops.full_like(logits[:, :1], -(recipe.rubbish or 0.0))
        return entropy(ops.concatenate([y_true, none], axis=-1), ops.concatenate([logits, minus_j], axis=-1))

    loss = entropy if recipe.rubbish is None else with_rubbish
    model.compile(optimizer, loss, metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")])
    optimizer.build(model.trainable_variables)  # so that its state can be kept and restored before the first step


def evaluate(model: Any, data: ImageData, *, split: str = "test", batch_size: int = 256) -> Report:
    """The report of one prediction pass over a split of `data`: "train", "validation" or "test"."""
    if split not in data.splits:
        raise unknown("split", split, data.splits)
    card = cards.card(model)
    data = meet(model, data)
    classes = _agreed(card.classes, data.classes)
    before = card.training.get("data", {})
    known = before.get("fingerprints", {}).get(split)
    if before.get("source") == data.source and known != data.fingerprints[split]:
        warnings.warn(
            f"The model was trained on another split of {data.source}: images that it learned from may be among these. "
            "Load the data with the split and seed of its run",
            stacklevel=2,
        )
    part = data.splits[split]
    guesses = probabilities(model, Batches(part, len(classes), batch_size))
    if bad := int((~np.isfinite(guesses).all(axis=1)).sum()):
        raise InputError(f"{model.name} gives no numbers for {bad} of {len(part)} images; its weights may be broken")
    notes = (data.account(), *data.notes)
    return Report(model.name, data.source, split, classes, part.names, part.labels, guesses, part.images, notes=notes)


def meet(model: Any, data: ImageData) -> ImageData:
    """The data at the model's size; raises InputError where the model tells another number of classes."""
    shape, outputs = model.input_shape[1:], model.output_shape
    if not isinstance(outputs, tuple) or len(outputs) != 2 or outputs[1] != len(data.classes):
        raise InputError(
            f"{model.name} gives outputs of shape {outputs}, the data has {len(data.classes)} classes "
            f"({', '.join(data.classes[:10])}). A model for this data is built with classes={len(data.classes)}"
        )
    if None in shape[:2]:
        shape = (*data.train.images.shape[1:3], shape[2])
    if None in shape:
        raise InputError(f"{model.name} takes images of any size, so load_data(..., image_size=...) must choose one")
    card = cards.card(model)
    return data.bind(shape, card.pad, card.transform)


def _agreed(model: Sequence[str], data: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, which are the same in model and data, or mere numbers in one of them."""
    numbers = tuple(map(str, range(len(data))))
    if tuple(model) != tuple(data) and numbers not in (tuple(model), tuple(data)):
        raise InputError(
            f"The model's classes are {', '.join(model)}, the data's {', '.join(data)}; "
            "load_data(..., classes=...) takes the names in the model's order"
        )
    return tuple(data) if tuple(model) == numbers else tuple(model)


def reproducible(seed: int) -> None:
    """Seed Python, numpy and Keras; on TensorFlow, choose operations that give the same bits each time."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _fingerprint(model: Any) -> str:
    """What the model's variables are called and shaped, hashed."""
    rows = [(layer.name, v.name, tuple(v.shape)) for layer in model.layers for v in layer.weights]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
