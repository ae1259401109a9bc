"""What to do next with a model: steps that the figures of its report suggest, the most useful first.

Each rule looks at one kind of evidence, and returns a step with its stake: about how many of the wrong test images it
concerns. The stakes are weighted by how little work a step is (`EASE`) and sorted. Rules whose figures are within
chance or too small to act on return nothing.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnnzoo.core.charts import shorten_label
from cnnzoo.core.numbers import format_share, format_share_interval
from cnnzoo.core.pages import Step
from cnnzoo.core.text import format_count
from cnnzoo.data.fix_list import LABELS_FILE
from cnnzoo.evaluation.commands import check_labels_command, evaluate_command, train_again_command
from cnnzoo.evaluation.training_advice import (
    Advice,
    augment_more,
    find_learning_rate,
    fit_better,
    stop_earlier,
    train_longer,
)

Report = Any  # `evaluation.report` imports this file, so this file cannot import its class

MAX_STEPS = 4
MAX_NAME = 40  # letters of a class
EASE = {"trust": math.inf, "look": 1.0, "train": 0.7, "collect": 0.4}  # how much a stake counts, by the work it takes
FEW_IMAGES = 0.7  # training images of a class, as a share of those of the median class
WIDE_INTERVAL = 0.1  # of the accuracy
MIN_MISTAKES = 3  # of a class or a pair of classes
MIN_PAIR_SHARE = 0.15  # of all mistakes; and it has twice the share that all pairs have on average


def suggest_steps(report: Report) -> list[Step]:
    """Return what to do next, the most useful first; empty if no figure asks for anything.

    Args:
        report: the report of a training or an evaluation.
    """
    if (untrained := find_learning_rate(report)) is not None:
        return [untrained.step]  # the figures of a model that has learned nothing suggest nothing else
    advice = [found for rule in RULES if (found := rule(report)) is not None]
    advice.sort(key=lambda one: -max(one.stake, 0.1) * EASE[one.work])
    return [one.step for one in advice[:MAX_STEPS]]


def _use_unseen_images(report: Report) -> Advice | None:
    if report.training_images is None or not report.training_images.any():
        return None
    seen = int(report.training_images.sum())
    are = "is a training image" if seen == 1 else "are training images"
    evidence = f"{seen:,} of the {format_count(len(report.labels), 'image')} {are}, so the figures are too good."
    command = evaluate_command(report)
    return Advice(Step("Evaluate the model on images that it has not seen", evidence, command), "trust", seen)


def _check_labels(report: Report) -> Advice | None:
    suspects = report.suspects
    if not len(suspects):
        return None
    among = int((report.predicted[suspects] != report.labels[suspects]).sum())
    evidence = (
        f"{format_share(len(suspects) / len(report.labels), len(report.labels))} of the {report.counted_images} "
        f"look mislabeled, among them {among:,} of the {format_count(len(report.worst), 'mistake')}."
    )
    command = check_labels_command(report)
    if command:
        evidence += f" Change the actions in {LABELS_FILE}, then measure again"
        evidence += "." if report.source else "; PHOTOS stands for the folder of the images."
    step = Step(
        f"Look at the {format_count(len(suspects), 'label')} that may be wrong",
        evidence,
        command,
        "#suspects",
        "See these images",
    )
    return Advice(step, "look", among * report.accuracy)  # a weak model takes many of its own mistakes for wrong labels


def _add_images_of_class(report: Report) -> Advice | None:
    matrix = np.asarray(report.metrics["confusion_matrix"])
    images = matrix.sum(axis=1)
    wrong = images - matrix.diagonal()
    if len(images) < 2 or not wrong.sum():
        return None
    # Mistakes beyond those that the class would have if it were as hard as the other classes
    others = (wrong.sum() - wrong) / np.maximum(images.sum() - images, 1)
    excess = wrong - others * images
    chance = 2 * np.sqrt(images * others * (1 - others))
    excess[(excess <= chance) | (wrong < MIN_MISTAKES)] = 0
    worst = int(excess.argmax())
    if not excess[worst]:
        return None
    name, count = report.classes[worst], int(images[worst])
    shown = shorten_label(name, MAX_NAME)
    evidence = (
        f"{format_share(1 - wrong[worst] / count, count)} of its {format_count(count, 'image')} are recognized, of the "
        f"other classes {format_share(1 - others[worst], len(report.labels))}."
    )
    counts = report.training_counts
    if not counts.get(name):
        step = Step(f"Look at the class “{shown}”", evidence, "", "#classes", "See all classes")
        return Advice(step, "look", float(excess[worst]))
    median = float(np.median(list(counts.values())))
    evidence += f" It has {format_count(counts[name], 'training image')}; the median class has {median:,.0f}."
    if counts[name] < FEW_IMAGES * median:
        command = train_again_command(report, "balanced", balance="sampling")
        title = f"Add images of “{shown}”, or draw the classes equally often"
        return Advice(Step(title, evidence, command), "train", float(excess[worst]))
    evidence += " Add images like those that are taken for other classes" if report.source else ""
    command = train_again_command(report, "more-images") if report.source else ""
    evidence += ", then train again." if command else "." if report.source else ""
    step = Step(f"Add images of “{shown}”", evidence, command, "#classes", "See all classes")
    return Advice(step, "collect", float(excess[worst]))


def _tell_pair_apart(report: Report) -> Advice | None:
    matrix = np.asarray(report.metrics["confusion_matrix"])
    if len(matrix) < 3:
        return None
    both = np.triu(matrix + matrix.T, 1)
    first, second = np.unravel_index(both.argmax(), both.shape)
    count, wrong = int(both[first, second]), len(report.worst)
    pairs = len(matrix) * (len(matrix) - 1) / 2
    if count < max(MIN_MISTAKES, MIN_PAIR_SHARE * wrong, 2 * wrong / pairs):
        return None
    names = " and ".join(f"“{shorten_label(report.classes[i], MAX_NAME)}”" for i in (first, second))
    evidence = f"{count:,} of the {format_count(wrong, 'mistake')} take one for the other."
    return Advice(Step(f"Compare {names}", evidence, "", "#confusion", "See the matrix"), "look", count / 2)


def _test_on_more_images(report: Report) -> Advice | None:
    low, high = report.metrics["intervals_95"]["accuracy"]
    if high - low <= WIDE_INTERVAL:
        return None
    evidence = (
        f"With {report.counted_images}, the accuracy is only known to be between "
        f"{format_share_interval((low, high), len(report.labels)).replace(' to ', ' and ')}."
    )
    step = Step("Test on more images", evidence, evaluate_command(report))
    return Advice(step, "collect", (high - low) / 2 * len(report.labels))


RULES: Sequence[Callable[[Report], Advice | None]] = (
    _use_unseen_images,
    _check_labels,
    train_longer,
    stop_earlier,
    augment_more,
    fit_better,
    _add_images_of_class,
    _tell_pair_apart,
    _test_on_more_images,
)
