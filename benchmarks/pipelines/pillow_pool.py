"""A pool of processes that crop with Pillow and send the pixels through a pipe."""

import random
from collections.abc import Iterator
from itertools import cycle, islice
from multiprocessing import get_context

import numpy as np
from common import Options, list_images
from pillow_images import check_policy, load_image


def load(job: tuple[int, str, Options]) -> np.ndarray:
    """Load one image."""
    number, path, options = job
    return load_image(path, options, random.Random(number))


def iter_batches(options: Options) -> Iterator[int]:
    """Yield the number of images of each batch, without end."""
    check_policy(options)
    paths, _ = list_images(options.folder)
    random.Random(0).shuffle(paths)
    jobs = ((number, path, options) for number, path in enumerate(cycle(paths)))
    if options.workers == 0:
        images: Iterator[np.ndarray] = map(load, jobs)
    else:  # imap would read the endless jobs ahead without bound
        pool = get_context("spawn").Pool(max(options.workers, 1))
        images = (pixels for batch in _take(jobs, options) for pixels in pool.map(load, batch, chunksize=4))
    while True:
        yield len(np.stack(list(islice(images, options.batch_size))))


def _take(jobs: Iterator[tuple[int, str, Options]], options: Options) -> Iterator[list[tuple[int, str, Options]]]:
    while True:
        yield list(islice(jobs, 4 * options.batch_size))
