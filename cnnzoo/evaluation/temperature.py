"""Temperature scaling: Guo et al. 2017, "On calibration of modern neural networks", and when to leave it.

A temperature that few images determine may worsen the probabilities. So it is drawn towards 1 by a prior, and applied
only if it is well determined and the images that it was fitted without are better off with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from cnnzoo.core.numbers import format_score, format_share
from cnnzoo.evaluation.calibration import (
    apply_temperature,
    expected_calibration_error,
    log_probabilities,
    reliability_bins,
)

TEMPERATURE_RANGE = (0.05, 20.0)
# Standard deviation of the logarithm of the temperature before any image was seen: most lie between 1/3 and 3.
PRIOR_DEVIATION = 0.5
MIN_IMAGES = 20
# Largest standard error of the logarithm of a temperature that is applied: it is known within a quarter.
MAX_STANDARD_ERROR = 0.25


@dataclass(frozen=True)
class TemperatureChoice:
    """A temperature that was fitted on some images, and whether it is applied.

    Attributes:
        temperature: the temperature to apply; 1 if it is better to apply none.
        fitted: the temperature that was fitted.
        images: number of images.
        mistakes: how many of them are classified wrongly.
        standard_error: that of the logarithm of the fitted temperature.
        log_loss: the mean log loss without a temperature, and with one that was fitted without the image.
        gain: the difference of the two.
        gain_standard_error: the standard error of the gain.
        calibration_error: the calibration error without and with the fitted temperature.
        reason: why no temperature is applied; "" if one is.
    """

    temperature: float
    fitted: float
    images: int
    mistakes: int
    standard_error: float | None = None
    log_loss: tuple[float, float] | None = None
    gain: float | None = None
    gain_standard_error: float | None = None
    calibration_error: tuple[float, float] | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that have a value, ready for JSON; tuples become lists."""
        values = {key: value for key, value in asdict(self).items() if value not in (None, "")}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def __str__(self) -> str:
        if self.reason:
            return f"The probabilities were not calibrated: {self.reason}"
        return f"Temperature {self.temperature:.3g}, fitted on {self.images:,} validation images"


def choose_temperature(y_true: ArrayLike, probabilities: ArrayLike) -> TemperatureChoice:
    """Fit a temperature, and decide whether to apply it.

    It is applied if all of these hold:

    * There are at least 20 images and a mistake, and the standard error of its logarithm is at most 0.25.
    * The log loss gets better by more than one standard error. Each image is measured with a temperature that was
      fitted without it (leave-one-out, by one Newton step from the common fit).
    * The calibration error does not get worse. It may, although the log loss gets better: with wrong labels among
      the images, for example.

    `benchmarks/calibration.py` measures the rule against others, for models that are well calibrated, overconfident
    and underconfident.

    Args:
        y_true: class indices (N,) of images that neither training nor the final test uses.
        probabilities: predictions (N, classes).

    Example:
        >>> from cnnzoo.evaluation.temperature import choose_temperature
        >>> print(choose_temperature([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]).reason)
        3 validation images (1 mistake) are too few; at least 20 are needed
    """
    labels, logits = np.asarray(y_true), log_probabilities(probabilities)
    images, mistakes = len(labels), int((logits.argmax(axis=1) != labels).sum())
    if not mistakes:
        reason = (
            f"without a mistake among {images:,} validation images, nothing shows how confident the model should be"
        )
        return TemperatureChoice(1.0, 1.0, images, 0, reason=reason)
    fitted = fit_temperature(labels, probabilities)

    # What each image gains from a temperature that was fitted on the others
    left_out, standard_error = _leave_one_out_losses(labels, logits, fitted)
    before = _losses(labels, logits, 1.0)
    gains = before - left_out
    gain, gain_error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(images)) if images > 1 else np.inf
    errors = tuple(
        expected_calibration_error(reliability_bins(labels, values))
        for values in (np.asarray(probabilities), apply_temperature(probabilities, fitted))
    )

    reason = ""
    counts = f"{images:,} validation images ({mistakes:,} mistake{'s' * (mistakes > 1)})"
    if images < MIN_IMAGES:
        reason = f"{counts} are too few; at least {MIN_IMAGES} are needed"
    elif standard_error > MAX_STANDARD_ERROR:
        low, high = fitted * np.exp(np.array([-2, 2]) * standard_error)
        reason = f"{counts} are too few to choose a temperature; it may be anything from {low:.2g} to {high:.2g}"
    elif not gain > gain_error:
        reason = _explain_no_gain(float(before.mean()), float(left_out.mean()), images)
    elif errors[1] > errors[0]:
        change = f"from {format_share(errors[0], images)} to {format_share(errors[1], images)}"
        reason = f"on {counts}, a temperature of {fitted:.3g} would raise the calibration error {change}"
    return TemperatureChoice(
        1.0 if reason else fitted,
        fitted,
        images,
        mistakes,
        standard_error,
        (float(before.mean()), float(left_out.mean())),
        gain,
        gain_error if np.isfinite(gain_error) else None,
        (errors[0], errors[1]),
        reason,
    )


