"""Keras layers of our own, for what Keras has no layer for.

Family files load this module lazily, because a class of layer needs Keras at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

# Keras walks a graph by recursion, to build it and to load it, and resnet1202 is 4,000 layers deep.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))


@keras.saving.register_keras_serializable("cnnzoo")
class LocalResponseNorm(keras.layers.Layer):
    """Local response normalization across channels; shapes stay.

    Computes x / (k + alpha * s) ** beta, where s is the sum of squares over `size` neighboring channels. The defaults
    are those of Krizhevsky et al. 2012, section 3.3. Caffe divides its alpha by the size.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        half, channels = self.size // 2, x.shape[-1]
        squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (half, half)))
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return x / (self.k + self.alpha * total) ** self.beta

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}


@keras.saving.register_keras_serializable("cnnzoo")
def scaled_tanh(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1.7159 tanh(2x/3), which maps +-1 to +-1, where it curves most (LeCun et al. 1998, appendix A)."""
    return 1.7159 * ops.tanh(2.0 / 3.0 * x)


@keras.saving.register_keras_serializable("cnnzoo")
class TableConv2D(keras.layers.Layer):
    """Convolution without padding, whose output map j is connected to the input maps `table[j]` only.

    (B, H, W, C) to (B, H-k+1, W-k+1, len(table)). Only the connections in the table have weights: the kernel is
    (k, k, connections), ordered by output map, then input map (LeCun et al. 1998, section II.B and table I).
    """

    def __init__(self, table: Sequence[Sequence[int]], kernel_size: int, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = tuple(tuple(maps) for maps in table)
        self.kernel_size = kernel_size
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        channels, k = input_shape[-1], self.kernel_size
        connections = [(i, j) for j, maps in enumerate(self.table) for i in maps]
        if (highest := max(i for i, _ in connections)) >= channels:
            raise ValueError(f"The table names input map {highest}. Received: {channels} input maps")

        # Fan-in differs from map to map, and with it the range of the initial weights.
        limits = np.array([2.4 / (k * k * len(self.table[j])) for _, j in connections], "float32")
        uniform = keras.initializers.RandomUniform(-1, 1)
        self.kernel = self.add_weight(
            shape=(k, k, len(connections)),
            initializer=lambda shape, dtype: uniform(shape, dtype) * ops.cast(limits, dtype),
            name="kernel",
        )
        self.bias = self.add_weight(shape=(len(self.table),), initializer="zeros", name="bias")

        # This matrix moves each connection's weights to its place in a dense kernel.
        scatter = np.zeros((len(connections), channels * len(self.table)), "float32")
        scatter[range(len(connections)), [i * len(self.table) + j for i, j in connections]] = 1
        self._scatter = scatter

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        k, maps = self.kernel_size, len(self.table)
        kernel = ops.matmul(self.kernel, ops.cast(self._scatter, self.kernel.dtype))
        kernel = ops.reshape(kernel, (k, k, x.shape[-1], maps))
        x = ops.conv(x, ops.cast(kernel, x.dtype), padding="valid", data_format="channels_last")
        return self.activation(x + ops.cast(self.bias, x.dtype))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, _ = input_shape
        shrink = self.kernel_size - 1
        sides = [None if side is None else side - shrink for side in (height, width)]
        return (batch, *sides, len(self.table))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "table": self.table,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable("cnnzoo")
class RadialBasis(keras.layers.Layer):
    """Negative squared distances from (B, d) to fixed centers (classes, d): logits (B, classes).

    The centers are a variable that is never trained, so they are stored with the weights (LeCun et al. 1998,
    section II.B). The variable keeps the name "centres", which is part of the file format.
    """

    def __init__(self, centers: Any = None, shape: Sequence[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._initial = None if centers is None else np.asarray(centers, "float32")
        self.shape = tuple(shape or ()) if self._initial is None else self._initial.shape

    def build(self, input_shape: tuple[Any, ...]) -> None:
        if input_shape[-1] != self.shape[1]:
            raise ValueError(f"The centers have {self.shape[1]} values. Received: input of shape {input_shape}")
        initial = "zeros" if self._initial is None else keras.initializers.Constant(self._initial)
        self.centers = self.add_weight(shape=self.shape, initializer=initial, trainable=False, name="centres")

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return -ops.sum(ops.square(x[:, None, :] - ops.cast(self.centers, x.dtype)), axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        return (input_shape[0], self.shape[0])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"shape": self.shape}
