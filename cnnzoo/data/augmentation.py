"""Augmentation policies: named lists of Keras' preprocessing layers, drawn from a seed and nothing else."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.lazy import Lazy

if TYPE_CHECKING:
    import keras
    import numpy as np
else:
    keras, np = Lazy("keras"), Lazy("numpy")

MIN_CROP_SIDE = 64  # pixels; smaller images are shifted instead of cropped, as in He et al. 2015, section 4.2
GROUPS_PER_BATCH = 8  # each draws its own operations
CROP_AREA = (0.08, 1.0)  # Szegedy et al. 2014, section 6


def _no_layers() -> list["keras.Layer"]:
    return []


@dataclass(frozen=True)
class Policy:
    """The augmentation of a training batch; "rand+mixup" combines the parts of two policies.

    Args:
        area: least and greatest share of the area that a random crop covers; half of the crops are mirrored. The crop
            is cut while the file is decoded, which is faster than Keras' layers for cropping and resizing.
        shift: share of the side by which small images are shifted instead, in each direction.
        layers: makes the layers that every image passes, in order.
        choices: makes the layers of which each group of images passes `drawn`.
        drawn: number of `choices` that are drawn.
        mixes: makes the layers of which one mixes the images of a batch, and their labels.
    """

    area: tuple[float, float] | None = None
    shift: float = 1 / 8
    layers: Callable[[], list["keras.Layer"]] = _no_layers
    choices: Callable[[], list["keras.Layer"]] = _no_layers
    drawn: int = 0
    mixes: Callable[[], list["keras.Layer"]] = _no_layers


def _rand_augment_layers(strength: float) -> list["keras.Layer"]:
    """Return RandAugment's operations (Cubuk et al. 2019, arXiv:1909.13719, table 6) up to a share of their range."""
    layers = keras.layers
    return [
        layers.Identity(),
        layers.AutoContrast(),
        layers.Equalization(),
        layers.RandomRotation(strength * 135 / 360, fill_mode="constant", fill_value=128.0, seed=0),
        layers.Solarization(threshold_factor=strength, seed=0),
        layers.RandomColorDegeneration(strength, seed=0),
        layers.RandomPosterization(8 - round(6 * strength), seed=0),
        layers.RandomContrast(min(strength, 0.99), seed=0),
        layers.RandomBrightness(min(strength, 0.99), seed=0),
        layers.RandomSharpness(strength, seed=0),
        layers.RandomShear(strength, 0.0, fill_mode="constant", fill_value=128.0, seed=0),
        layers.RandomShear(0.0, strength, fill_mode="constant", fill_value=128.0, seed=0),
        layers.RandomTranslation(0.0, strength / 3, fill_mode="constant", fill_value=128.0, seed=0),
        layers.RandomTranslation(strength / 3, 0.0, fill_mode="constant", fill_value=128.0, seed=0),
    ]


POLICIES = {
    "none": Policy(),
    # Digits change their meaning when flipped, so only translate: up to 1/16 of the side, padded with black
    "shift": Policy(layers=lambda: [keras.layers.RandomTranslation(1 / 16, 1 / 16, fill_mode="constant", seed=0)]),
    # Crops large enough to keep the object, for trainings of few epochs
    "gentle": Policy((0.35, 1.0), 1 / 16),
    "basic": Policy(CROP_AREA),
    # One operation of any strength: Müller and Hutter 2021, arXiv:2103.10158
    "trivial": Policy(CROP_AREA, choices=lambda: _rand_augment_layers(0.9), drawn=1),
    "rand": Policy(CROP_AREA, choices=lambda: _rand_augment_layers(0.3), drawn=2),
    # A rectangle in a quarter of the images: Zhong et al. 2017, arXiv:1708.04896
    "erase": Policy(layers=lambda: [keras.layers.RandomErasing(0.25, fill_value=128.0, seed=0)]),
    # Zhang et al. 2017, arXiv:1710.09412
    "mixup": Policy(mixes=lambda: [keras.layers.MixUp(0.2, seed=0)]),
    # Yun et al. 2019, arXiv:1905.04899
    "cutmix": Policy(mixes=lambda: [keras.layers.CutMix(1.0, seed=0)]),
}


