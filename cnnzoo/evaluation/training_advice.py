"""What the curves of a training suggest to do next: train longer or shorter, augment, unfreeze; see `next_steps`."""

import math
from typing import Any, NamedTuple

import numpy as np

from cnnzoo.core.numbers import format_score, format_share
from cnnzoo.core.pages import Step
from cnnzoo.core.text import format_count
from cnnzoo.evaluation.commands import train_again_command

Report = Any  # `evaluation.report` imports `evaluation.page`, which imports this file, so this file cannot import it

MIN_EPOCHS = 5  # of a training whose curves say something
LAST_THIRD = 1 / 3  # of the epochs, compared with the third before
STILL_FALLING = 0.97  # validation loss of the last third, as a share of that of the third before
RISING = 1.1  # validation loss of the last third, as a multiple of the lowest
LARGE_GAP = 0.03  # accuracy on training images minus that on validation images, beyond its standard errors
STANDARD_ERRORS = 2
LOW_TRAINING_ACCURACY = 0.9
CHANCE_MARGIN = 1.1  # accuracy as a multiple of that of always answering one class
LEARNED = 1.3  # the same, on training images
MORE_AUGMENTATION = {"none": "basic", "shift": "shift+erase", "gentle": "rand", "basic": "rand", "rand": "rand+mixup"}
MORE_STAGES = 2  # that are unfrozen at once
MIXING = ("mixup", "cutmix")  # after which the accuracy on training images says nothing


class Advice(NamedTuple):
    """A step with what it is worth."""

    step: Step
    work: str  # a key of `EASE`
    stake: float  # about how many wrong images it concerns


def find_learning_rate(report: Report) -> Advice | None:
    """Suggest a range test if the model is no better than chance, on its training images too."""
    baseline = np.bincount(report.labels, minlength=len(report.classes)).max() / len(report.labels)
    trained, _ = _accuracies(report)
    if report.accuracy > CHANCE_MARGIN * baseline or trained is None or trained > LEARNED * baseline:
        return None
    evidence = (
        f"The model is about as good as always answering one class ({format_share(baseline, len(report.labels))}), "
        f"and has an accuracy of {format_share(trained, _training_images(report))} on its training images: it has not "
        "learned yet."
    )
    command = train_again_command(report, "rate", learning_rate="auto")
    return Advice(Step("Let a range test find the learning rate", evidence, command), "trust", len(report.worst))


def train_longer(report: Report) -> Advice | None:
    """Suggest more epochs if the last ones were the best, and the validation loss was still falling."""
    losses, epochs = report.history.get("val_loss", ()), _setting(report, "epochs")
    if len(losses) < MIN_EPOCHS or report.ending or epochs != len(losses):
        return None
    third = max(round(len(losses) * LAST_THIRD), 1)
    before, last = np.mean(losses[-2 * third : -third]), np.mean(losses[-third:])
    kept = report.best_epoch or 0  # 0 if the linear probe was kept
    if not (last < STILL_FALLING * before and kept > len(losses) - third):
        return None
    accuracies, (trained, _) = report.history["val_accuracy"], _accuracies(report)
    gain = float(np.mean(accuracies[-third:]) - np.mean(accuracies[-2 * third : -third]))
    evidence = (
        f"Epoch {kept} of {epochs} was the best, and the validation loss was still falling: its mean was "
        f"{format_score(float(before))} in the epochs {len(losses) - 2 * third + 1} to {len(losses) - third}, and "
        f"{format_score(float(last))} in those after."
    )
    command = train_again_command(report, f"epochs{2 * epochs}", epochs=2 * epochs)
    stake = max(gain, 1 - trained if trained else 0, 0) * len(report.labels)
    return Advice(Step("Train longer", evidence, command), "train", min(stake, len(report.worst)))


