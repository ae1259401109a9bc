"""One pass of predictions over any Keras classifier."""

from typing import Any

import numpy as np
from scipy.special import softmax


def gives_probabilities(model: Any) -> bool:
    """Whether the last layer ends in a softmax; else the outputs are logits."""
    activation = getattr(model.layers[-1], "activation", None)
    return type(model.layers[-1]).__name__ == "Softmax" or getattr(activation, "__name__", "") == "softmax"


def probabilities(model: Any, images: Any, batch_size: int | None = None) -> np.ndarray:
    """Probabilities (N, classes) in float64 for arrays (N, H, W, C) or a keras.utils.PyDataset."""
    outputs = np.asarray(model.predict(images, batch_size=batch_size, verbose=0), "float64")
    if gives_probabilities(model):
        return outputs / outputs.sum(axis=1, keepdims=True)  # float32 rows add up to one within 1e-7 only
    return softmax(outputs, axis=1)
