"""Export folders: write and read their `cnnzoo.json`, recognize them, and open them for inference."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnzoo.cards import Card
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.runtimes.choose import FORMATS, PRECISIONS, OpenRuntime, RuntimeChoice

if TYPE_CHECKING:
    import numpy as np

EXPORT_FILE, MODEL_CARD_FILE = "cnnzoo.json", "model_card.md"
MAX_FILE_BYTES = MAX_IMAGE_VALUES = 2**26  # more in an export file, or in an image, is a mistake or an attack


@dataclass(frozen=True)
class ExportInfo:
    """The content of the `cnnzoo.json` of an export.

    Attributes:
        card: the card of the exported model.
        format: name of the export format, a key of `FORMATS`.
        precision: precision of the export, one of `PRECISIONS`.
        shape: height, width and channels of the images that the network takes.
    """

    card: Card
    format: str
    precision: str
    shape: tuple[int, int, int]


def write_export_info(folder: Path, info: ExportInfo) -> None:
    """Write `cnnzoo.json` into an export folder."""
    values = {"format": info.format, "precision": info.precision, "shape": info.shape}
    text = json.dumps(values | {"card": json.loads(info.card.to_json())}, indent=1)
    (folder / EXPORT_FILE).write_text(text, encoding="utf-8")


def read_export(path: Path) -> ExportInfo | None:
    """Return what `cnnzoo.json` says about the export at `path`, or None if there is no export.

    Raises:
        InputError: if the file is broken or names an unknown format.
    """
    file = path / EXPORT_FILE
    if not file.is_file():
        return None
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file.stat().st_size:,} bytes are too many")
        values = json.loads(file.read_bytes())
        card = Card.from_json(json.dumps(values["card"]))
        height, width, channels = (int(side) for side in values["shape"])
        if min(height, width, channels) < 1 or math.prod((height, width, channels)) > MAX_IMAGE_VALUES:
            raise TypeError(f"invalid shape {(height, width, channels)}")
        if values["precision"] not in PRECISIONS:
            raise ValueError(f"invalid precision {values['precision']!r}")
        info = ExportInfo(card, str(values["format"]), str(values["precision"]), (height, width, channels))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"Cannot read {str(file)!r}: {error}") from None
    if info.format not in FORMATS:
        raise unknown_name("format of an export", info.format, FORMATS)
    return info


def is_export(path: Path) -> bool:
    """Return whether `path` is an export folder that holds nothing but the export."""
    info = read_export(path) if path.is_dir() else None
    if info is None:
        return False
    export_files = {EXPORT_FILE, MODEL_CARD_FILE, *FORMATS[info.format].files}
    return {entry.name for entry in path.iterdir()} <= export_files


def open_export(path: Path, info: ExportInfo, choice: RuntimeChoice) -> OpenRuntime:
    """Open an export for inference.

    Returns:
        A runtime that takes images (N, *info.shape), even if the exported graph pads its input itself.

    Raises:
        InputError: if the export is broken. Running it may raise this too.
    """
    export_format = FORMATS[info.format]
    height, width, channels = info.shape

    # A graph that resizes inside also adds the padding; cut it off the images before.
    border = info.card.pad if export_format.resizes_inside and info.precision != "int8" else 0
    rows, columns = slice(border, height - border), slice(border, width - border)
    with _broken_export_as_input_error(path):
        run_graph = choice.runtime.open(
            path / export_format.model_file, choice.precision, (height - 2 * border, width - 2 * border, channels)
        )

    def run(images: np.ndarray) -> np.ndarray:
        with _broken_export_as_input_error(path):
            return run_graph(images[:, rows, columns])

    return OpenRuntime(choice.runtime.name, choice.precision, run)


@contextlib.contextmanager
def _broken_export_as_input_error(path: Path) -> Iterator[None]:
    """Turn whatever a runtime raises on a broken file into an InputError."""
    try:
        yield
    except (ImportError, InputError):
        raise
    except Exception as error:
        raise InputError(f"Cannot run the export {str(path)!r}: {error}") from None
