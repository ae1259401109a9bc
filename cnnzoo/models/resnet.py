"""Residual networks (He et al. 2015 and 2016) and their descendants: ResNeXt, Wide ResNet, ResNet-D."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnzoo.core.lazy import Lazy
from cnnzoo.models.variant import Fields, Variant

if TYPE_CHECKING:
    import keras

    from cnnzoo.models import blocks
else:
    keras = Lazy("keras")
    blocks = Lazy("cnnzoo.models.blocks")


@dataclass(frozen=True, kw_only=True)
class ResNet(Variant):
    """A stem, stages of residual blocks that halve the maps, a pooled head."""

    depths: tuple[int, ...] = field(metadata={"says": "number of blocks in each stage"})
    # The output of a bottleneck has four times `filters`.
    bottleneck: bool = field(default=True, metadata={"says": "1x1-3x3-1x1 blocks, else two 3x3"})
    # Each stage after the first doubles them.
    filters: int = field(default=64, metadata={"says": "maps of the stem"})
    width: int = field(default=64, metadata={"says": "filters of a block's 3x3 in the first stage, per group"})
    # ResNeXt's cardinality.
    groups: int = field(default=1, metadata={"says": "groups of a bottleneck's 3x3"})
    # "1x1" in the paper, "3x3" in torchvision.
    stride_in: str = field(default="3x3", metadata={"says": "the convolution of a bottleneck that has the stride"})
    # "7x7", then a pool; "deep", three 3x3 for the 7x7 (ResNet-D); or "3x3" without a pool (CIFAR).
    stem: str = field(default="7x7", metadata={"says": "layers before the blocks"})
    # "project"; "pad", the paper's option A; or "pool", which averages first (ResNet-D).
    shortcut: str = field(default="project", metadata={"says": "how shortcuts change the shape"})

    min_size: int = 1
    paper: str = "He et al. 2015, Deep residual learning for image recognition, arXiv:1512.03385"

    def features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect stem and stages: images (B, H, W, C) to maps (B, H/32, W/32, c), or (B, H/4, W/4, c) for CIFAR."""
        x = self.make_stem(x)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = self.block(x, stage, 2 if stage > 0 and i == 0 else 1, f"layer{stage + 1}_{i}")
        return x

    def make_stem(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect the first convolutions, and the pool if there is one."""
        if self.stem == "3x3":
            return blocks.conv_bn(x, self.filters, 3, name="conv1", bn="bn1")
        if self.stem == "7x7":
            x = blocks.conv_bn(x, self.filters, 7, 2, name="conv1", bn="bn1")
        else:
            for i, (filters, strides) in enumerate(((32, 2), (32, 1), (self.filters, 1)), 1):
                x = blocks.conv_bn(x, filters, 3, strides, name=f"conv1_{i}", bn=f"bn1_{i}")
        return blocks.max_pool(x, padding="same", name="maxpool")

    def block_convs(self, stage: int, strides: int) -> tuple[tuple[int, int, int, int], ...]:
        """Return the convolutions of a block, each as (filters, kernel size, strides, groups)."""
        inner = self.width * self.groups * 2**stage
        if not self.bottleneck:
            return (inner, 3, strides, 1), (inner, 3, 1, 1)
        first, second = (strides, 1) if self.stride_in == "1x1" else (1, strides)
        return (inner, 1, first, 1), (inner, 3, second, self.groups), (4 * self.filters * 2**stage, 1, 1, 1)

    def block(self, x: keras.KerasTensor, stage: int, strides: int, name: str) -> keras.KerasTensor:
        """Connect the convolutions of a block, and add the shortcut before the last activation."""
        y, convs = x, self.block_convs(stage, strides)
        for i, (filters, kernel_size, stride, groups) in enumerate(convs, 1):
            # The last gamma starts at zero, so that a fresh block is an identity (Goyal et al. 2017, section 5.1).
            last: Fields = {"activation": None, "gamma": "zeros"} if i == len(convs) else {}
            names: Fields = {"name": f"{name}_conv{i}", "bn": f"{name}_bn{i}"}
            y = blocks.conv_bn(y, filters, kernel_size, stride, groups=groups, **names, **last)
        shortcut = self.shortcut_branch(x, y.shape[-1], strides, f"{name}_shortcut")
        y = keras.layers.Add(name=f"{name}_add")([y, shortcut])
        return keras.layers.Activation("relu", name=f"{name}_relu")(y)

    def shortcut_branch(self, x: keras.KerasTensor, filters: int, strides: int, name: str) -> keras.KerasTensor:
        """Return the input of a block itself, or brought to another shape as `shortcut` says."""
        if strides == 1 and x.shape[-1] == filters:
            return x
        if self.shortcut == "pad":
            # Every second pixel, between maps of zeros.
            x = keras.layers.AveragePooling2D(1, strides, name=name)(x)
            # Under "channels_first" the layer pads the last axis, which is our channels, evenly on both sides.
            zeros = (filters - x.shape[-1]) // 2
            padding = ((0, 0), (zeros, zeros))
            return keras.layers.ZeroPadding2D(padding, data_format="channels_first", name=f"{name}_pad")(x)
        if self.shortcut == "pool" and strides > 1:
            x = keras.layers.AveragePooling2D(strides, padding="same", name=f"{name}_pool")(x)
            strides = 1
        return blocks.conv_bn(x, filters, 1, strides, name=name, bn=f"{name}_bn", activation=None)

    def head(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect the layers from maps (B, h, w, c) to logits (B, classes)."""
        x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
        return keras.layers.Dense(classes, name="fc")(x)


@dataclass(frozen=True, kw_only=True)
class PreResNet(ResNet):
    """Batch norm and activation before each convolution (He et al. 2016), the shortcut left clean."""

    # As in keras.applications, where some convolutions also have biases.
    stride_last: bool = field(
        default=False, metadata={"says": "the stride is in the last block of a stage, not the first"}
    )
    epsilon: float = field(default=1e-5, metadata={"says": "of batch norm"})
    paper: str = "He et al. 2016, Identity mappings in deep residual networks, arXiv:1603.05027"

    def features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect stem and stages: images (B, H, W, C) to maps (B, H/32, W/32, c), or (B, H/4, W/4, c) for CIFAR."""
        x = self.make_stem(x)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                strided = i == depth - 1 and stage < 3 if self.stride_last else i == 0 and stage > 0
                x = self.block(x, stage, 2 if strided else 1, f"layer{stage + 1}_{i}")
        return blocks.norm(x, epsilon=self.epsilon, name="postact_bn")

    def make_stem(self, x: keras.KerasTensor) -> keras.KerasTensor:
        if self.stem == "3x3":
            return blocks.conv(x, self.filters, 3, name="conv1")
        x = blocks.conv(x, self.filters, 7, 2, use_bias=self.stride_last, name="conv1")
        if not self.stride_last:
            x = blocks.norm(x, name="bn1")
        # As in keras.applications, zeros are padded although the values may be negative.
        return blocks.max_pool(x, padding="same", name="maxpool")

    def block(self, x: keras.KerasTensor, stage: int, strides: int, name: str) -> keras.KerasTensor:
        """Connect the convolutions of a block, and add the shortcut; a projection takes the activated input."""
        convs = self.block_convs(stage, strides)
        y = active = blocks.norm(x, epsilon=self.epsilon, name=f"{name}_bn1")
        for i, (filters, kernel_size, stride, groups) in enumerate(convs, 1):
            if i > 1:
                y = blocks.norm(y, epsilon=self.epsilon, name=f"{name}_bn{i}")
            use_bias = self.stride_last and i == len(convs)
            y = blocks.conv(y, filters, kernel_size, stride, groups=groups, use_bias=use_bias, name=f"{name}_conv{i}")
        if x.shape[-1] != y.shape[-1] or (strides > 1 and not self.stride_last):
            x = blocks.conv(active, y.shape[-1], 1, strides, use_bias=self.stride_last, name=f"{name}_shortcut")
        elif strides > 1:
            x = keras.layers.MaxPooling2D(1, strides, name=f"{name}_shortcut")(x)
        return keras.layers.Add(name=f"{name}_add")([y, x])


CIFAR: Fields = {"stem": "3x3", "filters": 16, "width": 16, "input_shape": (32, 32, 3), "classes": 10}  # section 4.2
CIFAR_BASIC: Fields = CIFAR | {"bottleneck": False}
RESNET_D: Fields = {"stem": "deep", "shortcut": "pool", "paper": "He et al. 2018, Bag of tricks, arXiv:1812.01187"}
KERAS_V2: Fields = {"stride_last": True, "epsilon": 1.001e-5, "preprocessing": "tf"}
RESNEXT: Fields = {"paper": "Xie et al. 2016, Aggregated residual transformations, arXiv:1611.05431"}
WIDE: Fields = {"paper": "Zagoruyko, Komodakis 2016, Wide residual networks, arXiv:1605.07146"}

VARIANTS = {
    "resnet18": ResNet(params=11_689_512, macs=1_814_073_344, depths=(2, 2, 2, 2), bottleneck=False),
    "resnet34": ResNet(params=21_797_672, macs=3_663_761_408, depths=(3, 4, 6, 3), bottleneck=False),
    "resnet50": ResNet(params=25_557_032, macs=4_089_184_256, depths=(3, 4, 6, 3)),
    "resnet101": ResNet(params=44_549_160, macs=7_801_405_440, depths=(3, 4, 23, 3)),
    "resnet152": ResNet(params=60_192_808, macs=11_513_626_624, depths=(3, 8, 36, 3)),
    "resnet200": ResNet(params=64_673_832, macs=15_007_481_856, depths=(3, 24, 36, 3)),
    "resnet50_v1": ResNet(params=25_557_032, macs=3_857_973_248, depths=(3, 4, 6, 3), stride_in="1x1"),
    "resnet101_v1": ResNet(params=44_549_160, macs=7_570_194_432, depths=(3, 4, 23, 3), stride_in="1x1"),
    "resnet152_v1": ResNet(params=60_192_808, macs=11_282_415_616, depths=(3, 8, 36, 3), stride_in="1x1"),
    "resnet18d": ResNet(params=11_708_744, macs=2_053_713_920, depths=(2, 2, 2, 2), bottleneck=False, **RESNET_D),
    "resnet34d": ResNet(params=21_816_904, macs=3_903_401_984, depths=(3, 4, 6, 3), bottleneck=False, **RESNET_D),
    "resnet50d": ResNet(params=25_576_264, macs=4_328_824_832, depths=(3, 4, 6, 3), **RESNET_D),
    "resnet101d": ResNet(params=44_568_392, macs=8_041_046_016, depths=(3, 4, 23, 3), **RESNET_D),
    "resnet152d": ResNet(params=60_212_040, macs=11_753_267_200, depths=(3, 8, 36, 3), **RESNET_D),
    "resnet200d": ResNet(params=64_693_064, macs=15_247_122_432, depths=(3, 24, 36, 3), **RESNET_D),
    "resnext50_32x4d": ResNet(
        params=25_028_904, macs=4_230_479_872, depths=(3, 4, 6, 3), groups=32, width=4, **RESNEXT
    ),
    "resnext101_32x4d": ResNet(
        params=44_177_704, macs=7_969_996_800, depths=(3, 4, 23, 3), groups=32, width=4, **RESNEXT
    ),
    "resnext101_32x8d": ResNet(
        params=88_791_336, macs=16_414_015_488, depths=(3, 4, 23, 3), groups=32, width=8, **RESNEXT
    ),
    "resnext101_64x4d": ResNet(
        params=83_455_272, macs=15_460_270_080, depths=(3, 4, 23, 3), groups=64, width=4, **RESNEXT
    ),
    "wide_resnet50_2": ResNet(params=68_883_240, macs=11_398_021_120, depths=(3, 4, 6, 3), width=128, **WIDE),
    "wide_resnet101_2": ResNet(params=126_886_696, macs=22_753_050_624, depths=(3, 4, 23, 3), width=128, **WIDE),
    "preresnet18": PreResNet(params=11_687_848, macs=1_814_073_344, depths=(2, 2, 2, 2), bottleneck=False),
    "preresnet34": PreResNet(params=21_796_008, macs=3_663_761_408, depths=(3, 4, 6, 3), bottleneck=False),
    "preresnet50": PreResNet(params=25_549_480, macs=4_089_184_256, depths=(3, 4, 6, 3)),
    "preresnet101": PreResNet(params=44_541_608, macs=7_801_405_440, depths=(3, 4, 23, 3)),
    "preresnet152": PreResNet(params=60_185_256, macs=11_513_626_624, depths=(3, 8, 36, 3)),
    "preresnet200": PreResNet(params=64_666_280, macs=15_007_481_856, depths=(3, 24, 36, 3)),
    "resnet50_v2": PreResNet(params=25_568_360, macs=3_482_255_360, depths=(3, 4, 6, 3), **KERAS_V2),
    "resnet101_v2": PreResNet(
        params=44_577_896, macs=7_194_476_544, depths=(3, 4, 23, 3), stride_last=True, preprocessing="tf"
    ),
    "resnet152_v2": PreResNet(
        params=60_236_904, macs=10_906_697_728, depths=(3, 8, 36, 3), stride_last=True, preprocessing="tf"
    ),
    "resnet20": ResNet(params=269_722, macs=40_551_040, depths=(3, 3, 3), shortcut="pad", **CIFAR_BASIC),
    "resnet32": ResNet(params=464_154, macs=68_862_592, depths=(5, 5, 5), shortcut="pad", **CIFAR_BASIC),
    "resnet44": ResNet(params=658_586, macs=97_174_144, depths=(7, 7, 7), shortcut="pad", **CIFAR_BASIC),
    "resnet56": ResNet(params=853_018, macs=125_485_696, depths=(9, 9, 9), shortcut="pad", **CIFAR_BASIC),
    "resnet110": ResNet(params=1_727_962, macs=252_887_680, depths=(18, 18, 18), shortcut="pad", **CIFAR_BASIC),
    "resnet1202": ResNet(params=19_421_274, macs=2_829_238_912, depths=(200, 200, 200), shortcut="pad", **CIFAR_BASIC),
    "resnet20_b": ResNet(params=272_474, macs=40_813_184, depths=(3, 3, 3), **CIFAR_BASIC),
    "resnet56_b": ResNet(params=855_770, macs=125_747_840, depths=(9, 9, 9), **CIFAR_BASIC),
    "resnet110_b": ResNet(params=1_730_714, macs=253_149_824, depths=(18, 18, 18), **CIFAR_BASIC),
    "preresnet164": PreResNet(params=1_703_258, macs=247_646_720, depths=(18, 18, 18), **CIFAR),
    "preresnet1001": PreResNet(params=10_327_706, macs=1_490_995_712, depths=(111, 111, 111), **CIFAR),
    "wrn16_10": PreResNet(
        params=17_116_634, macs=2_412_173_568, depths=(2, 2, 2), **CIFAR_BASIC | WIDE | {"width": 160}
    ),
    "wrn28_10": PreResNet(
        params=36_479_194, macs=5_243_328_768, depths=(4, 4, 4), **CIFAR_BASIC | WIDE | {"width": 160}
    ),
    "wrn40_8": PreResNet(
        params=35_748_314, macs=5_172_024_320, depths=(6, 6, 6), **CIFAR_BASIC | WIDE | {"width": 128}
    ),
}
