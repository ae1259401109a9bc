"""LeNet-5 and its descendants (LeCun, Bottou, Bengio, Haffner 1998)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnzoo.core.lazy import Lazy
from cnnzoo.core.types import Preprocessing
from cnnzoo.models.variant import Variant

if TYPE_CHECKING:
    import keras
    import numpy as np

    from cnnzoo import layers as own_layers
else:
    keras = Lazy("keras")
    np = Lazy("numpy")
    own_layers = Lazy("cnnzoo.layers")

# Table I: for each of the 16 maps of C3, the maps of S2 that it is connected to.
C3_TABLE = (
    *(tuple((j + i) % 6 for i in range(3)) for j in range(6)),
    *(tuple((j + i) % 6 for i in range(4)) for j in range(6)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Figure 3: the stylized digits, each 7 wide and 12 high, that are the RBF centers.
DIGIT_BITMAPS = """\
.#####. ...##.. .#####. ####### .#####. .#####. ..####. ####### .#####. .#####.
....... ..###.. ....... .....## ....... ....... .##.... .....## ##...## ##..###
..###.. .####.. .#####. ....##. ....... ####### ##..... .....## ##...## ##...##
.##.##. ...##.. ##...## ...##.. .##..## ##..... ##..... ....##. ##...## ##...##
##...## ...##.. #....## ..####. .##..## ##..... ######. ...##.. .#####. ##..###
##...## ...##.. ....##. .....## ###..## .####.. ###..## ...##.. ##...## .######
##...## ...##.. ..###.. .....## ##...## ..####. ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## ##...## .....## ##...## ..##... ##...## .....##
.##.##. ...##.. ##..... ##...## ##..### ##...## ###..## ..##... ##...## ....##.
..###.. .###### ####### .#####. .###### .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... .....## ....... ....... ....... ....... .......
....... ....... ....... ....... .....## ....... ....... ....... ....... .......
"""


def rbf_codes(classes: int, width: int) -> np.ndarray:
    """Return the RBF centers (classes, width), of -1 and +1.

    They are the digits of figure 3 for ten classes of width 84, and drawn with a fixed seed for any other.
    """
    if (classes, width) == (10, 84):
        pixels = np.array([list(row.replace(" ", "")) for row in DIGIT_BITMAPS.splitlines()])  # (12, 70)
        return np.where(pixels.reshape(12, 10, 7).swapaxes(0, 1).reshape(10, 84) == "#", 1.0, -1.0)
    return np.random.default_rng(1998).choice([-1.0, 1.0], size=(classes, width))


@dataclass(frozen=True, kw_only=True)
class LeNet(Variant):
    """Two convolutions, each subsampled, then dense layers."""

    # Maps of C1 and C3.
    filters: tuple[int, int] = field(default=(6, 16), metadata={"says": "maps of the convolutions"})
    # C5 and F6.
    units: tuple[int, ...] = field(default=(120, 84), metadata={"says": "units of the dense layers before the last"})
    activation: str = field(default="tanh", metadata={"says": "the activation"})
    # Caffe's network has none.
    linear_convs: bool = field(default=False, metadata={"says": "no activation after convolutions"})
    # "average", "max", or "trainable", which is the subsampling of section II.B.
    pool: str = field(default="average", metadata={"says": "how maps are subsampled"})
    c3_table: tuple[tuple[int, ...], ...] | None = field(
        default=None, metadata={"says": "C3 is connected to only some of the maps of S2"}
    )
    rbf: bool = field(default=False, metadata={"says": "distances to fixed codes instead of a dense output"})

    input_shape: tuple[int, int, int] = (32, 32, 1)
    classes: int = 10
    preprocessing: Preprocessing = "unit"
    min_size: int = 16
    paper: str = "LeCun et al. 1998, Gradient-based learning applied to document recognition"

    @property
    def activation_fn(self) -> Any:
        """The activation as Keras takes it."""
        return own_layers.scaled_tanh if self.activation == "scaled_tanh" else self.activation

    def kernel_initializer(self, fan_in: int) -> Any:
        """Return the initializer: +-2.4 / fan-in for the scaled tanh (appendix A), else Keras' default."""
        if self.activation != "scaled_tanh":
            return "glorot_uniform"
        return keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)

    def subsample(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Halve the height and width of the maps."""
        if self.pool == "max":
            return keras.layers.MaxPooling2D(2, name=name)(x)
        if self.pool == "average":
            return keras.layers.AveragePooling2D(2, name=name)(x)
        # The paper multiplies the sum of the four inputs; here their mean takes a coefficient four times as large.
        x = keras.layers.AveragePooling2D(2, name=f"{name}_mean")(x)
        layer = keras.layers.DepthwiseConv2D(1, activation=self.activation_fn, depthwise_initializer="ones", name=name)
        return layer(x)

    def features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect C1, S2, C3 and S4: images (B, 32, 32, C) to maps (B, 5, 5, 16)."""
        c1, c3 = self.filters
        initializer = self.kernel_initializer(fan_in=25 * x.shape[-1])
        activation = None if self.linear_convs or self.pool == "trainable" else self.activation_fn
        x = keras.layers.Conv2D(c1, 5, activation=activation, kernel_initializer=initializer, name="c1")(x)
        x = self.subsample(x, "s2")
        if self.c3_table:
            x = own_layers.TableConv2D(self.c3_table, 5, activation=activation, name="c3")(x)
        else:
            x = keras.layers.Conv2D(c3, 5, activation=activation, name="c3")(x)
        return self.subsample(x, "s4")

    def head(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect C5, F6 and the output layer: maps (B, 5, 5, 16) to logits (B, classes)."""
        x = keras.layers.Flatten(name="flatten")(x)
        for units, name in zip(self.units, ("c5", "f6"), strict=False):
            initializer = self.kernel_initializer(fan_in=x.shape[-1])
            x = keras.layers.Dense(units, activation=self.activation_fn, kernel_initializer=initializer, name=name)(x)
        if self.rbf:
            return own_layers.RadialBasis(rbf_codes(classes, x.shape[-1]), name="output")(x)
        return keras.layers.Dense(classes, name="output")(x)


VARIANTS = {
    "lenet5": LeNet(params=61_706, macs=416_520),
    "lenet5_relu": LeNet(params=61_706, macs=416_520, activation="relu", pool="max"),
    "lenet5_1998": LeNet(
        params=60_000,
        macs=328_096,
        activation="scaled_tanh",
        pool="trainable",
        c3_table=C3_TABLE,
        rbf=True,
        preprocessing=((20 / 255,), (200 / 255,)),  # section II.B: the background is -0.1, the foreground 1.175
    ),
    "lenet_caffe": LeNet(
        params=431_080,
        macs=2_293_000,
        filters=(20, 50),
        units=(500,),
        activation="relu",
        linear_convs=True,
        pool="max",
        input_shape=(28, 28, 1),
        preprocessing=((0.0,), (256 / 255,)),  # Caffe scales by 1/256
        paper="Jia et al. 2014, Caffe, arXiv:1408.5093, its example for MNIST",
    ),
}
