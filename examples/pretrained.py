"""A published checkpoint, by tag or by file, and what can be made of it: a look, a new head, a conversion.

Usage: python examples/pretrained.py [NAME CHECKPOINT], say resnet20 resnet20-12fca82f.th; without them it takes the
weights that cnnzoo ships. For weights that are fetched, give a tag: cnnzoo.get("resnet50", weights="imagenet").
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import cnnzoo

name, checkpoint = sys.argv[1:] or ("lenet5", "mnist")
print(cnnzoo.info(name), end="\n\n")

# the head too, as published; nothing is dropped or left over in silence
model = cnnzoo.get(name, weights=checkpoint)
print("as published:", cnnzoo.card(model).receipt)

# for one's own classes: all layers but the last
mine = cnnzoo.get(name, weights=checkpoint, classes=["cat", "dog", "neither"])
print("a new head:", cnnzoo.card(mine).receipt)

# our own format: safetensors, keyed by layer names, with the card inside
folder = Path(tempfile.mkdtemp())
path = cnnzoo.save_weights(model, folder / f"{name}.safetensors")
again = cnnzoo.get(name, weights=path)
images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:]))
np.testing.assert_array_equal(np.asarray(again(images)), np.asarray(model(images)))
print("converted:", path.name, path.stat().st_size, "bytes")