def stop_earlier(report: Report) -> Advice | None:
    """Suggest fewer epochs if the validation loss rose again."""
    losses = np.asarray(report.history.get("val_loss", ()))
    if len(losses) < MIN_EPOCHS or not np.isfinite(losses).all() or report.ending:
        return None
    best, last = int(losses.argmin()), float(losses[-max(round(len(losses) * LAST_THIRD), 1) :].mean())
    if best + 1 > 0.7 * len(losses) or last < RISING * losses[best] or losses[best] <= 0:
        return None
    training = report.history["loss"]
    evidence = (
        f"The validation loss was lowest after epoch {best + 1} of {len(losses)} "
        f"({format_score(float(losses[best]))}), and is {format_score(float(losses[-1]))} at the end, while the "
        f"training loss fell to {format_score(training[-1])}."
    )
    epochs = max(math.ceil(1.2 * (best + 1)), 2)
    command = train_again_command(report, f"epochs{epochs}", epochs=epochs)
    accuracies = report.history["val_accuracy"]
    stake = max(accuracies[best] - accuracies[-1], 0) * len(report.labels)
    return Advice(Step("Stop earlier", evidence, command), "train", stake)


def augment_more(report: Report) -> Advice | None:
    """Suggest augmentation or more images if the training images are recognized better than those of validation."""
    trained, validated = _accuracies(report)
    policy = str(_setting(report, "augment") or "none")
    if trained is None or validated is None:
        return None
    error = math.sqrt(validated * (1 - validated) / (_validation_images(report) or 100))
    if trained - validated < max(LARGE_GAP, STANDARD_ERRORS * error):
        return None
    count = _training_images(report)
    evidence = (
        f"In the kept epoch, the accuracy is {format_share(trained, count)} on training images and "
        f"{format_share(validated, _validation_images(report))} on validation images: the model lacks variety."
    )
    stronger = "shift" if policy == "none" and _is_gray(report) else MORE_AUGMENTATION.get(policy)
    command = train_again_command(report, "augmented", augment=stronger) if stronger else ""
    title = "Augment the training images more, or add images" if command else "Add training images"
    stake = (trained - validated) * len(report.labels)
    return Advice(Step(title, evidence, command), "train" if command else "collect", min(stake, len(report.worst)))


def fit_better(report: Report) -> Advice | None:
    """Suggest to train more stages, longer or a larger network if the training images are not recognized either."""
    trained, validated = _accuracies(report)
    if trained is None or trained >= LOW_TRAINING_ACCURACY or trained - (validated or 0.0) >= 1 - trained:
        return None
    stake = min((1 - trained) * len(report.labels), len(report.worst))
    evidence = (
        f"The accuracy is only {format_share(trained, _training_images(report))} on the training images as well: "
    )
    stages, epochs = _setting(report, "stages"), _setting(report, "epochs")
    frozen = report.record.get("frozen stages", 0)
    if report.probe and stages is not None and frozen:
        more = stages + min(frozen, MORE_STAGES)
        are = "is" if stages == 1 else "are"
        evidence += f"only {format_count(stages, 'stage')} before the head {are} trained, and {frozen} are frozen."
        command = train_again_command(report, f"stages{more}", stages=more)
        return Advice(Step("Unfreeze more stages", evidence, command), "train", stake)
    if train_longer(report) is not None:  # which is the same advice, with better evidence
        return None
    evidence += "the network or its training is too small for these images."
    command = train_again_command(report, f"epochs{2 * epochs}", epochs=2 * epochs) if epochs else ""
    return Advice(Step("Train a larger network, or longer", evidence, command), "train", stake)


def _accuracies(report: Report) -> tuple[float | None, float | None]:
    """Return the accuracies of the kept epoch on training and validation images; None where they say nothing."""
    trained, policy = report.history.get("accuracy", ()), str(_setting(report, "augment") or "")
    is_probe = bool(report.probe) and not report.best_epoch  # the epochs were not kept
    if not len(trained) or is_probe or any(name in policy for name in MIXING):
        return None, None
    epoch = (report.best_epoch or len(trained)) - 1
    validated = report.history.get("val_accuracy", ())
    return float(trained[epoch]), float(validated[epoch]) if len(validated) else None


def _setting(report: Report, name: str) -> Any:
    """Return a field of the recipe of the training; None if it is not known."""
    return report.record.get(f"recipe.{name}", report.defaults.get(name))


def _training_images(report: Report) -> int | None:
    count: int | None = report.record.get("images.train")
    return count


def _validation_images(report: Report) -> int | None:
    count: int | None = report.record.get("images.validation")
    return count


def _is_gray(report: Report) -> bool:
    return bool(report.images.shape[-1] == 1)
