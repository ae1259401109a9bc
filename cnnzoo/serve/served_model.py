"""A model that is served under a name."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError, check_integer
from cnnzoo.inference.classifier import Classifier
from cnnzoo.inference.load import load
from cnnzoo.inference.scores import find_best_classes
from cnnzoo.serve.batcher import Batcher, Observe
from cnnzoo.serve.decoding import decode
from cnnzoo.serve.errors import RequestError, busy
from cnnzoo.serve.limits import Limits
from cnnzoo.serve.names import check_name, make_name

FAULT = "The image could not be classified, which is a fault of the server"
VERSION = "1"  # of every model: another one is served under another name
# The largest batch on a processor, in pixel values: 6 images of 224 pixels. On two cores, ResNet-18 takes 8 % more time
# for an image in batches of 6 than in batches of 32 (4: 11 %, 1: 25 %). ResNet-50 takes 390 MB with batches of 6, and
# 8 MB more for each further image. Larger batches also make a request wait longer for those before it.
MAX_BATCH_VALUES = 6 * 224 * 224 * 3
MAX_BATCH_SIZE = 64
DEADLINE_SHARE = 0.8  # of the deadline that a request may be expected to take, as other programs slow the machine down
MAX_RETRY_SECONDS = 30  # after which a client is asked to try again, at most


class ServedModel:
    """A classifier, the queue of images that wait for it, and what the protocols say about it.

    Attributes:
        name: the name in the addresses.
        classifier: the classifier.
        ready: whether it has answered an image.
        failure: why it cannot answer; empty if it can.
        batcher: predicts, between `start` and `close`.
    """

    batcher: Batcher

    def __init__(
        self,
        name: str,
        classifier: Classifier,
        *,
        queue: int = 256,
        deadline: float = 10.0,
        batch_size: int | str = "auto",
        limits: Limits | None = None,
        observe: Observe = lambda name, value: None,
    ) -> None:
        """Make a model that does nothing until it is started.

        Args:
            name: the name in the addresses.
            classifier: the classifier.
            queue: number of images that may wait.
            deadline: seconds until an answer.
            batch_size: number of images that are predicted at a time, at most; "auto" chooses it.
            limits: what a request may cost.
            observe: is told about each batch.
        """
        self.name, self.classifier, self.queue, self.deadline = name, classifier, queue, deadline
        self.limits, self.batch_size, self._observe = limits or Limits(), batch_size, observe
        self.ready, self.failure = False, ""

    def start(self, decoders: Executor) -> None:
        """Start the thread that predicts; `decoders` are the threads that decode images."""
        self.ready, self.failure = False, ""
        decode_image = partial(decode, transform=self.classifier.transform, limits=self.limits)
        self.batcher = Batcher(decode_image, self.classifier.scores, 1, decoders, self._observe)

    @property
    def waiting(self) -> int:
        """The number of images that have no answer yet."""
        return self.batcher.waiting if hasattr(self, "batcher") else 0

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""
        return self.classifier.classes

    def warm_up(self) -> None:
        """Answer one image, and a full batch, so that the first requests need not wait for the network to be opened."""
        try:
            size = find_largest_batch(self.classifier, self.batch_size)  # opens the network
            for count in (1, size, size):  # the second full batch tells how long one takes
                begun = time.monotonic()
                self.classifier.scores(np.zeros((count, *self.classifier.shape), "uint8"))
        except Exception as error:
            self.failure = f"{self.name} cannot be served: {error or type(error).__name__}"
            raise InputError(self.failure) from error
        self.batcher.pace.note(size, begun, time.monotonic(), False)
        self.batcher.size = size
        self.ready = True

    async def classify(self, images: Sequence[bytes | np.ndarray]) -> list[np.ndarray | str]:
        """Return for each image the probabilities of the classes, or why it has none.

        Args:
            images: the bytes of files, or pixels (H, W, C) with values 0 to 255.

        Raises:
            RequestError: 400 for no images, 413 for too many, 503 if the queue is full, so long that the deadline would
                pass, or the model cannot answer, 504 after the deadline.
        """
        if self.failure:
            raise RequestError(503, self.failure)
        if not images:
            raise RequestError(400, "The request has no images")
        most = min(self.limits.images, self.queue)
        if len(images) > most:
            raise RequestError(413, f"{len(images)} images are more than the {most} allowed in a request")
        if self.waiting + len(images) > self.queue:
            raise busy(f"{self.waiting} images are waiting already, of at most {self.queue}. Try again later")
        self._check_time(len(images))
        futures = self.batcher.submit(images, time.monotonic() + self.deadline)
        try:
            _, late = await asyncio.wait(futures, timeout=self.deadline)
        finally:  # also if the client has gone: what is not predicted yet is not predicted any more
            for future in futures:
                future.cancel()
        if late:
            raise RequestError(
                504, f"{len(late)} of {len(images)} images had no answer within {self.deadline:g} seconds"
            )
        results = [future.result() for future in futures]
        if not any(isinstance(result, np.ndarray | InputError) for result in results):
            raise RequestError(500, f"{FAULT}; its log says more")
        return [_unpack(result) for result in results]

    def _check_time(self, count: int) -> None:
        """Raise RequestError 503 at once if a request would not be answered before its deadline.

        Otherwise a server that gets more than it can answer would spend its time on images that nobody waits for.
        """
        most = DEADLINE_SHARE * self.deadline
        if not self.waiting or (self.waiting + count) * self.batcher.pace.seconds <= most:
            return
        seconds = self.batcher.estimate_seconds(count)
        if seconds > most:
            raise busy(
                f"{self.waiting} images are waiting already, so that an answer would take about {seconds:.3g} seconds. "
                f"The deadline is {self.deadline:g} seconds. Try again later",
                max(1, min(MAX_RETRY_SECONDS, round(seconds - most))),
            )

    def best_classes(self, scores: np.ndarray, top: int) -> list[tuple[str, float]]:
        """Return the likeliest classes with their probabilities."""
        top = min(top, len(self.classes))
        return [(self.classes[i], float(scores[i])) for i in find_best_classes(scores[None], top)[0]]

    def close(self) -> None:
        """Answer what waits, and end the thread."""
        self.batcher.close()


def find_largest_batch(classifier: Classifier, batch_size: int | str = "auto") -> int:
    """Return the number of images that a server predicts at a time, at most.

    Args:
        classifier: the classifier.
        batch_size: a number, which is returned; "auto" is what keeps an accelerator busy, or few images for a
            processor, where large batches are not faster.
    """
    size = classifier.find_batch_size(batch_size)
    if batch_size != "auto" or classifier.device_batch_size:
        return size
    return min(size, MAX_BATCH_SIZE, max(1, MAX_BATCH_VALUES // math.prod(classifier.shape)))


def _unpack(result: np.ndarray | Exception) -> np.ndarray | str:
    """Return the probabilities, or the reason of an image that has none."""
    if isinstance(result, np.ndarray):
        return result
    return str(result).replace("the bytes as an image", "the image") if isinstance(result, InputError) else FAULT


def load_classifiers(models: Any, runtime: str = "auto", precision: str | None = None) -> dict[str, Classifier]:
    """Return the classifiers to serve, by their names.

    Args:
        models: one model, or a mapping from names to models. A model is the path of a run, a .keras file or an export,
            a classifier, or a Keras model.
        runtime: as in `cnnzoo.load`.
        precision: as in `cnnzoo.load`.

    Raises:
        InputError: for a name that cannot be part of an address, or something that is no model.
    """
    if isinstance(models, list | tuple):
        raise InputError('Several models are given by their names, as in {"cats": "runs/cats", "dogs": "runs/dogs"}')
    if not isinstance(models, Mapping):
        classifier = _open(models, runtime, precision)
        return {make_name(classifier.card.name): classifier}
    if not models:
        raise InputError("No models to serve were given")
    for name in models:
        check_name(name)
    return {name: _open(model, runtime, precision) for name, model in models.items()}


def _open(model: Any, runtime: str, precision: str | None) -> Classifier:
    if isinstance(model, Classifier):
        return model
    if isinstance(model, str | os.PathLike):
        return load(model, runtime, precision)
    return Classifier.of(model, runtime, precision)


def check_settings(queue: int, deadline: float) -> None:
    """Check the queue and the deadline of a server; raise InputError if one is out of range."""
    check_integer("queue", queue, 1, 1_000_000)
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not 0 < deadline <= 3600:
        raise InputError(f"deadline must be a number of seconds above 0 and at most 3600. Received: {deadline!r:.200}")
