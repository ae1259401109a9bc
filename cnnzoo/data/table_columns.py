"""Find the columns of a table that hold paths, labels and splits, by usual names and by their values."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.text import escape_controls
from cnnzoo.data.labels import UnusableCellError, cell_to_text
from cnnzoo.data.split_names import SPLIT_NAMES, guess_split, resolve_evaluation
from cnnzoo.data.table_files import Table
from cnnzoo.data.table_paths import IMAGE_SUFFIXES

# Usual names of columns, in groups; a column of the first group that the table has is taken
PATH_COLUMNS = (
    ("path", "file", "filename", "file_name", "filepath", "image", "image_path"),
    (
        *("file_path", "image_file", "image_filename", "image_name", "imagename", "imagepath", "image_filepath"),
        *("img", "img_path", "img_name", "img_file", "fname", "picture", "photo", "relative_path", "full_path"),
    ),
    ("image_id", "imageid", "img_id", "id", "name", "uuid", "key"),
)
LABEL_COLUMNS = (
    ("label", "class", "category", "target"),
    ("labels", "classname", "class_name", "label_name", "category_name", "class_label", "target_name"),
    ("class_id", "classid", "category_id", "label_id", "y", "ground_truth", "gt"),
    ("breed", "species", "diagnosis", "dx", "variety", "cultivar", "type", "kind", "tag", "tags", "finding_labels"),
)
SPLIT_COLUMNS = (
    ("split", "subset", "partition", "set"),
    ("phase", "fold", "usage", "data_split", "dataset_split", "data_set", "dataset"),
)
# Columns of yes and no: the split of a yes and of a no
SPLIT_FLAGS = {
    "is_train": ("train", "test"),
    "is_training": ("train", "test"),
    "is_training_image": ("train", "test"),
    "is_valid": ("validation", "train"),
    "is_val": ("validation", "train"),
    "is_validation": ("validation", "train"),
    "is_test": ("test", "train"),
}
YES_AND_NO = {"true": 0, "1": 0, "yes": 0, "false": 1, "0": 1, "no": 1}
GROUP_COLUMNS = {
    "patient",
    "patient_id",
    "subject",
    "subject_id",
    "group",
    "group_id",
    "person",
    "lesion_id",
    "case_id",
}
TEXT_TYPES = re.compile(
    r"^(text|str|string|large_string|string_view|utf8|category|object|enum|dictionary<values=(large_)?string)", re.I
)
UNUSABLE_TYPES = re.compile(
    r"^(struct|list|large_list|fixed_size_list|map|dict$|date|time|timestamp|duration|datetime)", re.I
)
MAX_LISTED = 5


# Paths and labels


def _normalize(column: str) -> str:
    return re.sub(r"[\s\-.]+", "_", column.strip().casefold())


def check_column(table: Table, column: str) -> None:
    """Raise InputError unless the table has a column once."""
    if column not in table.columns:
        raise unknown_name(f"column of {table.name}", column, table.columns)
    if table.columns.count(column) > 1:
        raise InputError(f"{table.name} has the column {column!r} twice; rename one of the two")


def find_column(table: Table, requested: str | None, known: Sequence[Sequence[str]], what: str) -> str:
    """Return the requested column, or the only one with a usual name."""
    if requested is not None:
        check_column(table, requested)
        return requested
    unusable = list[str]()
    for names in known:
        matches = [column for column in table.columns if _normalize(column) in names]
        usable = [column for column in matches if _can_be(table.type_of(column), what)]
        unusable += [column for column in matches if column not in usable]
        if len(usable) > 1:  # an image beside its path, or "File Name" beside "path"
            usable = [column for column in usable if TEXT_TYPES.match(table.type_of(column))] or usable
            usable = [column for column in usable if column.casefold() in names] or usable
        if len(usable) == 1:
            return usable[0]
        if usable:
            check_column(table, usable[0])
            raise InputError(
                f"{table.name} has several columns for the {what}: {', '.join(usable)}. {what}_column="
                f"{usable[0]!r} (--{what}-column) names the right one"
            )
    described = ", ".join(
        f"{column} ({table.type_of(column)})" if table.types and not table.untyped else column
        for column in table.columns
    )
    problem = f"no column for the {what}"
    if unusable:
        problem += f" that can be used: {unusable[0]!r} is of type {table.type_of(unusable[0])}"
    examples = [*known[0], *(names[0] for names in known[1:])]
    raise InputError(
        f"{table.name} has {problem}. Allowed names: {', '.join(examples)} and the like. "
        f"Received: {described or 'nothing'}{_hint_at_column(table, known, what)}"
    )


def _can_be(type_name: str, what: str) -> bool:
    """Return whether a column of this type may hold paths, labels or splits."""
    return not UNUSABLE_TYPES.match(type_name) or (what == "label" and "list" in type_name.casefold())


def _hint_at_column(table: Table, known: Sequence[Sequence[str]], what: str) -> str:
    """Return how to name a column that has no usual name."""
    if any(suffix in IMAGE_SUFFIXES for column in table.columns for suffix in re.findall(r"\.\w+", column.casefold())):
        return "; the first line must name the columns, as in path,label"
    names = [name for group in known for name in group]
    others = [column for group in (*PATH_COLUMNS[:2], *LABEL_COLUMNS, *SPLIT_COLUMNS) for column in group]
    usable = [column for column in table.columns if _can_be(table.type_of(column), what)]
    rest = [column for column in usable if _normalize(column) not in others]
    close = [column for column in rest if difflib.get_close_matches(_normalize(column), names, 1)]
    if close or len(rest) == 1:
        return f"; {what}_column={(close or rest)[0]!r} (--{what}-column {(close or rest)[0]}) names another"
    return f"; {what}_column (--{what}-column) names another" if rest else ""


def find_label_columns(table: Table, requested: str | None, path_column: str) -> list[str]:
    """Return the column of the labels, or the one-hot columns of a table without one."""
    known = {name for names in LABEL_COLUMNS for name in names}
    columns = list[str]()
    if requested is None and not any(_normalize(column) in known for column in table.columns):
        columns = _find_one_hot_columns(table, path_column)
    return columns or [find_column(table, requested, LABEL_COLUMNS, "label")]


def _find_one_hot_columns(table: Table, path_column: str) -> list[str]:
    """Return the columns that hold 0 and 1 only, if they are classes: all other columns, or nearly each row has a 1."""
    columns = list[str]()
    for column in dict.fromkeys(table.columns):
        if (
            column == path_column
            or table.columns.count(column) > 1
            or _normalize(column) in SPLIT_FLAGS
            or UNUSABLE_TYPES.match(table.type_of(column))
        ):
            continue
        values = table.read(column)
        if values and all(_is_bit(value) for value in values):
            columns.append(column)
    if len(columns) < 2:
        return []
    rows = zip(*(map(is_one, table.read(column)) for column in columns), strict=True)
    return columns if sum(any(row) for row in rows) > 0.9 * len(table.rows) else []


def _is_bit(value: Any) -> bool:
    return str(value) in ("0", "1", "0.0", "1.0", "True", "False")


def is_one(value: Any) -> bool:
    """Return whether a value of a one-hot column marks the class."""
    return str(value) in ("1", "1.0", "True")


def find_splits(table: Table, requested: str | None, used: Collection[str]) -> tuple[str, list[str], str]:
    """Return the column of the splits or '', the split of each row or '', and a note on a column that is no split.

    A column with a usual name comes before one whose values are names of splits. `requested` is '' for no column.
    """
    if requested is not None:
        if not requested:
            return "", [""] * len(table.rows), ""
        check_column(table, requested)
        return requested, _read_splits(table, requested), ""

    # Columns that are called after splits
    columns = [column for column in table.columns if column not in used and table.columns.count(column) == 1]
    columns_by_name = [[column for column in columns if _normalize(column) in names] for names in SPLIT_COLUMNS]
    certain, probable = columns_by_name
    flags = [column for column in columns if _normalize(column) in SPLIT_FLAGS]
    chosen = [column for column in certain if _has_split_names(table, column, all)] or certain[:1]
    chosen = chosen or [column for column in probable if _has_split_names(table, column, any)]
    chosen = chosen or [column for column in flags if _is_split_flag(table, column)]

    # Columns whose values are names of splits
    if not chosen:
        texts = [column for column in columns if TEXT_TYPES.match(table.type_of(column))]
        chosen = [
            column for column in texts if _has_split_names(table, column, all) and len(set(table.read(column))) > 1
        ]

    splits_of = {column: _read_splits(table, column) for column in chosen}
    if len({tuple(splits) for splits in splits_of.values()}) > 1:
        first, second = chosen[:2]
        raise InputError(
            f"{table.name} has several columns for the split, which differ: {', '.join(chosen)}. split_column="
            f"{first!r} or {second!r} (--split-column) names the right one"
        )
    if chosen:
        return chosen[0], splits_of[chosen[0]], ""
    notes = [_describe_values(table, column) for column in (*probable, *flags)]
    return "", [""] * len(table.rows), "".join(notes)


def _has_split_names(table: Table, column: str, quantity: Callable[[Iterable[bool]], bool]) -> bool:
    """Return whether all or any values of a column name a split."""
    if not _can_be(table.type_of(column), "split"):
        return False
    return quantity(isinstance(v, str | bytes) and bool(_guess_split(_split_name(v))) for v in table.read(column))


def _is_split_flag(table: Table, column: str) -> bool:
    """Return whether a column of yes and no leaves most rows for training; `is_valid` may also be about the data."""
    texts = [str(value).strip().casefold() for value in table.read(column)]
    if not all(text in YES_AND_NO for text in texts):
        return False
    splits = [SPLIT_FLAGS[_normalize(column)][YES_AND_NO[text]] for text in texts]
    return len(splits) // 2 <= splits.count("train") < len(splits)


def _describe_values(table: Table, column: str) -> str:
    values = join_names(sorted({str(value) for value in table.read(column)}), 4)
    return f"; {column} ({values}) does not name train, validation and test"


def _split_name(value: Any) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip().casefold()


def _guess_split(text: str) -> str | None:
    """Return the split that a value names, as "Val", "training_set" or "eval" do; "evaluation" is one of two."""
    guess = guess_split(text.strip())
    return guess.split if guess.is_certain and guess.split in (*SPLIT_NAMES.values(), "evaluation") else None


def _read_splits(table: Table, column: str) -> list[str]:
    """Return train, validation or test for each row."""
    texts = read_texts(table, column, "splits must be names")
    flags: Mapping[str, str] = {}
    if _normalize(column) in SPLIT_FLAGS:
        flags = {text: SPLIT_FLAGS[_normalize(column)][answer] for text, answer in YES_AND_NO.items()}
    split_of = {text: flags.get(text.strip().casefold()) or _guess_split(text) or "" for text in set(texts)}
    split_of = resolve_evaluation(split_of)
    splits = list[str]()
    for row, text in zip(table.rows, texts, strict=True):
        split = split_of[text]
        if not text.strip():
            raise InputError(f"{table.name}, {row} has no {column}; either all lines have one or none")
        if not split:
            raise InputError(
                f"{table.name}, {row}: the split must be one of {', '.join(SPLIT_NAMES)}. Received: {text!r} in "
                f"{column!r}; split_column='' (--split-column '') reads no splits"
            )
        splits.append(split)
    return splits


# Text and notes


def read_texts(table: Table, column: str, rule: str) -> list[str]:
    """Return the values of a column as text; raise InputError that names the type of a value that is none."""
    texts = list[str]()
    for row, value in zip(table.rows, table.read(column), strict=True):
        try:
            texts.append(cell_to_text(value))
        except UnusableCellError as error:
            raise InputError(
                f"{table.name}, {row}: the column {column!r} ({table.type_of(column)}) cannot be used: {rule}. "
                f"Received: {error}"
            ) from None
    return texts


def describe_columns(
    table: Table, path: str, labels: Sequence[str], split: str, group: str | None, split_note: str
) -> str:
    """Return a note that says which columns are used, and which are not."""
    one_hot = f"one-hot columns {join_names(labels)}"
    parts = [f"paths from {path!r}", f"labels from {one_hot if len(labels) > 1 else repr(labels[0])}"]
    parts += [f"splits from {split!r}"] if split else []
    parts += [f"groups from {group!r}"] if group is not None else []
    text = f"{table.name}: {', '.join(parts)}"
    if split_note.startswith("all"):
        text += f"; {split_note}"
    elif not split:
        text += f"; no split column{split_note}"
    unused = [column for column in table.columns if column not in {path, *labels, split, group}]
    if unused:
        text += f". Not used: {join_names([_name_column(column) for column in unused], 10)}"
    kinds = [column for column in unused if _normalize(column) in GROUP_COLUMNS]
    hint = f". group_column={kinds[0]!r} keeps the images of one {kinds[0]} in one split" if kinds and not group else ""
    return f"{text}{hint}."


def describe_merged_splits(values: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Return a note on each split that several values of a table's column name, such as test and holdout."""
    values_of = dict[str, set[str]]()
    for value, split in zip(values, splits, strict=True):
        values_of.setdefault(split, set()).add(_split_name(value))
    return [
        f"The {split} part is of the values {join_names(sorted(names))}."
        for split, names in values_of.items()
        if len(names) > 1
    ]


def join_names(names: Sequence[str], count: int = MAX_LISTED) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - count:,} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def _name_column(column: str) -> str:
    nameless = not column or re.fullmatch("Unnamed: [0-9]+|__index_level_[0-9]+__", column)
    return "an index without a name" if nameless else escape_controls(column)
