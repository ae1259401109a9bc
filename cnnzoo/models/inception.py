"""The Inception networks: GoogLeNet, BN-Inception and Inception v3; their residual kin is in inception_v4.py."""

from dataclasses import dataclass
from typing import NamedTuple

from cnnzoo.core.lazy import Lazy
from cnnzoo.models.variant import Fields, Variant

keras = Lazy("keras")
layers = Lazy("cnnzoo.layers")


class Conv(NamedTuple):
    """A convolution, followed by what the row has after each: batch norm or not, and a ReLU."""

    filters: int
    kernel_size: int | tuple[int, int] = 1
    strides: int = 1
    padding: str = "same"  # half the kernel on every side; or "valid"


class Pool(NamedTuple):
    """A pool: "max", "average", "counted" (an average that takes its padding for pixels) or "adaptive" (to a size)."""

    kind: str = "max"
    size: int = 3
    strides: int = 2
    padding: str = "valid"  # or "ceil"; pools that do not stride keep the size


class Module(NamedTuple):
    """Branches side by side, concatenated; in a residual module then projected, scaled and added to the input."""

    name: str
    branches: dict[str, tuple]  # by name: units one after the other; tuples of Conv fork, "norm" is Caffe's LRN
    scale: float | None = None  # of a residual module
    activation: str | None = "relu"  # after the sum


@dataclass(frozen=True, kw_only=True)
class Inception(Variant):
    """Modules one after the other, and a pooled head."""

    modules: tuple[Module, ...]
    batch_norm: bool = True
    use_bias: bool = False  # of the convolutions
    gamma: bool = True  # batch norm has one
    epsilon: float = 1e-3  # of batch norm
    units: int = 0  # of a dense layer before the last
    dropout: float = 0.2  # before the last layers
    aux_units: tuple = ()  # what such a head begins with
    aux_dense: int = 0  # units of its hidden layer; without one its maps are averaged

    input_shape: tuple[int, int, int] = (299, 299, 3)
    preprocessing: str | tuple = "tf"
    min_size: int = 75

    def features(self, x):
        """Images (B, H, W, C) to maps (B, h, w, C'), a 32nd of the side or a little less."""
        for module in self.modules:
            x = self.module(x, module)
        return x

    def module(self, x, module):
        """Branches side by side, and around them the shortcut where the module is residual."""
        name, branches, scale, activation = module
        ends = [self.branch(x, units, f"{name}_{label}" if label else name) for label, units in branches.items()]
        y = keras.layers.Concatenate(name=name)(ends) if len(ends) > 1 else ends[0]
        if scale is None:
            return y
        y = layers.conv(y, x.shape[-1], 1, use_bias=True, name=f"{name}_conv")
        y = keras.layers.Rescaling(scale, name=f"{name}_scale")(y)
        y = keras.layers.Add(name=f"{name}_add")([x, y])
        return keras.layers.Activation(activation, name=f"{name}_{activation}")(y) if activation else y

    def branch(self, x, units, name):
        """Units one after the other; convolutions are numbered where there are several."""
        several, number = sum(type(unit) in (Conv, tuple) for unit in units) > 1, 0
        for unit in units:
            if type(unit) in (Conv, tuple):
                number += 1
                title = f"{name}_{number}" if several else name
            if type(unit) is Conv:
                x = self.conv(x, unit, title)
            elif type(unit) is tuple:
                ends = [self.conv(x, conv, f"{title}{letter}") for conv, letter in zip(unit, "ab", strict=True)]
                x = keras.layers.Concatenate(name=title)(ends)
            elif unit == "norm":  # Caffe divides alpha, 1e-4, by the window
                x = layers.LocalResponseNorm(size=5, alpha=1e-4 / 5, beta=0.75, k=1.0, name=f"{name}_norm")(x)
            else:
                x = self.pool(x, unit, f"{name}_pool" if len(units) > 1 else name)
        return x

    def conv(self, x, conv, name):
        x = layers.conv(x, *conv[:3], padding=conv.padding, use_bias=self.use_bias, name=name)
        if self.batch_norm:
            return layers.norm(x, epsilon=self.epsilon, scale=self.gamma, name=f"{name}_bn")
        return keras.layers.Activation("relu", name=f"{name}_relu")(x)

    def pool(self, x, pool, name):
        kind, size, strides, padding = pool
        if kind == "max":
            return layers.max_pool(x, size, strides, padding=padding, name=name)
        if kind == "adaptive":
            return keras.layers.AdaptiveAveragePooling2D(size, name=name)(x)
        return layers.average_pool(x, size, strides, counted=kind == "counted", name=name)

    def head(self, x, classes):
        """Maps (B, h, w, C) to logits (B, classes)."""
        x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
        x = keras.layers.Dropout(self.dropout, name="dropout")(x)
        if self.units:
            x = keras.layers.Dense(self.units, use_bias=False, name="fc1")(x)
            x = layers.norm(x, epsilon=self.epsilon, activation=None, name="fc1_bn")
        return keras.layers.Dense(classes, name="fc")(x)

    def aux(self, x, classes, name):
        """Maps of a tap to the logits of an auxiliary head (B, classes)."""
        x = self.branch(x, self.aux_units, f"{name}_conv")
        if not self.aux_dense:
            x = keras.layers.GlobalAveragePooling2D(name=f"{name}_avgpool")(x)
            return keras.layers.Dense(classes, name=f"{name}_fc")(x)
        x = keras.layers.Flatten(name=f"{name}_flatten")(x)
        x = keras.layers.Dense(self.aux_dense, activation="relu", name=f"{name}_fc1")(x)
        x = keras.layers.Dropout(0.7, name=f"{name}_dropout")(x)
        return keras.layers.Dense(classes, name=f"{name}_fc2")(x)


