"""The batches of cnnzoo from photos that are kept in memory after the first epoch."""

from collections.abc import Iterator

from cnnzoo_batches import _iter_cached
from common import Options


def iter_batches(options: Options) -> Iterator[int]:
    """Yield the number of images of each batch, without end."""
    yield from _iter_cached(options, "memory")
