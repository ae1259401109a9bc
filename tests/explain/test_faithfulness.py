"""Deletion and insertion curves, random maps, and the maps of randomized weights."""

import keras
import numpy as np
import pytest

import cnnzoo


@pytest.fixture(scope="module")
def corner():
    """A model that looks at one corner of an image alone, and images in which that corner is lit."""
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(1, 1, name="maps")(keras.layers.Rescaling(1 / 255)(inputs))
    dense = keras.layers.Dense(2)
    model = keras.Model(inputs, dense(keras.layers.Flatten()(x)))
    model.get_layer("maps").set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    kernel = np.zeros((28, 28, 2))
    kernel[:8, 20:, 1] = 0.2
    dense.set_weights([kernel.reshape(-1, 2), np.zeros(2)])
    images = np.random.default_rng(0).integers(0, 60, (6, 28, 28, 1), "uint8")
    images[:, :8, 20:] = 250
    return model, images


def test_a_faithful_map_beats_a_random_one(corner):
    model, images = corner
    result = cnnzoo.faithfulness(model, images, method="hirescam", target=1, steps=10)
    assert result.deletion.shape == result.insertion.shape == result.random_deletion.shape == (6, 11)
    assert result.deletion_wins == result.insertion_wins == 1
    assert result.deletion_area < result.random_deletion_area
    assert result.insertion_area > result.random_insertion_area
    assert result.deletion[:, 2].max() < result.random_deletion[:, 2].min()


def test_curves_begin_and_end_at_the_image(corner):
    """Nothing is deleted at first and everything at last; insertion ends at the image itself."""
    model, images = corner
    result = cnnzoo.faithfulness(model, images[:2], target=1, method="layercam", steps=4)
    probabilities = cnnzoo.Classifier.of(model, "keras").probabilities(images[:2])[:, 1]
    for curve in (result.deletion[:, 0], result.random_deletion[:, 0], result.insertion[:, -1]):
        np.testing.assert_allclose(curve, probabilities, atol=1e-4)
    np.testing.assert_allclose(result.deletion[:, -1], result.random_deletion[:, -1], atol=1e-6)


def test_maps_change_with_the_weights(corner):
    """Shuffled weights change what a network looks at, so its map must change. The network itself stays as it is."""
    model, images = corner
    sanity = cnnzoo.faithfulness(model, images, method="hirescam", target=1, steps=2).sanity
    assert np.abs(sanity).max() < 0.6
    lenet = cnnzoo.get("lenet5", weights="digits")
    before = [value.copy() for value in lenet.get_weights()]
    digits = cnnzoo.load_data("digits").test.images[:3]
    result = cnnzoo.faithfulness(lenet, digits, steps=2)
    assert result.sanity.shape == (3,)
    assert "randomized weights" in str(result)
    for old, new in zip(before, lenet.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_equal_seeds_give_equal_curves(corner):
    model, images = corner
    first, second, other = (cnnzoo.faithfulness(model, images[:1], steps=3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.random_deletion, second.random_deletion)
    np.testing.assert_array_equal(first.sanity, second.sanity)
    assert (first.random_deletion != other.random_deletion).any()


def test_a_result_is_printed_and_shown(corner):
    model, images = corner
    result = cnnzoo.faithfulness(model, images, target=1, method="hirescam", steps=2)
    for text in (str(result), result._repr_html_()):
        assert "deletion, lower is better" in text
    assert repr(result).startswith("<Faithfulness of hirescam on 6 images: deletion ")


def test_errors_name_the_remedy(corner, tmp_path):
    model, images = corner
    with pytest.raises(cnnzoo.InputError, match="steps must be a whole number from 2"):
        cnnzoo.faithfulness(model, images, steps=1)
    with pytest.raises(cnnzoo.InputError, match="Unknown method"):
        cnnzoo.faithfulness(model, images, method="cam")
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(cnnzoo.InputError, match=r"a\.png"):
        cnnzoo.faithfulness(model, [tmp_path / "a.png"])
