"""LeNet-5 and its descendants (LeCun, Bottou, Bengio, Haffner 1998)."""

from dataclasses import dataclass

from cnnzoo.core.lazy import Lazy
from cnnzoo.models.variant import Variant

keras = Lazy("keras")
layers = Lazy("cnnzoo.layers")
np = Lazy("numpy")

# Table I: the maps of S2 that each of the 16 maps of C3 sees.
C3_TABLE = (
    *(tuple((j + i) % 6 for i in range(3)) for j in range(6)),
    *(tuple((j + i) % 6 for i in range(4)) for j in range(6)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Figure 3: the stylised digits, each 7 wide and 12 high, that are the RBF centres.
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


def rbf_codes(classes: int, width: int):
    """The RBF centres, -1 or +1, (classes, width): Figure 3's digits for ten classes, else drawn from a fixed seed."""
    if (classes, width) == (10, 84):
        pixels = np.array([list(row.replace(" ", "")) for row in DIGIT_BITMAPS.splitlines()])  # (12, 70)
        return np.where(pixels.reshape(12, 10, 7).swapaxes(0, 1).reshape(10, 84) == "#", 1.0, -1.0)
    return np.random.default_rng(1998).choice([-1.0, 1.0], size=(classes, width))


@dataclass(frozen=True, kw_only=True)
class LeNet(Variant):
    """Two convolutions, each subsampled, then dense layers."""

    filters: tuple[int, int] = (6, 16)  # maps of C1 and C3
    units: tuple[int, ...] = (120, 84)  # C5 and F6
    activation: str = "tanh"
    linear: bool = False  # no activation after convolutions: Caffe's
    pool: str = "average"  # or "max", or "trainable": section II.B's subsampling
    c3_table: tuple[tuple[int, ...], ...] | None = None
    rbf: bool = False  # distances to fixed codes in place of a dense output

    input_shape: tuple[int, int, int] = (32, 32, 1)
    classes: int = 10
    preprocessing: str | tuple = "unit"
    min_size: int = 16
    paper: str = "LeCun et al. 1998, Gradient-based learning applied to document recognition"

    @property
    def squash(self):
        return layers.scaled_tanh if self.activation == "scaled_tanh" else self.activation

    def start(self, fan_in: int):
        """Initial weights: +-2.4 / fan-in goes with the scaled tanh (appendix A); the others use Keras' default."""
        if self.activation != "scaled_tanh":
            return "glorot_uniform"
        return keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)

    def subsample(self, x, name):
        if self.pool == "max":
            return keras.layers.MaxPooling2D(2, name=name)(x)
        if self.pool == "average":
            return keras.layers.AveragePooling2D(2, name=name)(x)
        # The paper adds the four inputs; here their mean meets a coefficient four times as large.
        x = keras.layers.AveragePooling2D(2, name=f"{name}_mean")(x)
        return keras.layers.DepthwiseConv2D(1, activation=self.squash, depthwise_initializer="ones", name=name)(x)

    def features(self, x):
        """Images (B, 32, 32, C) to maps (B, 5, 5, 16): C1, S2, C3, S4."""
        c1, c3 = self.filters
        fan_in = 25 * x.shape[-1]
        activation = None if self.linear or self.pool == "trainable" else self.squash
        x = keras.layers.Conv2D(c1, 5, activation=activation, kernel_initializer=self.start(fan_in), name="c1")(x)
        x = self.subsample(x, "s2")
        if self.c3_table:
            x = layers.TableConv2D(self.c3_table, 5, activation=activation, name="c3")(x)
        else:
            x = keras.layers.Conv2D(c3, 5, activation=activation, name="c3")(x)
        return self.subsample(x, "s4")

    def head(self, x, classes):
        """Maps (B, 5, 5, 16) to logits (B, classes): C5, F6 and the output layer."""
        x = keras.layers.Flatten(name="flatten")(x)
        for units, name in zip(self.units, ("c5", "f6"), strict=False):
            start = self.start(x.shape[-1])
            x = keras.layers.Dense(units, activation=self.squash, kernel_initializer=start, name=name)(x)
        if self.rbf:
            return layers.RadialBasis(rbf_codes(classes, x.shape[-1]), name="output")(x)
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
        preprocessing=((20 / 255,), (200 / 255,)),  # section II.B: background to -0.1, foreground to 1.175
    ),
    "lenet_caffe": LeNet(
        params=431_080,
        macs=2_293_000,
        filters=(20, 50),
        units=(500,),
        activation="relu",
        linear=True,
        pool="max",
        input_shape=(28, 28, 1),
        preprocessing=((0.0,), (256 / 255,)),  # Caffe's scale is 1/256
        paper="Jia et al. 2014, Caffe, arXiv:1408.5093, its example for MNIST",
    ),
}
