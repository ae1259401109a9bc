"""GoogLeNet, BN-Inception and Inception v3; Inception v4 and the residual networks are in inception_v4.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from cnnzoo.core.lazy import Lazy
from cnnzoo.core.types import Preprocessing
from cnnzoo.models.variant import Fields, Variant

if TYPE_CHECKING:
    import keras

    from cnnzoo.models import blocks
else:
    keras = Lazy("keras")
    blocks = Lazy("cnnzoo.models.blocks")


class Conv(NamedTuple):
    """A convolution, followed by batch norm, if the row has it, and a ReLU."""

    filters: int
    kernel_size: int | tuple[int, int] = 1
    strides: int = 1
    padding: str = "same"  # half the kernel on every side; or "valid"


class Pool(NamedTuple):
    """A pool: "max", "average", "average_with_padding" (whose zeros count as pixels) or "adaptive" (to `size`)."""

    kind: str = "max"
    size: int = 3
    strides: int = 2
    padding: str = "valid"  # or "ceil"; pools without strides keep the size


# A step of a branch. Two convolutions in a tuple fork the branch; "norm" is Caffe's local response normalization.
Unit = Conv | Pool | tuple[Conv, Conv] | str
Branch = tuple[Unit, ...]


class Module(NamedTuple):
    """Parallel branches, concatenated. A residual module then projects, scales and adds them to its input."""

    name: str
    branches: dict[str, Branch]  # by name, "" for the only one
    scale: float | None = None  # of a residual module
    activation: str | None = "relu"  # after the sum


@dataclass(frozen=True, kw_only=True)
class Inception(Variant):
    """Modules one after the other, and a pooled head."""

    modules: tuple[Module, ...] = field(metadata={"says": "the modules; see the layers below"})
    batch_norm: bool = field(default=True, metadata={"says": "batch norm after each convolution"})
    use_bias: bool = field(default=False, metadata={"says": "convolutions have biases"})
    gamma: bool = field(default=True, metadata={"says": "batch norm has a gamma"})
    epsilon: float = field(default=1e-3, metadata={"says": "epsilon of batch norm"})
    # 0 for no such layer.
    units: int = field(default=0, metadata={"says": "units of the dense layers before the last"})
    dropout: float = field(default=0.2, metadata={"says": "the rate of dropout"})
    aux_units: Branch = field(default=(), metadata={"says": "first layers of an auxiliary head"})
    # 0 for no hidden layer; the maps are then averaged.
    aux_dense: int = field(default=0, metadata={"says": "units of an auxiliary head's hidden layer"})

    input_shape: tuple[int, int, int] = (299, 299, 3)
    preprocessing: Preprocessing = "tf"
    min_size: int = 75

    def features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect the modules: images (B, H, W, C) to maps (B, h, w, c), of H/32 and W/32 or a little less."""
        for module in self.modules:
            x = self.module(x, module)
        return x

    def module(self, x: keras.KerasTensor, module: Module) -> keras.KerasTensor:
        """Connect parallel branches and, in a residual module, the shortcut around them."""
        name, branches, scale, activation = module
        outputs = [self.branch(x, units, f"{name}_{label}" if label else name) for label, units in branches.items()]
        y = keras.layers.Concatenate(name=name)(outputs) if len(outputs) > 1 else outputs[0]
        if scale is None:
            return y
        y = blocks.conv(y, x.shape[-1], 1, use_bias=True, name=f"{name}_conv")
        y = keras.layers.Rescaling(scale, name=f"{name}_scale")(y)
        y = keras.layers.Add(name=f"{name}_add")([x, y])
        return keras.layers.Activation(activation, name=f"{name}_{activation}")(y) if activation else y

    def branch(self, x: keras.KerasTensor, units: Branch, name: str) -> keras.KerasTensor:
        """Connect units one after the other; several convolutions are numbered."""
        numbered, number = sum(not isinstance(unit, Pool | str) for unit in units) > 1, 0
        for unit in units:
            if isinstance(unit, Pool):
                x = self.pool(x, unit, f"{name}_pool" if len(units) > 1 else name)
            elif isinstance(unit, str):  # Caffe divides alpha, 1e-4, by the window
                x = blocks.local_response_norm(x, alpha=1e-4 / 5, k=1.0, name=f"{name}_norm")
            else:
                number += 1
                conv_name = f"{name}_{number}" if numbered else name
                if isinstance(unit, Conv):
                    x = self.conv(x, unit, conv_name)
                else:
                    fork = [self.conv(x, conv, f"{conv_name}{ab}") for conv, ab in zip(unit, "ab", strict=True)]
                    x = keras.layers.Concatenate(name=conv_name)(fork)
        return x

    def conv(self, x: keras.KerasTensor, conv: Conv, name: str) -> keras.KerasTensor:
        """Connect a convolution and what follows each."""
        x = blocks.conv(x, *conv[:3], padding=conv.padding, use_bias=self.use_bias, name=name)
        if self.batch_norm:
            return blocks.norm(x, epsilon=self.epsilon, scale=self.gamma, name=f"{name}_bn")
        return keras.layers.Activation("relu", name=f"{name}_relu")(x)

    def pool(self, x: keras.KerasTensor, pool: Pool, name: str) -> keras.KerasTensor:
        """Connect a pool."""
        kind, size, strides, padding = pool
        if kind == "max":
            return blocks.max_pool(x, size, strides, padding=padding, name=name)
        if kind == "adaptive":
            return keras.layers.AdaptiveAveragePooling2D(size, name=name)(x)
        return blocks.average_pool(x, size, strides, count_padding=kind == "average_with_padding", name=name)

    def head(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect the layers from maps (B, h, w, c) to logits (B, classes)."""
        x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
        x = keras.layers.Dropout(self.dropout, name="dropout")(x)
        if self.units:
            x = keras.layers.Dense(self.units, use_bias=False, name="fc1")(x)
            x = blocks.norm(x, epsilon=self.epsilon, activation=None, name="fc1_bn")
        return keras.layers.Dense(classes, name="fc")(x)

    def aux(self, x: keras.KerasTensor, classes: int, name: str) -> keras.KerasTensor:
        """Connect an auxiliary head: maps of a tap to logits (B, classes)."""
        x = self.branch(x, self.aux_units, f"{name}_conv")
        if not self.aux_dense:
            x = keras.layers.GlobalAveragePooling2D(name=f"{name}_avgpool")(x)
            return keras.layers.Dense(classes, name=f"{name}_fc")(x)
        x = keras.layers.Flatten(name=f"{name}_flatten")(x)
        x = keras.layers.Dense(self.aux_dense, activation="relu", name=f"{name}_fc1")(x)
        x = keras.layers.Dropout(0.7, name=f"{name}_dropout")(x)
        return keras.layers.Dense(classes, name=f"{name}_fc2")(x)


def single_branch(name: str, *units: Unit) -> Module:
    """Return a module of one branch."""
    return Module(name, {"": units})


def numbered_branches(name: str, *branches: Branch, first: int = 0, scale: float | None = None) -> Module:
    """Return a module whose branches are called branch0, branch1, ..., or start at another number."""
    return Module(name, {f"branch{i}": units for i, units in enumerate(branches, first)}, scale)


def named_branches(name: str, **branches: Branch) -> Module:
    """Return a module whose branches have the names that torchvision gives them."""
    return Module(name, branches)


CEIL_POOL = Pool("max", 3, 2, "ceil")


def googlenet_modules(*, large_kernel: int, last_pool: int, norm: Branch = ()) -> tuple[Module, ...]:
    """Return the modules of table 1 of Szegedy et al. 2014.

    `large_kernel` is the kernel size of the third branches, `last_pool` the size of the last pool.
    """

    def mixed(name: str, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int) -> Module:
        third, fourth = (Conv(reduce5), Conv(five, large_kernel)), (Pool("max", 3, 1), Conv(pool))
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
        single_branch("maxpool4", Pool("max", last_pool, 2, "ceil")),
        mixed("5a", 256, 160, 320, 32, 128, 128),
        mixed("5b", 384, 192, 384, 48, 128, 128),
    )


def bn_inception_modules() -> tuple[Module, ...]:
    """Return figure 5 of Ioffe, Szegedy 2015: two 3x3 for each 5x5, and strided modules for two of the pools."""

    def mixed(
        name: str,
        one: int,
        reduce3: int,
        three: int,
        reduce33: int,
        double: int,
        pool: int,
        kind: str = "average_with_padding",
    ) -> Module:
        third, fourth = (Conv(reduce33), Conv(double, 3), Conv(double, 3)), (Pool(kind, 3, 1), Conv(pool))
        return numbered_branches(
            f"inception{name}", (Conv(one),), (Conv(reduce3), Conv(three, 3)), third, fourth, first=1
        )

    def reduction(name: str, reduce3: int, three: int, reduce33: int, double: int) -> Module:
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


def inception_v3_modules(average: str) -> tuple[Module, ...]:
    """Return table 1 of Szegedy et al. 2015, Rethinking the Inception architecture, with average pools of this kind."""
    pool = Pool(average, 3, 1)

    def module_35x35(name: str, filters: int) -> Module:
        return named_branches(
            name,
            branch1x1=(Conv(64),),
            branch5x5=(Conv(48), Conv(64, 5)),
            branch3x3dbl=(Conv(64), Conv(96, 3), Conv(96, 3)),
            branch_pool=(pool, Conv(filters)),
        )

    def module_17x17(name: str, filters: int) -> Module:
        wide, tall = Conv(filters, (1, 7)), Conv(filters, (7, 1))
        return named_branches(
            name,
            branch1x1=(Conv(192),),
            branch7x7=(Conv(filters), wide, Conv(192, (7, 1))),
            branch7x7dbl=(Conv(filters), tall, wide, tall, Conv(192, (1, 7))),
            branch_pool=(pool, Conv(192)),
        )

    def module_8x8(name: str) -> Module:
        fork = (Conv(384, (1, 3)), Conv(384, (3, 1)))
        return named_branches(
            name,
            branch1x1=(Conv(320),),
            branch3x3=(Conv(384), fork),
            branch3x3dbl=(Conv(448), Conv(384, 3), fork),
            branch_pool=(pool, Conv(192)),
        )

    return (
        single_branch("conv2d_1a_3x3", Conv(32, 3, 2, "valid")),
        single_branch("conv2d_2a_3x3", Conv(32, 3, 1, "valid")),
        single_branch("conv2d_2b_3x3", Conv(64, 3), Pool()),
        single_branch("conv2d_3b_1x1", Conv(80)),
        single_branch("conv2d_4a_3x3", Conv(192, 3, 1, "valid"), Pool()),
        *(module_35x35(f"mixed_5{i}", filters) for i, filters in zip("bcd", (32, 64, 64), strict=True)),
        named_branches(
            "mixed_6a",
            branch3x3=(Conv(384, 3, 2, "valid"),),
            branch3x3dbl=(Conv(64), Conv(96, 3), Conv(96, 3, 2, "valid")),
            branch_pool=(Pool(),),
        ),
        *(module_17x17(f"mixed_6{i}", filters) for i, filters in zip("bcde", (128, 160, 160, 192), strict=True)),
        named_branches(
            "mixed_7a",
            branch3x3=(Conv(192), Conv(320, 3, 2, "valid")),
            branch7x7x3=(Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2, "valid")),
            branch_pool=(Pool(),),
        ),
        *map(module_8x8, ("mixed_7b", "mixed_7c")),
    )


INPUT_224: Fields = {"input_shape": (224, 224, 3), "min_size": 31}
GOOGLENET: Fields = INPUT_224 | {
    "aux_taps": ("inception4a", "inception4d"),
    "aux_dense": 1024,
    "paper": "Szegedy et al. 2014, Going deeper with convolutions, arXiv:1409.4842",
}
GOOGLENET_TORCHVISION: Fields = GOOGLENET | {  # batch norm, and by mistake 3x3 for 5x5 (pytorch/vision#906)
    "modules": googlenet_modules(large_kernel=3, last_pool=2),
    "aux_units": (Pool("adaptive", 4), Conv(128)),
    "min_size": 15,
}
GOOGLENET_CAFFE: Fields = GOOGLENET | {
    "modules": googlenet_modules(large_kernel=5, last_pool=3, norm=("norm",)),
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
        params=23_834_568, macs=5_713_216_096, modules=inception_v3_modules("average_with_padding"), **INCEPTION_V3
    ),
    "inception_v3_keras": Inception(
        params=23_817_352, macs=5_713_216_096, modules=inception_v3_modules("average"), gamma=False, **INCEPTION_V3
    ),
}
