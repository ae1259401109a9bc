"""Networks that are built fast: without values of their variables, or with fewer units."""

import contextlib
from unittest import mock

import keras
from keras.src.backend.common import global_state

import cnnzoo


@contextlib.contextmanager
def values_beside_variables():
    """Keep what is assigned within the block beside the variables, which get no values of their own.

    To make a variable of TensorFlow takes longer than to build the layer around it.
    """
    with keras.StatelessScope(initialize_variables=False):
        yield
    global_state.set_global_attribute("uninitialized_variables", [])  # Keras would keep, and later initialize them


def build_without_weights(model, **options):
    """Return `cnnzoo.get(model, **options)` without the initial weights."""
    with values_beside_variables():
        return cnnzoo.get(model, **options)


def narrow_dense_layers():
    """Give dense layers at most 64 units, a context manager: those of AlexNet and VGG have up to 100 million weights.

    The logits of tests/test_golden.py, and the numbers of parameters, are those of the whole networks.
    """
    dense = keras.layers.Dense
    return mock.patch.object(keras.layers, "Dense", lambda units, **options: dense(min(units, 64), **options))
