"""The names of augmentation policies and what each consists of, as data; `cnnzoo.data.augmentation` applies them."""

from dataclasses import dataclass

from cnnzoo.core.errors import InputError, unknown_name

CROP_AREA = (0.08, 1.0)  # Szegedy et al. 2014, section 6


@dataclass(frozen=True)
class Draw:
    """How the operations of `cnnzoo.data.operations` are drawn for an image.

    Args:
        count: number of operations, drawn with replacement.
        strength: the share of the range, or None for one of 31 equally probable levels.
        wide: whether the ranges are those of TrivialAugment (Wide) instead of RandAugment's.
    """

    count: int
    strength: float | None
    wide: bool


@dataclass(frozen=True)
class Policy:
    """The augmentation of training images; "rand+mixup" combines the parts of two policies.

    Args:
        area: least and greatest share of the area that a random crop covers; half of the crops are mirrored. The crop
            is cut while the file is decoded.
        shift: share of the side by which small images are shifted instead, in each direction.
        translation: share of the side by which images of any size are shifted, without a flip.
        draw: how the operations are drawn that an image passes.
        erases: whether rectangles of the images are erased.
        mix: how the images of a batch and their labels are mixed: "mixup", "cutmix" or "" for not at all.
    """

    area: tuple[float, float] | None = None
    shift: float = 1 / 8
    translation: float = 0.0
    draw: Draw | None = None
    erases: bool = False
    mix: str = ""


POLICIES = {
    "none": Policy(),
    # Digits change their meaning when flipped, so only translate: up to 1/16 of the side, padded with black
    "shift": Policy(translation=1 / 16),
    # Crops large enough to keep the object, for trainings of few epochs
    "gentle": Policy((0.35, 1.0), 1 / 16),
    "basic": Policy(CROP_AREA),
    # One operation of any strength: Müller and Hutter 2021, arXiv:2103.10158
    "trivial": Policy(CROP_AREA, draw=Draw(1, strength=None, wide=True)),
    # N = 2 operations of magnitude M = 9 of 30: Cubuk et al. 2019, arXiv:1909.13719, and torchvision's default
    "rand": Policy(CROP_AREA, draw=Draw(2, strength=9 / 30, wide=False)),
    # Zhong et al. 2017, arXiv:1708.04896
    "erase": Policy(erases=True),
    # Zhang et al. 2017, arXiv:1710.09412
    "mixup": Policy(mix="mixup"),
    # Yun et al. 2019, arXiv:1905.04899
    "cutmix": Policy(mix="cutmix"),
}


def parse_policy(policy: str) -> list[Policy]:
    """Return the rows of a name like "basic" or "rand+mixup+cutmix"; raises InputError if one is unknown."""
    if not isinstance(policy, str):
        raise InputError(f"An augmentation must be a name, such as basic or rand+mixup. Received: {policy!r:.200}")
    for name in policy.split("+"):
        if name not in POLICIES:
            raise unknown_name("augmentation", name, POLICIES)
    return [POLICIES[name] for name in policy.split("+")]
