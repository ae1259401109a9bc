"""fine_tune: the best head on the features as they are, then gently the layers below it, the last ones first."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from cnnzoo import cards
from cnnzoo.core.errors import InputError
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.evaluate import bind_to_model, check_and_bind, check_not_empty, evaluate, same_class_names
from cnnzoo.evaluation.report import Report
from cnnzoo.surgery import head
from cnnzoo.surgery.outputs import as_functional
from cnnzoo.training import probe, recipes
from cnnzoo.training.plan import check_sample_weight
from cnnzoo.training.recipes import Recipe
from cnnzoo.training.run import Run, check_run_dir
from cnnzoo.training.trainer import TrainerOptions, run_training


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
    recipe = recipes.resolve_recipe(recipe, {} if bn is None else {"bn": bn})
    if not isinstance(data, ImageData):
        raise InputError(f"data comes from cnnzoo.load_data. Received: {type(data).__name__}")
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
    check_not_empty(data, "train", "validation", "test")
    check_sample_weight(sample_weight, len(data.train))
    given, model = model, as_functional(model)
    data = bind_to_model(model, data)
    card, undo = cards.card(model), None
    if not same_class_names(card.classes, data.classes):
        if given is not model:
            raise InputError(
                f"{model.name} is a Sequential, which takes no new head. keras.Model(model.inputs, model.outputs[0]) "
                "of it does"
            )
        check_run_dir(run_dir, resume, overwrite)  # or its head would be gone for nothing
        before = f"{len(card.classes)} classes" if len(card.classes) > 5 else ", ".join(card.classes)
        keras.utils.set_random_seed(seed)
        undo = head.replace_head(model, data.classes)
        data = dataclasses.replace(
            data,
            notes=(*data.notes, f"A new head for the classes of the data takes the place of the one for {before}."),
        )

    def first(model: Any, data: ImageData, run: Run, weights: Any) -> None:
        strength = probe.fit_linear_probe(model, data, seed, recipe.balance != "none", weights)
        validated, tested = (evaluate(model, data, split=split) for split in ("validation", "test"))
        run.state.probe = {
            "C": strength,
            "validation_accuracy": validated.accuracy,
            "accuracy": tested.accuracy,
            "log_loss": tested.metrics["log_loss"],
        }

    try:
        report = run_training("fine_tune", model, check_and_bind(model, data), recipe, options, first)
    except InputError:  # nothing was trained
        if undo:
            undo()
        raise
    cards.attach_card(given, cards.card(model))
    return report
