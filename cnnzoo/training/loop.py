"""fit_and_evaluate: train by a recipe, keep the best epoch, measure once on the untouched test split."""

import dataclasses
import hashlib
import time
import warnings
from collections.abc import Sequence
from typing import Any

import keras

from cnnzoo import cards
from cnnzoo.data.batches import Batches
from cnnzoo.data.images import ImageData
from cnnzoo.errors import InputError, Interrupted, TrainingError, unknown
from cnnzoo.evaluation.predict import gives_probabilities, probabilities
from cnnzoo.evaluation.report import Report
from cnnzoo.training import recipes
from cnnzoo.training.callbacks import Keeper, Meter, Stop
from cnnzoo.training.recipes import Recipe
from cnnzoo.training.run import Run


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
    recipe = recipes.find(recipe)
    native = data.train.images.shape[1:]
    model, data = meet(model, data)
    notes = (_account(native, data),)
    plan = {
        "model": model.name,
        "variables": _fingerprint(model),
        "preprocessing": cards.card(model).preprocessing,
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "data": {
            "source": data.source,
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "images": {name: len(split) for name, split in data.splits.items()},
            "size": notes[0],
        },
    }
    run = Run(run_dir, plan, resume=resume, overwrite=overwrite)
    reproducible(seed)
    start = time.perf_counter()
    train(model, data, recipe, run, seed, callbacks, verbose)

    training = {key: plan[key] for key in ("recipe", "seed", "data")}
    card = dataclasses.replace(cards.card(model), training=training)
    cards.attach(model, card)
    report = dataclasses.replace(
        evaluate(model, data),
        history=run.state.history,
        best_epoch=run.state.best_epoch,
        run_dir=run.folder,
        notes=notes,
    )
    if run.folder:
        cards.save(model, run.folder / "model.keras")
        report.save(run.folder)
    seconds = round(time.perf_counter() - start, 1)
    run.close("done", seconds=seconds, card=dataclasses.asdict(card), accuracy=report.accuracy)
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
    status = "failed"
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
        status = "trained"
    except TrainingError as error:
        if run.folder:
            path = cards.save(model, run.folder / "model.keras")
            raise TrainingError(f"{error}, saved as {path}") from None
        raise
    except KeyboardInterrupt:
        status = "interrupted"
        done = f"Stopped; {run.state.epoch} of {recipe.epochs} epochs are done"
        how = (
            f"and kept in {run.folder}: the same call with resume goes on" if run.folder else "but there is no run_dir"
        )
        raise Interrupted(f"{done} {how}") from None
    finally:
        for each in meter:
            each.close()
        run.close(status)
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
    native = data.train.images.shape[1:]
    model, data = meet(model, data)
    before = cards.card(model).training.get("data", {})
    if before.get("source") == data.source and before["fingerprint"] != data.fingerprint:
        warnings.warn(
            f"The model was trained on another split of {data.source}: images that it learned from may be among these. "
            "Load the data with the split and seed of its run",
            stacklevel=2,
        )
    part = data.splits[split]
    guesses = probabilities(model, Batches(part, len(data.classes), batch_size))
    classes = data.classes
    notes = (_account(native, data),)
    return Report(model.name, data.source, split, classes, part.names, part.labels, guesses, part.images, notes=notes)


def meet(model: Any, data: ImageData) -> tuple[Any, ImageData]:
    """Model and data that go together: images of the model's size, the model's classes named as the data's."""
    shape, outputs = model.input_shape[1:], model.output_shape
    if not isinstance(outputs, tuple) or len(outputs) != 2 or outputs[1] != len(data.classes):
        raise InputError(
            f"{model.name} gives outputs of shape {outputs}, the data has {len(data.classes)} classes "
            f"({', '.join(data.classes[:10])}). Build it with classes={len(data.classes)}"
        )
    if None in shape[:2]:
        shape = (*data.train.images.shape[1:3], shape[2])
    card = cards.card(model)
    bound = data.bind(shape, card.pad)
    pad = bound.pad or 0
    if (card.classes, card.pad) != (data.classes, pad):
        cards.attach(model, dataclasses.replace(card, classes=data.classes, pad=pad))
    return model, bound


def reproducible(seed: int) -> None:
    """Seed Python, numpy and Keras; on TensorFlow, choose operations that give the same bits each time."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _account(native: Sequence[int], data: ImageData) -> str:
    """How the images came to the model's size, for the run's record."""
    before, after = ("x".join(map(str, shape)) for shape in (native, data.train.images.shape[1:]))
    if before == after:
        return f"Images of {before}, as they are."
    border = f", within a black border of {data.pad}" if data.pad else ""
    return f"Images of {before} resized by the pipeline (bilinear, antialiased) to {after}{border}."


def _fingerprint(model: Any) -> str:
    """What the model's variables are called and shaped, hashed."""
    rows = [(layer.name, v.name, tuple(v.shape)) for layer in model.layers for v in layer.weights]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
