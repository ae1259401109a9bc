"""The default accelerator of the backend: whether there is one, its memory, and the batches that suit it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnnzoo.core.lazy import Lazy
from cnnzoo.surgery.walk import all_layers

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

MEMORY_SHARE = 0.2  # of an accelerator, for the largest feature maps of a batch
ASSUMED_MEMORY = 8 * 2**30  # bytes of an accelerator that does not tell its memory
MAX_BATCH_SIZE = 256  # larger batches are not faster


def has_accelerator() -> bool:
    """Return whether the backend has a GPU or TPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return bool(jax.default_backend() != "cpu")
    if backend == "torch":
        import torch

        return bool(torch.cuda.is_available())
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@contextmanager
def without_distribution() -> Iterator[None]:
    """Let Keras compute on the default device within the block, also if its caller has set a distribution on JAX.

    Under a distribution, Keras' `predict` fails unless all devices can share every batch equally.
    """
    distribution = keras.distribution.distribution() if keras.backend.backend() == "jax" else None
    if distribution is None:
        yield
        return
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def compiles_every_shape() -> bool:
    """Return whether a new size of batches costs a compilation: on JAX, and on accelerators."""
    return keras.backend.backend() == "jax" or has_accelerator()


def device_batch_size(model: keras.Model, precision: str = "float32") -> int | None:
    """Return how many images the accelerator predicts at a time: a power of two that fits into its memory.

    The largest output of a layer decides, of which several are in memory at a time. Returns None if the model runs on a
    processor.
    """
    if not has_accelerator():
        return None
    outputs = [tensor for layer in all_layers(model) for tensor in _find_outputs(layer)]
    largest = max(math.prod(side or 1 for side in output.shape[1:]) for output in outputs)
    bytes_per_image = largest * (4 if precision == "float32" else 2)
    affordable = max(int(MEMORY_SHARE * device_memory() / bytes_per_image), 1)
    return min(1 << (affordable.bit_length() - 1), MAX_BATCH_SIZE)


def _find_outputs(layer: keras.Layer) -> list[keras.KerasTensor]:
    """Return the outputs of a layer; none of one that is called several times, which Keras cannot tell apart."""
    try:
        outputs: list[keras.KerasTensor] = keras.tree.flatten(layer.output)
    except (AttributeError, ValueError):
        return []
    return outputs


def device_memory() -> int:
    """Return the bytes of memory of the default accelerator, or 8 GiB if it does not tell."""
    if keras.backend.backend() != "jax":
        return ASSUMED_MEMORY
    import jax

    statistics = jax.devices()[0].memory_stats() or {}
    return int(statistics.get("bytes_limit", ASSUMED_MEMORY))
