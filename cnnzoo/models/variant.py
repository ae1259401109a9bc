"""What every row of every family states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Fields = dict[str, Any]  # of a row: what several have in common
Statistics = tuple[Sequence[float], Sequence[float]]  # mean and std of pixels scaled to 0..1


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One published network; a family adds what its papers vary, and the graph.

    Rows are plain data: making one imports no Keras. Derive others with `dataclasses.replace`.
    """

    params: int  # trainable parameters at the row's own classes and input; the tests recount them
    macs: int  # multiply-adds of convolutions, dense layers and the like, recounted too
    input_shape: tuple[int, int, int] = (224, 224, 3)  # height, width, channels
    classes: int = 1000
    preprocessing: str | Statistics = "torch"  # see preprocessing.STATISTICS
    min_size: int = 32  # smallest height and width that the graph allows
    paper: str = ""
    aux_taps: tuple[str, ...] = ()  # layers that auxiliary heads branch off

    def features(self, x: Any) -> Any:
        """Normalised images (B, H, W, C) to feature maps (B, h, w, c)."""
        raise TypeError(f"{type(self).__name__} must define features(self, x)")

    def head(self, x: Any, classes: int) -> Any:
        """Feature maps (B, h, w, c) to logits (B, classes)."""
        raise TypeError(f"{type(self).__name__} must define head(self, x, classes)")

    def aux(self, x: Any, classes: int, name: str) -> Any:
        """Maps of a tap to the logits of an auxiliary head (B, classes), its layers named `name`_..."""
        raise TypeError(f"{type(self).__name__} must define aux(self, x, classes, name)")
