"""Residual networks: He et al. 2015 and 2016, and what grew of them (ResNeXt, Wide ResNet, ResNet-D)."""

from dataclasses import dataclass

from cnnzoo.core.lazy import Lazy
from cnnzoo.models.variant import Fields, Variant

keras = Lazy("keras")
layers = Lazy("cnnzoo.layers")


@dataclass(frozen=True, kw_only=True)
class ResNet(Variant):
    """A stem, stages of residual blocks that halve the maps, a pooled head."""

    depths: tuple[int, ...]  # residual blocks in each stage
    bottleneck: bool = True  # 1x1-3x3-1x1 block, its output four times `filters`; else two 3x3
    filters: int = 64  # of the stem; each stage after the first doubles them
    width: int = 64  # filters of a block's 3x3 in the first stage, per group
    groups: int = 1  # of a bottleneck's 3x3: ResNeXt's cardinality
    strided: int = 2  # bottleneck convolution that strides: 1 in the paper, 2 in torchvision
    stem: str = "7x7"  # pooled after; or "deep", three 3x3 for the 7x7 (ResNet-D); or "3x3", not pooled (CIFAR)
    shortcut: str = "project"  # where shapes change; "pad" is the paper's option A, "pool" averages first (ResNet-D)

    min_size: int = 1
    paper: str = "He et al. 2015, Deep residual learning for image recognition, arXiv:1512.03385"

    def features(self, x):
        """Images (B, H, W, C) to maps (B, H/32, W/32, C'), sides rounded up; a quarter of them for CIFAR."""
        x = self.stem_of(x)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                x = self.block(x, stage, 2 if stage > 0 and i == 0 else 1, f"layer{stage + 1}_{i}")
        return x

    def stem_of(self, x):
        """The first convolution, and the pool where there is one."""
        if self.stem == "3x3":
            return layers.conv_bn(x, self.filters, 3, name="conv1", bn="bn1")
        if self.stem == "7x7":
            x = layers.conv_bn(x, self.filters, 7, 2, name="conv1", bn="bn1")
        else:
            for i, (filters, strides) in enumerate(((32, 2), (32, 1), (self.filters, 1)), 1):
                x = layers.conv_bn(x, filters, 3, strides, name=f"conv1_{i}", bn=f"bn1_{i}")
        return layers.max_pool(x, padding="same", name="maxpool")

    def plan(self, stage, strides):
        """A block's convolutions as (filters, kernel size, strides, groups)."""
        inner = self.width * self.groups * 2**stage
        if not self.bottleneck:
            return (inner, 3, strides, 1), (inner, 3, 1, 1)
        first, second = (strides, 1) if self.strided == 1 else (1, strides)
        return (inner, 1, first, 1), (inner, 3, second, self.groups), (4 * self.filters * 2**stage, 1, 1, 1)

    def block(self, x, stage, strides, name):
        """The convolutions around the shortcut, activated after their sum."""
        y, plan = x, self.plan(stage, strides)
        for i, (filters, kernel_size, stride, groups) in enumerate(plan, 1):
            end = {"activation": None, "gamma": "zeros"} if i == len(plan) else {}  # Goyal et al. 2017, section 5.1
            names = {"name": f"{name}_conv{i}", "bn": f"{name}_bn{i}"}
            y = layers.conv_bn(y, filters, kernel_size, stride, groups=groups, **names, **end)
        y = keras.layers.Add(name=f"{name}_add")([y, self.bypass(x, y.shape[-1], strides, f"{name}_shortcut")])
        return keras.layers.Activation("relu", name=f"{name}_relu")(y)

    def bypass(self, x, filters, strides, name):
        """The identity where the shape stays; else what `shortcut` says."""
        if strides == 1 and x.shape[-1] == filters:
            return x
        if self.shortcut == "pad":  # every second pixel, between zero maps
            x = keras.layers.AveragePooling2D(1, strides, name=name)(x)
            # Told that channels come first, the layer pads the last axis: channels here, split evenly on both sides.
            zeros = (filters - x.shape[-1]) // 2
            padding = ((0, 0), (zeros, zeros))
            return keras.layers.ZeroPadding2D(padding, data_format="channels_first", name=f"{name}_pad")(x)
        if self.shortcut == "pool" and strides > 1:
            x = keras.layers.AveragePooling2D(strides, padding="same", name=f"{name}_pool")(x)
            strides = 1
        return layers.conv_bn(x, filters, 1, strides, name=name, bn=f"{name}_bn", activation=None)

    def head(self, x, classes):
        """Maps (B, H, W, C) to logits (B, classes)."""
        x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
        return keras.layers.Dense(classes, name="fc")(x)


