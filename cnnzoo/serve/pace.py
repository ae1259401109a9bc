"""How long an image takes while a server is busy, from which follows how long a request would wait."""

from __future__ import annotations

WINDOW = 32  # images that the average is about


class Pace:
    """The average time of an image, from the batches that were predicted last.

    Attributes:
        seconds: time of an image; 0 before the first batch.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ended, self._was_busy = 0.0, False

    def note(self, count: int, begun: float, ended: float, is_busy: bool) -> None:
        """Add a batch.

        Args:
            count: number of its images.
            begun: when its prediction began, in seconds.
            ended: when it ended.
            is_busy: whether other images are waiting. The time until the next batch is then time of its images too, as
                they are still being decoded.
        """
        if count:
            sample = (ended - (self._ended if self._was_busy else begun)) / count
            share = min(1.0, count / WINDOW) if self.seconds else 1.0
            self.seconds += share * (sample - self.seconds)
        self._ended, self._was_busy = ended, is_busy
