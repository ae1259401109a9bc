"""Train one model on several devices: each processes its share of every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras

from cnnzoo.core.errors import InputError, unknown_name


@contextmanager
def replicate(model: keras.Model, devices: str | Sequence[str] | None) -> Iterator[keras.Model]:
    """Yield the model to train within the block: `model` itself, or a copy that is mirrored on several devices.

    The copy's weights are transferred to `model` when the block ends.

    Args:
        model: a functional model.
        devices: None, "auto" for all local GPUs, or device names as TensorFlow writes them.

    Raises:
        InputError: if a device does not exist, or if the backend is not TensorFlow.
    """
    names = resolve_devices(devices)
    if not names:
        yield model
        return
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(names).scope():
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        for layer, original in zip(copy.layers, model.layers, strict=True):
            layer.trainable = original.trainable
        try:
            yield copy
        finally:
            model.set_weights(copy.get_weights())


def resolve_devices(devices: str | Sequence[str] | None) -> list[str]:
    """Return the names of the devices to train on; empty for the backend's default device.

    Raises:
        InputError: if a device does not exist or is named twice, or if the backend is not TensorFlow.
    """
    if devices is None or keras.backend.backend() != "tensorflow":
        if devices in (None, "auto"):
            return []
        raise InputError(f"Several devices need the TensorFlow backend. Received: {keras.backend.backend()}")
    import tensorflow as tf

    available = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]
    available += [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    if devices == "auto":
        gpus = sorted({name for name in available if name.startswith("GPU:")})
        return gpus if len(gpus) > 1 else []  # a single one is the default
    requested = devices.split(",") if isinstance(devices, str) else list(devices)
    for name in requested:
        if name not in available:
            raise unknown_name("device", name, {"auto", *available})
    if len(set(requested)) < len(requested):
        raise InputError(f"devices must be distinct. Received: {', '.join(requested)}")
    return requested
