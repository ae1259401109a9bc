"""Layers and blocks that the families share. They need Keras at once, so the families load this file lazily."""

import keras
import numpy as np
from keras import ops


def conv_bn(x, filters, kernel_size, strides=1, *, name, bn, epsilon=1e-5, activation="relu"):
    """Convolution without bias, batch norm and activation: (B, H, W, C) to (B, ceil(H/s), ceil(W/s), filters).

    Pads by half the kernel on every side, as torch does; Keras' "same" pads a strided convolution
    on the bottom right only, and no published ResNet weight fits that.
    """
    if kernel_size > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(filters, kernel_size, strides, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    # torch's momentum 0.1 is Keras' 0.9
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=epsilon, name=bn)(x)
    return keras.layers.Activation(activation, name=f"{bn}_{activation}")(x) if activation else x


@keras.saving.register_keras_serializable("cnnzoo")
def scaled_tanh(x):
    """1.7159 tanh(2x/3): +-1 maps to +-1, where the curvature is largest (LeCun et al. 1998, appendix A)."""
    return 1.7159 * ops.tanh(2.0 / 3.0 * x)


@keras.saving.register_keras_serializable("cnnzoo")
class TableConv2D(keras.layers.Layer):
    """Convolution, "valid", whose output map j sees only the input maps `table[j]`.

    (B, H, W, C) to (B, H-k+1, W-k+1, len(table)). Only the connections of the table hold weights:
    the kernel is (k, k, connections), ordered by output map, then input map
    (LeCun et al. 1998, section II.B and table I).
    """

    def __init__(self, table, kernel_size, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.table = tuple(tuple(maps) for maps in table)
        self.kernel_size = kernel_size
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        channels, k = input_shape[-1], self.kernel_size
        pairs = [(i, j) for j, maps in enumerate(self.table) for i in maps]
        if (highest := max(i for i, _ in pairs)) >= channels:
            raise ValueError(f"The table names input map {highest}. Received: {channels} input maps")
        # fan-in differs from map to map, and with it the range of the initial weights
        limits = np.array([2.4 / (k * k * len(self.table[j])) for _, j in pairs], "float32")
        uniform = keras.initializers.RandomUniform(-1, 1)
        self.kernel = self.add_weight(
            shape=(k, k, len(pairs)),
            initializer=lambda shape, dtype: uniform(shape, dtype) * limits,
            name="kernel",
        )
        self.bias = self.add_weight(shape=(len(self.table),), initializer="zeros", name="bias")
        scatter = np.zeros((len(pairs), channels * len(self.table)), "float32")
        scatter[range(len(pairs)), [i * len(self.table) + j for i, j in pairs]] = 1
        self._scatter = scatter

    def call(self, x):
        k, maps = self.kernel_size, len(self.table)
        full = ops.matmul(self.kernel, ops.cast(self._scatter, self.kernel.dtype))
        full = ops.reshape(full, (k, k, x.shape[-1], maps))
        x = ops.conv(x, ops.cast(full, x.dtype), padding="valid", data_format="channels_last")
        return self.activation(x + ops.cast(self.bias, x.dtype))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        shrink = self.kernel_size - 1
        sides = [None if side is None else side - shrink for side in (height, width)]
        return (batch, *sides, len(self.table))

    def get_config(self):
        return super().get_config() | {
            "table": self.table,
            "kernel_size": self.kernel_size,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable("cnnzoo")
class RadialBasis(keras.layers.Layer):
    """Minus the squared distances from (B, d) to fixed centres (classes, d): logits (B, classes).

    The centres are a variable that is never trained, so they travel with the weights
    (LeCun et al. 1998, section II.B).
    """

    def __init__(self, centres=None, shape=None, **kwargs):
        super().__init__(**kwargs)
        self._initial = None if centres is None else np.asarray(centres, "float32")
        self.shape = tuple(shape) if self._initial is None else self._initial.shape

    def build(self, input_shape):
        if input_shape[-1] != self.shape[1]:
            raise ValueError(f"The centres have {self.shape[1]} values. Received: input of shape {input_shape}")
        initial = "zeros" if self._initial is None else keras.initializers.Constant(self._initial)
        self.centres = self.add_weight(shape=self.shape, initializer=initial, trainable=False, name="centres")

    def call(self, x):
        return -ops.sum(ops.square(x[:, None, :] - ops.cast(self.centres, x.dtype)), axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.shape[0])

    def get_config(self):
        return super().get_config() | {"shape": self.shape}
