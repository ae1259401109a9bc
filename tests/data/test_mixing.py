"""MixUp and CutMix: labels have exactly the shares of the images."""

import numpy as np
import pytest
from scipy.stats import beta, kstest

from cnnzoo.data import mixing
from cnnzoo.data.mixing import cut_mix, mix_up


def make_levels(count, dtype, side=16):
    """Return images of one level each, and labels that say which."""
    levels = np.random.default_rng(0).permutation(200)[:count]
    images = np.broadcast_to(levels[:, None, None, None], (count, side, side + 4, 3)).astype(dtype)
    return images, np.eye(count, dtype="float32"), levels


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int32"])
@pytest.mark.parametrize("mix", [mix_up, cut_mix])
def test_labels_are_mixed_like_their_images(mix, dtype, monkeypatch):
    monkeypatch.setattr(mixing, "CHUNK_BYTES", 5000)  # several images, but not all
    images, labels, levels = make_levels(48, dtype)
    mixed, shares = mix(images, labels, np.random.default_rng(1))
    assert (mixed.dtype, mixed.shape, shares.dtype) == (images.dtype, images.shape, labels.dtype)
    np.testing.assert_array_equal(images, make_levels(48, dtype)[0])
    expected = shares @ levels
    tolerance = 1e-3 if dtype == "float32" or mix is cut_mix else 0.501
    np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), expected, atol=tolerance)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (shares > 0).sum(axis=1).max() == 2
    assert len(set(shares.max(axis=1).tolist())) > 20, "each image has a weight of its own"


def test_mixup_weights_are_the_larger_shares_of_a_beta_distribution():
    images = np.zeros((5000, 1, 1, 1), "uint8")
    _, shares = mix_up(images, np.eye(5000, dtype="float32"), np.random.default_rng(0))
    own = np.diag(shares)
    assert own.min() >= 0.5
    inner = own[(own > 0.5) & (own < 0.95)]  # the end is rounded to 1/256
    low, high = beta(0.2, 0.2).cdf([0.5, 0.95])
    assert len(inner) / 5000 == pytest.approx(2 * (high - low), abs=0.03)
    assert kstest(inner, lambda x: (beta(0.2, 0.2).cdf(x) - low) / (high - low)).pvalue > 0.001


def test_cutmix_pastes_one_rectangle_per_image():
    images, labels, levels = make_levels(60, "uint8", side=21)
    mixed, shares = cut_mix(images, labels, np.random.default_rng(2))
    heights = set()
    for image, share, level in zip(mixed, shares, levels, strict=True):
        foreign = (image != level).all(axis=2)
        rows, columns = np.flatnonzero(foreign.any(axis=1)), np.flatnonzero(foreign.any(axis=0))
        heights.add(len(rows))
        assert foreign.sum() == len(rows) * len(columns), "a rectangle"
        assert share @ levels == pytest.approx(image.mean(), abs=1e-3)
    assert len(heights) > 10


def test_cutmix_cuts_on_average_what_the_beta_distribution_leaves():
    """Rectangles have a uniform area and center, and are clipped at the border (Yun et al. 2019, section 3.1)."""
    images = np.zeros((4000, 64, 64, 1), "uint8")
    images[::2] = 1
    labels = np.repeat(np.eye(2, dtype="float32")[None], 2000, axis=0).reshape(-1, 2)
    mixed, _ = cut_mix(images, labels, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    side, y, x = np.sqrt(rng.random(100_000)), rng.random(100_000), rng.random(100_000)
    clipped = [np.minimum(c + side / 2, 1) - np.maximum(c - side / 2, 0) for c in (y, x)]
    changed = np.mean(mixed != images)
    assert changed == pytest.approx(np.mean(clipped[0] * clipped[1]) / 2, abs=0.02), "half of the partners are equal"
