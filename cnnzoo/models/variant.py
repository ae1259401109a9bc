"""The fields that the rows of every family have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnzoo.core.types import Preprocessing

if TYPE_CHECKING:
    import keras

Fields = dict[str, Any]  # field values that several rows have in common


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One published network. A family is a subclass that adds what its papers vary, and builds the graph.

    Rows are plain data, so making one imports no Keras. Derive others with `dataclasses.replace`. A family adds
    fields with `field(metadata={"says": ...})`, a few words that `cnnzoo diff` prints.

    Attributes:
        params: the number of trainable parameters, at the row's own classes and input; the tests recount it.
        macs: multiply-adds of convolutions, dense layers and the RBF output, for one image; also recounted.
        input_shape: height, width and channels of the images.
        classes: the number of classes.
        preprocessing: a name from `cnnzoo.preprocessing.STATISTICS`, or a pair (mean, std) for pixels scaled to 0..1.
        min_size: the smallest height and width that the graph allows.
        paper: authors, year, title and arXiv identifier.
        aux_taps: the names of the layers that auxiliary heads branch off.

    Example:
        >>> from dataclasses import replace
        >>> row = replace(cnnzoo.info("lenet5").row, units=(60, 30))
        >>> cnnzoo.get(row).get_layer("c5").units
        60
    """

    params: int
    macs: int
    input_shape: tuple[int, int, int] = (224, 224, 3)
    classes: int = 1000
    preprocessing: Preprocessing = "torch"
    min_size: int = 32
    paper: str = ""
    aux_taps: tuple[str, ...] = ()

    def features(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Connect the layers from normalized images (B, H, W, C) to feature maps (B, h, w, c)."""
        raise TypeError(f"{type(self).__name__} must define features(self, x)")

    def head(self, x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
        """Connect the layers from feature maps (B, h, w, c) to logits (B, classes)."""
        raise TypeError(f"{type(self).__name__} must define head(self, x, classes)")

    def aux(self, x: keras.KerasTensor, classes: int, name: str) -> keras.KerasTensor:
        """Connect an auxiliary head: from the maps of a tap to logits (B, classes); its layers are named `name`_..."""
        raise TypeError(f"{type(self).__name__} must define aux(self, x, classes, name)")