def single_branch(name, *units):
    """A module of one branch."""
    return Module(name, {"": units})


def numbered_branches(name, *branches, first=0, scale=None):
    """A module of branches without names."""
    return Module(name, {f"branch{i}": units for i, units in enumerate(branches, first)}, scale)


def named_branches(name, **branches):
    """A module of branches with the names that torchvision gives them."""
    return Module(name, branches)


CEIL_POOL = Pool("max", 3, 2, "ceil")


def googlenet_modules(*, large, last, norm=()):
    """Table 1 of Szegedy et al. 2014; `large` is the kernel of the third branches, `last` the fourth pool's size."""

    def mixed(name, one, reduce3, three, reduce5, five, pool):
        third, fourth = (Conv(reduce5), Conv(five, large)), (Pool("max", 3, 1), Conv(pool))
        return numbered_branches(
            f"inception{name}", (Conv(one),), (Conv(reduce3), Conv(three, 3)), third, fourth, first=1
        )

    return (
        single_branch("conv1", Conv(64, 7, 2), CEIL_POOL, *norm),
        single_branch("conv2", Conv(64)),
        single_branch("conv3", Conv(192, 3), *norm, CEIL_POOL),
        mixed("3a", 64, 96, 128, 16, 32, 32),
        mixed("3b", 128, 128, 192, 32, 96, 64),
        single_branch("maxpool3", CEIL_POOL),
        mixed("4a", 192, 96, 208, 16, 48, 64),
        mixed("4b", 160, 112, 224, 24, 64, 64),
        mixed("4c", 128, 128, 256, 24, 64, 64),
        mixed("4d", 112, 144, 288, 32, 64, 64),
        mixed("4e", 256, 160, 320, 32, 128, 128),
        single_branch("maxpool4", Pool("max", last, 2, "ceil")),
        mixed("5a", 256, 160, 320, 32, 128, 128),
        mixed("5b", 384, 192, 384, 48, 128, 128),
    )


def bn_inception_modules():
    """Ioffe, Szegedy 2015, figure 5: two 3x3 for the 5x5, and strided modules for two of the pools."""

    def mixed(name, one, reduce3, three, reduce33, double, pool, kind="counted"):
        third, fourth = (Conv(reduce33), Conv(double, 3), Conv(double, 3)), (Pool(kind, 3, 1), Conv(pool))
        return numbered_branches(
            f"inception{name}", (Conv(one),), (Conv(reduce3), Conv(three, 3)), third, fourth, first=1
        )

    def reduction(name, reduce3, three, reduce33, double):
        second = (Conv(reduce33), Conv(double, 3), Conv(double, 3, 2))
        return numbered_branches(f"inception{name}", (Conv(reduce3), Conv(three, 3, 2)), second, (CEIL_POOL,), first=1)

    return (
        single_branch("conv1", Conv(64, 7, 2), CEIL_POOL),
        single_branch("conv2", Conv(64)),
        single_branch("conv3", Conv(192, 3), CEIL_POOL),
        mixed("3a", 64, 64, 64, 64, 96, 32),
        mixed("3b", 64, 64, 96, 64, 96, 64),
        reduction("3c", 128, 160, 64, 96),
        mixed("4a", 224, 64, 96, 96, 128, 128),
        mixed("4b", 192, 96, 128, 96, 128, 128),
        mixed("4c", 160, 128, 160, 128, 160, 128),
        mixed("4d", 96, 128, 192, 160, 192, 128),
        reduction("4e", 128, 192, 192, 256),
        mixed("5a", 352, 192, 320, 160, 224, 128),
        mixed("5b", 352, 192, 320, 192, 224, 128, "max"),
    )


