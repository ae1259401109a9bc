"""Feature maps at strides 4 to 32, as detection and segmentation need them, from any network."""

import numpy as np

import cnnzoo
from cnnzoo.surgery.features import feature_layer_names

model = cnnzoo.get("resnet18", input_shape=(None, None, 3))  # weights="imagenet" gives trained features
pyramid = cnnzoo.feature_extractor(model, levels=(2, 3, 4, 5))
layer_names = feature_layer_names(model)

photo = np.random.default_rng(0).integers(0, 256, (1, 192, 256, 3), "uint8")
for level, feature_maps in pyramid(photo).items():
    print(f"{level}: {layer_names[int(level[-1])]:16} {tuple(feature_maps.shape)}")
