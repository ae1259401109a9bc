"""The card that goes with an export: what the model is, what it is worth, whose it is, and how to call it."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError

METRIC_NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}


def render_model_card(classifier: Any, done: Any, facts: dict[str, Any], model: Any, usage: str) -> str:
    """The card in Markdown; figures are those of the run's report, where `model` is a run's folder."""
    from jinja2 import Environment, PackageLoader

    card, (height, width, channels) = classifier.card, classifier.shape
    report, classes = _read_report(model), card.classes
    page = Environment(loader=PackageLoader("cnnzoo.export", "."), keep_trailing_newline=True).get_template(
        "model_card.md"
    )
    mode = "L" if channels == 1 else "RGB"
    return page.render(
        card=card,
        done=done,
        facts=facts,
        version=version("cnnzoo"),
        size=f"{height}x{width}",
        name=done.path.name,
        classes=", ".join(classes[:20]) + (f" and {len(classes) - 20} more" if len(classes) > 20 else ""),
        report=report,
        metrics=_metric_rows(report) if report else (),
        made=_training_rows(card.training),
        usage=usage.format(name=done.path.name, mode=mode, height=height, width=width, channels=channels),
    )


def _read_report(model: Any) -> dict[str, Any] | None:
    """The report of a run's folder, or of the run that a .keras file lies in; None elsewhere."""
    if hasattr(model, "layers"):
        return None
    path = Path(model)
    file = (path if path.is_dir() else path.parent) / "report.json"
    if not file.is_file() or (path.is_file() and path.name != "model.keras"):  # it tells of another model
        return None
    try:
        kept = json.loads(file.read_bytes())
        return kept["metrics"] | {"split": kept["split"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"Cannot read {str(file)!r}: {error}") from None


def _metric_rows(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    intervals = report.get("intervals_95", {})
    rows = []
    for key, name in METRIC_NAMES.items():
        low, high = intervals.get(key, (None, None))
        between = "" if low is None else f"{100 * low:.2f} to {100 * high:.2f} %"
        if key in report:
            rows.append((name, f"{100 * report[key]:.2f} %", between))
    return rows


def _training_rows(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Data, recipe and seed as rows; of the recipe what was set, and nothing that is empty."""
    data, rows = training.get("data") or {}, []
    if data.get("source"):
        counts = ", ".join(f"{count:,} {split}" for split, count in (data.get("images") or {}).items())
        rows.append(("data", f"{data['source']}: {counts} images" if counts else data["source"]))
    if prints := data.get("fingerprints"):
        rows.append(("fingerprints", ", ".join(f"{split} {digest[:12]}" for split, digest in prints.items())))
    told = ("source", "cost", "result")  # of the recipe by itself, on other data
    recipe = {
        k: v for k, v in (training.get("recipe") or {}).items() if v not in (None, "", False, [], ()) and k not in told
    }
    if recipe:
        rows.append(("recipe", ", ".join(f"{key} {value}" for key, value in recipe.items())))
    if training.get("seed") is not None:
        rows.append(("seed", str(training["seed"])))
    return rows
