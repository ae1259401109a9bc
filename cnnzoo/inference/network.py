"""The network of a classifier: it is opened on its runtime when it is first used, and computes one batch at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.fair_lock import FairLock
from cnnzoo.core.forks import check_not_forked
from cnnzoo.core.progress import show_progress
from cnnzoo.inference.batches import Batch
from cnnzoo.runtimes.choose import OpenRuntime
from cnnzoo.runtimes.model_program import ModelProgram, start

BATCHES_AHEAD = 1  # that are handed to an accelerator before the scores of a batch are read


class Network:
    """A network that is converted for its runtime when it is first used, which takes some seconds.

    Threads may share it. Processes may not if they are forked, unless it is an export that no one has opened yet.

    Attributes:
        name: the name of the model, for messages.
        runtime: name of the runtime.
        precision: the precision that the runtime computes in.
    """

    def __init__(
        self,
        name: str,
        classes: int,
        open_runtime: Callable[[], OpenRuntime],
        runtime: str,
        precision: str,
        is_export: bool,
    ) -> None:
        """Prepare to open the network.

        Args:
            name: the name of the model, for messages.
            classes: number of its classes.
            open_runtime: opens the network.
            runtime: name of the runtime that `open_runtime` is expected to open.
            precision: precision of that runtime.
            is_export: whether it is opened from files, and not from a Keras model.
        """
        self.name, self.runtime, self.precision = name, runtime, precision
        self._classes, self._open_runtime, self._is_export = classes, open_runtime, is_export
        self.opened: OpenRuntime | None = None
        self._opened_by: int | None = None  # id of the process
        self._lock = FairLock()  # so that no thread has to wait for more than one batch of each other

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return what the runtime returns for images: (N, classes), which need not be probabilities."""
        with self._lock:  # most runtimes serve one caller at a time
            scores = self._open().run(images)
        self._check_shape(scores, len(images))
        return scores

    def start(self, images: np.ndarray, size: int | None) -> Callable[[], np.ndarray]:
        """Begin to compute a batch; return a function that returns its scores, as `run` does.

        Args:
            images: a batch.
            size: the size of the batches before it; None for the first.
        """
        with self._lock:
            finish = start(self._open().run, images, size)

        def finish_and_check() -> np.ndarray:
            scores = finish()
            self._check_shape(scores, len(images))
            return scores

        return finish_and_check

    def compute_batches(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, np.ndarray | None]]:
        """Yield each batch with its scores; with None if none of its images could be read.

        An accelerator gets the next batch while it computes, so that it need not wait for the transfer.
        """
        pending: deque[tuple[Batch, Callable[[], np.ndarray | None]]] = deque()
        size = None
        for batch in batches:
            if len(batch.errors) == len(batch.names):
                pending.append((batch, lambda: None))
            else:
                pending.append((batch, self.start(batch.pixels, size)))
                size = max(size or 0, len(batch.names))
            while len(pending) > (BATCHES_AHEAD if self._is_on_accelerator else 0):
                batch, finish = pending.popleft()
                yield batch, finish()
        for batch, finish in pending:
            yield batch, finish()

    @property
    def device_batch_size(self) -> int | None:
        """The number of images that the accelerator computes at a time; None if the network runs on a processor.

        The network is opened, unless it was used before.
        """
        if self.runtime != "keras" or self._is_export:
            return None
        with self._lock:
            run = self._open().run
        return run.batch_size if isinstance(run, ModelProgram) else None

    @property
    def _is_on_accelerator(self) -> bool:
        """Whether the network is open, and runs on an accelerator."""
        run = self.opened.run if self.opened else None
        return isinstance(run, ModelProgram) and run.is_on_accelerator

    def _open(self) -> OpenRuntime:
        """Return the network, which is opened now if it has not been yet; the caller holds the lock."""
        if self.opened or not self._is_export or self.runtime == "keras":
            check_not_forked(self._opened_by)
        if self.opened is None:
            with show_progress(f"Preparing {self.name} for {self.runtime}"):
                self.opened, self._opened_by = self._open_runtime(), os.getpid()
            self.runtime, self.precision = self.opened.name, self.opened.precision
        return self.opened

    def _check_shape(self, scores: np.ndarray, count: int) -> None:
        if scores.shape != (count, self._classes):
            raise InputError(f"{self.name} has {self._classes} classes, but returned scores of shape {scores.shape}")
