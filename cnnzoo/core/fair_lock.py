"""A lock that serves threads in the order in which they came."""

import threading
from collections import deque


class FairLock:
    """A lock for `with`. A thread that releases it and asks again waits until all that waited before it had it.

    `threading.Lock` gives no order: a thread that computes in a loop may take it again and again while others wait.

    Example:
        >>> from cnnzoo.core.fair_lock import FairLock
        >>> lock = FairLock()
        >>> with lock:
        ...     "one thread at a time"
        'one thread at a time'
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()  # is held for moments only
        self._is_held = False
        self._turns: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        turn = threading.Lock()
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return
            turn.acquire()
            self._turns.append(turn)
        try:
            turn.acquire()  # until `__exit__` of another thread hands the lock over
        except BaseException:  # Ctrl-C
            with self._mutex:
                if was_waiting := turn in self._turns:
                    self._turns.remove(turn)
            if not was_waiting:
                self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        with self._mutex:
            if self._turns:
                self._turns.popleft().release()
            else:
                self._is_held = False
