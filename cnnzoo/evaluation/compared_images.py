"""The images of a comparison: their files or pixels, their labels, and the columns of a table that lists them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError, shorten_repr, unknown_name
from cnnzoo.core.paths import check_path, nearest_path, path_is_file
from cnnzoo.core.progress import show_progress
from cnnzoo.core.threads import thread_pool
from cnnzoo.data.checks import ARRAY_NAMES, holds_arrays
from cnnzoo.data.table_files import Table, has_table_suffix, read_table_file, table_of_frame

METADATA_FILES = ("metadata.csv", "metadata.jsonl")  # in a folder of images
BRIGHTNESS_SIDE = 64  # pixels, to which a photo is shrunk before its brightness is measured


class ComparedImages:
    """Finds facts about images by their names.

    Args:
        names: the names of the images.
        data: what `compare` received: `ImageData`, a folder, a table, a data frame, or another source of `load_data`.
            None looks for the images where the reports have them.
        pixels: the images (N, H, W, C) of a report, or its `Photos`, in the order of the names; or None.
        source: by what `load_data` finds the images of a run; "" if it is not known. The figures need no images, so
            that a source which was changed since then only leaves a note. Arrays are loaded when they are needed.
        digest: of the names and pixels of the images, by which arrays of `source` are known to be the same; "" if it is
            not known.

    Attributes:
        problem: why the images of `source` cannot be used; "" if they can.
    """

    def __init__(
        self, names: Sequence[str], data: Any = None, pixels: Any = None, source: str = "", digest: str = ""
    ) -> None:
        self.names, self.digest = names, digest
        self._own_arrays = ""  # their source, until they are loaded
        self.table: Table | None = None
        self.folder: Path | None = None
        self.labels: dict[str, str] = {}
        self.problem = ""
        self._sources: dict[str, Any] = {}  # paths, objects with read(), and arrays
        if data is not None:
            self._open(data)
        elif pixels is not None:
            self._add_pixels(names, pixels)
        elif source:
            self._open_own_source(source)

    def _open_own_source(self, source: str) -> None:
        """Open the images where the run has found them, if they are still there."""
        is_there = os.path.exists(source)  # noqa: PTH110  # False for what cannot be a path
        if source in ARRAY_NAMES or (is_there and holds_arrays(source)):
            self._own_arrays = source
        elif is_there:
            try:
                self._open_source(source)
            except (InputError, OSError, ImportError) as error:
                self.problem = str(error)
        elif source.startswith("tfds:"):
            self.problem = f"{source!r:.200} is read only if it is given"
        else:
            self.problem = f"there is nothing at {source!r:.200}"

    def load_own_arrays(self) -> None:
        """Load the arrays that a run was trained on, unless their source holds others by now."""
        source, self._own_arrays = self._own_arrays, ""
        if not source:
            return
        from cnnzoo.data.load import load_data
        from cnnzoo.evaluation.report_tables import digest_names_and_images

        try:
            data = load_data(source, doctor=False, split="all", verbose=False)
        except (InputError, OSError, ImportError) as error:
            self.problem = str(error)
            return
        place = {str(name): i for i, name in enumerate(data.test.names)}
        rows = [place[name] for name in self.names if name in place]
        is_same = len(rows) == len(self.names)
        if is_same and self.digest:
            digests = data.test.take(np.array(rows)).image_digests()
            is_same = digest_names_and_images(np.array(self.names), digests) == self.digest
        if is_same:
            self._add_image_data(data)
        else:
            self.problem = f"{source!r:.200} has other images by now"

    def _open(self, data: Any) -> None:
        from cnnzoo.data.images import ImageData

        frame = None if isinstance(data, str | os.PathLike | ImageData) else table_of_frame(data)
        if isinstance(data, ImageData):
            self._add_image_data(data)
        elif frame is not None:
            self._add_table(frame)
        elif isinstance(data, str | os.PathLike):
            self._open_source(data)
        else:
            raise InputError(
                "data must be what load_data returns, a folder of images, a table of them or a data frame. Received: "
                f"{type(data).__name__}"
            )

    def _open_source(self, data: str | os.PathLike[str]) -> None:
        """Open a folder, a table, or another source of `load_data`."""
        path = check_path(data, "data")
        is_named = not path.exists() and (str(data) == "digits" or ":" in str(data))
        if not path.exists() and not is_named:
            near = nearest_path(path)
            raise InputError(f"data: there is nothing at {str(data)!r}.{f' Did you mean {near}?' if near else ''}")
        if path.is_file() and has_table_suffix(path):
            self._add_table(read_table_file(path))
            return
        if path.is_dir() and any(path_is_file(path / name) for name in self.names[:100]):
            self.folder = path
            if metadata := next((path / name for name in METADATA_FILES if path_is_file(path / name)), None):
                self._add_table(read_table_file(metadata))
            return
        from cnnzoo.data.load import load_data

        self._add_image_data(load_data(data, doctor=False, split="all", verbose=False))

    def _add_image_data(self, data: Any) -> None:
        for split in data.splits.values():
            self._add_pixels(list(map(str, split.names)), split.images)
            labels = (data.classes[label] for label in split.labels)
            self.labels |= dict(zip(map(str, split.names), labels, strict=True))

    def _add_pixels(self, names: Sequence[str], pixels: Any) -> None:
        photos = getattr(pixels, "photos", None)
        values = (photo.source for photo in photos) if photos is not None else pixels
        self._sources |= dict(zip(names, values, strict=True))

    def _add_table(self, table: Table) -> None:
        """Add the columns of a table, with the labels if it has a usual column of them."""
        from cnnzoo.data.table_columns import LABEL_COLUMNS, PATH_COLUMNS, find_column

        self.table, self.folder = table, self.folder or table.folder
        self._rows: dict[str, list[int]] = {}
        for i, name in enumerate(table.read(find_column(table, None, PATH_COLUMNS, "path"))):
            self._rows.setdefault(str(name), []).append(i)
        try:
            self._table_labels = table.read(find_column(table, None, LABEL_COLUMNS, "label"))
        except InputError:
            self._table_labels = []

    # ---- Facts

    def describe_problem(self) -> list[str]:
        """Return a note if the images of the run cannot be used any more."""
        if not self.problem:
            return []
        remedy = "data (--data) names the folder or the table of the images, for pictures and slices."
        return [f"The images are not where the run has found them: {self.problem.rstrip('.')}. {remedy}"]

    @property
    def columns(self) -> list[str]:
        """The columns of the table."""
        return list(self.table.columns) if self.table else []

    def read_column(self, column: str) -> list[Any]:
        """Return the values (N,) of a column of the table; None for images that it does not list."""
        if self.table is None or column not in self.table.columns:
            raise unknown_name("column", column, self.columns)
        values = self.table.read(column)
        rows = [self._find_rows(name) for name in self.names]
        if not any(rows):
            first = next(iter(self._rows), "")
            raise InputError(
                f"{self.table.name} lists none of the compared images, such as {self.names[0]!r:.200}; its first is "
                f"{first!r:.200}"
            )
        return [self._find_value(values, name, f"the column {column!r}") for name in self.names]

    def _find_rows(self, name: str) -> Sequence[int]:
        """Return the rows of the table that list an image."""
        if name in self._rows or self.folder is None:
            return self._rows.get(name, ())
        # `cnnzoo predict` writes paths as they were typed; the table has them relative to its folder.
        try:
            return self._rows.get(Path(name).absolute().relative_to(self.folder.absolute()).as_posix(), ())
        except ValueError:
            return ()

    def _find_value(self, values: Sequence[Any], name: str, what: str) -> Any:
        """Return the value of an image in a column; None if the table does not list it.

        Raises:
            InputError: if the table lists the image several times, with different values.
        """
        rows = self._find_rows(name)
        if not rows:
            return None
        first = values[rows[0]]
        for row in rows[1:]:
            if repr(values[row]) != repr(first):
                assert self.table
                raise InputError(
                    f"{self.table.name} lists the image {name!r:.200} more than once, and {what} differs: "
                    f"{shorten_repr(first, 80)} in {self.table.rows[rows[0]]}, {shorten_repr(values[row], 80)} in "
                    f"{self.table.rows[row]}. Leave one row for each image"
                )
        return first

    def find_label(self, name: str, classes: Sequence[str]) -> str | None:
        """Return the true class of an image: of the data or the table, or the name of its folder if it is a class."""
        self.load_own_arrays()
        if name in self.labels:
            return self.labels[name]
        if self.table and self._table_labels and self._find_rows(name):
            return str(self._find_value(self._table_labels, name, "the label"))
        folder = Path(name).parent.name
        return folder if folder in classes else None

    def find_source(self, name: str) -> Any:
        """Return the path of an image, an object with its bytes, or its pixels; None if it is not there."""
        self.load_own_arrays()
        if name in self._sources:
            return self._sources[name]
        for path in ([self.folder / name] if self.folder else []) + [Path(name)]:
            if path_is_file(path):
                return path
        return None

    def measure(self, what: str, function: Callable[[Any], float]) -> np.ndarray:
        """Return a number (N,) for each image, NaN for one that is not there or cannot be read."""

        def measure_one(name: str) -> float:
            source = self.find_source(name)
            try:
                return np.nan if source is None else function(source)
            except (InputError, OSError):
                return np.nan

        self.load_own_arrays()  # before threads ask for images
        with show_progress(f"Measuring the {what} of the images", len(self.names), "images") as progress:
            return np.array(list(progress.track(thread_pool().map(measure_one, self.names))), "float64")


def measure_size(source: Any) -> float:
    """Return the shorter side of an image in pixels."""
    if isinstance(source, np.ndarray):
        return float(min(source.shape[:2]))
    from cnnzoo.data.decode import open_image, upright_size

    with open_image(source.read() if hasattr(source, "read") else source) as image:
        return float(min(upright_size(image)))


def measure_brightness(source: Any) -> float:
    """Return the mean of the gray levels of an image, from 0 to 255."""
    if isinstance(source, np.ndarray):
        return float(np.mean(source))
    from cnnzoo.data.decode import open_image, to_upright

    with open_image(source.read() if hasattr(source, "read") else source) as image:
        image.draft("RGB", (BRIGHTNESS_SIDE, BRIGHTNESS_SIDE))
        return float(np.asarray(to_upright(image, 1).resize((BRIGHTNESS_SIDE, BRIGHTNESS_SIDE))).mean())


def draw_picture(source: Any) -> tuple[str, bool, str]:
    """Return a small picture of an image as a data URI, whether its pixels should be seen, and why there is none."""
    from cnnzoo.core.pages import picture_uri
    from cnnzoo.data.thumbnails import SMALL_SIDE, make_thumbnail

    if source is None:
        return "", False, "there is no file to show"
    if isinstance(source, np.ndarray):
        return picture_uri(source), max(source.shape[:2]) <= SMALL_SIDE, ""
    try:
        thumbnail = make_thumbnail(source)
    except OSError as error:
        return "", False, str(error.strerror or error)
    return thumbnail.uri, thumbnail.pixelated, "" if thumbnail.uri else thumbnail.remark
