"""Files that match a pattern, such as photos/**/*.jpg, in natural order and without following links in circles."""

import contextlib
import fnmatch
import glob
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnnzoo.core.paths import path_exists
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.listing import iter_files, natural_sort_key
from cnnzoo.data.sorted_entries import sort_entries

PATIENCE = 10.0  # seconds of a search after which it is told


def is_pattern(path: str) -> bool:
    """Return whether `path` is a pattern rather than a name; names that exist may hold the same characters."""
    return glob.has_magic(path) and not path_exists(path)


def iter_matches(pattern: str) -> Iterator[Path]:
    """Yield the files that match a pattern.

    `*`, `?` and `[...]` match within a name, `**` matches folders to any depth. Hidden files only match if the pattern
    writes their dot. A folder in the pattern that exists is meant by its name, even if that holds brackets.
    """
    parts = _escape_existing_folders(pattern)
    if "**" not in parts and glob.has_magic(parts[-1]):
        yield from _iter_matches_in_folders(parts[:-1], parts[-1])
        return
    if "**" not in parts or any(part.startswith(".") for part in parts[parts.index("**") :]):
        matches = itertools.filterfalse(os.path.isdir, glob.iglob("/".join(parts), recursive=True))  # noqa: PTH207
        names = sorted(matches, key=natural_sort_key)
        if "**" in parts:  # follows links in circles, so that it finds a file under many names
            names = list({os.path.realpath(name): name for name in reversed(names)}.values())[::-1]
        yield from map(Path, names)
        return

    # Walk below each folder before the first `**`: one folder at a time, and each folder once.
    start = parts.index("**")
    roots = sorted(glob.iglob("/".join([*parts[:start], ""])), key=natural_sort_key) if start else ["."]  # noqa: PTH207
    begun_at, is_told = time.monotonic(), False
    files = ((root, file) for root in roots for file in iter_files(Path(root)))
    for count, (root, file) in enumerate(files, 1):
        if not is_told and time.monotonic() - begun_at > PATIENCE:
            is_told = True
            warn_caller(
                f"The pattern {pattern!r} takes long: {count:,} files were looked at, and the search is in "
                f"{str(file.parent)!r} now. A pattern that begins with a folder looks at less",
            )
        if _matches(file.relative_to(root).parts, parts[start:]):
            yield file


def _iter_matches_in_folders(folder_parts: Sequence[str], name_pattern: str) -> Iterator[Path]:
    """Yield the files whose names match, folder by folder, each in natural order and with few names in memory."""
    folders = sorted(glob.iglob("/".join([*folder_parts, ""])), key=natural_sort_key) if folder_parts else [""]  # noqa: PTH207
    takes_hidden = name_pattern.startswith(".")

    def is_match(name: str, is_folder: bool) -> bool:
        return not is_folder and (takes_hidden or not name.startswith(".")) and fnmatch.fnmatchcase(name, name_pattern)

    for folder in folders:
        with contextlib.suppress(OSError):  # a folder that may not be opened has no matches, as in a shell
            for name, _ in sort_entries(folder or ".", is_match):
                yield Path(folder + name)


def _escape_existing_folders(pattern: str) -> list[str]:
    """Return the parts of a pattern; those at its beginning that are names of existing folders are escaped."""
    parts, known = pattern.split("/"), 0
    while known < len(parts) - 1 and os.path.isdir("/".join(parts[: known + 1]) or "/"):  # noqa: PTH112
        known += 1
    return [*map(glob.escape, parts[:known]), *parts[known:]]


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern, as `glob` does."""
    if not parts:
        return not names
    if parts[0] == "**":
        if len(parts) == 1:
            return True
        return any(_matches(names[i:], parts[1:]) for i in range(len(names)))
    return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])
