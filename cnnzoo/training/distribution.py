"""One model on several devices: each takes its share of every batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from cnnzoo.core.errors import InputError, unknown_name


@contextmanager
def replicate(model: Any, devices: str | Sequence[str] | None) -> Iterator[Any]:
    """The model to train within the block: itself, or a mirrored copy whose weights it has afterwards.

    `devices` is None, "auto" for all local GPUs, or their names, as TensorFlow gives them. Raises InputError for names
    that there are not, or on other backends than TensorFlow.
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
    """Devices by their names; empty where the backend's default one will do."""
    if devices is None or keras.backend.backend() != "tensorflow":
        if devices in (None, "auto"):
            return []
        raise InputError(f"Several devices are for the TensorFlow backend. Received: {keras.backend.backend()}")
    import tensorflow as tf

    there = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]
    there += [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    if devices == "auto":
        found = sorted({name for name in there if name.startswith("GPU:")})
        return found if len(found) > 1 else []  # one needs no copy
    asked = devices.split(",") if isinstance(devices, str) else list(devices)
    for name in asked:
        if name not in there:
            raise unknown_name("device", name, {"auto", *there})
    if len(set(asked)) < len(asked):
        raise InputError(f"devices are distinct. Received: {', '.join(asked)}")
    return asked
