"""Networks whose variables have shapes but no values, which are built in a third of the time."""

import keras

import cnnzoo


def build_without_weights(model, **options):
    """Return `cnnzoo.get(model, **options)` without the initial weights."""
    with keras.StatelessScope(initialize_variables=False):
        return cnnzoo.get(model, **options)
