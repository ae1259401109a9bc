"""Export folders: write and read their `cnnzoo.json`, recognize them, and open them for inference."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.cards import Card
from cnnzoo.core.digests import check_digests, digest_folder
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.json_files import SUM_FIELD, check_fields, check_sum, dump_json, read_json_value
from cnnzoo.data.training_images import TRAINING_IMAGES_FILE
from cnnzoo.runtimes.choose import FORMATS, PRECISIONS, OpenRuntime, RuntimeChoice, prefer_own_runtime

if TYPE_CHECKING:
    import numpy as np

EXPORT_FILE, MODEL_CARD_FILE = "cnnzoo.json", "model_card.md"
OWN_FILES = (EXPORT_FILE, MODEL_CARD_FILE, TRAINING_IMAGES_FILE)  # of an export folder, beside those of the network
EXPORT_FIELDS = {"format": str, "precision": str, "shape": tuple[int, int, int], "card": dict[str, Any]}
MAX_IMAGE_VALUES = 2**26  # more in an image is a mistake or an attack


@dataclass(frozen=True)
class ExportInfo:
    """The content of the `cnnzoo.json` of an export.

    Attributes:
        card: the card of the exported model.
        format: name of the export format, a key of `FORMATS`.
        precision: precision of the export, one of `PRECISIONS`.
        shape: height, width and channels of the images that the network takes.
        files: size and SHA-256 of each file of the network, by its relative path; empty before it is written.
        run: path of the run that the model comes from, relative to the export; "" if it is not known.
    """

    card: Card
    format: str
    precision: str
    shape: tuple[int, int, int]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    run: str = ""


def write_export_info(folder: Path, info: ExportInfo) -> None:
    """Write `cnnzoo.json` into an export folder, with the digests of the files that are there already."""
    files = {name: digest for name, digest in digest_folder(folder).items() if name not in OWN_FILES}
    values = {
        "format": info.format,
        "precision": info.precision,
        "shape": info.shape,
        "card": json.loads(info.card.to_json()),
        "files": files,
    }
    if info.run:
        values["run"] = info.run
    (folder / EXPORT_FILE).write_text(dump_json(values, indent=1, add_sum=True), encoding="utf-8")


def runtime_to_measure(path: str | os.PathLike[str]) -> str:
    """Return the runtime to measure what is at `path` on: that of an export's format if it is installed, or "auto"."""
    info = read_export(Path(path))
    return prefer_own_runtime(info.format) if info else "auto"


def read_export(path: Path) -> ExportInfo | None:
    """Return what `cnnzoo.json` says about the export at `path`, or None if there is no export.

    Raises:
        InputError: if the file is broken or names an unknown format.
    """
    file = path / EXPORT_FILE
    if not file.is_file():
        return None
    try:
        content = read_json_value(file)
        values = check_fields(content, file, EXPORT_FIELDS, {"files": dict[str, dict[str, Any]], "run": str})
        card, shape, precision = Card.from_json(json.dumps(values["card"])), values["shape"], values["precision"]
        if min(shape) < 1 or math.prod(shape) > MAX_IMAGE_VALUES:
            raise InputError(f"invalid shape {shape}")
        if precision not in PRECISIONS:
            raise InputError(f"invalid precision {precision!r:.200}")
        if values["format"] not in FORMATS:
            raise unknown_name("format of an export", values["format"], FORMATS)
        check_sum(content, file, remedy=f"if you changed it on purpose, remove the line {SUM_FIELD}")
    except InputError as error:
        raise InputError(f"Cannot read the export {str(path)!r}: {error}") from None
    return ExportInfo(card, values["format"], precision, shape, values.get("files", {}), values.get("run", ""))


def check_export_files(path: Path, info: ExportInfo) -> None:
    """Check that the files of an export are those that were written; raise InputError if one was damaged or replaced.

    Exports of versions before 0.8 have no digests, and are not checked.
    """
    check_digests(path, info.files, "export the model again, or copy the whole folder again")


def is_export(path: Path) -> bool:
    """Return whether `path` is an export folder that holds nothing but the export."""
    info = read_export(path) if path.is_dir() else None
    if info is None:
        return False
    export_files = {*OWN_FILES, *FORMATS[info.format].files}
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
    except (ImportError, InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"Cannot run the export {str(path)!r}: {error}") from None
