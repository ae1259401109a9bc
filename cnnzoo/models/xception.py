"""Xception (Chollet 2016): depthwise separable convolutions in place of Inception modules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnzoo.core.lazy import Lazy
from cnnzoo.core.types import Preprocessing
from cnnzoo.models.variant import Variant

if TYPE_CHECKING:
    import keras

    from cnnzoo.models import blocks
else:
    keras = Lazy("keras")
    blocks = Lazy("cnnzoo.models.blocks")


@dataclass(frozen=True, kw_only=True)
class Xception(Variant):
    """Entry, middle and exit flow: figure 5 of the paper."""

    epsilon: float = field(default=1e-3, metadata={"says": "of batch norm"})
    # As in torch; Keras' own "same" pads at the bottom right first.
    symmetric_padding: bool = field(default=False, metadata={"says": "strided pools pad all sides equally"})
    input_shape: tuple[int, int, int] = (299, 299, 3)
    preprocessing: Preprocessing = "tf"
    min_size: int = 7
    paper: str = "Chollet 2016, Xception: Deep learning with depthwise separable convolutions, arXiv:1610.02357"

    def features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect the layers from images (B, H, W, C) to maps (B, about H/32, about W/32, 2048)."""
        for i, (filters, strides) in enumerate(((32, 2), (64, 1)), 1):
            x = blocks.conv(x, filters, 3, strides, padding="valid", name=f"block1_conv{i}")
            x = blocks.norm(x, epsilon=self.epsilon, name=f"block1_conv{i}_bn")
        x = self.block(x, (128, 128), "block2", strides=2, activate=False)
        x = self.block(x, (256, 256), "block3", strides=2)
        x = self.block(x, (728, 728), "block4", strides=2)
        for i in range(5, 13):
            x = self.block(x, (728, 728, 728), f"block{i}")
        x = self.block(x, (728, 1024), "block13", strides=2)
        for i, filters in enumerate((1536, 2048), 1):
            x = self.separable(x, filters, f"block14_sepconv{i}")
            x = keras.layers.Activation("relu", name=f"block14_sepconv{i}_act")(x)
        return x

    def block(
        self, x: keras.KerasTensor, widths: tuple[int, ...], name: str, strides: int = 1, activate: bool = True
    ) -> keras.KerasTensor:
        """Connect separable convolutions, each after a ReLU, and the shortcut around them."""
        y = x
        for i, filters in enumerate(widths, 1):
            if activate or i > 1:
                y = keras.layers.Activation("relu", name=f"{name}_sepconv{i}_act")(y)
            y = self.separable(y, filters, f"{name}_sepconv{i}")
        if strides > 1:
            y = blocks.max_pool(y, padding="infinite" if self.symmetric_padding else "keras", name=f"{name}_pool")
            x = blocks.conv(x, y.shape[-1], 1, strides, name=f"{name}_shortcut")
            x = blocks.norm(x, epsilon=self.epsilon, activation=None, name=f"{name}_shortcut_bn")
        return keras.layers.Add(name=f"{name}_add")([y, x])

    def separable(self, x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """Connect a depthwise separable convolution and its batch norm."""
        initializers = {"depthwise_initializer": "he_uniform", "pointwise_initializer": "he_uniform"}
        x = keras.layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name, **initializers)(x)
        return blocks.norm(x, epsilon=self.epsilon, activation=None, name=f"{name}_bn")

    def head(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect the layers from maps (B, h, w, 2048) to logits (B, classes)."""
        x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
        return keras.layers.Dense(classes, name="fc")(x)


VARIANTS = {
    "xception": Xception(params=22_855_952, macs=8_357_403_496),
    "xception_timm": Xception(params=22_855_952, macs=8_357_403_496, epsilon=1e-5, symmetric_padding=True),
}
