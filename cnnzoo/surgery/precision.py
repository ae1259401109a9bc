"""Mixed precision: the layers of a model compute in 16 bits for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from cnnzoo.surgery.walk import all_layers, producing_layer

PIXEL_LAYER = "normalise"  # the layer that normalizes pixels; it computes in float32


@contextmanager
def mixed_precision(model: keras.Model, precision: str) -> Iterator[None]:
    """Make the layers of `model` compute in `precision` within the block.

    The normalization of pixels, the logits and their activation stay float32; so do all variables.
    """
    if precision == "float32":
        yield
        return
    float32_layers = {PIXEL_LAYER, *_output_layer_names(model)}
    policies = [(layer, layer.dtype_policy) for layer in all_layers(model)]
    try:
        for layer, _ in policies:
            if layer.name not in float32_layers:
                layer.dtype_policy = f"mixed_{precision}"
        yield
    finally:
        for layer, policy in policies:
            if layer.name not in float32_layers:
                _restore_policy(layer, policy)


@contextmanager
def float32_precision(model: keras.Model) -> Iterator[None]:
    """Make all layers of `model` compute in float32 within the block, also those of nested models."""
    policies = [(layer, layer.dtype_policy) for layer in all_layers(model) if layer.compute_dtype != "float32"]
    try:
        for layer, policy in policies:
            layer.dtype_policy = Float32Computation(policy.variable_dtype)
        yield
    finally:
        for layer, policy in policies:
            _restore_policy(layer, policy)


class Float32Computation(keras.DTypePolicy):
    """Computes in float32 with variables of another type, which Keras then casts."""

    def __init__(self, variable_dtype: str) -> None:
        """Keep variables in `variable_dtype`."""
        super().__init__("float32")
        self.kept_dtype = variable_dtype

    @property
    def variable_dtype(self) -> str:
        """The type of the variables."""
        return self.kept_dtype


def _restore_policy(layer: keras.Layer, policy: keras.DTypePolicy) -> None:
    """Give a layer its policy back; in a table of policies, as it holds the card, Keras has added the layer's own."""
    if layer.dtype_policy is policy:
        del policy[layer.path]
    else:
        layer.dtype_policy = policy


def _output_layer_names(model: keras.Model) -> set[str]:
    """Return the names of the layers that compute the logits of each head, and of those that activate them."""
    names = set()
    for output in keras.tree.flatten(model.output):
        layer = producing_layer(output)
        names.add(layer.name)
        while not layer.weights:
            layer = producing_layer(layer.input)
            names.add(layer.name)
    return names
