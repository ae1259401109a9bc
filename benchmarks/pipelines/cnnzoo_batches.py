"""The training and evaluation batches of cnnzoo."""

import inspect
from collections.abc import Iterator
from typing import Any

from common import Options


def iter_batches(options: Options) -> Iterator[int]:
    """Yield the number of images of each batch, without end."""
    yield from _iter_cached(options, "none")


def _iter_cached(options: Options, cache: str) -> Iterator[int]:
    import cnnzoo

    workers: dict[str, Any] = {}
    if "workers" in inspect.signature(cnnzoo.load_data).parameters:
        workers = {"workers": "auto" if options.workers < 0 else options.workers}
    data = cnnzoo.load_data(options.folder, image_size=options.size, doctor=False, cache=cache, **workers)
    seed = None if options.policy == "none" else 0
    batches = data.batches("train", options.batch_size, seed=seed, augment=options.policy)
    batches.advance = True  # every pass is another epoch
    while True:
        yield from (len(batch[0]) for batch in batches)
