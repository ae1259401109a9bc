"""The methods of `explain`, and how class activation maps weight feature maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# What a method needs
GRADIENTS = "gradients"  # of a layer's feature maps
MAPS = "maps"  # of a layer, without gradients
PIXELS = "pixels"  # gradients of the pixels
SCORES = "scores"  # nothing but probabilities, which exports give too

GRADCAM_PLUS_PLUS_EPSILON = 1e-6  # that of pytorch-grad-cam


def _gradcam(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weight each map by its mean gradient (Selvaraju et al. 2016, arXiv:1610.02391)."""
    return (maps * gradients.mean(axis=(1, 2), keepdims=True)).sum(axis=3)


def _hirescam(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weight each cell by its own gradient (Draelos, Carin 2020, arXiv:2011.08891)."""
    return (maps * gradients).sum(axis=3)


def _layercam(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weight each cell by its own gradient where that is positive (Jiang et al. 2021)."""
    return (maps * np.maximum(gradients, 0)).sum(axis=3)


def _gradcam_plus_plus(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Weight the positive gradients as equation 19 of Chattopadhay et al. 2017 (arXiv:1710.11063) does."""
    squares = gradients**2
    sums = maps.sum(axis=(1, 2), keepdims=True)
    shares = squares / (2 * squares + sums * squares * gradients + GRADCAM_PLUS_PLUS_EPSILON)
    shares = np.where(gradients != 0, shares, 0)
    weights = (np.maximum(gradients, 0) * shares).sum(axis=(1, 2), keepdims=True)
    return (maps * weights).sum(axis=3)


class Method(NamedTuple):
    """One way to explain.

    Attributes:
        title: its name as the literature writes it.
        needs: what it needs from the model.
        says: what its map shows, for a page.
        combine: makes maps (B, h, w) of feature maps and their gradients (B, h, w, C), if it needs those.
    """

    title: str
    needs: str
    says: str
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


METHODS = {
    "gradcam": Method("Grad-CAM", GRADIENTS, "feature maps, weighted by how much the class depends on each", _gradcam),
    "gradcam++": Method(
        "Grad-CAM++",
        GRADIENTS,
        "feature maps, weighted so that several objects of a class count alike",
        _gradcam_plus_plus,
    ),
    "hirescam": Method(
        "HiResCAM", GRADIENTS, "feature maps, weighted in each cell by how much the class depends on it", _hirescam
    ),
    "layercam": Method(
        "LayerCAM", GRADIENTS, "feature maps, weighted in each cell by the positive part of its gradient", _layercam
    ),
    "scorecam": Method("Score-CAM", MAPS, "feature maps, weighted by the score of the image that each of them masks"),
    "occlusion": Method("Occlusion", SCORES, "how much the class loses where a gray square covers the image"),
    "integrated_gradients": Method(
        "Integrated gradients", PIXELS, "how much each pixel adds to the class, on the way from a gray image"
    ),
}
