"""Load a published checkpoint by tag or by file, give it a new head, and convert it.

Usage: python examples/pretrained.py [NAME CHECKPOINT], for example: resnet20 resnet20-12fca82f.th. Without arguments it
uses weights that come with cnnzoo. To download weights, give a tag: cnnzoo.get("resnet50", weights="imagenet").
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import cnnzoo

name, checkpoint = sys.argv[1:] or ("lenet5", "mnist")
print(cnnzoo.info(name), end="\n\n")

# As published, with its head. The receipt lists what was loaded, and nothing is dropped silently.
model = cnnzoo.get(name, weights=checkpoint)
print("as published:", cnnzoo.card(model).receipt)

# With other classes, the last layer is new.
new_model = cnnzoo.get(name, weights=checkpoint, classes=["cat", "dog", "neither"])
print("a new head:", cnnzoo.card(new_model).receipt)

# Our own format: safetensors with layer names as keys, and the card inside.
folder = Path(tempfile.mkdtemp())
path = cnnzoo.save_weights(model, folder / f"{name}.safetensors")
converted = cnnzoo.get(name, weights=path)
images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]))
np.testing.assert_array_equal(np.asarray(converted(images)), np.asarray(model(images)))
print("converted:", path.name, path.stat().st_size, "bytes")
