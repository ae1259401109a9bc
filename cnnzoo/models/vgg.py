"""VGG (Simonyan, Zisserman 2014)."""

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
class VGG(Variant):
    """Five stages of 3x3 convolutions, each max-pooled, then three dense layers: table 1 of the paper."""

    depths: tuple[int, ...] = field(metadata={"says": "number of convolutions in each stage"})
    # Batch norm is not in the paper.
    batch_norm: bool = field(default=False, metadata={"says": "batch norm after each convolution"})
    # Configuration A-LRN, after conv1_1.
    lrn: bool = field(default=False, metadata={"says": "local response normalization"})
    # Configuration C.
    pointwise: bool = field(default=False, metadata={"says": "the third convolution of a stage is 1x1"})
    paper: str = "Simonyan, Zisserman 2014, Very deep convolutional networks, arXiv:1409.1556"

    def features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect the layers from images (B, H, W, C) to maps (B, H/32, W/32, 512)."""
        for stage, depth in enumerate(self.depths, 1):
            for i in range(1, depth + 1):
                kernel_size = 1 if self.pointwise and i == 3 else 3
                filters, name = min(64 * 2 ** (stage - 1), 512), f"{stage}_{i}"
                x = blocks.conv(x, filters, kernel_size, use_bias=True, name=f"conv{name}")
                if self.batch_norm:
                    x = blocks.norm(x, activation=None, name=f"bn{name}")
                x = keras.layers.Activation("relu", name=f"relu{name}")(x)
                if self.lrn and name == "1_1":
                    x = blocks.local_response_norm(x, name="norm1")
            x = blocks.max_pool(x, 2, name=f"pool{stage}")
        return x

    def head(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect the layers from maps (B, h, w, 512) to logits (B, classes)."""
        x = blocks.flatten(x, 7, name="flatten")
        for name in ("fc6", "fc7"):
            x = keras.layers.Dense(4096, activation="relu", kernel_initializer="he_uniform", name=name)(x)
            x = keras.layers.Dropout(0.5, name=f"{name}_drop")(x)
        return keras.layers.Dense(classes, name="fc8")(x)


VARIANTS = {
    "vgg11": VGG(params=132_863_336, macs=7_609_090_048, depths=(1, 1, 2, 2, 2)),
    "vgg11_bn": VGG(params=132_868_840, macs=7_609_090_048, depths=(1, 1, 2, 2, 2), batch_norm=True),
    "vgg11_lrn": VGG(params=132_863_336, macs=7_609_090_048, depths=(1, 1, 2, 2, 2), lrn=True),
    "vgg13": VGG(params=133_047_848, macs=11_308_466_176, depths=(2, 2, 2, 2, 2)),
    "vgg13_bn": VGG(params=133_053_736, macs=11_308_466_176, depths=(2, 2, 2, 2, 2), batch_norm=True),
    "vgg16": VGG(params=138_357_544, macs=15_470_264_320, depths=(2, 2, 3, 3, 3)),
    "vgg16_bn": VGG(params=138_365_992, macs=15_470_264_320, depths=(2, 2, 3, 3, 3), batch_norm=True),
    "vgg16_c": VGG(params=133_638_952, macs=11_770_888_192, depths=(2, 2, 3, 3, 3), pointwise=True),
    "vgg19": VGG(params=143_667_240, macs=19_632_062_464, depths=(2, 2, 4, 4, 4)),
    "vgg19_bn": VGG(params=143_678_248, macs=19_632_062_464, depths=(2, 2, 4, 4, 4), batch_norm=True),
}
