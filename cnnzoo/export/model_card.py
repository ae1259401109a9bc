"""Write the model card of an export: what the model is for, how accurate it is, its license, and how to call it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cnnzoo.cards import Card
from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import check_fields, read_json
from cnnzoo.core.numbers import format_share, format_share_interval
from cnnzoo.core.text import format_count
from cnnzoo.data.decode import FILE_CHANNELS
from cnnzoo.data.resize import inner_size
from cnnzoo.data.transform import Transform
from cnnzoo.evaluation.summary import CARD_KEY, EPOCHS_KEY, RECIPE_NAME_KEY, SETTINGS_KEY
from cnnzoo.export.check import Comparison
from cnnzoo.export.quoting import markdown_text, python_text, shell_word
from cnnzoo.export.snippets import write_reading_code
from cnnzoo.inference.exported import ExportInfo
from cnnzoo.runtimes.choose import FORMATS
from cnnzoo.training.recipe import Recipe

if TYPE_CHECKING:
    import keras

METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error",
}
FIGURE_FIELDS = {"data": str, "split": str, "images": int, "accuracy": float}
OPTIONAL_FIGURE_FIELDS = {
    "date": str,
    "balanced_accuracy": float,
    "macro_f1": float,
    "log_loss": float,
    "calibration_error": float,
    "intervals_95": dict[str, tuple[float, float]],
}
MAX_CLASSES = 20  # listed by name
SNIPPET_TOLERANCE = 1e-4  # of a probability, between the code in the card and `cnnzoo predict`
READS_FILES = (
    "The export does that itself, for the bytes of JPEG, PNG, GIF, BMP and WebP files and for pixels of any size."
)
RESIZES_INSIDE = (
    "The graph takes pixels of any size and does that itself, except for {size} pixels, which it takes as they are."
)
ROUNDS_ALONE = (
    " Its rounding differs from Pillow's and can change a probability by up to 0.01, so the code below uses Pillow."
)
TAKES_ONE_SIZE = "The graph takes {size} pixels; the code below {preparation}."
RECIPE_DEFAULTS = [(field.name, field.default) for field in fields(Recipe)]
RECIPE_NOTES = ("source", "cost", "result")  # fields about the recipe in general, on other data


def render_model_card(
    name: str, info: ExportInfo, comparison: Comparison, model: keras.Model | str | os.PathLike[str], usage: str
) -> str:
    """Return the model card as Markdown.

    Args:
        name: name of the export folder.
        info: the description of the export.
        comparison: the differences between the export and its model.
        model: the exported model; if it is the path of a run, the metrics of its report are shown.
        usage: instructions for using the export without cnnzoo, a `str.format` template.
    """
    from jinja2 import Environment, PackageLoader

    (height, width, channels), classes = info.shape, info.card.classes
    class_list = ", ".join(markdown_text(name) for name in classes[:MAX_CLASSES])
    if len(classes) > MAX_CLASSES:
        class_list += f" and {len(classes) - MAX_CLASSES} more"
    figures = _find_figures(model, info.card)
    templates = Environment(loader=PackageLoader("cnnzoo.export", "."), keep_trailing_newline=True)
    templates.filters["text"] = markdown_text
    transform = Transform((height, width), channels, **info.card.evaluation_transform, pad=info.card.pad)
    takes_files = channels in FILE_CHANNELS
    resizes_inside = FORMATS[info.format].resizes_inside and info.precision != "int8"
    resizes_inside |= info.format == "saved_model" and not takes_files
    inner_height, inner_width = inner_size((height, width), info.card.pad if resizes_inside else 0)
    size = f"{inner_height}x{inner_width}"
    if info.format == "saved_model" and takes_files:
        resizing = READS_FILES
    elif resizes_inside:
        resizing = RESIZES_INSIDE.format(size=size) + (ROUNDS_ALONE if takes_files else "")
    else:
        preparation = "resizes an image as `cnnzoo predict` does" if takes_files else "loads an array of that size"
        resizing = TAKES_ONE_SIZE.format(size=size, preparation=preparation)
    return templates.get_template("model_card.md").render(
        card=info.card,
        info=info,
        comparison=comparison,
        version=version("cnnzoo"),
        size=f"{height}x{width}",
        name=python_text(name),
        shell_name=shell_word(name),
        transform=transform.describe(),
        resizing=resizing,
        takes_files=takes_files,
        loses_levels=channels == 3 and transform.levels is not None and info.format != "saved_model",
        classes=class_list,
        figures=figures,
        metrics=_metric_rows(figures),
        agreement=comparison.describe_agreement(),
        accuracies=comparison.describe_accuracy(),
        packages=FORMATS[info.format].packages,
        snippet_tolerance=f"{SNIPPET_TOLERANCE:g}",
        training=_training_rows(info.card.training),
        usage=usage.format(
            name=python_text(name),
            shell_name=shell_word(name),
            url_name=quote(name, safe="", errors="surrogateescape"),
            read_pixels=write_reading_code(transform, pad=not resizes_inside),
        ),
    )


def _find_figures(model: keras.Model | str | os.PathLike[str], card: Card) -> dict[str, Any]:
    """Return the figures of the model on its test split: those of its card, or of its run; empty if there are none."""
    figures = card.training.get(CARD_KEY)
    if isinstance(figures, dict):
        try:
            return check_fields(figures, "The figures in the card", FIGURE_FIELDS, OPTIONAL_FIGURE_FIELDS)
        except InputError as error:
            warnings.warn(f"{error}; the model card does not show them", stacklevel=4)
    return _read_report(model)  # runs of versions before 0.9


def _read_report(model: keras.Model | str | os.PathLike[str]) -> dict[str, Any]:
    """Return the figures in the report of a run, given by its folder or its model.keras; empty for other paths."""
    if hasattr(model, "layers"):
        return {}
    path = Path(model)
    file = (path if path.is_dir() else path.parent) / "report.json"
    # Another .keras file in the folder of a run is another model.
    if not file.is_file() or (path.is_file() and path.name != "model.keras"):
        return {}
    report = read_json(file, {"metrics": dict[str, Any], "split": str, "data": str})
    return {**report["metrics"], "split": report["split"], "data": report["data"]}


def _metric_rows(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, value and 95 % interval of each metric."""
    rows, images = [], figures.get("images")
    for key, name in METRIC_NAMES.items():
        bounds = figures.get("intervals_95", {}).get(key)
        interval = format_share_interval(bounds, images) if bounds else ""
        if key in figures:
            rows.append((name, format_share(figures[key], images), interval))
    return rows


