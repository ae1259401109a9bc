"""Every row of the registry has a layer to explain, and before global pooling Grad-CAM equals HiResCAM."""

import keras
import numpy as np
import pytest
from helpers.building import build_without_weights, narrow_dense_layers

import cnnzoo
from cnnzoo.surgery.maps import choose_map_layer, list_map_layers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("free_memory")]
LAST_BEFORE_POOL = {  # of networks that flatten
    "alexnet": "relu5",
    "alexnet_2012": "relu5",
    "lenet5": "c3",
    "lenet5_relu": "c3",
    "lenet5_1998": "s4",  # whose pool is trained and has the activation
    "lenet_caffe": "c3",
}
DEEPEST = ("resnet1202", "preresnet1001")  # the graphs of resnet110 and preresnet164 with more blocks: half the time
POOLED = ("resnet20_b", "resnet18d", "preresnet18", "googlenet_2014", "inception_v2", "xception")


@pytest.mark.parametrize("family", ["lenet", "alexnet", "vgg", "resnet", "inception"])
def test_every_row_has_a_layer(family):
    names = [name for name in cnnzoo.list_models(family=family) if name not in DEEPEST]
    for name in names:
        with narrow_dense_layers():
            model = build_without_weights(name, aux=bool(cnnzoo.info(name).row.aux_taps))
        layer = choose_map_layer(model)
        assert min(layer.size) >= 4, name
        assert layer.is_trunk, name
        assert layer.strides, name
        if name.startswith("vgg"):
            assert layer.name.startswith("relu5_"), name
        elif name in LAST_BEFORE_POOL:
            assert layer.name == LAST_BEFORE_POOL[name]
        else:  # the last maps of all, which are pooled next
            last = [other for other in list_map_layers(model) if max(other.size) > 1 and other.is_trunk][-1]
            assert layer.name == last.name, name


@pytest.mark.parametrize("name", POOLED)
def test_gradcam_equals_hirescam_before_global_pooling(name):
    keras.utils.set_random_seed(0)
    row = cnnzoo.info(name).row
    size = min(128, row.input_shape[0])
    model = cnnzoo.get(name, image_size=size, classes=5)
    photos = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), "uint8")
    ((first,), (second,)) = (cnnzoo.explain(model, photos, method=m, target=2) for m in ("gradcam", "hirescam"))
    assert np.ptp(first.raw) > 0
    assert np.abs(first.raw - second.raw).max() <= 1e-5 * np.ptp(first.raw)
