"""export: a trained model to a folder that runs elsewhere, compared with the model before it is called done."""

import importlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cnnzoo import cards
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.files import atomic_write
from cnnzoo.data.images import ImageData
from cnnzoo.export import check, model_card
from cnnzoo.inference.classifier import Classifier, load
from cnnzoo.runtimes import choose
from cnnzoo.surgery.fold import fold

EXPORT_FILE, MODEL_CARD_FILE = "cnnzoo.json", "model_card.md"
MAX_SIZE = 2**26  # bytes of a card, and numbers of an image


@dataclass(frozen=True)
class Format:
    """A format: its module here, which writes and reads it, and the precisions that it has."""

    name: str
    precisions: tuple[str, ...] = ("float32",)
    any_size: bool = False  # whether it pads, and resizes what is not of its size, unless it is int8

    @property
    def module(self) -> Any:
        return importlib.import_module(f"cnnzoo.runtimes.{self.name}")

    def classifier(self, path: Path, runtime: str, precision: str | None) -> Classifier:
        """The classifier of an export; raises InputError where it is broken."""
        card, facts = read_export_info(path)
        readers, own = self.module.READERS, facts["precision"]
        choice = choose.choose_runtime(runtime, precision, readers, own)
        height, width, channels = facts["shape"]
        border = card.pad if self.any_size and own != "int8" else 0

        def told(run: Callable[..., Any], *arguments: Any) -> Any:
            try:
                return run(*arguments)
            except (ImportError, InputError):
                raise
            except Exception as error:  # runtimes raise whatever a torn file makes them raise
                raise InputError(f"Cannot run the export {str(path)!r}: {error}") from None

        def make() -> choose.RunFunction:
            shape = (height - 2 * border, width - 2 * border, channels)
            run = told(choice.open, path, choice.precision, shape)
            return lambda images: told(run, images[:, border : height - border, border : width - border])

        written = (path / EXPORT_FILE).stat()
        origin = f"{path.resolve()}, {written.st_mtime_ns}, {written.st_size}"
        return Classifier(card, facts["shape"], make, choice.name, choice.precision, origin=origin)


FORMATS = {
    "saved_model": Format("saved_model"),
    "litert": Format("litert", ("float32", "float16", "int8")),
    "onnx": Format("onnx", ("float32", "int8"), any_size=True),
    "openvino": Format("openvino", ("float32", "float16", "int8"), any_size=True),
}


class Export(NamedTuple):
    """What was written, how far its probabilities are from the model's at most, and its accuracy, if it was asked."""

    path: Path
    format: str
    difference: float
    accuracy: float | None = None  # on the validation split
    before: float | None = None  # of the model


def export(
    model: Any,
    path: Any,
    format: str = "saved_model",
    *,
    precision: str = "float32",
    data: ImageData | None = None,
    max_drop: float = 0.01,
    overwrite: bool = False,
) -> Export:
    """Write `model` to the folder `path`, and compare the two, in the format's own runtime, before it is called done.

    Args:
        model: a Keras classifier, or the path of a run or of a .keras file.
        path: a folder that is not there yet, or an earlier export under `overwrite`.
        format: "saved_model" (files or pixels in), "onnx", "openvino" (pixels of any size), or "litert" (pixels of the
            model's size); class names and probabilities out.
        precision: "float32"; "float16" halves the file (LiteRT, OpenVINO); "int8" is for speed and needs `data`.
        data: images of training calibrate int8, and those of validation say what it costs.
        max_drop: how much accuracy int8 may cost.
        overwrite: replace an earlier export, at once when the new one is done.

    Raises:
        InputError: for an unknown format, a path that is taken, a model that is no classifier, or an export that
            does not give the model's probabilities or costs too much accuracy; nothing is written then.
    """
    if not isinstance(data, ImageData | None):
        raise InputError(f"data is what cnnzoo.load_data gives. Received: {data!r:.100}")
    if not 0 <= max_drop <= 1:
        raise InputError(f"max_drop is a share of accuracy from 0 to 1. Received: {max_drop}")
    path = Path(path)
    row = check_request(format, precision, path, overwrite, data is not None)
    original = Classifier.of(model, "keras") if hasattr(model, "layers") else load(model, "keras")
    if original.model is None:
        raise InputError(f"An export is not exported again. Received: {str(model)!r}")
    seen = check.sample_inputs(original, data)
    with atomic_write(path) as new:
        row.module.write(fold(original.model), new, precision, seen.calibration)
        facts = {"format": format, "precision": precision, "shape": original.shape}
        write_export_info(new, original.card, facts)
        done = Export(path, format, *check.compare_outputs(original, load(new), seen, precision, max_drop))
        (new / MODEL_CARD_FILE).write_text(
            model_card.render_model_card(original, done, facts, model, row.module.USAGE), encoding="utf-8"
        )
    return done


def check_request(format: str, precision: str, path: Path, overwrite: bool, data: bool) -> Format:
    """The format asked for; raises InputError where what is asked for cannot be, and nothing was tried yet."""
    if not isinstance(format, str) or format not in FORMATS:
        raise unknown_name("format", str(format), FORMATS)
    row = FORMATS[format]
    if precision not in row.precisions:
        raise unknown_name(f"precision of {format}", precision, row.precisions)
    if precision == "int8" and not data:
        raise InputError("int8 needs data (--data): images to calibrate with and to see what it costs")
    if (path.exists() or path.is_symlink()) and not (overwrite and is_export(path)):
        how = "choose another path" if overwrite else "overwrite=True (--overwrite) replaces an export and nothing else"
        raise InputError(f"{path} is there already; {how}")
    return row


def write_export_info(path: Path, card: cards.Card, facts: dict[str, Any]) -> None:
    """Write what the export is, its card included, into its `cnnzoo.json`."""
    (path / EXPORT_FILE).write_text(
        json.dumps(facts | {"card": json.loads(card.to_json())}, indent=1), encoding="utf-8"
    )


def read_export_info(path: Path) -> tuple[cards.Card, dict[str, Any]]:
    """The card of an export and what else is said of it; raises InputError where its file is broken."""
    file = path / EXPORT_FILE
    try:
        if file.stat().st_size > MAX_SIZE:
            raise ValueError(f"{file.stat().st_size:,} bytes are too many")
        facts = json.loads(file.read_bytes())
        card = cards.Card.from_json(json.dumps(facts["card"]))
        shape = tuple(int(side) for side in facts["shape"])
        if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > MAX_SIZE:
            raise TypeError(f"the shape {shape}")
        if facts["precision"] not in choose.PRECISIONS:
            raise ValueError(f"the precision {facts['precision']!r}")
        known = {"shape": shape, "precision": str(facts["precision"]), "format": str(facts["format"])}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InputError(f"Cannot read {str(file)!r}: {error}") from None
    if known["format"] not in FORMATS:
        raise unknown_name("format of an export", known["format"], FORMATS)
    return card, known


def read_export(path: Path) -> Format | None:
    """The format of the export at a path, or None where there is no export."""
    return FORMATS[read_export_info(path)[1]["format"]] if (path / EXPORT_FILE).is_file() else None


def is_export(path: Path) -> bool:
    """Whether `path` holds an export of ours and nothing else."""
    found = read_export(path) if path.is_dir() else None
    return found is not None and {entry.name for entry in path.iterdir()} <= {
        EXPORT_FILE,
        MODEL_CARD_FILE,
        *found.module.FILES,
    }
