"""What a report suggests to do next: each step comes from figures that say so, with a command that is valid."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.notebooks import check_summary

from cnnzoo.cli.main import cli as commands
from cnnzoo.evaluation.commands import train_again_command
from cnnzoo.evaluation.next_steps import suggest_steps
from cnnzoo.evaluation.report import Report

CLASSES = ("ant", "bee", "cat")
SURE, DOUBTFUL = 0.98, 0.5  # probabilities of the predicted class
COMMAND = ("train", "lenet5", "my photos", "--epochs=20", "--set", "clip=1", "--run-dir", "runs/first", "--resume")


def make_report(matrix, probability=DOUBTFUL, **changes):
    """Return a report with a confusion matrix, whose mistakes are doubtful, so that their labels are not suspect."""
    matrix = np.asarray(matrix)
    labels = np.repeat(np.arange(len(matrix)), matrix.sum(axis=1))
    predicted = np.concatenate([np.repeat(np.arange(len(matrix)), row) for row in matrix])
    p = np.zeros((len(labels), len(matrix)))
    for i, (label, guess) in enumerate(zip(labels, predicted, strict=True)):
        p[i, label] = 0.49
        p[i, guess] = SURE if label == guess else probability
    p += 1e-4
    p /= p.sum(axis=1, keepdims=True)
    fields = {
        "record": {"recipe.epochs": 20, "images.train": 900, "images.validation": 400},
        "defaults": {"augment": "none"},
        "run_dir": Path("runs/first"),
        "source": "my photos",
        "command": COMMAND,
    } | changes
    names = np.array([f"{i}.png" for i in range(len(labels))])
    images = np.zeros((len(labels), 4, 4, 3))
    return Report("lenet5", "photos", "test", CLASSES[: len(matrix)], names, labels, p, images, **fields)


def curves(training, validation, losses, epochs=20):
    """Return curves that go from the first to the second value, in equal steps."""
    line = np.linspace(0, 1, epochs)
    values = {"accuracy": training, "val_accuracy": validation}
    history = {name: (low + (high - low) * line).tolist() for name, (low, high) in values.items()}
    return history | {"val_loss": list(losses), "loss": np.linspace(1, 0.1, epochs).tolist()}


FLAT = np.full(20, 0.3)
GOOD = [[480, 10, 10], [10, 480, 10], [10, 10, 480]]
FITTED = curves((0.5, 0.96), (0.5, 0.955), FLAT)


def titles(report):
    return [step.title for step in suggest_steps(report)]


def test_a_report_whose_figures_are_fine_suggests_nothing():
    assert titles(make_report(GOOD, history=FITTED, best_epoch=20)) == []


def test_labels_that_may_be_wrong_come_with_the_command_that_measures_again():
    (step,) = suggest_steps(make_report(GOOD, 40.0, history=FITTED, best_epoch=20))
    assert step.title == "Look at the 60 labels that may be wrong"
    assert "4.00 % of the 1,500 test images look mislabeled, among them 60 of the 60 mistakes" in step.evidence
    assert step.address == "#suspects"
    assert "'my photos' --fix-list" in step.command


@pytest.mark.parametrize(
    ("history", "best_epoch", "title", "evidence", "option"),
    [
        (
            curves((0.5, 0.97), (0.5, 0.95), np.linspace(2, 0.2, 20)),
            20,
            "Train longer",
            "Epoch 20 of 20 was the best, and the validation loss was still falling: its mean was 1.147 in the epochs "
            "7 to 13, and 0.484 in those after",
            "--epochs 40",
        ),
        (
            curves((0.96, 0.96), (0.955, 0.955), [*np.linspace(1, 0.2, 5), *np.linspace(0.2, 0.8, 15)]),
            5,
            "Stop earlier",
            "The validation loss was lowest after epoch 5 of 20 (0.200), and is 0.800 at the end",
            "--epochs 6",
        ),
        (
            curves((0.5, 1.0), (0.5, 0.94), FLAT),
            20,
            "Augment the training images more, or add images",
            "the accuracy is 100.0 % on training images and 94.0 % on validation images",
            "--augment basic",
        ),
        (
            curves((0.5, 0.8), (0.5, 0.79), FLAT),
            20,
            "Train a larger network, or longer",
            "The accuracy is only 80.0 % on the training images as well",
            "--epochs 40",
        ),
    ],
)
def test_curves_suggest_how_to_train_again(history, best_epoch, title, evidence, option):
    (step,) = suggest_steps(make_report(GOOD, history=history, best_epoch=best_epoch))
    assert step.title == title
    assert evidence in step.evidence
    assert option in step.command
    run_command(step.command)


def run_command(command):
    name, subcommand, *arguments = shlex.split(command)
    assert name == "cnnzoo"
    commands.commands[subcommand].make_context(subcommand, arguments)  # exits if an option is unknown
    assert "runs/first-" in command
    assert "--resume" not in command


def test_more_stages_are_unfrozen_only_if_some_are_frozen():
    history = curves((0.5, 0.8), (0.5, 0.79), FLAT)
    record = {"recipe.epochs": 20, "recipe.stages": 1, "images.train": 900, "frozen stages": 3}
    report = make_report(GOOD, history=history, best_epoch=20, record=record, probe={"accuracy": 0.7})
    (step,) = suggest_steps(report)
    assert step.title == "Unfreeze more stages"
    assert step.evidence.endswith("only 1 stage before the head is trained, and 3 are frozen.")
    assert "--set stages=3" in step.command
    assert "--set clip=1" in step.command
    run_command(step.command)
    assert titles(replace(report, record=record | {"frozen stages": 0})) == ["Train a larger network, or longer"]
    assert titles(replace(report, best_epoch=None)) == [], "of the probe, the curves say nothing"


def test_a_model_that_has_not_learned_needs_a_learning_rate_first():
    flat = curves((0.33, 0.35), (0.33, 0.34), np.full(20, 1.1))
    (step,) = suggest_steps(make_report([[40, 30, 30], [35, 30, 35], [33, 33, 34]], history=flat, best_epoch=3))
    assert step.title == "Let a range test find the learning rate"
    assert "about as good as always answering one class (33.3 %)" in step.evidence
    assert "--learning-rate auto" in step.command


def test_a_class_that_is_harder_than_the_others_is_named():
    hard = [[480, 10, 10], [60, 380, 60], [10, 10, 480]]
    report = make_report(hard, history=FITTED, best_epoch=20)
    counts = {"ant": 300, "bee": 90, "cat": 300}
    first = suggest_steps(report)[0]
    assert (first.title, first.command, first.address) == ("Look at the class “bee”", "", "#classes")
    first = suggest_steps(replace(report, training_counts=counts))[0]
    assert first.title == "Add images of “bee”, or draw the classes equally often"
    assert "76.0 % of its 500 images are recognized, of the other classes 96.00 %" in first.evidence
    assert "It has 90 training images; the median class has 300." in first.evidence
    assert "--set balance=sampling" in first.command
    run_command(first.command)
    enough = suggest_steps(replace(report, training_counts=counts | {"bee": 300}))[0]
    assert enough.title == "Add images of “bee”"
    assert "Add images of" not in str(titles(make_report(GOOD, training_counts=counts)))


def test_two_classes_that_are_taken_for_each_other_are_compared():
    report = make_report([[460, 40, 0], [40, 460, 0], [0, 0, 500]], history=FITTED, best_epoch=20)
    step = next(step for step in suggest_steps(report) if step.title.startswith("Compare"))
    assert step.title == "Compare “ant” and “bee”"
    assert step.evidence == "80 of the 80 mistakes take one for the other."


def test_few_test_images_and_training_images_in_the_test_are_told():
    few = make_report([[18, 2], [1, 19]], history=FITTED, best_epoch=20)
    assert titles(few) == ["Test on more images"]
    assert (
        "With 40 test images, the accuracy is only known to be between 80 and 97 %." in suggest_steps(few)[0].evidence
    )
    seen = replace(make_report(GOOD), training_images=np.arange(1500) < 7)
    assert suggest_steps(seen)[0].title == "Evaluate the model on images that it has not seen"
    assert "7 of the 1,500 images are training images" in suggest_steps(seen)[0].evidence


def test_a_notebook_shows_the_first_step():
    report = make_report(GOOD, 40.0, history=FITTED, best_epoch=20)
    assert "Next: Look at the 60 labels that may be wrong. 4.00" in check_summary(report._repr_html_()).text
    assert "Next:" not in make_report(GOOD, history=FITTED, best_epoch=20)._repr_html_()


def test_steps_of_a_report_without_a_run_have_no_commands():
    report = make_report([[18, 2], [1, 19]], 40.0, run_dir=None, record={}, command=(), history={})
    steps = suggest_steps(report)
    assert steps
    assert not any(step.command for step in steps)


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        (
            ("fine-tune", "resnet20:x", "d", "--lr", "0.1", "--overwrite"),
            "cnnzoo fine-tune resnet20:x d --learning-rate auto --run-dir runs/first-x",
        ),
        (
            ("train", "a", "b", "--set=clip=1", "--run-dir=/tmp/my run"),
            "cnnzoo train a b --set clip=1 --learning-rate auto --run-dir /tmp/first-x",
        ),
        (
            ("train", "a", "b", "--run-dir", "here"),
            "cnnzoo train a b --learning-rate auto --run-dir first-x",
        ),
        (
            ("my_script.py",),
            "cnnzoo.fit_and_evaluate(model, data, recipe=cnnzoo.Recipe(epochs=20, learning_rate='auto'), "
            "run_dir='runs/first-x')",
        ),
    ],
)
def test_commands_of_a_training_change_only_what_they_say(command, changed):
    report = make_report(GOOD, command=command)
    assert train_again_command(report, "x", learning_rate="auto") == changed