def inception_v3_modules(average):
    """Szegedy et al. 2015, Rethinking the Inception architecture, table 1; `average` is the kind of the pools."""
    pool, half = Pool(average, 3, 1), (2, "valid")

    def a(name, filters):
        return named_branches(
            name,
            branch1x1=(Conv(64),),
            branch5x5=(Conv(48), Conv(64, 5)),
            branch3x3dbl=(Conv(64), Conv(96, 3), Conv(96, 3)),
            branch_pool=(pool, Conv(filters)),
        )

    def c(name, filters):
        wide, tall = Conv(filters, (1, 7)), Conv(filters, (7, 1))
        return named_branches(
            name,
            branch1x1=(Conv(192),),
            branch7x7=(Conv(filters), wide, Conv(192, (7, 1))),
            branch7x7dbl=(Conv(filters), tall, wide, tall, Conv(192, (1, 7))),
            branch_pool=(pool, Conv(192)),
        )

    def e(name):
        fork = (Conv(384, (1, 3)), Conv(384, (3, 1)))
        return named_branches(
            name,
            branch1x1=(Conv(320),),
            branch3x3=(Conv(384), fork),
            branch3x3dbl=(Conv(448), Conv(384, 3), fork),
            branch_pool=(pool, Conv(192)),
        )

    return (
        single_branch("conv2d_1a_3x3", Conv(32, 3, *half)),
        single_branch("conv2d_2a_3x3", Conv(32, 3, 1, "valid")),
        single_branch("conv2d_2b_3x3", Conv(64, 3), Pool()),
        single_branch("conv2d_3b_1x1", Conv(80)),
        single_branch("conv2d_4a_3x3", Conv(192, 3, 1, "valid"), Pool()),
        *(a(name, filters) for name, filters in (("mixed_5b", 32), ("mixed_5c", 64), ("mixed_5d", 64))),
        named_branches(
            "mixed_6a",
            branch3x3=(Conv(384, 3, *half),),
            branch3x3dbl=(Conv(64), Conv(96, 3), Conv(96, 3, *half)),
            branch_pool=(Pool(),),
        ),
        *(c(f"mixed_6{i}", filters) for i, filters in zip("bcde", (128, 160, 160, 192), strict=True)),
        named_branches(
            "mixed_7a",
            branch3x3=(Conv(192), Conv(320, 3, *half)),
            branch7x7x3=(Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, *half)),
            branch_pool=(Pool(),),
        ),
        *map(e, ("mixed_7b", "mixed_7c")),
    )


INPUT_224: Fields = {"input_shape": (224, 224, 3), "min_size": 31}
GOOGLENET: Fields = INPUT_224 | {
    "aux_taps": ("inception4a", "inception4d"),
    "aux_dense": 1024,
    "paper": "Szegedy et al. 2014, Going deeper with convolutions, arXiv:1409.4842",
}
GOOGLENET_TORCHVISION: Fields = GOOGLENET | {  # batch norm, and by mistake 3x3 for 5x5: pytorch/vision#906
    "modules": googlenet_modules(large=3, last=2),
    "aux_units": (Pool("adaptive", 4), Conv(128)),
    "min_size": 15,
}
GOOGLENET_CAFFE: Fields = GOOGLENET | {
    "modules": googlenet_modules(large=5, last=3, norm=("norm",)),
    "aux_units": (Pool("average", 5, 3), Conv(128)),
    "preprocessing": "bvlc",
    "dropout": 0.4,
}
BN_INCEPTION: Fields = INPUT_224 | {
    "modules": bn_inception_modules(),
    "use_bias": True,
    "epsilon": 1e-5,
    "preprocessing": "torch",
}
INCEPTION_V3: Fields = {
    "dropout": 0.5,
    "aux_taps": ("mixed_6e",),
    "aux_units": (Pool("average", 5, 3), Conv(128), Conv(768, 5, 1, "valid")),
    "paper": "Szegedy et al. 2015, Rethinking the Inception architecture, arXiv:1512.00567",
}

VARIANTS = {
    "googlenet": Inception(params=6_624_904, macs=1_498_376_192, **GOOGLENET_TORCHVISION),
    "googlenet_2014": Inception(
        params=6_998_552, macs=1_582_671_872, batch_norm=False, use_bias=True, **GOOGLENET_CAFFE
    ),
    "inception_v2": Inception(
        params=11_295_240,
        macs=2_032_600_064,
        paper="Ioffe, Szegedy 2015, Batch normalization, arXiv:1502.03167",
        **BN_INCEPTION,
    ),
    "inception_v3": Inception(
        params=23_834_568, macs=5_713_216_096, modules=inception_v3_modules("counted"), **INCEPTION_V3
    ),
    "inception_v3_keras": Inception(
        params=23_817_352, macs=5_713_216_096, modules=inception_v3_modules("average"), gamma=False, **INCEPTION_V3
    ),
}
