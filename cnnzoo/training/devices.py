"""The devices that a training uses: their names on each backend, and batches that they can share."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from cnnzoo.core.errors import InputError, shorten_repr, unknown_name
from cnnzoo.core.processes import count_processes
from cnnzoo.core.text import format_count

BACKENDS = ("tensorflow", "jax")  # whose devices can be chosen


def resolve_devices(devices: str | Sequence[str] | None) -> list[str]:
    """Return the names of the devices to train on, such as "GPU:0"; empty for the backend's default device alone.

    Args:
        devices: None for the default device; "auto" for all local devices of the kind that the backend prefers, which
            are GPUs or TPUs (on JAX also several CPU devices, which exist only if XLA_FLAGS asks for them); or names,
            in a list or separated by commas.

    Raises:
        InputError: if a device does not exist or is named twice, or if the backend is neither TensorFlow nor JAX.

    Several processes use all of their devices together.
    """
    if count_processes() > 1:
        return _list_devices_of_all_processes(devices)
    if devices is None:
        return []
    backend = keras.backend.backend()
    if backend not in BACKENDS:
        if devices == "auto":
            return []
        raise InputError(
            f"devices={shorten_repr(devices)} needs the TensorFlow or the JAX backend, such as KERAS_BACKEND=jax. "
            f"Received: {backend}"
        )
    preferred, others = _list_jax_devices() if backend == "jax" else _list_tensorflow_devices()
    if devices == "auto":
        return preferred if len(preferred) > 1 else []  # a single one is the default
    names = devices.split(",") if isinstance(devices, str) else devices
    if not isinstance(names, list | tuple) or not names:
        raise InputError(f'devices must be "auto" or names of devices. Received: {shorten_repr(devices)}')
    requested = [name.strip().upper() if isinstance(name, str) else name for name in names]
    for name in requested:
        if name not in {*preferred, *others}:
            raise unknown_name("device", name, {"auto", *preferred, *others})
    if len(set(requested)) < len(requested):
        raise InputError(f"devices must be distinct. Received: {', '.join(requested)}")
    if len({name.partition(":")[0] for name in requested}) > 1:
        raise InputError(f"devices must be of one kind. Received: {', '.join(requested)}")
    return [] if requested == [*preferred, *others][:1] else requested


def _list_devices_of_all_processes(devices: str | Sequence[str] | None) -> list[str]:
    """Return the names of the devices of all processes, in the order of the ranks."""
    import jax

    if devices not in (None, "auto"):
        raise InputError(
            f"Several processes train on all of their devices together. Received: devices={shorten_repr(devices)}. "
            "Leave it out (--devices), and hide devices that are not to be used with CUDA_VISIBLE_DEVICES"
        )
    ordered = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return [f"{device.platform.upper()}:{device.id}" for device in ordered]


def _list_tensorflow_devices() -> tuple[list[str], list[str]]:
    """Return the names of TensorFlow's GPUs, and those of its other devices, also of logical ones."""
    import tensorflow as tf

    names = {device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()}
    names |= {device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()}
    gpus = [name for name in names if name.startswith("GPU:")]
    return sorted(gpus, key=_device_number), sorted(names.difference(gpus))


def _list_jax_devices() -> tuple[list[str], list[str]]:
    """Return the names of the local devices that JAX prefers, and those of the CPUs, if these are others."""
    import jax

    preferred, cpus = (
        [f"{device.platform.upper()}:{device.id}" for device in jax.local_devices(backend=backend)]
        for backend in (None, "cpu")
    )
    return preferred, [name for name in cpus if name not in preferred]


def _device_number(name: str) -> int:
    """Return the number in the name of a device."""
    return int(name.rpartition(":")[2])


def check_batch_size(batch_size: int, images: int, devices: int) -> None:
    """Raise InputError unless `devices` devices can share a training batch equally.

    Args:
        batch_size: the batch size of the recipe.
        images: the number of training images, of which a batch has at most all.
        devices: the number of devices.
    """
    size = min(batch_size, images)
    if not size % devices:
        return
    lower = size - size % devices
    choices = [size for size in (lower, lower + devices) if 0 < size <= images]
    remedy = f"Use {' or '.join(f'batch_size={size} (--batch-size {size})' for size in choices)}, or other devices"
    if not choices:
        remedy = "Use fewer devices"
    raise InputError(f"{devices} devices cannot share batches of {format_count(size, 'image')} equally. {remedy}")


def round_up(size: int, devices: int) -> int:
    """Return the lowest batch size from `size` on that `devices` devices can share equally.

    Example:
        >>> from cnnzoo.training.devices import round_up
        >>> round_up(27, 4)
        28
    """
    return -(-size // devices) * devices
