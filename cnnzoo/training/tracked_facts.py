"""What an experiment tracker gets to know about a run: its settings and its figures, as flat values."""

from __future__ import annotations

from typing import Any

from cnnzoo.evaluation.report import Report
from cnnzoo.evaluation.summary import METRICS, summarize_report
from cnnzoo.training.run import Run, installed_versions

FINGERPRINT_DIGITS = 16


def describe_settings(run: Run, recipe_name: str) -> dict[str, Any]:
    """Return the settings of a run by name: recipe, model, weights, seed and data, without values that are None."""
    plan, record = run.plan, run.record
    data, weights = plan["data"], plan["weights"] or {}
    versions = {name: value for name, value in installed_versions().items() if name != "machine"}
    settings = {
        "model": plan["model"],
        "function": plan["how"],
        "weights": weights.get("tag") or weights.get("file"),
        "parameters": record.get("parameters"),
        "seed": plan["seed"],
        "data": data["source"],
        "classes": len(data["classes"]),
        **{f"images.{name}": count for name, count in data["images"].items()},
        **{f"fingerprint.{name}": text[:FINGERPRINT_DIGITS] for name, text in record.get("fingerprints", {}).items()},
        "recipe": recipe_name or "own",
        **{f"recipe.{name}": value for name, value in plan["recipe"].items()},
        **{f"version.{name}": value for name, value in versions.items()},
    }
    return {name: value for name, value in settings.items() if value is not None}


def describe_figures(report: Report, run: Run) -> dict[str, float]:
    """Return the figures of a finished run by name, such as "test_accuracy"; those of a trial are "validation_..."."""
    prints = run.plan["data"]["fingerprints"]
    split = "validation" if prints["test"] == prints["validation"] else report.split
    figures = summarize_report(report)
    values = {f"{split}_{name}": figures[name] for name in METRICS if name in figures}
    for name, (low, high) in figures["intervals_95"].items():
        values |= {f"{split}_{name}_low": low, f"{split}_{name}_high": high}
    if report.probe:
        values |= {f"{split}_probe_accuracy": report.probe["accuracy"]}
    if run.state.learning_rate:
        values |= {"learning_rate_found": run.state.learning_rate}
    facts = {"best_epoch": report.best_epoch, "seconds": run.record.get("seconds")}
    return values | {name: float(value) for name, value in facts.items() if value is not None}
