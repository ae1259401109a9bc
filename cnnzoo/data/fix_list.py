"""Fix lists: tables that say which images of a data set to exclude, and which to give another label.

The doctor and the report write them, people edit them, and `load_data` applies them. The images themselves are never
changed, moved or deleted.
"""

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.files import atomic_write
from cnnzoo.core.paths import check_path, nearest_path
from cnnzoo.core.tables import align_columns
from cnnzoo.core.text import escape_cell, format_count, unescape_cell
from cnnzoo.data.labels import UnusableCellError, cell_to_text
from cnnzoo.data.table_files import Table, check_file_kind, has_table_suffix, read_table_file, table_of_frame

ACTIONS = {
    "keep": "nothing is changed",
    "exclude": "the image is left out",
    "relabel": "the image gets the class in the column label",
}
COLUMNS = ("path", "action", "label", "finding", "reason")  # the last two are for people
FIX_LIST_FILE = "fix_list.csv"  # in the folder of a run: the list that its data was loaded with
LABELS_FILE = "labels_to_check.csv"  # that a report writes: images whose labels may be wrong
MAX_ROWS_SHOWN = 20


@dataclass(frozen=True)
class Fix:
    """One row of a fix list.

    Attributes:
        path: name of the image, relative to the source of the data, with forward slashes.
        action: a key of `ACTIONS`.
        label: the class for "relabel". Beside "keep", a suggestion that has no effect until the action is changed.
        finding: the kind of finding that the row comes from, for people.
        reason: why the row is there, for people.
    """

    path: str
    action: str
    label: str = ""
    finding: str = ""
    reason: str = ""

    @property
    def effect(self) -> tuple[str, str]:
        """The action, and the new label if there is one."""
        return self.action, self.label if self.action == "relabel" else ""


