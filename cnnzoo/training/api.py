"""The public training functions: fit_and_evaluate, fine_tune and lr_find.

What they run is imported when they are called, as it imports Keras: so `verbose` decides whether that is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from cnnzoo.core.arguments import OF_DATA, check_arguments
from cnnzoo.core.errors import InputError, check_integer, shorten_repr
from cnnzoo.data.images import ImageData
from cnnzoo.evaluation.compatibility import bind_to_model, check_image_data, check_not_empty, check_output_matches
from cnnzoo.evaluation.report import Report
from cnnzoo.surgery.outputs import as_functional
from cnnzoo.training.plan import resolve_sample_weight
from cnnzoo.training.recipe import LARGEST, OF_RECIPE, Recipe
from cnnzoo.training.recipes import resolve_recipe

if TYPE_CHECKING:
    import keras
    from numpy.typing import ArrayLike

    from cnnzoo.training.lr_range import RateTest

MAX_RATE = LARGEST["learning_rate"]


@check_arguments(OF_DATA | OF_RECIPE)
def fit_and_evaluate(
    model: keras.Model,
    data: ImageData,
    *,
    recipe: str | PathLike[str] | Recipe = "sgd",
    run_dir: str | PathLike[str] | None = None,
    seed: int = 0,
    resume: bool | None = None,
    overwrite: bool = False,
    sample_weight: ArrayLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tensorboard: bool = False,
    devices: str | Sequence[str] | None = None,
    deterministic: bool = True,
    checkpoint_every: float = 60.0,
    verbose: bool = True,
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
    target_accuracy: float | None = None,
    minutes: float | None = None,
    track: str | None = None,
) -> Report:
    """Train `model` on the training split, keep its best epoch, and evaluate it once on the test split.

    The best epoch is the one with the highest validation accuracy; among equals, the one with the lowest validation
    loss. The same call resumes a run in `run_dir` that was interrupted, after its last saved step, and ends with the
    same numbers as an uninterrupted run.

    Args:
        model: a Keras classifier of images (B, H, W, C) with pixels from 0 to 255. It ends with the weights of its
            best epoch.
        data: the data set, from `load_data`. Its images are resized to the model's input size.
        recipe: the name of a recipe (`cnnzoo recipes` lists them), the path of a .toml file, or a `Recipe`; see
            `cnnzoo.recipe`.
        run_dir: a folder to write report.json, report.html, predictions.csv, model.keras and run.json to. By default,
            nothing is written.
        seed: the seed of the order of the images, of augmentation, and of every other random draw from here on.
        resume: for a `run_dir` that already holds a run. By default, an interrupted run is resumed and a finished one
            raises an error. True also evaluates a finished run again; False raises an error for both.
        overwrite: replace the run that `run_dir` already holds.
        sample_weight: weights (N,) of the N training images in the loss, not negative, with a mean of about 1. By
            default those that the data has, as from a data set of (image, label, weight).
        callbacks: additional Keras callbacks; not those that set the learning rate, which the recipe does.
        tensorboard: write event files to the folder tensorboard in `run_dir`.
        devices: "auto" for all local GPUs (or what else the backend prefers, such as TPUs), a list such as ["GPU:0",
            "GPU:1"], or None for the backend's default device. Each device processes its share of every batch, so the
            batch size must be a multiple of their number; the results are those of one device, up to rounding.
        deterministic: use operations that compute the same bits each time, where the backend has a choice.
        checkpoint_every: seconds between two saved states within an epoch. The state is also saved after every epoch.
        verbose: show progress.
        crop: share of the resized image's sides that the center crop keeps, above 0 and at most 1, or None to resize
            the whole image without keeping its aspect ratio. "auto" is what `load_data` was given, or else what the
            model's card says; a model without a card gets the whole image, as Keras' own loaders resize it.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos3"; "auto" is what the card says.
        pad: black pixels around the resized image. By default what `load_data` was given, or what the card says.
        target_accuracy: the accuracy, such as 0.95, that the answers of the model shall have. The least probability of
            an answer is chosen for it on the validation split and kept in the card, for
            `Classifier.predict(..., min_probability="auto")`; less probable answers are unsure.
        minutes: a time budget for the whole call. A few steps are measured; if not all epochs fit, the schedule is
            shortened, so that the learning rate still falls to its end. A note in the report says how many epochs the
            budget allows. A resumed run keeps the schedule of its start.
        track: "mlflow", "wandb" (Weights & Biases) or "tensorboard": the settings of the run, the metrics of each
            epoch, the figures on the test split and the files of `run_dir` also go to this tracker. If it fails, there
            is a warning, and training goes on. A resumed run continues the tracker's run.

    Returns:
        The `Report` on the test split, with the training history and the best epoch.

    Raises:
        InputError: if model, data, recipe and run_dir do not fit together.
        TrainingError: if the loss becomes NaN or infinite. The model then has the best weights so far.
        Interrupted: after Ctrl-C. The same call resumes the run.

    Example:
        >>> data = cnnzoo.load_data("digits")
        >>> model = cnnzoo.get("lenet5", classes=data.classes)
        >>> recipe = cnnzoo.recipe("digits", epochs=1)
        >>> report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir="runs/digits", verbose=False)
        >>> report.split, report.best_epoch
        ('test', 1)
        >>> report.accuracy > 0.5
        True
    """
    from cnnzoo.training.options import TrainerOptions
    from cnnzoo.training.trainer import Trainer

    options = TrainerOptions(
        run_dir=run_dir,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        sample_weight=sample_weight,
        callbacks=callbacks,
        tensorboard=tensorboard,
        devices=devices,
        deterministic=deterministic,
        checkpoint_every=checkpoint_every,
        verbose=verbose,
        crop=crop,
        interpolation=interpolation,
        pad=pad,
        target_accuracy=target_accuracy,
        minutes=minutes,
        track=track,
    )
    return Trainer(model, data, resolve_recipe(recipe), options).fit_and_evaluate()


@check_arguments(OF_DATA | OF_RECIPE)
def fine_tune(
    model: keras.Model,
    data: ImageData,
    *,
    recipe: str | PathLike[str] | Recipe = "finetune",
    run_dir: str | PathLike[str] | None = None,
    seed: int = 0,
    resume: bool | None = None,
    overwrite: bool = False,
    sample_weight: ArrayLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tensorboard: bool = False,
    devices: str | Sequence[str] | None = None,
    deterministic: bool = True,
    checkpoint_every: float = 60.0,
    verbose: bool = True,
    crop: float | str | None = "auto",
    interpolation: str = "auto",
    pad: int | None = None,
    target_accuracy: float | None = None,
    minutes: float | None = None,
    track: str | None = None,
) -> Report:
    """Adapt a pretrained `model` to new data, and evaluate it once on the test split.

    The head comes first: a linear probe, which is a logistic regression on the model's features whose penalty is
    chosen by cross-validation. Then the stages below the head are trained as well (Kumar et al. 2022,
    arXiv:2202.10054). At the end, one comparison on the validation images decides: the weights after the last epoch,
    or after the best one if the recipe has a `patience`, replace the probe if their accuracy is at least as high and
    their log loss, after temperature scaling, lower by more than a standard error of the difference. Otherwise the
    probe is kept. The report contains the figures of both. If the probe already classifies every validation image
    correctly, no epoch is trained.

    Args:
        model: a Keras classifier with pretrained weights. If its classes differ from the data's, its head is replaced
            in place, and a note in the report says so. It ends with the best weights.
        data: the data set, from `load_data`. Its images are resized to the model's input size.
        recipe: the name of a recipe (`cnnzoo recipes` lists them), the path of a .toml file, or a `Recipe`. For
            example, `cnnzoo.recipe("finetune", bn="train")` adapts batch norms too, which are frozen otherwise.
        run_dir, seed, resume, overwrite, sample_weight: as in `fit_and_evaluate`.
        callbacks, tensorboard, devices, deterministic: as in `fit_and_evaluate`.
        checkpoint_every, verbose: as in `fit_and_evaluate`.
        crop, interpolation, pad, target_accuracy: as in `fit_and_evaluate`.
        minutes: as in `fit_and_evaluate`. If not even one epoch fits into the time budget, the probe is kept.
        track: as in `fit_and_evaluate`.

    Returns:
        The `Report` on the test split. Its `probe` holds what the linear probe alone reached.

    Raises:
        InputError: if model, data, recipe and run_dir do not fit together.
        TrainingError: if the loss becomes NaN or infinite. The model then has the best weights so far.
        Interrupted: after Ctrl-C. The same call resumes the run.

    Example:
        >>> data = cnnzoo.load_data("digits")
        >>> model = cnnzoo.get("lenet5", weights="mnist")
        >>> report = cnnzoo.fine_tune(model, data, recipe=cnnzoo.recipe("finetune", epochs=1), verbose=False)
        >>> report.probe["accuracy"] > 0.8
        True
    """
    from cnnzoo.training.fine_tuning import FineTuner
    from cnnzoo.training.options import TrainerOptions

    options = TrainerOptions(
        run_dir=run_dir,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        sample_weight=sample_weight,
        callbacks=callbacks,
        tensorboard=tensorboard,
        devices=devices,
        deterministic=deterministic,
        checkpoint_every=checkpoint_every,
        verbose=verbose,
        crop=crop,
        interpolation=interpolation,
        pad=pad,
        target_accuracy=target_accuracy,
        minutes=minutes,
        track=track,
    )
    return FineTuner(model, data, resolve_recipe(recipe), options).fit_and_evaluate()


@check_arguments(OF_DATA | OF_RECIPE)
def lr_find(
    model: keras.Model,
    data: ImageData,
    *,
    recipe: str | PathLike[str] | Recipe = "sgd",
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    verbose: bool = True,
) -> RateTest:
    """Find a learning rate with a range test: train for some steps while the rate rises, and record the loss.

    The suggestion is a tenth of the rate at which the smoothed loss was lowest (after Smith 2015, arXiv:1506.01186).
    All weights are restored afterwards.

    Args:
        model: a Keras classifier of images (B, H, W, C) with pixels from 0 to 255.
        data: the data set, from `load_data`. Only its training split is used.
        recipe: the recipe to test, as in `fit_and_evaluate`; its learning rate and schedule are ignored.
        seed: the seed of the order of the images and of augmentation.
        sample_weight: weights (N,) of the N training images in the loss, as in `fit_and_evaluate`.
        low: the learning rate of the first step.
        high: the learning rate of the last step. The test ends earlier if the loss explodes.
        steps: the number of training steps, from 10 to 100,000.
        verbose: show progress.

    Returns:
        A `RateTest` with the rates, the smoothed losses and the suggestion; `save` draws the curve.

    Raises:
        InputError: if model, data and recipe do not fit together.
        TrainingError: if no learning rate lowers the loss.

    Example:
        >>> data = cnnzoo.load_data("digits")
        >>> model = cnnzoo.get("lenet5", classes=data.classes)
        >>> rate_test = cnnzoo.lr_find(model, data, recipe="digits", verbose=False)
        >>> 1e-4 < rate_test.suggestion < 1
        True
        >>> rate_test.save("lr_find.png")
    """
    recipe = resolve_recipe(recipe)
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not 0 < low < high <= MAX_RATE:
        raise InputError(
            f"Rates must rise from low to high, both positive and at most {MAX_RATE}. Received: "
            f"{shorten_repr(low)} and {shorten_repr(high)}"
        )
    check_integer("steps", steps, 10, 100_000)
    check_integer("seed", seed, 0)
    model = as_functional(model)
    check_not_empty(check_image_data(data), "train")
    check_output_matches(model, data.classes)

    from cnnzoo.training.distribution import check_distribution
    from cnnzoo.training.lr_range import run_range_test

    check_distribution()
    return run_range_test(
        model,
        bind_to_model(model, data),
        recipe,
        seed=seed,
        sample_weight=resolve_sample_weight(sample_weight, data),
        low=low,
        high=high,
        steps=steps,
        verbose=verbose,
    )
