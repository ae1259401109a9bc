"""Maps from gradients: class activation maps and integrated gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnzoo.core.lazy import Lazy
from cnnzoo.explain.gradients import make_differentiator
from cnnzoo.explain.targets import PREDICTED, Target
from cnnzoo.surgery.logit_graph import LogitGraph
from cnnzoo.surgery.maps import MapLayer

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

INTEGRATION_STEPS = 64


class RawMaps(NamedTuple):
    """What a method found for a batch of images.

    Attributes:
        maps: the maps (B, h, w), not cut at zero.
        logits: the logits (B, classes) of the images.
        errors: the completeness errors (B,), if the method has them.
    """

    maps: np.ndarray
    logits: np.ndarray
    errors: np.ndarray | None = None


class LayerGradients:
    """Computes the feature maps of a layer, and the derivatives of a target's logit by them."""

    def __init__(self, graph: LogitGraph, layer: MapLayer) -> None:
        """Prepare the program; JAX compiles it when it is first used."""
        self.shape = (*layer.size, layer.channels)

        def evaluate(change: Any, images: Any, targets: Any) -> tuple[Any, Any]:
            logits, maps = graph.run(images, layer.layer, change)
            maps = keras.ops.cast(maps, "float32")
            return keras.ops.sum(logits * _select(logits, targets)), (logits, maps)

        self._differentiate = make_differentiator(evaluate, graph.model, compiled=not layer.is_last)

    def compute(self, pixels: np.ndarray, targets: list[Target]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return feature maps (B, h, w, C), their gradients, and the logits (B, classes)."""
        zeros = np.zeros((len(pixels), *self.shape), "float32")
        gradients, (logits, maps) = self._differentiate(zeros, pixels.astype("float32"), _to_array(targets))
        return maps, gradients, logits


class IntegratedGradients:
    """Integrates the gradients of the pixels from a baseline to the image (Sundararajan et al. 2017, arXiv:1703.01365).

    The integral is a Gauss-Legendre quadrature. A few steps at a time are computed, so the memory that it takes does
    not depend on their number.
    """

    def __init__(
        self, graph: LogitGraph, baseline: np.ndarray, batch_size: int, steps: int = INTEGRATION_STEPS
    ) -> None:
        """Prepare the program.

        Args:
            graph: the classifier.
            baseline: one pixel (C,), which fills the image without evidence.
            batch_size: the number of steps that are computed at a time.
            steps: the number of steps.
        """
        self.baseline, self.batch_size = baseline.astype("float32"), batch_size
        positions, weights = np.polynomial.legendre.leggauss(steps)
        self.positions, self.weights = (positions + 1) / 2, weights / 2

        def evaluate(images: Any, targets: Any) -> tuple[Any, Any]:
            logits, _ = graph.run(images)
            return keras.ops.sum(logits * _select(logits, targets)), (logits,)

        self._differentiate = make_differentiator(evaluate, graph.model)

    def compute(self, pixels: np.ndarray, target: Target) -> RawMaps:
        """Return the map (1, height, width) of one image (height, width, C)."""
        image = pixels.astype("float32")
        start = np.broadcast_to(self.baseline, image.shape)
        gradients, logits = self._run(np.stack([image, start]), target)
        target = target.resolve(logits[0])
        total = np.zeros(image.shape, "float64")
        for begin in range(0, len(self.positions), self.batch_size):
            chosen = slice(begin, begin + self.batch_size)
            path = start + self.positions[chosen, None, None, None].astype("float32") * (image - start)
            gradients, _ = self._run(path, target)
            total += np.tensordot(self.weights[chosen], gradients.astype("float64"), 1)
        attributions = total * (image - start)
        first, last = (_target_logit(logits[i], target) for i in (1, 0))
        error = abs(attributions.sum() - (last - first)) / max(abs(last - first), 1e-12)
        return RawMaps(attributions.sum(axis=2, keepdims=False)[None].astype("float32"), logits[:1], np.array([error]))

    def _run(self, images: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray]:
        """Return gradients and logits of up to `batch_size` images; on JAX, which compiles each size, of that many."""
        count = len(images)
        missing = self.batch_size - count if keras.backend.backend() == "jax" else 0
        images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing > 0 else images
        gradients, (logits,) = self._differentiate(images, _to_array([target] * len(images)))
        return gradients[:count], logits[:count]


def _target_logit(logits: np.ndarray, target: Target) -> float:
    """Return the logit of a class, or the difference of two."""
    value = float(logits[target.index])
    return value - float(logits[target.other]) if target.other >= 0 else value


def _to_array(targets: list[Target]) -> np.ndarray:
    return np.array([(target.index, target.other) for target in targets], "int32")


def _select(logits: Any, targets: Any) -> Any:
    """Return what the logits (B, classes) are multiplied by: 1 for the class, -1 for the one it is compared with.

    Args:
        logits: a tensor.
        targets: (B, 2), each row a `Target`.
    """
    ops = keras.ops
    likeliest = ops.cast(ops.argmax(logits, axis=1), "int32")
    first = ops.where(targets[:, 0] == PREDICTED, likeliest, targets[:, 0])
    numbers = ops.arange(logits.shape[1], dtype="int32")[None]
    chosen, other = (ops.cast(ops.equal(numbers, index[:, None]), "float32") for index in (first, targets[:, 1]))
    return ops.stop_gradient(chosen - other)
