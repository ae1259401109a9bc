"""Ready commands for the model and the images of a report."""

import shlex
from collections.abc import Sequence
from typing import Any

from cnnzoo.data.fix_list import FIX_LIST_FILE, LABELS_FILE

Report = Any  # `evaluation.report` imports this file, so this file cannot import its class

TRAINERS = {"train": "fit_and_evaluate", "fine-tune": "fine_tune"}
# The option of each field of a recipe that has one; the others are changed by `--set FIELD=VALUE`
OPTIONS = {
    "epochs": ("--epochs",),
    "batch_size": ("--batch-size",),
    "learning_rate": ("--learning-rate", "--lr"),
    "augment": ("--augment",),
}
RUN_OPTIONS = ("--resume", "--no-resume", "--overwrite")  # of the run that has ended


def evaluate_command(report: Report) -> str:
    """Return the command that evaluates the model of a run on other images; "" without a run's folder."""
    if report.run_dir is None:
        return ""
    return f"cnnzoo evaluate {_quote_run(report)} other_images/ --out other_report"


def check_labels_command(report: Report) -> str:
    """Return the command that evaluates a run again once its labels are corrected; "" if that needs no command."""
    if report.run_dir is None or not len(report.suspects):
        return ""
    folder = report.run_dir.absolute()
    lists = f"--fix-list {shlex.quote(str(folder / LABELS_FILE))}"
    if report.has_fix_list:  # without it, the images are not divided as they were for the training
        lists = f"--fix-list {shlex.quote(str(folder / FIX_LIST_FILE))} {lists}"
    images = shlex.quote(report.source) if report.source else "PHOTOS"
    return f"cnnzoo evaluate {_quote_run(report)} {images} {lists} --out corrected_report"


def train_again_command(report: Report, suffix: str, **changes: Any) -> str:
    """Return the command of the training with some fields of its recipe changed, for a folder of its own.

    A training that was started in Python returns a call instead; one that is not known returns "".

    Args:
        report: the report of the training.
        suffix: what is added to the name of the run's folder.
        changes: the fields to change.
    """
    if report.run_dir is None or not report.record:
        return ""
    if report.command and report.command[0] in TRAINERS:
        return shlex.join(["cnnzoo", *_change_arguments(report.command, f"{report.run_dir.name}-{suffix}", changes)])
    trainer = "fine_tune" if report.probe else "fit_and_evaluate"
    prefix = "recipe."
    fields = {name.removeprefix(prefix): value for name, value in report.record.items() if name.startswith(prefix)}
    named = [repr(report.record["recipe"])] if "recipe" in report.record else []
    arguments = ", ".join([*named, *(f"{name}={value!r}" for name, value in (fields | changes).items())])
    recipe = f"cnnzoo.{'recipe' if named else 'Recipe'}({arguments})"
    folder = str(report.run_dir.with_name(f"{report.run_dir.name}-{suffix}"))
    return f"cnnzoo.{trainer}(model, data, recipe={recipe}, run_dir={folder!r})"


def _change_arguments(command: Sequence[str], name: str, changes: dict[str, Any]) -> list[str]:
    """Return the arguments of a training with other values of some options, and another folder."""
    options = {option for field in changes for option in OPTIONS.get(field, ())}
    kept: list[str] = []
    folder = f"runs/{name}"
    rest = iter(command)
    for argument in rest:
        option, equals, value = argument.partition("=")
        if argument in RUN_OPTIONS:
            continue
        if option not in {*options, "--run-dir", "--set"}:
            kept.append(argument)
            continue
        value = value if equals else next(rest, "")
        if option == "--run-dir":
            parent = value.rstrip("/").rpartition("/")[0]
            folder = f"{parent}/{name}" if parent or value.startswith("/") else name
        elif option == "--set" and value.partition("=")[0].strip() not in changes:
            kept += [option, value]
    for field, value in changes.items():
        kept += [OPTIONS[field][0], str(value)] if field in OPTIONS else ["--set", f"{field}={value}"]
    return [*kept, "--run-dir", folder]


def _quote_run(report: Report) -> str:
    return shlex.quote(str(report.run_dir.absolute()))
