"""How often a run was evaluated: a line in its folder for each evaluation, which `cnnzoo board` counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.core.files import read_bounded
from cnnzoo.core.paths import path_exists
from cnnzoo.core.processes import is_main_process
from cnnzoo.data.training_images import TRAINING_IMAGES_FILE, are_training_images_of
from cnnzoo.inference.exported import EXPORT_FILE, read_export
from cnnzoo.inference.runs import MODEL_FILE, RECORD_FILE, find_winner

if TYPE_CHECKING:
    from cnnzoo.data.images import ImageData
    from cnnzoo.evaluation.report import Report

EVALUATIONS_FILE = "evaluations.jsonl"  # is kept when --overwrite replaces the run: the images were seen all the same
EVALUATED: ContextVar[str | os.PathLike[str] | None] = ContextVar("EVALUATED", default=None)  # see `evaluation_of`
MAX_BYTES = 2**24  # of the file; a line has about 250 bytes


def record_evaluation(folder: Path | None, data: ImageData, split: str, accuracy: float, what: str) -> None:
    """Append a line about an evaluation to the folder of a run; a folder that cannot be written to stays as it is.

    Args:
        folder: the folder of the run; None records nothing.
        data: the data, whose fingerprint tells which images were seen.
        split: the split that was evaluated.
        accuracy: the accuracy on it.
        what: what was evaluated, such as "training" for the model at the end of its training.
    """
    if folder is None or not is_main_process():
        return
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
        "split": split,
        "images": len(data.splits[split]),
        "fingerprint": data.content_fingerprints[split],
        "accuracy": accuracy,
    }
    with suppress(OSError):
        descriptor = os.open(folder / EVALUATIONS_FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            content = json.dumps(line).encode() + b"\n"
            if size := os.lseek(descriptor, 0, os.SEEK_END):
                os.lseek(descriptor, size - 1, os.SEEK_SET)
                if os.read(descriptor, 1) != b"\n":  # the line before is torn, as the disk was full
                    content = b"\n" + content
            os.write(descriptor, content)  # in one piece, beside other processes
        finally:
            os.close(descriptor)


@contextmanager
def evaluation_of(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let `evaluate` in the block record that it evaluates the model at `path`, which was opened already."""
    token = EVALUATED.set(path)
    try:
        yield
    finally:
        EVALUATED.reset(token)


def record_evaluation_of(model: Any, data: ImageData, report: Report) -> None:
    """Record an evaluation of a run, if `model` is its path, or that of its model file, export or search.

    A model that was opened already is that of `evaluation_of`.
    """
    path = model if isinstance(model, str | os.PathLike) else EVALUATED.get()
    folder = None if path is None else find_run_folder(path)
    record_evaluation(folder, data, report.split, report.accuracy, "evaluate")


def find_run_folder(path: str | os.PathLike[str]) -> Path | None:
    """Return the folder of the run that a model comes from; None for other files and names of models.

    That of an export is the run that it names, if that is still there and has the same training images.
    """
    folder = Path(path)
    if path_exists(folder / EXPORT_FILE):
        info = read_export(folder)
        if info is None or not info.run:
            return None
        run = folder / info.run
        is_same = are_training_images_of(run / TRAINING_IMAGES_FILE, info.card)
        return run if is_same and path_exists(run / RECORD_FILE) else None
    if folder.name == MODEL_FILE and not folder.is_dir():
        folder = folder.parent
    if not path_exists(folder / RECORD_FILE):
        return None
    return folder if path_exists(folder / MODEL_FILE) else find_winner(folder)


def read_evaluations(folder: Path) -> list[dict[str, Any]]:
    """Return the evaluations of a run, the earliest first; lines that are torn are left out."""
    lines = []
    try:
        content = read_bounded(folder / EVALUATIONS_FILE, MAX_BYTES)
    except OSError:
        return []
    for text in content.splitlines():
        with suppress(ValueError, RecursionError):
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("fingerprint"), str):
                lines.append(line)
    return lines
