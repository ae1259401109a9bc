"""The families: one file each, rows of variants and one graph."""

from collections.abc import Mapping

from cnnzoo.models import lenet, resnet
from cnnzoo.models.variant import Variant

FAMILIES: Mapping[str, Mapping[str, Variant]] = {"lenet": lenet.VARIANTS, "resnet": resnet.VARIANTS}

__all__ = ["FAMILIES", "Variant"]
