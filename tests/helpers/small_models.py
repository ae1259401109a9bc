"""Small variants of published networks, with the layers and layouts of the large ones."""

import re
from dataclasses import replace

import cnnzoo

BLOCKS_AFTER_THE_FIRST = re.compile(
    r"layer\d\.[1-9]|conv\d_block([2-9]|\d\d)_"
)  # of torchvision; of keras.applications


def shrink_resnet(name, depth=1):
    """Return a row of the ResNet family with `depth` blocks per stage and an eighth of the channels."""
    row = cnnzoo.info(name).row
    return replace(row, depths=(depth,) * len(row.depths), filters=row.filters // 8, width=row.width // 8)


def shrink_checkpoint(golden):
    """Keep of `golden` what fits a row that `shrink_resnet` made with one block per stage; return `golden`."""
    shapes = {
        name: tuple(n // 8 if n % 8 == 0 and n != 1000 else n for n in shape)
        for name, shape in zip(golden.tensors, golden.shapes, strict=True)
        if not BLOCKS_AFTER_THE_FIRST.match(name)
    }
    golden.tensors, golden.shapes = list(shapes), list(shapes.values())
    return golden
