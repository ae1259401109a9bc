"""Maps for the pictures of a report: what speaks for the wrong class of a mistake, and for the class of a suspect."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.processes import count_processes
from cnnzoo.core.warn import warn_caller
from cnnzoo.evaluation.metrics import confident_classes
from cnnzoo.evaluation.page import MAX_PICTURES
from cnnzoo.evaluation.report import Report
from cnnzoo.explain.network_maps import compute_network_maps
from cnnzoo.inference.classifier import Classifier
from cnnzoo.surgery.multiply_adds import estimate_multiply_adds

keras = Lazy("keras")
log = logging.getLogger(__name__)

MAX_REASON = 300  # characters
# Multiply-adds of all maps together that "auto" affords: about three seconds on two cores
MAX_MULTIPLY_ADDS = 2.5e11


def check_maps(maps: Any) -> bool | str:
    """Return the switch of the maps; raise InputError unless it is True, False or "auto"."""
    if isinstance(maps, bool) or (isinstance(maps, str) and maps == "auto"):
        return maps
    raise InputError(f"maps must be True, False or 'auto'. Received: {maps!r:.100}")


def add_maps(report: Report, model: Any, maps: bool | str = "auto") -> Report:
    """Return a report with a map for each picture of its page.

    Args:
        report: the report.
        model: the model; one without layers, such as an export, gives no maps.
        maps: whether to make them; "auto" if that takes a few seconds at most. On JAX, which compiles a program for
            them, and in a training of several processes, "auto" makes none.

    A report is never lost because of its maps: whatever goes wrong leaves it without them, with a warning if they were
    asked for.
    """
    if isinstance(model, Classifier):
        model = model.model
    pairs = list_pictures(report)
    if not maps or not pairs or count_processes() > 1:
        return report
    if model is None:
        return _leave_out(report, maps, "an export has no layers")
    if maps == "auto" and not _is_cheap(model, len(pairs)):
        return report
    try:
        values = compute_network_maps(model, report.images, *zip(*pairs, strict=True))
    except Exception as error:  # no feature maps, a layer without gradient, too little memory, an image that is gone
        return _leave_out(report, maps, " ".join(str(error).split())[:MAX_REASON] or type(error).__name__)
    levels = np.rint(255 * values).astype("uint8")
    return replace(report, maps=dict(zip(pairs, levels, strict=True)))


def _leave_out(report: Report, maps: bool | str, reason: str) -> Report:
    """Return a report without maps, and say why if they were asked for."""
    if maps is True:
        warn_caller(f"The report has no maps: {reason}")
    else:
        log.info("The report has no maps: %s", reason)
    return report


def list_pictures(report: Report) -> list[tuple[int, int]]:
    """Return the images on the page, each with the class that it may have been taken for."""
    better_labels = confident_classes(report.labels, report.probabilities)
    mistakes = [(int(i), int(report.predicted[i])) for i in report.worst[:MAX_PICTURES]]
    suspects = [(int(i), int(better_labels[i])) for i in report.suspects[:MAX_PICTURES]]
    return list(dict.fromkeys(mistakes + suspects))


def _is_cheap(model: Any, count: int) -> bool:
    return keras.backend.backend() != "jax" and count * estimate_multiply_adds(model) <= MAX_MULTIPLY_ADDS
