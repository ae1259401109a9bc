"""Networks that are built fast: without values of their variables, or with fewer units."""

from unittest import mock

import keras

import cnnzoo


def build_without_weights(model, **options):
    """Return `cnnzoo.get(model, **options)` without the initial weights."""
    with keras.StatelessScope(initialize_variables=False):
        return cnnzoo.get(model, **options)


def narrow_dense_layers():
    """Give dense layers at most 64 units, a context manager: those of AlexNet and VGG have up to 100 million weights.

    The logits of tests/test_golden.py, and the numbers of parameters, are those of the whole networks.
    """
    dense = keras.layers.Dense
    return mock.patch.object(keras.layers, "Dense", lambda units, **options: dense(min(units, 64), **options))
