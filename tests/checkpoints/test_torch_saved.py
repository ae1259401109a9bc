"""Files of torch.save, in either format, give the logits of PyTorch; tests/golden/torch_files.py writes them."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.golden import draw
from keras.ops import convert_to_numpy

import cnnzoo

NAMES = "alexnet", "vgg16_bn", "resnet18", "resnext50_32x4d", "googlenet", "inception_v3"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".th"])
@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_dict_gives_the_logits_of_pytorch(name, suffix):
    if not (folder := os.environ.get("CNNZOO_TORCH_FILES")):
        pytest.skip("needs the folder of tests/golden/torch_files.py, named by CNNZOO_TORCH_FILES")
    with np.load(Path(folder) / f"{name}.npz") as file:
        expected = file["logits"]
    model = cnnzoo.get(name, weights=Path(folder) / f"{name}{suffix}", preprocessing="none")
    logits = convert_to_numpy(model(draw.images(*model.input_shape[1:3])))
    error = (np.abs(logits - expected).max(axis=1) / np.abs(expected).max(axis=1)).max()
    print(f"{name}{suffix}: {error:.1e}")
    assert error <= 1e-4
    receipt = cnnzoo.card(model).receipt
    assert len(receipt.loaded) == len(model.weights)
    assert not receipt.initialized
