"""fine_tune: the best head on the features as they are, then gently the layers below it, the last ones first."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from cnnzoo import cards
from cnnzoo.data.images import ImageData
from cnnzoo.errors import InputError
from cnnzoo.evaluation.predict import functional
from cnnzoo.evaluation.report import Report
from cnnzoo.training import head, probe, recipes
from cnnzoo.training.evaluate import evaluate, filled, meet, same, sized
from cnnzoo.training.loop import Options, follow
from cnnzoo.training.plan import counted
from cnnzoo.training.recipes import Recipe
from cnnzoo.training.run import Run, free


def fine_tune(
    model: Any,
    data: ImageData,
    *,
    recipe: str | Recipe = "finetune",
    bn: str | None = None,
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
    """Train a pretrained `model` on data of one's own, gently, and report on the test split.

    The head comes first: a logistic regression on the network's features, whose penalty cross-validation chooses. From
    there the stages below are trained, the last one first, each at a share of the next one's rate (Kumar et al. 2022,
    arXiv:2202.10054). The best epoch is kept where it is better on validation than the probe by a standard error, else
    the probe; the report has both figures. Where the probe errs on no validation image, there are no epochs.

    Args:
        model: a Keras classifier with weights that were trained. Where its classes are not the data's, it gets a new
            head itself, and a note in the report says so; it ends with the best weights.
        data: from `load_data`; brought to the model's size.
        recipe: a name of `training.recipes.RECIPES` or a `Recipe`.
        bn: "frozen" keeps the batch norms as they are, "train" adapts them; the recipe's by default, which is frozen.
        run_dir, seed, resume, overwrite, sample_weight, callbacks, tensorboard, devices, deterministic,
            checkpoint_every, verbose: as in `fit_and_evaluate`.

    Raises:
        InputError, TrainingError, Interrupted: as `fit_and_evaluate`.
    """
    recipe = recipes.find(recipe, {} if bn is None else {"bn": bn})
    if not isinstance(data, ImageData):
        raise InputError(f"data comes from cnnzoo.load_data. Received: {type(data).__name__}")
    options = Options(
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
    filled(data, "train", "validation", "test")
    counted(sample_weight, len(data.train))
    given, model = model, functional(model)
    data = sized(model, data)
    card, undo = cards.card(model), None
    if not same(card.classes, data.classes):
        if given is not model:
            raise InputError(
                f"{model.name} is a Sequential, which takes no new head. keras.Model(model.inputs, model.outputs[0]) "
                "of it does"
            )
        free(run_dir, resume, overwrite)  # or its head would be gone for nothing
        before = f"{len(card.classes)} classes" if len(card.classes) > 5 else ", ".join(card.classes)
        keras.utils.set_random_seed(seed)
        undo = head.replace(model, data.classes)
        data = dataclasses.replace(
            data,
            notes=(*data.notes, f"A new head for the classes of the data takes the place of the one for {before}."),
        )

    def first(model: Any, data: ImageData, run: Run, weights: Any) -> None:
        strength = probe.solve(model, data, seed, recipe.balance != "none", weights)
        validated, tested = (evaluate(model, data, split=split) for split in ("validation", "test"))
        run.state.probe = {
            "C": strength,
            "validation_accuracy": validated.accuracy,
            "accuracy": tested.accuracy,
            "log_loss": tested.metrics["log_loss"],
        }

    try:
        report = follow("fine_tune", model, meet(model, data), recipe, options, first)
    except InputError:  # nothing was trained
        if undo:
            undo()
        raise
    cards.attach(given, cards.card(model))
    return report
