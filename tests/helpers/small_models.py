"""Small variants of published networks, with the layers and layouts of the large ones."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import cnnzoo
from cnnzoo import registry

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


@contextmanager
def small_models_registered() -> Iterator[None]:
    """Register small variants, such as small_resnet18, and remove them at the end."""
    before = dict(registry._registered)
    for name in ("resnet18", "resnet50", "resnet50_v1", "resnet50_v2", "resnet20"):
        cnnzoo.register(f"small_{name}", shrink_resnet(name))
    cnnzoo.register("small_resnet34", shrink_resnet("resnet34", depth=2))
    yield
    registry._registered.clear()
    registry._registered.update(before)
