"""Convolutions, normalization and pooling as the published networks use them, shared by the families.

Family files load this module lazily, because it imports Keras.
"""

from __future__ import annotations

import keras

from cnnzoo.layers import LocalResponseNorm


def conv(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int],
    strides: int = 1,
    *,
    name: str,
    padding: str = "same",
    groups: int = 1,
    use_bias: bool = False,
    activation: str | None = None,
) -> keras.KerasTensor:
    """Apply a convolution: (B, H, W, C) to (B, ceil(H/s), ceil(W/s), filters).

    `padding="same"` pads by half the kernel on every side, as torch and Caffe do. Keras' own "same" pads a strided
    convolution at the bottom right only, which fits no published ResNet weights. "valid" does not pad.
    """
    if padding == "same" and strides > 1 and kernel_size != 1:
        half = kernel_size // 2 if isinstance(kernel_size, int) else tuple(side // 2 for side in kernel_size)
        x = keras.layers.ZeroPadding2D(half, name=f"{name}_pad")(x)
        padding = "valid"
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding,
        groups=groups,
        activation=activation,
        use_bias=use_bias,
        kernel_initializer="he_uniform",  # the variance of arXiv:1502.01852; faster to draw than its normal
        name=name,
    )(x)


def norm(
    x: keras.KerasTensor,
    *,
    name: str,
    epsilon: float = 1e-5,
    scale: bool = True,
    gamma: str = "ones",
    activation: str | None = "relu",
) -> keras.KerasTensor:
    """Apply batch normalization and an activation; shapes stay.

    `gamma` is the initializer of batch norm's scale, "ones" or "zeros". torch's momentum of 0.1 is 0.9 in Keras.
    """
    layer = keras.layers.BatchNormalization(
        momentum=0.9, epsilon=epsilon, scale=scale, gamma_initializer=gamma, name=name
    )
    x = layer(x)
    return keras.layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


def conv_bn(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int = 1,
    *,
    name: str,
    bn: str,
    groups: int = 1,
    epsilon: float = 1e-5,
    gamma: str = "ones",
    activation: str | None = "relu",
) -> keras.KerasTensor:
    """Apply a convolution without bias, batch norm and an activation, with the shapes of `conv`.

    `name` and `bn` are the names of the convolution and of the batch norm.
    """
    x = conv(x, filters, kernel_size, strides, groups=groups, name=name)
    return norm(x, epsilon=epsilon, gamma=gamma, activation=activation, name=bn)


def max_pool(
    x: keras.KerasTensor, size: int = 3, strides: int = 2, *, name: str, padding: str = "valid"
) -> keras.KerasTensor:
    """Take the maxima of `size` x `size` pixels at every `strides` pixels.

    Publishers pad differently, hence `padding`:

    - "valid": none.
    - "same": half the window on every side, with zeros.
    - "ceil": one pixel at the bottom right, with zeros, so that a last window starts wherever a pixel is left; Caffe
      does so, and torch under `ceil_mode`.
    - "infinite": as "same", but with minus infinity.
    - "keras": Keras' own "same", at the bottom right first.

    Zeros never win over the outputs of a ReLU; other values need "infinite" or "keras".
    """
    if padding == "infinite":  # Keras pads a pool without strides on both sides
        x = keras.layers.MaxPooling2D(size, 1, "same", name=name)(x)
        return keras.layers.MaxPooling2D(1, strides, name=f"{name}_stride")(x)
    if padding == "ceil":
        x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    elif padding == "same" and strides > 1:
        x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "same" if strides == 1 or padding == "keras" else "valid"
    return keras.layers.MaxPooling2D(size, strides, padding, name=name)(x)


def average_pool(
    x: keras.KerasTensor, size: int = 3, strides: int = 1, *, name: str, count_padding: bool = False
) -> keras.KerasTensor:
    """Average `size` x `size` pixels; without strides the size stays.

    `count_padding` averages over the zeros of the padding too, as torch does under `count_include_pad`.
    """
    if count_padding:
        x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    padding = "same" if strides == 1 and not count_padding else "valid"
    return keras.layers.AveragePooling2D(size, strides, padding, name=name)(x)


def flatten(x: keras.KerasTensor, size: int, *, name: str) -> keras.KerasTensor:
    """Flatten feature maps (B, H, W, C) to (B, size * size * C); other sizes are averaged to `size` x `size` first."""
    if x.shape[1:3] != (size, size):
        x = keras.layers.AdaptiveAveragePooling2D(size, name=f"{name}_pool")(x)
    return keras.layers.Flatten(name=name)(x)


def local_response_norm(x: keras.KerasTensor, *, name: str, alpha: float = 1e-4, k: float = 2.0) -> keras.KerasTensor:
    """Normalize across five neighboring channels; see `cnnzoo.layers.LocalResponseNorm`."""
    return LocalResponseNorm(size=5, alpha=alpha, k=k, name=name)(x)
