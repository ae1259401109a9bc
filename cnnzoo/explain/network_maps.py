"""Grad-CAM of images at the size of the network, for reports, where the model is in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnzoo.explain.gradient_maps import LayerGradients
from cnnzoo.explain.methods import METHODS
from cnnzoo.explain.placement import place_map
from cnnzoo.explain.targets import Target
from cnnzoo.surgery.accelerator import without_distribution
from cnnzoo.surgery.logit_graph import LogitGraph
from cnnzoo.surgery.maps import choose_map_layer
from cnnzoo.surgery.outputs import without_aux_heads

BATCH_SIZE = 8


def compute_network_maps(model: Any, images: Any, indices: Sequence[int], targets: Sequence[int]) -> np.ndarray:
    """Return the maps (N, height, width), from 0 to 1, of some images at the size of a Keras model.

    A map of zeros has no evidence for its class.

    Args:
        model: a functional Keras classifier.
        images: array-like (..., height, width, C).
        indices: those of the images to explain (N,).
        targets: the class to explain each for (N,).

    Raises:
        InputError: if the model has no layer with feature maps.
    """
    from cnnzoo.surgery.precision import float32_precision  # imports Keras

    model = without_aux_heads(model)
    layer = choose_map_layer(model)
    combine = METHODS["gradcam"].combine
    assert combine is not None
    maps: list[np.ndarray] = []
    with float32_precision(model), without_distribution():
        gradients = LayerGradients(LogitGraph(model), layer)
        for begin in range(0, len(indices), BATCH_SIZE):
            chosen = [int(i) for i in indices[begin : begin + BATCH_SIZE]]
            pixels = np.concatenate([np.asarray(images[i : i + 1]) for i in chosen])
            classes = [Target(int(target)) for target in targets[begin : begin + BATCH_SIZE]]
            maps.extend(combine(*gradients.compute(pixels, classes)[:2]))
    height, width = model.input_shape[1:3]
    box = (0.0, 0.0, float(height), float(width))
    placement = place_map((height, width), box, (height, width), 0, layer.size, layer.strides)
    values = np.stack([placement.resample(np.maximum(cells, 0)) for cells in maps])
    largest = values.max(axis=(1, 2), keepdims=True)
    return np.asarray(values / np.where(largest > 0, largest, 1), "float32").clip(0, 1)
