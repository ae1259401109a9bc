"""Rows without a published checkpoint, compared with a second implementation in NumPy, written from their papers."""

import math

import numpy as np
import pytest

import cnnzoo
from cnnzoo.checkpoints.tensors import named_variables
from cnnzoo.layers import LocalResponseNorm


def conv_relu(x, kernel, bias, strides=1, padding=0, groups=1):
    """Convolve (H, W, C) after zero padding, in float64, and apply a ReLU; one position of the kernel at a time."""
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[0]
    height, width = ((side - size) // strides + 1 for side in x.shape[:2])
    parts = []
    for part, group in zip(np.split(x, groups, axis=2), np.split(kernel, groups, axis=3), strict=True):
        out = 0
        for i in range(size):
            for j in range(size):
                rows = slice(i, i + strides * (height - 1) + 1, strides)
                columns = slice(j, j + strides * (width - 1) + 1, strides)
                out = out + part[rows, columns] @ group[i, j]
        parts.append(out)
    return np.maximum(np.concatenate(parts, axis=2) + bias, 0)


def local_response_norm(x, k=2.0, alpha=1e-4, beta=0.75, n=5):
    """Apply the formula of Krizhevsky et al. 2012, section 3.3, channel by channel."""
    out = np.empty_like(x)
    for i in range(x.shape[2]):
        near = x[:, :, max(0, i - n // 2) : min(x.shape[2] - 1, i + n // 2) + 1]
        out[:, :, i] = x[:, :, i] / (k + alpha * (near**2).sum(axis=2)) ** beta
    return out


def overlapping_max_pool(x):
    """Take the maxima of 3x3 at every second pixel: section 3.4's overlapping pooling."""
    height, width = ((side - 3) // 2 + 1 for side in x.shape[:2])
    return np.stack([x[i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2] for i in range(3) for j in range(3)]).max(
        0
    )


@pytest.mark.slow
def test_alexnet_2012():
    model = cnnzoo.get("alexnet_2012", preprocessing="none")
    draw = np.random.default_rng(0)
    for name, variable in named_variables(model).items():
        if name.endswith("bias"):
            variable.assign(draw.normal(0, 0.1, variable.shape))
    weights = {name: np.asarray(value, "float64") for name, value in named_variables(model).items()}
    images = draw.normal(0, 80, (1, 227, 227, 3)).astype("float32")

    x = images[0].astype("float64")
    for i, (strides, padding, groups) in enumerate(((4, 0, 1), (1, 2, 2), (1, 1, 1), (1, 1, 2), (1, 1, 2)), 1):
        x = conv_relu(x, weights[f"conv{i}.kernel"], weights[f"conv{i}.bias"], strides, padding, groups)
        x = local_response_norm(x) if i < 3 else x
        x = overlapping_max_pool(x) if i in (1, 2, 5) else x
    assert x.shape == (6, 6, 256)
    x = x.ravel()
    for name in ("fc6", "fc7"):
        x = np.maximum(x @ weights[f"{name}.kernel"] + weights[f"{name}.bias"], 0)
    expected = x @ weights["fc8.kernel"] + weights["fc8.bias"]
    assert np.abs(np.asarray(model(images))[0] - expected).max() <= 1e-4 * np.abs(expected).max()


def test_alexnet_2012_has_the_sizes_of_figure_2():
    model = cnnzoo.get("alexnet_2012", include_top=False)
    assert [model.get_layer(f"conv{i}").output.shape[1:] for i in range(1, 6)] == [
        (55, 55, 96),
        (27, 27, 256),
        (13, 13, 384),
        (13, 13, 384),
        (13, 13, 256),
    ]


@pytest.mark.parametrize(("k", "alpha"), [(2.0, 1e-4), (1.0, 1e-4 / 5)])
def test_local_response_normalization(k, alpha):
    x = np.random.default_rng(0).normal(0, 100, (2, 3, 4, 11)).astype("float32")
    expected = np.stack([local_response_norm(image.astype("float64"), k, alpha) for image in x])
    normalized = np.asarray(LocalResponseNorm(k=k, alpha=alpha)(x))
    np.testing.assert_allclose(normalized, expected, rtol=1e-5, atol=1e-6)


def test_vgg_16_c_is_column_c_of_table_1():
    """13 convolutions, the third of stages 3 to 5 of 1x1; 134 million parameters, table 2."""
    model = cnnzoo.get("vgg16_c", include_top=False)
    sizes = [layer.kernel_size[0] for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert sizes == [3, 3, 3, 3, 3, 3, 1, 3, 3, 1, 3, 3, 1]
    assert round(cnnzoo.info("vgg16_c").row.params / 1e6) == 134


def test_vgg_11_lrn_is_column_a_lrn():
    names = [layer.name for layer in cnnzoo.get("vgg11_lrn", include_top=False).layers]
    assert names[names.index("relu1_1") : names.index("pool1") + 1] == ["relu1_1", "norm1", "pool1"]


def test_lenet_of_caffe():
    """20 and 50 maps, 500 units; convolutions without activation, as its example for MNIST has it."""
    model = cnnzoo.get("lenet_caffe", preprocessing="none")
    weights = {name: np.asarray(value, "float64") for name, value in named_variables(model).items()}
    image = np.random.default_rng(0).uniform(0, 1, (28, 28, 1))

    def max_pool_2x2(x):
        return x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max(axis=(1, 3))

    x = image
    for name in ("c1", "c3"):
        size = x.shape[0] - 4
        windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(0, 1)).reshape(size * size, -1, 25)
        kernel = weights[f"{name}.kernel"].transpose(2, 0, 1, 3).reshape(-1, weights[f"{name}.kernel"].shape[-1])
        x = max_pool_2x2((windows.reshape(size * size, -1) @ kernel + weights[f"{name}.bias"]).reshape(size, size, -1))
    x = np.maximum(x.ravel() @ weights["c5.kernel"] + weights["c5.bias"], 0)
    expected = x @ weights["output.kernel"] + weights["output.bias"]
    np.testing.assert_allclose(np.asarray(model(image[None]))[0], expected, rtol=1e-4, atol=1e-5)
    assert sum(math.prod(v.shape) for v in model.trainable_variables) == 431_080
