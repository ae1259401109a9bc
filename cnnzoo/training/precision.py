"""Arithmetic in fewer bits while a model is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from cnnzoo.surgery import walk

BFLOAT16_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}  # what processors call their bfloat16 products


def resolve_precision(precision: str) -> str:
    """The precision that "auto" stands for on this machine: the one that is faster here."""
    if precision != "auto":
        return precision
    if has_accelerator():
        return "bfloat16" if keras.backend.backend() == "jax" else "float16"
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    return "bfloat16" if flags & BFLOAT16_CPU_FLAGS else "float32"


def has_accelerator() -> bool:
    """Whether the backend sees a GPU or TPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


@contextmanager
def mixed_precision(model: Any, precision: str) -> Iterator[None]:
    """Layers compute in `precision` within the block, but for the normalisation of pixels and the logits.

    Variables stay float32, and so does the model after the block.
    """
    if precision == "float32":
        yield
        return
    whole = {"normalise"}
    for layer in map(walk.producing_layer, keras.tree.flatten(model.output)):
        whole.add(layer.name)
        while not layer.weights:  # what activates the logits; they stay whole too
            layer = walk.producing_layer(layer.input)
            whole.add(layer.name)
    before = [(layer, layer.dtype_policy) for layer in walk.all_layers(model)]
    try:
        for layer, _ in before:
            if layer.name not in whole:
                layer.dtype_policy = f"mixed_{precision}"
        yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy
