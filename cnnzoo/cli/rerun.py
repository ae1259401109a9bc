"""The command that repeats a run and compares the results."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from cnnzoo.cli import commands
from cnnzoo.cli.declare import CheckedPath, remove_options, take_values
from cnnzoo.cli.options import RunDirOptions
from cnnzoo.cli.output import echo
from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import read_json, read_json_value
from cnnzoo.core.paths import path_exists, resolve_path

MAX_DIFFERENCES_SHOWN = 20


@commands.command()
@commands.argument("run", type=CheckedPath(exists=True), help="The folder of a run, or its run.json.")
@commands.option(
    "--run-dir",
    type=CheckedPath(),
    help="Folder for the new run.",
    show_default="RUN-again, in the folder that holds RUN",
)
def rerun(run: Path, run_dir: Path | None) -> None:
    """Repeat RUN and compare all figures.

    The command also compares the versions of the packages, and exits with
    1 if a figure differs.
    """
    from cnnzoo.data.fix_list import FIX_LIST_FILE
    from cnnzoo.training.run import flatten_dict, installed_versions

    # Read the earlier run.
    folder = resolve_path(run.parent if run.is_file() else run)
    record, report_before = _read_run(folder)
    if record["command"][:1] not in (["train"], ["fine-tune"]):
        raise InputError(
            f"{folder} was written by the program {' '.join(record['command'])!r}; run that again. Only runs of cnnzoo "
            "train and cnnzoo fine-tune can be repeated"
        )

    # Repeat its command in another folder.
    new_folder = resolve_path(run_dir or folder.with_name(f"{folder.name}-again"))
    arguments = [*remove_options(record["command"], RunDirOptions), "--run-dir", str(new_folder)]
    arguments, lost_name = replace_lost_fix_lists(arguments, Path(record["folder"]), folder)
    root = click.get_current_context().find_root().command
    with contextlib.chdir(record["folder"]):
        root.main(arguments, standalone_mode=False, obj=arguments)

    # Compare the versions, then the figures.
    for package, version in installed_versions().items():
        if record["versions"].get(package) != version:
            echo(f"{package}: {record['versions'].get(package)} before, {version} now")
    before = flatten_dict(convert_old_report(report_before))
    after = flatten_dict(read_json(new_folder / "report.json", {}))
    if lost_name:  # the copy has another name
        old, new = f"Fix list {FIX_LIST_FILE}:", f"Fix list {lost_name}:"
        after["notes"] = [note.replace(old, new, 1) for note in after["notes"]]
    differing = [name for name, value in before.items() if after.get(name) != value]
    for name in differing[:MAX_DIFFERENCES_SHOWN]:
        echo(f"{name}: {before[name]} before, {after.get(name)} now")
    if differing:
        echo(f"{len(differing)} of {len(after)} figures differ", err=True)
        sys.exit(1)
    echo(f"All {len(after)} figures of {folder} and {new_folder} are the same")


def replace_lost_fix_lists(arguments: list[str], started_in: Path, run_folder: Path) -> tuple[list[str], str]:
    """Replace the fix lists of a command by the run's own copy of them, if one of their files is gone.

    Args:
        arguments: the words of the command.
        started_in: the folder in which the command ran.
        run_folder: the folder of the run, whose copy holds the fixes of all its lists.

    Returns:
        The words of the command, and the name of the lost lists in notes; "" if nothing was replaced.
    """
    from cnnzoo.data.fix_list import FIX_LIST_FILE

    files, remaining = take_values(arguments, "--fix-list")
    copy = run_folder / FIX_LIST_FILE
    lost = [file for file in files if not path_exists(started_in / file)]
    if not lost or not copy.is_file():
        return arguments, ""
    echo(f"{', '.join(lost)} does not exist any more; the run's own copy is used: {copy}", err=True)
    return [*remaining, "--fix-list", str(copy)], " and ".join(dict.fromkeys(Path(file).name for file in files))


def _read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the record and the report of a finished run.

    Raises:
        InputError: if there is none, or if its files do not have the form that `cnnzoo train` writes.
    """
    try:
        record, report = (read_json_value(folder / name) for name in ("run.json", "report.json"))
        problem = _record_problem(record, report)
    except InputError as error:
        problem = str(error)
    if problem:
        raise InputError(f"{folder} does not hold a finished run of train or fine-tune: {problem}")
    return record, report


def convert_old_report(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report as versions from 0.9 on write it: those before gave the figures without the temperature.

    Figures that cannot be computed from an old report are left out.
    """
    metrics = report.get("metrics")
    calibrated = metrics.get("calibrated") if isinstance(metrics, dict) else None
    if not isinstance(metrics, dict) or not isinstance(calibrated, dict) or "reliability" in calibrated:
        return report
    if calibrated.get("temperature") == 1:
        return report
    moved = ("log_loss", "calibration_error", "reliability")
    unknown = ("roc_auc", "average_precision", "reliability")
    classes = metrics.get("per_class", {})
    new = {name: value for name, value in metrics.items() if name not in unknown}
    new |= {name: calibrated[name] for name in moved if name in calibrated}
    new["uncalibrated"] = {name: metrics[name] for name in moved if name in metrics}
    new["per_class"] = {
        name: {key: value for key, value in row.items() if key not in unknown} for name, row in classes.items()
    }
    return report | {"metrics": new}


def _record_problem(record: Any, report: Any) -> str:
    """Return what is wrong with the files of a run, or "" if nothing is."""
    if not isinstance(report, dict):
        return "report.json is not an object"
    if not isinstance(record, dict):
        return "run.json is not an object"
    command, folder = record.get("command"), record.get("folder")
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return f"run.json has the command {command!r}"
    if not isinstance(record.get("versions"), dict):
        return f"run.json has the versions {record.get('versions')!r}"
    if not isinstance(folder, str) or not Path(folder).is_dir():
        return f"the folder in which it ran, {folder!r}, does not exist"
    return ""


COMMANDS = (rerun,)
