"""Predict in batches: one thread takes whatever images are waiting, and never waits for more."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

import numpy as np

from cnnzoo.core.errors import InputError

log = logging.getLogger(__name__)

Result = np.ndarray | Exception
Observe = Callable[[str, float], None]


class Item:
    """An image on its way: it is decoded, predicted with others, and its result is handed to the request.

    Attributes:
        source: the bytes of the image, or its pixels.
        future: gets the probabilities of the classes, or the error of this image.
        expires: when nobody waits for the result any more, as `time.monotonic` counts.
        pixels: the image at the size of the network.
    """

    __slots__ = ("expires", "future", "pixels", "source")

    def __init__(self, source: bytes | np.ndarray, future: asyncio.Future[Result], expires: float) -> None:
        self.source, self.future, self.expires = source, future, expires
        self.pixels = np.empty(0, "uint8")

    @property
    def is_wanted(self) -> bool:
        """Whether the request still waits for the result."""
        return not self.future.cancelled() and time.monotonic() < self.expires


class Batcher:
    """Decodes images in threads and predicts them in one thread of its own.

    An image that arrives while the network is idle is predicted at once. Images that arrive while it computes form the
    next batch, of at most `size` images.

    Attributes:
        size: the largest batch.
        waiting: number of images that were submitted and have no result yet.
    """

    def __init__(
        self,
        decode: Callable[[bytes | np.ndarray], np.ndarray],
        predict: Callable[[np.ndarray], np.ndarray],
        size: int,
        decoders: Executor,
        observe: Observe = lambda name, value: None,
    ) -> None:
        """Start the thread.

        Args:
            decode: returns the pixels of an image at the size of the network; raises InputError for what is no image.
            predict: returns the probabilities (N, classes) of a batch.
            size: the largest batch.
            decoders: runs `decode`.
            observe: is told the size of each batch, and the seconds that decoding and predicting took.
        """
        self.size, self.waiting = size, 0
        self._decode, self._predict, self._decoders, self._observe = decode, predict, decoders, observe
        self._decoded: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="cnnzoo-predict", daemon=True)
        self._thread.start()

    def submit(self, source: bytes | np.ndarray, expires: float) -> asyncio.Future[Result]:
        """Begin to predict an image; to be called in the event loop.

        Returns:
            A future of the probabilities, float32 (classes,), or of the error of this image. It raises nothing, so
            that one image that cannot be decoded does not concern the others.
        """
        item = Item(source, asyncio.get_running_loop().create_future(), expires)
        self.waiting += 1
        item.future.add_done_callback(self._count_down)
        self._decoders.submit(self._decode_item, item)
        return item.future

    def close(self) -> None:
        """End the thread once it has predicted what is waiting."""
        self._decoded.put(None)
        self._thread.join()

    def _count_down(self, future: asyncio.Future[Result]) -> None:
        self.waiting -= 1

    def _decode_item(self, item: Item) -> None:
        """Decode an image in a thread of the pool and hand it to the predicting thread."""
        if not item.is_wanted:
            return
        started = time.perf_counter()
        try:
            item.pixels = self._decode(item.source)
        except InputError as error:
            _finish([(item, error)])
        except Exception as error:
            log.exception("An image could not be decoded")
            _finish([(item, error)])
        else:
            self._observe("decode_seconds", time.perf_counter() - started)
            self._decoded.put(item)
        item.source = b""

    def _run(self) -> None:
        """Predict until `close` is called."""
        while (item := self._decoded.get()) is not None:
            batch = [item]
            while len(batch) < self.size:
                try:
                    item = self._decoded.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    self._decoded.put(None)
                    break
                batch.append(item)
            if batch := [item for item in batch if item.is_wanted]:
                _finish(self._predict_batch(batch))

    def _predict_batch(self, batch: list[Item]) -> list[tuple[Item, Result]]:
        """Return the result of each image; if the batch fails, of each image alone, which tells which one is wrong."""
        started = time.perf_counter()
        try:
            scores = self._predict(np.stack([item.pixels for item in batch]))
        except Exception as error:  # the process lives on: the next batch may be a good one
            if isinstance(error, InputError) and len(batch) > 1:
                return [self._predict_batch([item])[0] for item in batch]
            if not isinstance(error, InputError):
                log.exception("A batch of %d images could not be predicted", len(batch))
            return [(item, error) for item in batch]
        self._observe("predict_seconds", time.perf_counter() - started)
        self._observe("batch_size", len(batch))
        return list(zip(batch, scores, strict=True))


def _finish(results: Iterable[tuple[Item, Result]]) -> None:
    """Hand results to the event loops of their requests, with one call for each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Result], Result]]] = {}
    for item, result in results:
        by_loop.setdefault(item.future.get_loop(), []).append((item.future, result))
    for loop, pairs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_set_results, pairs)
        except RuntimeError:  # the loop has ended, and with it the requests
            log.debug("%d results were not wanted any more", len(pairs))


def _set_results(pairs: list[tuple[asyncio.Future[Result], Result]]) -> None:
    for future, result in pairs:
        if not future.done():
            future.set_result(result)
