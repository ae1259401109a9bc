"""Predict in batches: one thread takes whatever images are waiting, and never waits for more.

Images of several requests take turns, so that a request of one image does not wait for all images of a large one.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.serve.pace import Pace

log = logging.getLogger(__name__)

Result = np.ndarray | Exception
Observe = Callable[[str, float], None]

TURN = 1 / 8  # of a place in the line: how far each image that is served moves the line on. See `FairLine`
CLOSE_SECONDS = 10  # that `close` waits for the thread


class Item:
    """An image on its way: it is decoded, predicted with others, and its result is handed to the request.

    Attributes:
        source: the bytes of the image, or its pixels.
        future: gets the probabilities of the classes, or the error of this image.
        expires: when nobody waits for the result any more, as `time.monotonic` counts.
        place: its place in the line; smaller ones come first.
        pixels: the image at the size of the network.
    """

    __slots__ = ("expires", "future", "pixels", "place", "source")

    def __init__(
        self, source: bytes | np.ndarray, future: asyncio.Future[Result], expires: float, place: float
    ) -> None:
        self.source, self.future, self.expires, self.place = source, future, expires, place
        self.pixels = np.empty(0, "uint8")

    @property
    def is_wanted(self) -> bool:
        """Whether the request still waits for the result."""
        return not self.future.cancelled() and time.monotonic() < self.expires

    def forget_image(self) -> None:
        """Let go of the image, which may be large, where the item itself may stay in a line for longer."""
        self.source, self.pixels = b"", np.empty(0, "uint8")


class FairLine:
    """A line of items in the order of their places, for one or several threads that take them.

    The k-th image of a request gets the place k after those that are served at that moment. So requests take turns, and
    each of them waits for about as many images of the others as it has itself. Every item that is served moves the line
    on by `TURN` at least: thus a large request is not overtaken for ever by small ones that keep coming.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Item | None]] = []
        self._order = itertools.count()  # among equal places, first come first served
        self._changed = threading.Condition()

    def put(self, item: Item | None) -> None:
        """Add an item; None is the end, after all others."""
        place = float("inf") if item is None else item.place
        with self._changed:
            heapq.heappush(self._heap, (place, next(self._order), item))
            self._changed.notify()

    def take(self, count: int) -> list[Item | None]:
        """Wait for an item; return it with those that are waiting behind it, at most `count` of them."""
        with self._changed:
            while not self._heap:
                self._changed.wait()
            items = [heapq.heappop(self._heap)[2] for _ in range(min(count, len(self._heap)))]
            for item in items:
                if item is not None:
                    self.now = max(self.now + TURN, item.place)
            return items

    def count_until(self, place: float) -> int:
        """Return the number of items that are served before a new one at this place."""
        with self._changed:
            return sum(other <= place for other, _, _ in self._heap)


class Batcher:
    """Decodes images in threads and predicts them in one thread of its own.

    An image that arrives while the network is idle is predicted at once. Images that arrive while it computes form the
    next batch, of at most `size` images.

    Attributes:
        size: the largest batch.
        waiting: number of images that were submitted and have no result yet.
        pace: how long an image takes.
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
        self.size, self.waiting, self.pace = size, 0, Pace()
        self._decode, self._predict, self._decoders, self._observe = decode, predict, decoders, observe
        self._encoded, self._decoded = FairLine(), FairLine()
        self._thread = threading.Thread(target=self._run, name="cnnzoo-predict", daemon=True)
        self._thread.start()

    def submit(self, sources: Sequence[bytes | np.ndarray], expires: float) -> list[asyncio.Future[Result]]:
        """Begin to predict the images of a request; to be called in the event loop.

        Args:
            sources: the images.
            expires: when nobody waits for the results any more, as `time.monotonic` counts.

        Returns:
            For each image a future of the probabilities, float32 (classes,), or of the error of this image. It raises
            nothing, so that one image that cannot be decoded does not concern the others. If it is cancelled, the
            image is not predicted.
        """
        loop, begin, futures = asyncio.get_running_loop(), self._decoded.now, []
        for i, source in enumerate(sources):
            item = Item(source, loop.create_future(), expires, begin + i)
            self.waiting += 1
            item.future.add_done_callback(partial(self._count_down, item))
            self._encoded.put(item)
            futures.append(item.future)
        try:
            for _ in futures:
                self._decoders.submit(self._decode_next)
        except BaseException:  # the server has stopped
            for future in futures:
                future.cancel()
            raise
        return futures

    def estimate_seconds(self, count: int) -> float:
        """Return about how long a request of so many images would take now; 0 if that is not known yet."""
        if not self.pace.seconds:
            return 0.0
        last = self._decoded.now + count - 1
        ahead = self._encoded.count_until(last) + self._decoded.count_until(last)
        return (ahead + count) * self.pace.seconds

    def close(self) -> None:
        """End the thread once it has predicted what is waiting; do not wait for a network that hangs."""
        self._decoded.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _count_down(self, item: Item, future: asyncio.Future[Result]) -> None:
        self.waiting -= 1
        if future.cancelled():
            item.forget_image()

    def _decode_next(self) -> None:
        """Decode the next image in a thread of the pool and hand it to the predicting thread."""
        (item,) = self._encoded.take(1)
        assert item is not None
        if not item.is_wanted:
            return
        started = time.perf_counter()
        try:
            item.pixels = self._decode(item.source)
        except BaseException as error:
            if not isinstance(error, InputError):
                log.exception("An image could not be decoded")
            _finish([(item, _as_result(error))])
        else:
            self._observe("decode_seconds", time.perf_counter() - started)
            item.source = b""
            self._decoded.put(item)
        item.source = b""

    def _run(self) -> None:
        """Predict until `close` is called."""
        while True:
            items = self._decoded.take(self.size)
            begun = time.monotonic()
            if batch := [item for item in items if item is not None and item.is_wanted]:
                results = self._predict_batch(batch)
                self.pace.note(len(batch), begun, time.monotonic(), self.waiting > len(batch))
                _finish(results)
                del results
            if None in items:
                return
            del items, batch  # the images need no memory while the thread waits for others

    def _predict_batch(self, batch: list[Item]) -> list[tuple[Item, Result]]:
        """Return the result of each image; if the batch fails, of each image alone, which tells which one is wrong."""
        started = time.perf_counter()
        try:
            scores = self._predict(np.stack([item.pixels for item in batch]))
            results: list[tuple[Item, Result]] = list(zip(batch, scores, strict=True))
        except BaseException as error:  # the process lives on: the next batch may be a good one
            if len(batch) > 1:
                return [self._predict_batch([item])[0] for item in batch if item.is_wanted]
            if not isinstance(error, InputError):
                log.exception("An image could not be predicted")
            return [(batch[0], _as_result(error))]
        self._observe("predict_seconds", time.perf_counter() - started)
        self._observe("batch_size", len(batch))
        return results


def _as_result(error: BaseException) -> Exception:
    """Return an error as the result of an image, also one that would end a thread.

    Its traceback is cut off: its frames hold the image, and it them, until the garbage is collected.
    """
    result = error if isinstance(error, Exception) else RuntimeError(repr(error))
    result.__traceback__ = result.__context__ = result.__cause__ = None
    return result


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
