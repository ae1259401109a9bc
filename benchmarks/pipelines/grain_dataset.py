"""Grain's MapDataset with worker processes; Grain has no image operations, so Pillow crops."""

import logging
import random
from collections.abc import Iterator
from functools import partial

import grain
import numpy as np
from common import Options, list_images
from pillow_images import check_policy, load_image

logging.disable(logging.WARNING)


def load(item: tuple[str, int], rng: np.random.Generator, options: Options) -> tuple[np.ndarray, int]:
    """Load one image and its label."""
    path, label = item
    return load_image(path, options, random.Random(int(rng.integers(2**63)))), label


def iter_batches(options: Options) -> Iterator[int]:
    """Yield the number of images of each batch, without end."""
    check_policy(options)
    items = list(zip(*list_images(options.folder), strict=True))
    dataset = grain.MapDataset.source(items).seed(0).shuffle().repeat()
    batches = dataset.random_map(partial(load, options=options)).batch(options.batch_size)
    workers = max(options.workers, 0)
    if workers == 0:
        iterator = batches.to_iter_dataset(grain.ReadOptions(16, 64))
    else:
        iterator = batches.to_iter_dataset(grain.ReadOptions(0, 0)).mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=4)
        )
    for images, _ in iterator:
        yield len(images)
