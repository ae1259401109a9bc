"""The entries of a folder in natural order, with few of their names in memory: a folder may hold millions of files."""

import heapq
import marshal
import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import cache_dir

Entry = tuple[str, bool]  # the name, and whether it is a folder or a link to one

RUN_LENGTH = 32_768  # names that are sorted in memory; more go to a temporary file
BLOCK_LENGTH = 512  # names that are read from it at a time


def natural_sort_key(name: str) -> list[Any]:
    """Return a key that sorts class_2 before class_10."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [(part.lstrip("0"), part) for part in parts]  # compared by length first, so any length works
    key = [(1, len(n), n) if part.isdecimal() else (0, 0, part.casefold()) for n, part in numbers]
    return [*key, (-1, 0, name)]  # so that the order of Cat and cat, or of 1 and 01, is always the same


def sort_entries(folder: str | Path, is_wanted: Callable[[str, bool], bool]) -> Iterator[Entry]:
    """Return an iterator over the entries of a folder in the natural order of their names.

    The folder is read at once, so that it may change afterwards. Sorted runs of a large one are kept in a temporary
    file and merged (Knuth, The Art of Computer Programming, volume 3, section 5.4.1).

    Args:
        folder: the folder.
        is_wanted: whether an entry is taken, given its name and whether it is a folder.

    Raises:
        OSError: if the folder cannot be opened.
        InputError: if the folder is large, and the cache cannot be written to.
    """
    names, runs = list[Entry](), _SortedRuns()
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = is_dir(entry)
            if not is_wanted(entry.name, is_folder):
                continue
            names.append((entry.name, is_folder))
            if len(names) >= RUN_LENGTH:
                runs.add(sorted(names, key=_sort_key))
                names = []
    names.sort(key=_sort_key)
    return heapq.merge(*runs.read(), names, key=_sort_key) if runs.blocks else iter(names)


def is_dir(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _sort_key(entry: Entry) -> list[Any]:
    return natural_sort_key(entry[0])


class _SortedRuns:
    """Sorted lists of entries in one temporary file without a name.

    Attributes:
        blocks: where the blocks of each run begin in the file.
    """

    def __init__(self) -> None:
        self.blocks = list[list[int]]()
        self._file: IO[bytes] | None = None

    def add(self, entries: list[Entry]) -> None:
        """Store a sorted list of entries."""
        try:
            if self._file is None:
                cache_dir().mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=cache_dir())  # noqa: SIM115  # closed by the finalizer
                weakref.finalize(self, self._file.close)
            starts = []
            for i in range(0, len(entries), BLOCK_LENGTH):
                starts.append(self._file.tell())
                marshal.dump(entries[i : i + BLOCK_LENGTH], self._file)
        except OSError as error:
            raise InputError(
                f"Cannot store the names of a large folder in the cache {str(cache_dir())!r}: {error.strerror}; set "
                "CNNZOO_HOME to another folder"
            ) from None
        self.blocks.append(starts)

    def read(self) -> list[Iterator[Entry]]:
        """Return an iterator over each of the lists."""
        return [self._read_run(starts) for starts in self.blocks]

    def _read_run(self, starts: list[int]) -> Iterator[Entry]:
        assert self._file
        for start in starts:
            self._file.seek(start)
            yield from marshal.load(self._file)
