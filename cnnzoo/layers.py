"""Layers and blocks that the families share. They need Keras at once, so the families load this file lazily."""

import sys

import keras
import numpy as np
from keras import ops

# Keras walks a graph by recursion, and resnet1202 is 4,000 layers deep.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))


def conv(x, filters, kernel_size, strides=1, *, name, padding="same", groups=1, use_bias=False, activation=None):
    """Convolution: (B, H, W, C) to (B, ceil(H/s), ceil(W/s), filters), smaller by the kernel where padding is "valid".

    "same" is half the kernel on every side, as torch and Caffe have it; Keras' own pads a strided convolution
    on the bottom right only, which no published ResNet weight fits.
    """
    if padding == "same" and strides > 1 and kernel_size != 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
        padding = "valid"
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding,
        groups=groups,
        activation=activation,
        use_bias=use_bias,
        kernel_initializer="he_uniform",  # with the variance of arXiv:1502.01852, and drawn faster than its normal
        name=name,
    )(x)


def norm(x, *, name, epsilon=1e-5, scale=True, gamma="ones", activation="relu"):
    """Batch norm, whose gamma begins with ones or "zeros", and activation; torch's momentum of 0.1 is Keras' 0.9."""
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=epsilon, scale=scale, gamma_initializer=gamma, name=name)(
        x
    )
    return keras.layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def conv_bn(x, filters, kernel_size, strides=1, *, name, bn, groups=1, epsilon=1e-5, gamma="ones", activation="relu"):
    """Convolution without bias, batch norm and activation: (B, H, W, C) to (B, ceil(H/s), ceil(W/s), filters)."""
    x = conv(x, filters, kernel_size, strides, groups=groups, name=name)
    return norm(x, epsilon=epsilon, gamma=gamma, activation=activation, name=bn)


def max_pool(x, size=3, strides=2, *, name, padding="valid"):
    """Maxima of `size` x `size`, every `strides` pixels; publishers differ in the padding.

    "same" pads by half the window on every side; "ceil" starts a last window wherever one pixel is left, as Caffe
    does and torch under ceil_mode. Both pad with zeros, which never win over what comes out of a ReLU. For values
    that may be negative, "infinite" is "same" by minus infinity, and "keras" is Keras' own: bottom right first.
    """
    if padding == "infinite":  # without strides Keras pads both sides
        x = keras.layers.MaxPooling2D(size, 1, "same", name=name)(x)
        return keras.layers.MaxPooling2D(1, strides, name=f"{name}_stride")(x)
    if padding == "ceil":
        x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    elif padding == "same" and strides > 1:
        x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "same" if strides == 1 or padding == "keras" else "valid"
    return keras.layers.MaxPooling2D(size, strides, padding, name=name)(x)


def average_pool(x, size=3, strides=1, *, name, counted=False):
    """Means of `size` x `size`, of the same size where it does not stride; `counted` takes the padding for pixels."""
    if counted:
        x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "same" if strides == 1 and not counted else "valid"
    return keras.layers.AveragePooling2D(size, strides, padding, name=name)(x)


def flatten(x, size, *, name):
    """Maps (B, H, W, C) to (B, size * size * C), averaged to `size` x `size` first where they are not so already."""
    if x.shape[1:3] != (size, size):
        x = keras.layers.AdaptiveAveragePooling2D(size, name=f"{name}_pool")(x)
    return keras.layers.Flatten(name=name)(x)


@keras.saving.register_keras_serializable("cnnzoo")
class LocalResponseNorm(keras.layers.Layer):
    """x / (k + alpha * the sum of squares over `size` neighbouring channels) ** beta: (B, H, W, C) to the same.

    Krizhevsky et al. 2012, section 3.3, whose constants are the defaults; Caffe divides its alpha by the size.
    """

    def __init__(self, size=5, alpha=1e-4, beta=0.75, k=2.0, **kwargs):
        super().__init__(**kwargs)
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, x):
        half, channels = self.size // 2, x.shape[-1]
        squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (half, half)))
        total = sum(squares[..., i : i + channels] for i in range(self.size))
        return x / (self.k + self.alpha * total) ** self.beta

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}


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
            initializer=lambda shape, dtype: uniform(shape, dtype) * ops.cast(limits, dtype),
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
