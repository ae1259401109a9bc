"""LeNet-5 compared with its paper, with a second implementation, and with a checkpoint trained elsewhere."""

import math

import keras
import numpy as np
import pytest

import cnnzoo
from cnnzoo.models.lenet import C3_TABLE, rbf_codes

# Table I of the paper, as printed: a row is a map of S2, a column is a map of C3.
TABLE_I = """\
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""


def test_c3_is_connected_as_table_one_says():
    printed = [{i for i, row in enumerate(TABLE_I.split()) if row[j] == "X"} for j in range(16)]
    assert [set(maps) for maps in C3_TABLE] == printed


def test_the_layers_have_the_parameters_of_section_two():
    model = cnnzoo.get("lenet5_1998")
    counts = {layer.name: sum(math.prod(v.shape) for v in layer.trainable_variables) for layer in model.layers}
    paper = {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164, "output": 0}
    assert {name: counts[name] for name in paper} == paper
    assert sum(counts.values()) == 60_000


def test_the_rbf_centers_are_the_digits_of_figure_3():
    centers = rbf_codes(10, 84)
    assert set(np.unique(centers)) == {-1, 1}
    assert len(np.unique(centers, axis=0)) == 10
    one = centers[1].reshape(12, 7)
    assert (one[:10, 3] == 1).all(), "the stroke of the 1"
    assert (one[10:] == -1).all()
    model = cnnzoo.get("lenet5_1998")
    np.testing.assert_array_equal(model.get_layer("output").centers, centers)


def test_other_numbers_of_classes_get_fixed_codes():
    centers = rbf_codes(26, 84)
    np.testing.assert_array_equal(centers, rbf_codes(26, 84))
    assert centers.shape == (26, 84)
    assert set(np.unique(centers)) == {-1, 1}
    assert len(np.unique(centers, axis=0)) == 26
    model = cnnzoo.get("lenet5_1998", classes=26)
    np.testing.assert_array_equal(model.get_layer("output").centers, centers)


def lenet5_1998_by_hand(weights, image):
    """Compute the paper's network for one image (32, 32) with loops, in float64, from its text and table I."""

    def squash(a):
        return 1.7159 * np.tanh(2 / 3 * a)

    def convolve(maps, kernel):  # (H, W) with (5, 5)
        size = maps.shape[0] - 4
        return np.array([[np.sum(maps[i : i + 5, j : j + 5] * kernel) for j in range(size)] for i in range(size)])

    def subsample(maps, coefficients, biases):  # "added, then multiplied by a trainable coefficient"
        n = maps.shape[1] // 2
        added = maps.reshape(len(maps), n, 2, n, 2).sum(axis=(2, 4))
        return squash(added * coefficients[:, None, None] + biases[:, None, None])

    w = {name: np.asarray(value, "float64") for name, value in weights.items()}
    pixels = image / 255 * (1.175 + 0.1) - 0.1
    c1 = np.array([convolve(pixels, w["c1.kernel"][:, :, 0, j]) + w["c1.bias"][j] for j in range(6)])
    s2 = subsample(c1, w["s2.kernel"][0, 0, :, 0] / 4, w["s2.bias"])
    c3, connection = [], 0
    for j in range(16):
        total = w["c3.bias"][j]
        for i in [i for i, row in enumerate(TABLE_I.split()) if row[j] == "X"]:
            # the kernel holds the connections map by map, each map's in the order of the table
            place = connection + C3_TABLE[j].index(i)
            total = total + convolve(s2[i], w["c3.kernel"][:, :, place])
        connection += len(C3_TABLE[j])
        c3.append(total)
    s4 = subsample(np.array(c3), w["s4.kernel"][0, 0, :, 0] / 4, w["s4.bias"])
    c5 = squash(s4.transpose(1, 2, 0).ravel() @ w["c5.kernel"] + w["c5.bias"])
    f6 = squash(c5 @ w["f6.kernel"] + w["f6.bias"])
    return -((f6 - w["output.centres"]) ** 2).sum(axis=1)


def randomize_weights(model, seed=0):
    """Draw every trainable variable, so that no bias is zero and every coefficient matters."""
    draw = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        fan_in = math.prod(variable.shape[:-1]) or 1
        variable.assign(draw.normal(0, min(1, 2 * fan_in**-0.5), variable.shape))


def make_square_images(count, seed):
    """Return images (N, 32, 32, 1) of 16 uniform squares; unlike white noise, they do not average out."""
    squares = np.random.default_rng(seed).integers(0, 256, (count, 4, 4))
    return np.kron(squares, np.ones((8, 8)))[..., None]


def test_lenet5_1998_is_the_network_of_the_paper():
    from cnnzoo.checkpoints.tensors import named_variables

    model = cnnzoo.get("lenet5_1998")
    randomize_weights(model)
    images = make_square_images(2, seed=1)
    logits = model.predict(images, verbose=0)
    expected = np.array([lenet5_1998_by_hand(named_variables(model), image[..., 0]) for image in images])
    np.testing.assert_allclose(logits, expected, rtol=1e-4)
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * np.ptp(expected), "two images, two answers"


@pytest.mark.parametrize("change", ["pool", "activation", "c3_table", "rbf"])
def test_the_comparison_detects_a_changed_graph(change):
    """Each field of the row that the paper fixes changes the logits, so the test above can fail."""
    from dataclasses import replace

    from cnnzoo.checkpoints.tensors import named_variables

    row = cnnzoo.info("lenet5_1998").row
    moved = tuple(tuple((i + 1) % 6 for i in maps) for maps in C3_TABLE)
    other = {"pool": "average", "activation": "tanh", "c3_table": moved, "rbf": False}[change]
    original, changed = cnnzoo.get(row), cnnzoo.get(replace(row, **{change: other}))
    randomize_weights(original)
    theirs = named_variables(changed)
    for name, value in named_variables(original).items():
        if name in theirs:
            theirs[name].assign(value)
    image = make_square_images(1, seed=1)
    one, two = original.predict(image, verbose=0), changed.predict(image, verbose=0)
    assert np.abs(one - two).max() > 1e-2 * np.abs(one).max()


def test_lenet5_reads_mnist_with_weights_trained_elsewhere(test_data, mnist):
    """Its publisher states 98.89 % on MNIST's test set; it is a Keras 2 checkpoint of the LeNet-5 commonly taught."""
    import h5py

    model = cnnzoo.get("lenet5", preprocessing="none")
    with h5py.File(test_data("checkpoints/lenet5_tanh_mnist.h5")) as file:
        group = file.get("model_weights", file)
        layers = [group[name] for name in group.attrs["layer_names"]]
        tensors = [layer[name][()] for layer in layers for name in layer.attrs["weight_names"]]
    tensors[4] = tensors[4].reshape(400, 120)  # its C5 is a 5x5 convolution of 5x5 maps
    model.set_weights(tensors)
    images = np.pad(mnist["x_test"], ((0, 0), (2, 2), (2, 2)))[..., None]
    guesses = model.predict(images, batch_size=1000, verbose=0).argmax(axis=1)
    assert 100 * np.mean(guesses == mnist["y_test"]) == pytest.approx(98.89, abs=0.02)


def test_a_connection_table_must_fit_its_feature_maps():
    from cnnzoo.layers import TableConv2D

    with pytest.raises(ValueError, match="names input map 5. Received: 4 input maps"):
        TableConv2D(C3_TABLE, 5)(keras.Input((14, 14, 4)))
