"""Every row of the registry has a layer to explain, and before global pooling Grad-CAM equals HiResCAM."""

import keras
import numpy as np
import pytest
from helpers.building import build_without_weights
from helpers.designs import shallow
from helpers.rows import check_map_layer

import cnnzoo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("free_memory")]
WITH_AUXILIARY_HEADS = [name for name in cnnzoo.list_models() if cnnzoo.info(name).row.aux_taps]
POOLED = ("preresnet18", "inception_v2", "xception")  # whose last maps come in three ways; test_explain.py has a ResNet


# Those of the other rows are checked where these are built: in tests/test_build.py and tests/test_golden.py
@pytest.mark.parametrize("name", WITH_AUXILIARY_HEADS)
def test_auxiliary_heads_leave_the_layer(name):
    check_map_layer(build_without_weights(name, aux=True))


@pytest.mark.parametrize("name", POOLED)
def test_gradcam_equals_hirescam_before_global_pooling(name):
    keras.utils.set_random_seed(0)
    row = cnnzoo.info(name).row
    size = min(128, row.input_shape[0])
    model = cnnzoo.get(shallow(row), image_size=size, classes=5)
    photos = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), "uint8")
    ((first,), (second,)) = (cnnzoo.explain(model, photos, method=m, target=2) for m in ("gradcam", "hirescam"))
    assert np.ptp(first.raw) > 0
    assert np.abs(first.raw - second.raw).max() <= 1e-5 * np.ptp(first.raw)
