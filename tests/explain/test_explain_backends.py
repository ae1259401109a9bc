"""On JAX and torch the maps are those of TensorFlow."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers.paths import ROOT

import cnnzoo
from cnnzoo.explain.methods import METHODS

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
import numpy as np
import cnnzoo

images = np.load("images.npy")
model = cnnzoo.load("model.keras", "keras").model
found = {}
for method in sys.argv[1:]:
    for layer in (None, "early") if method == "layercam" else (None,):
        explanations = cnnzoo.explain(model, images, method=method, target=(1, 0), layer=layer)
        found[f"{method} {layer}"] = [explanation.raw for explanation in explanations]
np.savez("maps.npz", **found)
import keras
print(keras.backend.backend(), "tensorflow" in sys.modules)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_maps_are_those_of_tensorflow(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="early")(
        keras.layers.Rescaling(1 / 255)(inputs)
    )
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(6, 3, activation="relu")(x))
    x = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 1), "uint8")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)

    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *METHODS],
        env=os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == [backend, "False"]
    with np.load(tmp_path / "maps.npz") as maps:
        for name in maps.files:
            method, _, layer = name.partition(" ")
            layer = None if layer == "None" else layer
            expected = cnnzoo.explain(model, images, method=method, target=(1, 0), layer=layer)
            raw = np.stack([explanation.raw for explanation in expected])
            np.testing.assert_allclose(maps[name], raw, atol=1e-3 * np.ptp(raw), err_msg=name)
