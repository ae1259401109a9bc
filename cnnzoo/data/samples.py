"""Sample images of a data set with their labels, as `ImageData.show` and notebooks show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.tiles import Tile
from cnnzoo.data.photos import Photos
from cnnzoo.data.small_images import read_small
from cnnzoo.data.splits import Split

ImageData = Any  # `data.images` imports this file, so this file cannot import its class

AUGMENTED_SIZE = 224  # pixels, of photos that have no common size yet
SUMMARY_TILES = 10  # images in a summary


def sample_tiles(data: ImageData, split: str, count: int, seed: int) -> list[Tile]:
    """Return `count` random images of a split with their labels."""
    indices = np.random.default_rng(seed).permutation(len(data.splits[split]))[:count]
    return make_tiles(data.splits[split], indices, data.classes)


def sample_classes(data: ImageData, count: int = SUMMARY_TILES) -> list[Tile]:
    """Return `count` images, the first of each class, then the second of each, and so on."""
    split = next((split for split in data.splits.values() if len(split)), data.train)
    order = np.argsort(split.labels, kind="stable")
    labels = split.labels[order]
    rank_in_class = np.arange(len(labels)) - np.searchsorted(labels, labels)
    chosen = order[np.lexsort((labels, rank_in_class))][:count]
    return make_tiles(split, chosen[np.argsort(split.labels[chosen], kind="stable")], data.classes)


def make_tiles(split: Split, indices: Iterable[int], classes: Sequence[str]) -> list[Tile]:
    """Return images of a split with their class names; an image that cannot be read has its reason."""
    tiles = []
    for i in indices:
        caption = (classes[split.labels[i]],)
        try:
            tiles.append(Tile(load_sample(split.images, int(i)), caption))
        except (InputError, OSError) as error:  # a file that was removed since
            tiles.append(Tile(None, caption, problem=str(error)))
    return tiles


def load_sample(images: np.ndarray | Photos, i: int) -> np.ndarray:
    """Return image `i` (H, W, C); photos that have no common size yet come upright and small."""
    if not isinstance(images, Photos) or images.transform is not None:
        return np.asarray(images[i])
    return read_small(images.photos[i].path_or_bytes(), images.channels, images.levels)


def augmented_tiles(data: ImageData, split: str, count: int, seed: int, augment: str) -> list[Tile]:
    """Return `count` images as a training with this augmentation sees them, with their labels."""
    if data.has_photos and data.transform is None:
        sizing = replace(data.sizing, cache="none")
        shape = (AUGMENTED_SIZE, AUGMENTED_SIZE, data.splits[split].images.shape[-1])
        data = replace(data, sizing=sizing).resize_to(shape, pad=0)
    images, labels = data.batches(split, count, seed, augment)[0][:2]
    pixels = np.asarray(images)
    return [
        Tile(image, describe_label(label, data.classes))
        for image, label in zip(pixels, np.asarray(labels), strict=True)
    ]


def describe_label(label: np.ndarray, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the class name of a label (classes,), or the two largest shares of a label that mixes classes."""
    shares = [(share, classes[i]) for i, share in enumerate(label) if share > 0.005]
    if len(shares) == 1:
        return (shares[0][1],)
    return tuple(f"{100 * share:.0f} % {name}" for share, name in sorted(shares, reverse=True)[:2])