def _training_rows(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return data, epochs, recipe and seed as name and value, leaving out whatever is empty or at its default."""
    rows = []
    data = training.get("data") or {}
    if data.get("source"):
        counts = ", ".join(f"{count:,} {split}" for split, count in (data.get("images") or {}).items())
        rows.append(("data", f"{data['source']}: {counts} images" if counts else data["source"]))
    if isinstance(fixes := data.get("fix_list"), dict):
        excluded, relabeled = (fixes.get(key, 0) for key in ("excluded", "relabeled"))
        rows.append(("fix list", f"{format_count(excluded, 'image')} excluded, {relabeled:,} relabeled"))
    if fingerprints := data.get("fingerprints"):
        rows.append(("fingerprints", ", ".join(f"{split} {digest[:12]}" for split, digest in fingerprints.items())))
    recipe = training.get("recipe") or {}
    settings = training.get(SETTINGS_KEY)
    if not isinstance(settings, dict):  # versions before 0.9 recorded the whole recipe alone
        settings = {key: value for key, value in recipe.items() if (key, value) not in RECIPE_DEFAULTS}
    shown = {
        key: value
        for key, value in settings.items()
        if value not in (None, "", False, [], ()) and key not in (*RECIPE_NOTES, "epochs")
    }
    if "epochs" in recipe:
        rows.append(("epochs", _describe_epochs(recipe["epochs"], training.get(EPOCHS_KEY))))
    if shown:
        named = training.get(RECIPE_NAME_KEY)
        fields = ", ".join(f"{key} {value}" for key, value in shown.items())
        rows.append(("recipe", f"{named}: {fields}" if named else fields))
    if training.get("seed") is not None:
        rows.append(("seed", str(training["seed"])))
    return rows


def _describe_epochs(planned: Any, trained: Any) -> str:
    """Return how many epochs were trained, of those planned, and whose weights were kept."""
    kept = trained.get("kept") if isinstance(trained, dict) else ""
    if not isinstance(kept, int | None):  # unknown, in models of versions before 0.9
        return f"at most {planned}"
    epochs = f"{trained.get('trained')} of {planned}"
    if not kept:
        unused = ", none of which was kept" if trained.get("trained") else ""
        return f"{epochs}{unused}; the weights are those of {'the start' if kept == 0 else 'the linear probe'}"
    return f"{epochs}; the weights are those of epoch {kept}"