def parse_policy(policy: str) -> list[Policy]:
    """Return the rows of a name like "basic" or "rand+mixup+cutmix"; raises InputError if one is unknown."""
    if not isinstance(policy, str):
        raise InputError(f"An augmentation must be a name, such as basic or rand+mixup. Received: {policy!r:.200}")
    for name in policy.split("+"):
        if name not in POLICIES:
            raise unknown_name("augmentation", name, POLICIES)
    return [POLICIES[name] for name in policy.split("+")]


class Augmentation:
    """A policy applied to batches of one image size. Not thread-safe.

    Attributes:
        area: least and greatest area of the random crops that the caller takes from the original images, or None.
        shift: share of the side by which the caller shifts small images instead.
    """

    def __init__(self, policy: str, size: tuple[int, int]) -> None:
        rows = parse_policy(policy)
        area, shift = next(((row.area, row.shift) for row in rows if row.area), (None, 0.0))
        small = min(size) < MIN_CROP_SIDE
        self.area = None if small else area
        self.shift = shift if small else 0.0
        self.layers = [layer for row in rows for layer in row.layers()]
        self.choices = [(row.choices(), row.drawn) for row in rows if row.drawn]
        self.mixes = [layer for row in rows for layer in row.mixes()]

    def __bool__(self) -> bool:
        """Return whether there is anything to do after cropping and shifting."""
        return bool(self.layers or self.choices or self.mixes)

    def __call__(
        self, images: "np.ndarray", labels: "np.ndarray", rng: "np.random.Generator"
    ) -> tuple["np.ndarray", "np.ndarray"]:
        """Augment images (N, H, W, C), float32 of 0 to 255, and one-hot labels (N, classes)."""
        for layer in self.layers:
            images = _apply_layer(layer, images, rng)
        for layers, drawn in self.choices:
            groups = _split_into_groups(images)
            images = np.concatenate([self._apply_drawn(layers, drawn, group, rng) for group in groups])
        if self.mixes and len(images) > 1:
            layer = self.mixes[rng.integers(len(self.mixes))]
            mixed = _apply_layer(layer, {"images": images, "labels": labels}, rng)
            images, labels = mixed["images"], mixed["labels"]
        return images, labels

    def _apply_drawn(
        self, layers: list["keras.Layer"], drawn: int, images: "np.ndarray", rng: "np.random.Generator"
    ) -> "np.ndarray":
        """Apply `drawn` random layers, one after the other, to a group of images; gray images keep their colors."""
        for i in rng.integers(len(layers), size=drawn):
            needs_color = isinstance(layers[i], keras.layers.RandomColorDegeneration)
            if images.shape[-1] == 3 or not needs_color:
                images = _apply_layer(layers[i], images, rng)
        return images


def random_shift_and_flip(images: "np.ndarray", max_shift: float, rng: "np.random.Generator") -> "np.ndarray":
    """Shift each image (N, H, W, C) at random, padding with black, and mirror half of them.

    Shifts are whole pixels: fractions of a pixel would blur the training images, and test images are not blurred.

    Args:
        images: images of any type.
        max_shift: largest shift in each direction, as a share of the side.
        rng: the source of randomness.
    """
    count, *sides = images.shape[:3]
    margins = [math.ceil(max_shift * side) for side in sides]
    rows, columns = (
        margin + np.rint(rng.uniform(-max_shift * side, max_shift * side, count)).astype(int)
        for margin, side in zip(margins, sides, strict=True)
    )
    padded = np.pad(images, ((0, 0), *((margin, margin) for margin in margins), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(sides), axis=(1, 2))  # (N, ..., ..., C, H, W)
    shifted = np.moveaxis(windows[np.arange(count), rows, columns], 1, -1)
    mirrored = rng.random(count) < 0.5
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return np.ascontiguousarray(shifted)


def _split_into_groups(images: "np.ndarray") -> list["np.ndarray"]:
    return np.array_split(images, min(GROUPS_PER_BATCH, len(images)))


def _apply_layer(layer: "keras.Layer", batch: Any, rng: "np.random.Generator") -> Any:
    """Call a layer on a batch, with its random state drawn from `rng`, so that nothing else decides."""
    if generator := getattr(layer, "generator", None):
        generator.state.assign(rng.integers(2**31, size=2))
    return keras.tree.map_structure(keras.ops.convert_to_numpy, layer(batch, training=True))
