"""Files that results are written to: checked before anything slow, and written completely or not at all."""

import errno
import os
from collections.abc import Collection
from pathlib import Path

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.paths import check_path, path_exists

# A folder with one of the records belongs to a run, a report or an export, which lives by these files
RECORDS = ("run.json", "report.json", "cnnzoo.json")
OWN_FILES = (*RECORDS, "report.html", "model.card.json", "predictions.csv", "labels_to_check.csv", "doctor.html")


def check_output_file(path: object, name: str, suffixes: Collection[str], wanted: str) -> Path:
    """Return the path of a file to write; one that exists will be replaced.

    Args:
        path: the path.
        name: what messages call it, such as "--out".
        suffixes: the allowed suffixes, in lower case.
        wanted: what is allowed, in words.

    Raises:
        InputError: for another suffix, a folder, a file that a run, a report or an export lives by, or a place that
            cannot be written to.

    Example:
        >>> from cnnzoo.core.outputs import check_output_file
        >>> check_output_file("page.pdf", "--out", (".html",), "a .html file")
        Traceback (most recent call last):
        ...
        cnnzoo.core.errors.InputError: --out must be a .html file. Received: 'page.pdf'
    """
    file = check_path(path, name)
    if file.suffix.lower() not in suffixes:
        raise InputError(f"{name} must be {wanted}. Received: {str(file)!r:.200}")
    if file.is_dir():
        raise InputError(f"{name} cannot be {str(file)!r:.200}: it is a folder")
    if file.name in OWN_FILES and file.exists() and any((file.parent / record).exists() for record in RECORDS):
        raise InputError(
            f"{name} cannot be {str(file)!r:.200}: the run, report or export in that folder would lose this file. Give "
            "another name"
        )
    check_can_write(file)
    return file


def check_can_write(file: Path) -> None:
    """Raise InputError if no file can be made in the folder of `file`, or that folder cannot be made."""
    folder = file.parent
    while not path_exists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"Cannot write to {str(file.parent)!r}: {str(folder)!r} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"Cannot write to {str(file.parent)!r}: {os.strerror(errno.EACCES)}")


def write_text_file(file: Path, text: str) -> None:
    """Write a text in UTF-8 to a file, which is replaced if it exists; what UTF-8 cannot express is escaped.

    Raises:
        InputError: if the folder cannot be written to.
    """
    with atomic_write(file) as new, new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
        out.write(text)
