"""Raw class activation maps equal those of pytorch-grad-cam for the same weights and images."""

from contextlib import nullcontext

import numpy as np
import pytest
from golden import draw
from helpers.building import narrow_dense_layers
from helpers.golden import GOLDEN, GoldenLogits

import cnnzoo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("free_memory")]
FILES = sorted((GOLDEN / "activation_maps").glob("*.npz"))
TARGETS = (3, 42)


def draw_photos():
    """The images of tests/golden/activation_maps.py."""
    drawn = draw.images(224, 224)
    scale = np.abs(drawn).max(axis=(1, 2, 3), keepdims=True)
    return np.rint(127.5 + 127.5 * drawn / scale).astype("uint8")


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_maps_equal_those_of_pytorch_grad_cam(path, tmp_path):
    golden = GoldenLogits(path)
    is_narrow = golden.name == "vgg11"
    with narrow_dense_layers() if is_narrow else nullcontext():
        weights = golden.write(tmp_path)
        model = cnnzoo.get(golden.name, weights=weights, preprocessing="torch", classes=64 if is_narrow else 1000)
    photos = draw_photos()
    for method, expected in golden.logits.items():
        is_contrast = method == "contrast"
        explanations = cnnzoo.explain(
            model, photos, method="gradcam" if is_contrast else method, target=TARGETS if is_contrast else list(TARGETS)
        )
        for explanation, raw in zip(explanations, expected, strict=True):
            assert np.abs(explanation.raw - raw).max() <= 1e-4 * np.ptp(raw), method


def test_all_three_networks_have_golden_maps():
    assert [path.stem.partition("-")[0] for path in FILES] == ["googlenet", "resnet18", "vgg11"]
