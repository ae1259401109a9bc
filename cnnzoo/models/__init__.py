"""The families: one file each, with a row per variant and one graph."""

from collections.abc import Mapping
from typing import Any

from cnnzoo.models import alexnet, inception, inception_v4, lenet, resnet, vgg, xception
from cnnzoo.models.variant import Variant

FAMILIES: Mapping[str, Mapping[str, Variant]] = {
    "lenet": lenet.VARIANTS,
    "alexnet": alexnet.VARIANTS,
    "vgg": vgg.VARIANTS,
    "resnet": resnet.VARIANTS,
    "inception": {**inception.VARIANTS, **inception_v4.VARIANTS, **xception.VARIANTS},
}


def __getattr__(name: str) -> Any:
    if any(name in variants for variants in FAMILIES.values()):
        raise AttributeError(f"cnnzoo.models has no functions for its models; cnnzoo.get({name!r}) builds this one")
    raise AttributeError(f"module 'cnnzoo.models' has no attribute {name!r}")


__all__ = ["FAMILIES", "Variant"]
