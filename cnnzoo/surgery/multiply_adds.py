"""How much a network computes, roughly: the multiply-adds of its convolutions and dense layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnzoo.surgery import walk

if TYPE_CHECKING:
    import keras


def estimate_multiply_adds(model: keras.Model) -> int:
    """Return about how many multiply-adds a model of images of a fixed size takes for one image.

    Example:
        >>> from cnnzoo.surgery.multiply_adds import estimate_multiply_adds
        >>> estimate_multiply_adds(cnnzoo.get("lenet5")), cnnzoo.info("lenet5").row.macs
        (416520, 416520)
    """
    total = 0
    for call in walk.list_calls(model):
        if walk.is_graph(call.layer):
            total += estimate_multiply_adds(call.layer)
        for weight in getattr(call.layer, "weights", ()) if not walk.is_graph(call.layer) else ():
            if len(weight.shape) > 1:  # a kernel, which meets every cell of the maps
                total += math.prod(weight.shape) * math.prod(side or 1 for side in call.shape[1:-1])
    return total
