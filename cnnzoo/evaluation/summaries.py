"""Sentences about the calibration of a model and about its answers, for the terminal and for pages."""

from collections.abc import Mapping
from typing import Any

from cnnzoo.core.numbers import format_share, format_share_interval
from cnnzoo.core.text import format_count


def summarize_calibration(metrics: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    """Return a sentence about the temperature: what it changes, or why there is none; "" if nothing is known about it.

    Args:
        metrics: the metrics of a report, see `compute_metrics`.
        choice: how the temperature was chosen, see `TemperatureChoice.to_dict`; empty if that is not known.
    """
    if choice.get("reason"):
        return f"The probabilities were not calibrated: {choice['reason']}."
    calibrated, is_applied = metrics.get("calibrated"), "uncalibrated" in metrics
    if calibrated is None or calibrated["temperature"] == 1:
        return ""
    before = format_share(metrics.get("uncalibrated", metrics)["calibration_error"], metrics["images"])
    after = format_share(calibrated["calibration_error"], metrics["images"])
    temperature = f"{calibrated['temperature']:.3g}"
    fitted_on = f", fitted on {format_count(choice['images'], 'validation image')}" if choice else ""
    if not is_applied:
        return (
            f"The model has no temperature. One of {temperature}{fitted_on}, would bring the calibration error from "
            f"{before} to {after}."
        )
    return (
        f"Calibrated with temperature {temperature}{fitted_on}: the calibration error is {before} without it, and "
        f"{after} with it."
    )


def summarize_answers(metrics: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    """Return sentences about the answers that reach the least probability; "" if it was not asked for.

    Args:
        metrics: the metrics of a report, see `compute_metrics`.
        choice: how the least probability was chosen, see `MinProbabilityChoice.to_dict`; empty if that is not known.
    """
    if choice.get("reason"):
        return f"No min_probability for an accuracy of {100 * choice['target_accuracy']:g} %: {choice['reason']}."
    answers, images = metrics.get("answers"), metrics["images"]
    if answers is None:
        return ""
    aim, accuracy, answered = "", "", answers["answered"]
    if choice:
        aim = (
            f" (chosen on {format_count(choice['images'], 'validation image')} for an accuracy of "
            f"{100 * choice['target_accuracy']:g} %)"
        )
    if answered:
        interval = format_share_interval(answers["intervals_95"]["accuracy"], answered)
        missed = ", less than was aimed for" if answers["accuracy"] < choice.get("target_accuracy", 0) else ""
        accuracy = f"; {format_share(answers['accuracy'], answered)} of these are right (95 %: {interval}){missed}"
    if answers["min_probability"] == 0:
        return f"Never unsure{aim}: every image gets an answer{accuracy}."
    return (
        f"Unsure below a probability of {answers['min_probability']:.4g}{aim}: {answered:,} of "
        f"{format_count(images, 'image')} ({format_share(answers['coverage'], images)}) get an answer{accuracy}."
    )