@dataclass(frozen=True, kw_only=True)
class PreResNet(ResNet):
    """Batch norm and activation before each convolution (He et al. 2016), the shortcut left clean."""

    late: bool = False  # keras.applications: a stage strides in its last block, and some convolutions have biases
    epsilon: float = 1e-5  # of batch norm
    paper: str = "He et al. 2016, Identity mappings in deep residual networks, arXiv:1603.05027"

    def features(self, x):
        """Images (B, H, W, C) to maps (B, H/32, W/32, C'), sides rounded up; a quarter of them for CIFAR."""
        x = self.stem_of(x)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                strides = i == depth - 1 and stage < 3 if self.late else i == 0 and stage > 0
                x = self.block(x, stage, 2 if strides else 1, f"layer{stage + 1}_{i}")
        return layers.norm(x, epsilon=self.epsilon, name="postact_bn")

    def stem_of(self, x):
        if self.stem == "3x3":
            return layers.conv(x, self.filters, 3, name="conv1")
        x = layers.conv(x, self.filters, 7, 2, use_bias=self.late, name="conv1")
        if not self.late:
            x = layers.norm(x, name="bn1")
        return layers.max_pool(x, padding="same", name="maxpool")  # of negative values too, in keras.applications

    def block(self, x, stage, strides, name):
        """The convolutions beside the shortcut; a shortcut that projects sees the activated input."""
        plan = self.plan(stage, strides)
        y = active = layers.norm(x, epsilon=self.epsilon, name=f"{name}_bn1")
        for i, (filters, kernel_size, stride, groups) in enumerate(plan, 1):
            if i > 1:
                y = layers.norm(y, epsilon=self.epsilon, name=f"{name}_bn{i}")
            biased = self.late and i == len(plan)
            y = layers.conv(y, filters, kernel_size, stride, groups=groups, use_bias=biased, name=f"{name}_conv{i}")
        if x.shape[-1] != y.shape[-1] or (strides > 1 and not self.late):
            x = layers.conv(active, y.shape[-1], 1, strides, use_bias=self.late, name=f"{name}_shortcut")
        elif strides > 1:
            x = keras.layers.MaxPooling2D(1, strides, name=f"{name}_shortcut")(x)
        return keras.layers.Add(name=f"{name}_add")([y, x])


CIFAR: Fields = {"stem": "3x3", "filters": 16, "width": 16, "input_shape": (32, 32, 3), "classes": 10}  # section 4.2
CIFAR_BASIC: Fields = CIFAR | {"bottleneck": False}
RESNET_D: Fields = {"stem": "deep", "shortcut": "pool", "paper": "He et al. 2018, Bag of tricks, arXiv:1812.01187"}
KERAS_V2: Fields = {"late": True, "epsilon": 1.001e-5, "preprocessing": "tf"}
RESNEXT: Fields = {"paper": "Xie et al. 2016, Aggregated residual transformations, arXiv:1611.05431"}
WIDE: Fields = {"paper": "Zagoruyko, Komodakis 2016, Wide residual networks, arXiv:1605.07146"}

VARIANTS = {
    "resnet18": ResNet(params=11_689_512, macs=1_814_073_344, depths=(2, 2, 2, 2), bottleneck=False),
    "resnet34": ResNet(params=21_797_672, macs=3_663_761_408, depths=(3, 4, 6, 3), bottleneck=False),
    "resnet50": ResNet(params=25_557_032, macs=4_089_184_256, depths=(3, 4, 6, 3)),
    "resnet101": ResNet(params=44_549_160, macs=7_801_405_440, depths=(3, 4, 23, 3)),
    "resnet152": ResNet(params=60_192_808, macs=11_513_626_624, depths=(3, 8, 36, 3)),
    "resnet200": ResNet(params=64_673_832, macs=15_007_481_856, depths=(3, 24, 36, 3)),
    "resnet50_v1": ResNet(params=25_557_032, macs=3_857_973_248, depths=(3, 4, 6, 3), strided=1),
    "resnet101_v1": ResNet(params=44_549_160, macs=7_570_194_432, depths=(3, 4, 23, 3), strided=1),
    "resnet152_v1": ResNet(params=60_192_808, macs=11_282_415_616, depths=(3, 8, 36, 3), strided=1),
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
        params=44_577_896, macs=7_194_476_544, depths=(3, 4, 23, 3), late=True, preprocessing="tf"
    ),
    "resnet152_v2": PreResNet(
        params=60_236_904, macs=10_906_697_728, depths=(3, 8, 36, 3), late=True, preprocessing="tf"
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
