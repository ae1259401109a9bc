"""The figures of a report that go into the card of a model, so that its exports and copies state them too."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnzoo.evaluation.report import Report

# Keys of `Card.training`: the figures of a report, the fields of the recipe that are not at their defaults,
# {"trained": number of epochs, "kept": the epoch whose weights these are, 0 for the start, None for the linear probe},
# and the name of the recipe, "" for one of the user
CARD_KEY, SETTINGS_KEY, EPOCHS_KEY, RECIPE_NAME_KEY = "evaluation", "settings", "epochs", "recipe_name"
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error")


def summarize_report(report: Report) -> dict[str, Any]:
    """Return the figures of a report as JSON values: data, split, number of images, date, metrics and intervals.

    Log loss and calibration error are those of the probabilities that the model returns, after its temperature.

    Example:
        >>> from cnnzoo.evaluation.summary import summarize_report
        >>> data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
        >>> report = cnnzoo.evaluate(cnnzoo.get("lenet5", weights="digits"), data)
        >>> summary = summarize_report(report)
        >>> summary["split"], summary["images"], summary["accuracy"] == report.accuracy
        ('test', 360, True)
    """
    metrics, intervals = report.metrics, report.metrics["intervals_95"]
    return {
        "data": report.data,
        "split": report.split,
        "images": len(report.labels),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        **{name: metrics[name] for name in METRICS if name in metrics},
        "intervals_95": {name: intervals[name] for name in METRICS if name in intervals},
    }