@dataclass(frozen=True)
class FixList:
    """Rows that say what to do with images. Printing it shows a table.

    Attributes:
        fixes: the rows.
        name: name of the file that they come from, for messages.
        rows: what messages call each row, such as "fixes.csv, line 2".

    Example:
        >>> from cnnzoo.data.fix_list import Fix, FixList, read_fix_list
        >>> FixList([Fix("cat/1.jpg", "exclude"), Fix("cat/2.jpg", "relabel", "dog")]).save("fixes.csv")
        >>> print(read_fix_list("fixes.csv"))
        fixes.csv: 1 image to exclude, 1 to relabel, 0 to keep
        path       action   label  reason
        cat/1.jpg  exclude
        cat/2.jpg  relabel  dog
    """

    fixes: tuple[Fix, ...]
    name: str = "the fix list"
    rows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "fixes", tuple(self.fixes))
        object.__setattr__(self, "rows", self.rows or tuple(f"{self.name}, row {i}" for i in range(len(self.fixes))))
        self._check()

    def __len__(self) -> int:
        return len(self.fixes)

    def count(self, action: str) -> int:
        """Return the number of rows with an action."""
        return sum(fix.action == action for fix in self.fixes)

    @property
    def digest(self) -> str:
        """SHA-256 of what the list does: its exclusions and its new labels, in any order."""
        effects = sorted((fix.path, *fix.effect) for fix in self.fixes if fix.action != "keep")
        return hashlib.sha256(repr(effects).encode()).hexdigest()

    def __str__(self) -> str:
        head = (
            f"{self.name}: {format_count(self.count('exclude'), 'image')} to exclude, {self.count('relabel'):,} to "
            f"relabel, {self.count('keep'):,} to keep"
        )
        cells = [[fix.path, fix.action, fix.label, fix.reason] for fix in self.fixes[:MAX_ROWS_SHOWN]]
        more = [f"and {len(self) - MAX_ROWS_SHOWN:,} more"] if len(self) > MAX_ROWS_SHOWN else []
        return "\n".join(
            [head, *([align_columns([["path", "action", "label", "reason"], *cells])] if cells else []), *more]
        )

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write the list as a CSV file, which spreadsheets open and `load_data(..., fix_list=FILE)` reads."""
        path = check_path(file, "the file of the fix list")
        with atomic_write(path) as new, new.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for fix in self.fixes:
                writer.writerow(map(escape_cell, (fix.path, fix.action, fix.label, fix.finding, fix.reason)))

    def _check(self) -> None:
        """Raise InputError for an unknown action, a new label that is missing, or two actions for one image."""
        first_of: dict[str, tuple[str, Fix]] = {}
        for row, fix in zip(self.rows, self.fixes, strict=True):
            if fix.action not in ACTIONS:
                raise unknown_name(f"action in {row}", fix.action, ACTIONS)
            if fix.action == "relabel" and not fix.label:
                raise InputError(
                    f"{row}: {fix.path!r} is to be relabeled, but the column label is empty. Write the class in it, or "
                    "keep or exclude as the action"
                )
            at, first = first_of.setdefault(fix.path, (row, fix))
            if first.effect != fix.effect:
                raise InputError(
                    f"Two actions for {fix.path!r}: {_describe(first)} in {at}, and {_describe(fix)} in {row}. Keep "
                    "one of the rows"
                )


def _describe(fix: Fix) -> str:
    return f"{fix.action} as {fix.label}" if fix.action == "relabel" else fix.action


def merge_fixes(fixes: Iterable[Fix]) -> FixList:
    """Return a fix list with one row for each image, of several findings about it.

    An image that one finding excludes is excluded; its row names all findings.
    """
    by_path: dict[str, list[Fix]] = {}
    for fix in fixes:
        by_path.setdefault(fix.path, []).append(fix)
    merged = []
    for path, same in by_path.items():
        first = next((fix for fix in same if fix.action != "keep"), same[0])
        label = first.label or next((fix.label for fix in same if fix.label and first.action == "keep"), "")
        findings = "; ".join(dict.fromkeys(fix.finding for fix in same if fix.finding))
        reasons = "; ".join(dict.fromkeys(fix.reason for fix in same if fix.reason))
        merged.append(Fix(path, first.action, label, findings, reasons))
    return FixList(tuple(merged))


# Read a fix list


def read_fix_list(source: Any) -> FixList:
    """Return the fix list of a file or a data frame with the columns path, action and, to relabel, label.

    The file is a CSV, with commas, semicolons or tabs, or any other table that `load_data` reads. Other columns are
    ignored. Several files in a list make one fix list.

    Raises:
        InputError: if there is no such file, a column is missing, or a row cannot be carried out. The message names it.
    """
    if isinstance(source, FixList):
        return source
    if isinstance(source, list | tuple) and source:
        return combine_fix_lists([read_fix_list(each) for each in source])
    if (table := table_of_frame(source)) is None:
        table = _read_table(check_path(source, "fix_list"))
    columns = {name.strip().casefold(): name for name in table.columns}
    for name in ("path", "action"):
        if name not in columns:
            raise InputError(
                f"{table.name} is no fix list: it has no column {name!r}. Needed are path, action and, to relabel, "
                f"label, as cnnzoo doctor DATA --fix-list FILE writes them. Received: {', '.join(table.columns[:10])}"
            )
    texts = [_read_column(table, columns.get(name)) for name in COLUMNS]

    # Spreadsheets leave empty rows behind
    fixes, rows = [], []
    for row, path, action, label, finding, reason in zip(table.rows, *texts, strict=True):
        if not any((path, action, label)):
            continue
        if not path:
            raise InputError(f"{table.name}, {row} has no path")
        fixes.append(Fix(path, action.casefold(), label, finding, reason))
        rows.append(f"{table.name}, {row}")
    return FixList(tuple(fixes), table.name, tuple(rows))


def combine_fix_lists(lists: Sequence[FixList]) -> FixList:
    """Return the fixes of several lists as one; a row that says keep yields to the action of another list."""
    if len(lists) == 1:
        return lists[0]
    decided = {fix.path for each in lists for fix in each.fixes if fix.action != "keep"}
    pairs = [
        (row, fix)
        for each in lists
        for row, fix in zip(each.rows, each.fixes, strict=True)
        if fix.action != "keep" or fix.path not in decided
    ]
    name = " and ".join(dict.fromkeys(each.name for each in lists))
    return FixList(tuple(fix for _, fix in pairs), name, tuple(row for row, _ in pairs))


def _read_table(path: Path) -> Table:
    if not path.is_file():
        nearest = "" if path.is_dir() else nearest_path(path)
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"The fix list {str(path)!r} {kind}.{hint} cnnzoo doctor DATA --fix-list FILE writes one")
    if not has_table_suffix(path):
        check_file_kind(path)
        raise InputError(f"fix_list must be a .csv file or another table. Received: {str(path)!r}")
    return read_table_file(path)


def _read_column(table: Table, column: str | None) -> list[str]:
    """Return the texts of a column, all empty if there is none."""
    if column is None:
        return [""] * len(table.rows)
    try:
        return [unescape_cell(cell_to_text(value).strip()) for value in table.read(column)]
    except UnusableCellError as error:
        raise InputError(f"{table.name}: the column {column!r} must be text. Received: {error}") from None
