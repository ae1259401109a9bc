"""The steps of `explain`: bring images to the network, compute maps, and place them in the photos."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo.core.compilation import use_compilation_cache
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.lazy import Lazy
from cnnzoo.explain.explanation import Explanation
from cnnzoo.explain.gradient_maps import IntegratedGradients, LayerGradients
from cnnzoo.explain.gradients import make_forward
from cnnzoo.explain.methods import GRADIENTS, MAPS, METHODS, PIXELS, SCORES
from cnnzoo.explain.photos import Photo
from cnnzoo.explain.placement import place_map
from cnnzoo.explain.score_maps import occlude, weigh_by_scores
from cnnzoo.explain.targets import Target
from cnnzoo.inference.classifier import Classifier
from cnnzoo.preprocessing import resolve_statistics
from cnnzoo.surgery.logit_graph import LogitGraph
from cnnzoo.surgery.maps import choose_map_layer
from cnnzoo.surgery.outputs import without_aux_heads

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

MAX_BATCH_VALUES = 16 * 224 * 224 * 3  # pixel values of the images that are computed at a time
MAX_BATCH_SIZE = 64
CLASSES_KEPT = 5  # of an explanation


class Explainer:
    """Explains the predictions of one classifier with one method.

    Attributes:
        classifier: the classifier.
        method: name of the method.
        layer: the layer whose feature maps are used; None for methods without one.
        batch_size: images that are computed at a time.
        occlusion_cells: cells of a side of a map of occlusion; 0 for the default of `occlude`.
        before_batch: is called before each batch of covered images; what it raises ends the explanation.
    """

    occlusion_cells = 0

    def __init__(self, classifier: Classifier, method: str = "gradcam", layer: str | None = None) -> None:
        """Check method and layer; nothing is computed yet.

        Raises:
            InputError: for an unknown method, for one that needs the gradients that an export lacks, and for a layer
                that has no feature maps.
        """
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        self.classifier, self.method, self.needs = classifier, method, METHODS[method].needs
        has_layer = self.needs in (GRADIENTS, MAPS)
        if layer is not None and not has_layer:
            with_layers = [name for name, row in METHODS.items() if row.needs in (GRADIENTS, MAPS)]
            raise InputError(
                f"{method} uses no layer. Received: layer={layer!r}. Methods that do: {', '.join(with_layers)}"
            )
        self.before_batch: Callable[[], None] = lambda: None
        self.model = self._find_model()
        self.layer = choose_map_layer(self.model, layer) if has_layer else None
        self.batch_size = max(1, min(MAX_BATCH_SIZE, MAX_BATCH_VALUES // math.prod(classifier.shape)))
        if self.model is not None:
            use_compilation_cache()
            self.graph = LogitGraph(self.model)
            self._prepare()

    def _find_model(self) -> Any:
        """Return the Keras model that the method differentiates or reads; None if it needs none."""
        if self.needs == SCORES and (self.classifier.model is None or keras.backend.backend() != "torch"):
            return None  # a runtime computes the scores; there is none for Keras on torch
        if self.classifier.model is None:
            without_gradients = [name for name, row in METHODS.items() if row.needs == SCORES]
            raise InputError(
                f"{self.method} needs the layers of a Keras model, and {self.classifier.card.name} is an export "
                f"({self.classifier.format or self.classifier.runtime}). Use method={without_gradients[0]!r}, or "
                "explain the run or the .keras file that it was exported from"
            )
        return without_aux_heads(self.classifier.model)

    def _prepare(self) -> None:
        if self.needs == PIXELS:
            self._integrated: IntegratedGradients | None = None
        elif self.needs == GRADIENTS:
            assert self.layer is not None
            self._gradients = LayerGradients(self.graph, self.layer)
        else:
            self._forward = make_forward(self._run_graph, self.graph.model)

    def explain(self, photos: Iterator[Photo], targets: Iterator[Target]) -> Iterator[Explanation]:
        """Yield the explanation of each photo; those that cannot be read have an error."""
        size = self.batch_size if self.needs == GRADIENTS else 1
        pairs = zip(photos, targets, strict=False)
        while batch := list(itertools.islice(pairs, size)):
            readable = [(photo, target) for photo, target in batch if not photo.error]
            results = iter(self._explain_batch(readable) if readable else ())
            for photo, _ in batch:
                yield self._describe_error(photo) if photo.error else next(results)

    def _explain_batch(self, batch: Sequence[tuple[Photo, Target]]) -> Iterator[Explanation]:
        pixels = np.stack([photo.pixels for photo, _ in batch])
        targets = [target for _, target in batch]
        errors: list[float | None] = [None] * len(batch)
        with ExitStack() as stack:
            if self.model is not None:
                from cnnzoo.surgery.precision import float32_precision  # imports Keras

                stack.enter_context(float32_precision(self.model))
            if self.needs == GRADIENTS:
                raw, probabilities = self._map_gradients(pixels, targets)
            elif self.needs == PIXELS:
                raw, probabilities, errors = self._integrate(pixels, targets[0])
            elif self.needs == MAPS:
                raw, probabilities = self._weigh_maps(pixels, targets[0])
            else:
                raw, probabilities = self._occlude(pixels, targets[0])
        for i, (photo, target) in enumerate(batch):
            yield self._make_explanation(photo, target.resolve(probabilities[i]), raw[i], probabilities[i], errors[i])

    def _map_gradients(self, pixels: np.ndarray, targets: list[Target]) -> tuple[np.ndarray, np.ndarray]:
        combine = METHODS[self.method].combine
        assert combine is not None
        count = len(pixels)
        if keras.backend.backend() == "jax" and count < self.batch_size:  # which compiles each size of batches
            size = 1 if count == 1 else self.batch_size
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], size - count, axis=0)])
            targets = targets + targets[-1:] * (size - count)
        maps, gradients, logits = self._gradients.compute(pixels, targets)
        return combine(maps, gradients)[:count], self._to_probabilities(logits[:count])

    def _integrate(self, pixels: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray, list[float | None]]:
        if self._integrated is None or self.classifier.card.preprocessing is None:
            baseline = neutral_pixel(self.classifier, pixels[0])
            self._integrated = IntegratedGradients(self.graph, baseline, self.batch_size)
        found = self._integrated.compute(pixels[0], target)
        errors: list[float | None] = [] if found.errors is None else found.errors.tolist()
        return found.maps, self._to_probabilities(found.logits), errors

    def _weigh_maps(self, pixels: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray]:
        assert self.layer is not None
        logits, maps = self._run(pixels)
        probabilities = self._to_probabilities(logits)
        target = target.resolve(probabilities[0])
        height, width = pixels.shape[1:3]
        box = (0.0, 0.0, float(height), float(width))
        placement = place_map((height, width), box, (height, width), 0, self.layer.size, self.layer.strides)

        def score(images: np.ndarray) -> np.ndarray:
            logits, _ = self._run(images)
            other = logits[:, target.other] if target.other >= 0 else 0
            return np.asarray(logits[:, target.index] - other)

        fill = neutral_pixel(self.classifier, pixels[0])
        raw = weigh_by_scores(pixels[0], maps[0], fill, placement, score, self.batch_size)
        return raw[None], probabilities

    def _run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits and feature maps."""
        count = len(images)
        if keras.backend.backend() == "jax" and 1 < count < self.batch_size:  # which compiles each size of batches
            images = np.concatenate([images, np.repeat(images[-1:], self.batch_size - count, axis=0)])
        logits, maps = self._forward(images.astype("float32"))
        return logits[:count], maps[:count]

    def _run_graph(self, images: Any) -> tuple[Any, Any]:
        """Return logits and feature maps as tensors; the logits twice if the method reads no layer."""
        logits, maps = self.graph.run(images, self.layer.layer if self.layer else None)
        return logits, logits if maps is None else keras.ops.cast(maps, "float32")

    def _score(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (N, classes): of the runtime, or of Keras where there is none."""
        return self.classifier.scores(images) if self.model is None else self._to_probabilities(self._run(images)[0])

    def _occlude(self, pixels: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray]:
        probabilities = self._score(pixels)
        target = target.resolve(probabilities[0])
        fill = neutral_pixel(self.classifier, pixels[0])

        def score(images: np.ndarray) -> np.ndarray:
            self.before_batch()
            return target.log_odds(self._score(images))

        return occlude(pixels[0], fill, score, self.batch_size, self.occlusion_cells)[None], probabilities

    def _to_probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities that `predict` gives."""
        scaled = logits.astype("float64") / (self.classifier.card.temperature or 1.0)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def _make_explanation(
        self, photo: Photo, target: Target, raw: np.ndarray, probabilities: np.ndarray, error: float | None
    ) -> Explanation:
        classes, best = self.classifier.classes, np.argsort(-probabilities, kind="stable")[:CLASSES_KEPT]
        height, width, _ = self.classifier.shape
        strides = self.layer.strides if self.layer else None
        cells = (raw.shape[0], raw.shape[1])
        placement = place_map(photo.size, photo.box, (height, width), photo.transform.pad, cells, strides)
        if not np.isfinite(raw).all():
            raise InputError(f"The map of {self.classifier.card.name} for {photo.name} is not finite: {self.method}")
        return Explanation(
            source=photo.name,
            target=target.name(classes),
            score=target.score(probabilities),
            method=self.method,
            layer=self.layer.name if self.layer else "",
            raw=np.asarray(raw, "float32"),
            classes=tuple(classes[i] for i in best),
            probabilities=tuple(probabilities[best].tolist()),
            model=self.classifier.card.name,
            completeness_error=error,
            _photo=photo,
            _placement=placement,
            _target=target,
            _strides=strides,
        )

    def _describe_error(self, photo: Photo) -> Explanation:
        empty = np.zeros((0, 0), "float32")
        layer = self.layer.name if self.layer else ""
        return Explanation(
            photo.name,
            "",
            float("nan"),
            self.method,
            layer,
            empty,
            (),
            (),
            self.classifier.card.name,
            error=photo.error,
        )


def neutral_pixel(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Return the pixel (C,) that a network sees as zero; without a card, the mean of an image (H, W, C)."""
    channels, preprocessing = classifier.shape[2], classifier.card.preprocessing
    if preprocessing is None:
        return np.asarray(pixels.mean(axis=(0, 1)), "float32")
    means = list(resolve_statistics(preprocessing)[0])
    if preprocessing in ("caffe", "bvlc"):  # whose statistics are in the order BGR
        means.reverse()
    if len(means) != channels:
        means = [sum(means) / len(means)] * channels
    return np.asarray([255 * mean for mean in means], "float32")
