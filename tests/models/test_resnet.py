"""The CIFAR ResNet against its paper's section 4.2."""

import numpy as np

import cnnzoo


def test_option_a_shortcuts_have_no_weights():
    """Every second pixel, between zero maps; no parameters."""
    import keras

    row = cnnzoo.info("resnet20").row
    inputs = keras.Input((7, 8, 16))
    model = keras.Model(inputs, row.shortcut_branch(inputs, 32, 2, "s"))
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 16)).astype("float32")
    expected = np.zeros((2, 4, 4, 32), "float32")
    expected[..., 8:24] = x[:, ::2, ::2]
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    assert not model.weights


def test_the_stages_halve_the_maps_and_double_the_filters():
    model = cnnzoo.get("resnet20")
    shapes = [model.get_layer(f"layer{stage}_2_relu").output.shape[1:] for stage in (1, 2, 3)]
    assert shapes == [(32, 32, 16), (16, 16, 32), (8, 8, 64)]
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert len(convolutions) == 19, "6n+2 weighted layers, the last one dense"