def _explain_no_gain(before: float, after: float, images: int) -> str:
    """Return why a temperature is not applied, whose leave-one-out log loss is not clearly lower than without it."""
    change = f"the log loss from {format_score(before, images)} to {format_score(after, images)}"
    tested = f"on {images:,} validation images, each left out of the fit in turn, a temperature would"
    if after > before:
        return f"{tested} raise {change}"
    return f"{tested} only lower {change}, which may be chance"


def fit_temperature(y_true: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the temperature that minimizes the log loss plus a prior; it is above 1 for an overconfident model.

    The prior is a normal distribution of the temperature's logarithm with mean 0 and standard deviation 0.5. It draws
    temperatures of few images towards 1, and does nothing to those of many. The temperature is 1 if every prediction is
    right, because correct predictions alone do not show how confident to be.

    Args:
        y_true: class indices (N,).
        probabilities: predictions (N, classes).
    """
    logits, labels = log_probabilities(probabilities), np.asarray(y_true)
    if (logits.argmax(axis=1) == labels).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        prior = (log_temperature / PRIOR_DEVIATION) ** 2 / 2
        return float(_losses(labels, logits, np.exp(log_temperature)).sum() + prior)

    bounds = tuple(np.log(TEMPERATURE_RANGE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _losses(labels: np.ndarray, logits: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Return the log loss (N,) of each image; the temperature may be one number, or one for each image (N, 1)."""
    return -np.asarray(log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels])


def _leave_one_out_losses(labels: np.ndarray, logits: np.ndarray, fitted: float) -> tuple[np.ndarray, float]:
    """Return the log loss (N,) of each image with a temperature fitted on the others, and a standard error.

    The temperature without an image is one Newton step from the common fit: in s = -log(temperature), the derivatives
    of an image's loss are g = b (E[z] - z_true) and h = b² Var[z] + g with b = 1 / temperature, and those of the prior
    are s / 0.5² and 1 / 0.5². The second is the standard error of the logarithm of `fitted`.
    """
    inverse, rows = 1 / fitted, np.arange(len(labels))
    p = softmax(logits * inverse, axis=1)
    mean = (p * logits).sum(axis=1)
    slopes = inverse * (mean - logits[rows, labels])
    curvatures = inverse**2 * ((p * logits**2).sum(axis=1) - mean**2) + slopes
    curvature = float(curvatures.sum()) + PRIOR_DEVIATION**-2
    steps = slopes / np.maximum(curvature - curvatures, 1e-9)
    low, high = np.log(TEMPERATURE_RANGE)
    temperatures = np.exp(np.clip(np.log(fitted) - steps, low, high))
    return _losses(labels, logits, temperatures[:, None]), float(max(curvature, 1e-9) ** -0.5)
