"""AlexNet: the network of 2012 and its one-column descendant (Krizhevsky 2014), which torchvision publishes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnzoo.core.lazy import Lazy
from cnnzoo.models.variant import Variant

if TYPE_CHECKING:
    import keras

    from cnnzoo.models import blocks
else:
    keras = Lazy("keras")
    blocks = Lazy("cnnzoo.models.blocks")


@dataclass(frozen=True, kw_only=True)
class AlexNet(Variant):
    """Five convolutions, three max-pooled, then three dense layers."""

    filters: tuple[int, ...] = field(metadata={"says": "maps of the convolutions"})
    # Section 3.2: two GPUs held the halves of these convolutions.
    groups: tuple[int, ...] = field(default=(1, 1, 1, 1, 1), metadata={"says": "groups of the convolutions"})
    padding: int = field(default=2, metadata={"says": "pixels around the image"})
    # Section 3.3, after conv1 and conv2.
    lrn: bool = field(default=False, metadata={"says": "local response normalization"})
    min_size: int = 63
    paper: str = "Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997"

    def features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect the layers from images (B, 224, 224, C) to maps (B, 6, 6, 256)."""
        if self.padding:
            x = keras.layers.ZeroPadding2D(self.padding, name="conv1_pad")(x)
        for i, (filters, groups) in enumerate(zip(self.filters, self.groups, strict=True), 1):
            kernel_size, strides, padding = ((11, 4, "valid"), (5, 1, "same"), (3, 1, "same"))[min(i, 3) - 1]
            x = blocks.conv(
                x, filters, kernel_size, strides, padding=padding, groups=groups, use_bias=True, name=f"conv{i}"
            )
            x = keras.layers.Activation("relu", name=f"relu{i}")(x)
            if self.lrn and i < 3:
                x = blocks.local_response_norm(x, name=f"norm{i}")
            if i in (1, 2, 5):
                x = blocks.max_pool(x, name=f"pool{i}")
        return x

    def head(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect the layers from maps to logits (B, classes); dropout comes after pool5 and fc6, as in the paper."""
        x = blocks.flatten(x, 6, name="flatten")
        for name in ("fc6", "fc7"):
            x = keras.layers.Dropout(0.5, name=f"{name}_drop")(x)
            x = keras.layers.Dense(4096, activation="relu", kernel_initializer="he_uniform", name=name)(x)
        return keras.layers.Dense(classes, name="fc8")(x)


VARIANTS = {
    "alexnet": AlexNet(params=61_100_840, macs=714_188_480, filters=(64, 192, 384, 256, 256)),
    "alexnet_2012": AlexNet(
        params=60_965_224,
        macs=724_406_816,
        filters=(96, 256, 384, 384, 256),
        groups=(1, 2, 1, 2, 2),
        padding=0,
        lrn=True,
        input_shape=(227, 227, 3),  # The paper says 224, but its 55x55 maps need 227.
        min_size=67,
        paper="Krizhevsky, Sutskever, Hinton 2012, ImageNet classification with deep convolutional neural networks",
    ),
}
