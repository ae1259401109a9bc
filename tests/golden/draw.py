"""Generate the images and weights of the golden tests, from names and shapes alone."""

import zlib

import numpy as np

CHUNK = 1_000_000  # numbers that are drawn at once


def weights(names, shapes, gain):
    """Return the tensors of a checkpoint by name.

    Kernels keep the scale of their inputs, and the statistics of batch norm are not trivial. Names are torch's or
    Keras'. `gain` is the mean of batch norm's gamma; it must be below 1 if many residuals add up.
    """
    return {name: tensor(name, tuple(shape), gain) for name, shape in zip(names, shapes, strict=True)}


def tensor(name, shape, gain=1.0):
    """Return the tensor of one name."""
    leaf = name.replace("/", ".").rpartition(".")[2].removesuffix(":0")
    if leaf == "num_batches_tracked":
        return np.array(0)
    numbers = _draw(name, shape)
    if leaf in ("running_var", "moving_variance"):
        return numbers + np.float32(0.5)
    if leaf == "gamma" or (leaf == "weight" and len(shape) == 1):
        return np.float32(gain) * (numbers * np.float32(0.4) + np.float32(0.8))
    if len(shape) == 1:
        return numbers * np.float32(0.2) - np.float32(0.1)
    if leaf == "depthwise_kernel":  # Keras: (height, width, channels, 1)
        fan_in = np.prod(shape[:2])
    else:  # torch has the filters first, Keras last
        fan_in = np.prod(shape[1:] if leaf == "weight" else shape[:-1])
    numbers *= 2  # in place, as the system takes longer to provide memory than to compute with it
    numbers -= 1
    numbers *= np.float32(np.sqrt(6 / fan_in))
    return numbers


def _draw(name, shape):
    """Return float32 numbers from 0 to 1, rounded from the 64 bits that are drawn."""
    state = np.random.RandomState(zlib.crc32(name.encode()))
    numbers = np.empty(int(np.prod(shape)), "float32")
    for begin in range(0, numbers.size, CHUNK):
        part = numbers[begin : begin + CHUNK]
        part[...] = state.random_sample(part.size)
    return numbers.reshape(shape)


def images(height, width, channels=3):
    """Return two images (2, height, width, channels) around 0: noise, and blotches of ten times its contrast."""
    state = np.random.RandomState(0)
    noise = state.random_sample((height, width, channels)) * 2 - 1
    coarse = state.random_sample((-(-height // 16), -(-width // 16), channels)) * 20 - 10
    blotches = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    return np.stack([noise, blotches]).astype("float32")
