"""Augmentation policies: named lists of Keras' preprocessing layers, drawn from a seed and nothing else."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.lazy import Lazy

keras, np = Lazy("keras"), Lazy("numpy")

MIN_CROP_SIDE = 64  # pixels of a side, below which a random crop is a shift: He et al. 2015, section 4.2
GROUPS_PER_BATCH = 8  # of a batch; each draws operations of its own


def _no_layers() -> list[Any]:
    return []


@dataclass(frozen=True)
class Policy:
    """What happens to the images of a training batch; the parts of a name like "rand+mixup" add up."""

    # Least and greatest share of the area of a random crop, which half of the images see in a mirror. Cut from the file
    # as it is decoded: Keras' layers for both take longer than the decoding
    area: tuple[float, float] | None = None
    shift: float = 1 / 8  # of the side, each way, in the place of a crop where images are small
    layers: Callable[[], list[Any]] = _no_layers  # that every image passes, in order
    choices: Callable[[], list[Any]] = _no_layers  # of which every group of images passes a few
    drawn: int = 0  # how many
    mixes: Callable[[], list[Any]] = _no_layers  # one of these mixes the images of a batch, and their labels


def _rand_augment_layers(strength: float) -> list[Any]:
    """RandAugment's operations (Cubuk et al. 2019, arXiv:1909.13719, table 6), each up to `strength` of its range."""
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


CROP_AREA = (0.08, 1.0)  # Szegedy et al. 2014, section 6
POLICIES = {
    "none": Policy(),
    # up to a sixteenth of the side each way, black moving in: for digits, which no flip leaves alone
    "shift": Policy(layers=lambda: [keras.layers.RandomTranslation(1 / 16, 1 / 16, fill_mode="constant", seed=0)]),
    "gentle": Policy(
        (0.35, 1.0), 1 / 16
    ),  # crops that keep the object, for trainings too short to see all of every image
    "basic": Policy(CROP_AREA),
    # Müller and Hutter 2021, arXiv:2103.10158: one operation, of any strength
    "trivial": Policy(CROP_AREA, choices=lambda: _rand_augment_layers(0.9), drawn=1),
    "rand": Policy(CROP_AREA, choices=lambda: _rand_augment_layers(0.3), drawn=2),
    # a quarter of the images; Zhong et al. 2017, arXiv:1708.04896
    "erase": Policy(layers=lambda: [keras.layers.RandomErasing(0.25, fill_value=128.0, seed=0)]),
    "mixup": Policy(mixes=lambda: [keras.layers.MixUp(0.2, seed=0)]),  # Zhang et al. 2017, arXiv:1710.09412
    "cutmix": Policy(mixes=lambda: [keras.layers.CutMix(1.0, seed=0)]),  # Yun et al. 2019, arXiv:1905.04899
}


def parse_policy(policy: str) -> list[Policy]:
    """The rows of a name like "basic" or "rand+mixup+cutmix"; raises InputError for one that is unknown."""
    if not isinstance(policy, str):
        raise InputError(f"An augmentation is a name, like basic or rand+mixup. Received: {policy!r:.200}")
    for name in policy.split("+"):
        if name not in POLICIES:
            raise unknown_name("augmentation", name, POLICIES)
    return [POLICIES[name] for name in policy.split("+")]


class Augmentation:
    """A policy at work on batches of one size. Not for several threads at once."""

    def __init__(self, policy: str, size: tuple[int, int]) -> None:
        rows = parse_policy(policy)
        area, most = next(((row.area, row.shift) for row in rows if row.area), (None, 0.0))
        small = min(size) < MIN_CROP_SIDE
        self.area = None if small else area  # of crops that are yet to be made, from the original images
        self.shift = most if small else 0.0
        self.layers = [layer for row in rows for layer in row.layers()]
        self.choices = [(row.choices(), row.drawn) for row in rows if row.drawn]
        self.mixes = [layer for row in rows for layer in row.mixes()]

    def __bool__(self) -> bool:
        """Whether there is anything to do once images are cropped or shifted."""
        return bool(self.layers or self.choices or self.mixes)

    def __call__(self, images: Any, labels: Any, draw: Any) -> tuple[Any, Any]:
        """Images (N, H, W, C) of 0 to 255, float32, and one-hot labels (N, classes), augmented by a numpy generator."""
        for layer in self.layers:
            images = _apply_layer(layer, images, draw)
        for layers, drawn in self.choices:
            images = np.concatenate([self._some(layers, drawn, group, draw) for group in _split_into_groups(images)])
        if self.mixes and len(images) > 1:
            layer = self.mixes[draw.integers(len(self.mixes))]
            mixed = _apply_layer(layer, {"images": images, "labels": labels}, draw)
            images, labels = mixed["images"], mixed["labels"]
        return images, labels

    def _some(self, layers: list[Any], drawn: int, images: Any, draw: Any) -> Any:
        for i in draw.integers(len(layers), size=drawn):
            colour = isinstance(layers[i], keras.layers.RandomColorDegeneration)
            if images.shape[-1] == 3 or not colour:
                images = _apply_layer(layers[i], images, draw)
        return images


def random_shift_and_flip(images: Any, most: float, draw: Any) -> Any:
    """Images (N, H, W, C), each shifted by up to `most` of its sides, black moving in, and half of them in a mirror.

    By whole pixels: in between them images would be blurred, which those to be classified are not.
    """
    count, *sides = images.shape[:3]
    edges = [math.ceil(most * side) for side in sides]
    rows, columns = (
        edge + np.rint(draw.uniform(-most * side, most * side, count)).astype(int)
        for edge, side in zip(edges, sides, strict=True)
    )
    padded = np.pad(images, ((0, 0), *((edge, edge) for edge in edges), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(sides), axis=(1, 2))  # (N, ..., ..., C, H, W)
    moved = np.moveaxis(windows[np.arange(count), rows, columns], 1, -1)
    mirrored = draw.random(count) < 0.5
    moved[mirrored] = moved[mirrored, :, ::-1]
    return np.ascontiguousarray(moved)


def _split_into_groups(images: Any) -> list[Any]:
    return np.array_split(images, min(GROUPS_PER_BATCH, len(images)))


def _apply_layer(layer: Any, batch: Any, draw: Any) -> Any:
    """What a layer makes of a batch, its generator set from `draw`, so that nothing else decides."""
    if generator := getattr(layer, "generator", None):
        generator.state.assign(draw.integers(2**31, size=2))
    return keras.tree.map_structure(keras.ops.convert_to_numpy, layer(batch, training=True))
