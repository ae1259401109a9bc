"""The families: one file each, with a row per variant and one graph."""

from collections.abc import Mapping

from cnnzoo.models import alexnet, inception, inception_v4, lenet, resnet, vgg, xception
from cnnzoo.models.variant import Variant

FAMILIES: Mapping[str, Mapping[str, Variant]] = {
    "lenet": lenet.VARIANTS,
    "alexnet": alexnet.VARIANTS,
    "vgg": vgg.VARIANTS,
    "resnet": resnet.VARIANTS,
    "inception": {**inception.VARIANTS, **inception_v4.VARIANTS, **xception.VARIANTS},
}

__all__ = ["FAMILIES", "Variant"]
