"""The progress of work that may take more than two seconds, with an estimate of the time left.

One display serves the whole process. Shorter work shows nothing. Longer work shows, on stderr:

- in a terminal, a bar that disappears when the work ends;
- in a log, lines: the first after two seconds, then every four, and after minutes at growing intervals, up to 30 s;
- in a notebook, one line that is updated.

A thread keeps the display going, so a single call that takes long is covered too; such work needs no `total`:

    with show_progress("Converting to LiteRT", verbose=verbose):
        converter.convert()

    with show_progress("Computing features", total=540, unit="images", verbose=verbose) as progress:
        for batch in batches:
            compute(batch)
            progress.advance(len(batch))

    with show_progress("Scanning", total=len(paths), unit="files") as progress:
        for path in progress.track(paths):
            scan(path)

A log then reads "Computing features: 120/540 images, 40 s left". Calls may be nested. With verbose=False nothing is
shown, also of calls inside. Do not leave a generator suspended inside such a block.
"""

import contextlib
import contextvars
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

from cnnzoo.core.progress_displays import Display, choose_display
from cnnzoo.core.text import escape_controls, format_duration

DELAY = 2.0  # seconds before work is shown
MIN_INTERVAL, MAX_INTERVAL = 4.0, 30.0  # seconds between two lines of a log
REFRESH_INTERVAL = 0.1  # seconds between two updates of a terminal
MEGABYTE = 1e6
BROKEN_STREAM = contextlib.suppress(OSError, ValueError)  # a closed terminal or pipe is no reason to end the work

Clock = Callable[[], float]
Item = TypeVar("Item")
_silent = contextvars.ContextVar("silent", default=False)  # whether an enclosing call has verbose=False


class Progress:
    """Work in progress, as `show_progress` begins it; a context manager."""

    def __init__(self, activity: str, total: float | None, unit: str, verbose: bool, done: float, board: "Board"):
        self.activity, self.total, self.unit, self.verbose = escape_controls(activity), total, unit, verbose
        self.done, self._board, self._was_silent = done, board, False
        self.is_concluded = False  # whether a line has said already how the work ended, so that a log needs no other
        self._start()

    def _start(self) -> None:
        self.started = self.ended = self._board.clock()
        self.visible_from = self.started + DELAY
        self._origin = (self.done, self.started)  # what was done when the estimate of the rate begins, and when
        self._advances = 0

    def __enter__(self) -> "Progress":
        self._start()
        self._was_silent = _silent.get()
        self.verbose = self.verbose and not self._was_silent
        _silent.set(not self.verbose)
        if self.verbose:
            self._board.add(self)
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        _silent.set(self._was_silent)
        if self.verbose:
            self._board.remove(self, completed=error_type is None)

    def advance(self, count: float = 1) -> None:
        """Add `count` units to what is done."""
        self.set_done(self.done + count)

    def set_done(self, done: float) -> None:
        """Set how many units are done in all."""
        if self.verbose:
            self._advances += 1
            if self._advances == 2:  # the first step often compiles, so it is left out of the rate
                self._origin = (self.done, self.ended)
            self.done, self.ended = done, self._board.clock()
            self._board.refresh_if_due(self.ended)

    def restart(self, total: float | None, done: float) -> None:
        """Set the total, now that it is known, and what is done; the estimate begins anew."""
        self.total, self.done, self._advances = total, done, 0
        self.ended = self._board.clock()
        self._origin = (done, self.ended)

    def track(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and advance by one after each."""
        for item in items:
            yield item
            self.advance()

    def describe(self, activity: str) -> None:
        """Change the name of the work, such as "epoch 3/10: loss 0.31"."""
        self.activity = escape_controls(activity)

    def say(self, line: str) -> None:
        """Show a line that stays: in a terminal it is printed above the bar."""
        if self.verbose:
            self._board.say(line)

    def conclude(self, line: str) -> None:
        """Show a line that says how the work ended, in place of the last line of a log."""
        self.say(line)
        self.is_concluded = True

    def seconds_left(self) -> float | None:
        """Return an estimate of the seconds left, or None if nothing is known yet."""
        rate = self._units_per_second()
        if self.total is None or not rate:
            return None
        return max((self.total - self.done) / rate - (self._board.clock() - self.ended), 0.0)

    def _units_per_second(self) -> float:
        done, since = self._origin
        return (self.done - done) / (self.ended - since) if self.ended > since else 0.0

    def status(self) -> str:
        """Return how far the work is: "120/540 images, 40 s left", or "12 s so far" if that is not known."""
        elapsed = self._board.clock() - self.started
        parts = [] if self.total is None and not self.done else [self._count()]
        seconds_left = self.seconds_left()
        if self.unit == "bytes":
            parts.append(f"{self._units_per_second() / MEGABYTE:.1f} MB/s")
        if seconds_left is None:
            parts.append(f"{format_duration(elapsed)} so far")
        else:
            parts.append(f"{format_duration(math.ceil(seconds_left))} left")
        return ", ".join(parts)

    def summary(self) -> str:
        """Return what is said at the end of work that was shown in a log or a notebook."""
        count = f"{self._count()} in " if self.done else "done in "
        return f"{self.activity}: {count}{format_duration(self._board.clock() - self.started)}"

    def _count(self) -> str:
        total = "" if self.total is None else f"/{self._number(self.total)}"
        return f"{self._number(self.done)}{total} {'MB' if self.unit == 'bytes' else self.unit}".rstrip()

    def _number(self, value: float) -> str:
        return f"{value / MEGABYTE:.1f}" if self.unit == "bytes" else f"{value:,.0f}"


class Board:
    """All the work in progress of this process, and where it is shown."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, stream: TextIO | None = None, threaded: bool = True
    ):
        """Prepare an empty board; `stream` stands for stderr, and only a `threaded` board updates itself."""
        self.clock, self.stream, self.threaded = clock, stream, threaded
        self.reset()

    def reset(self) -> None:
        """Forget everything, in a process that was forked: its threads are gone, and its terminal is its parent's."""
        self._lock = threading.RLock()
        self._work: list[Progress] = []
        self._shown: dict[Progress, float] = {}  # when work was last shown, in a line of its own
        self._display: Display | None = None
        self._next_refresh = math.inf
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, progress: Progress) -> None:
        """Begin to show work, after a delay."""
        with self._lock:
            self._work.append(progress)
            self._next_refresh = min(self._next_refresh, progress.visible_from)
            if self.threaded and self._thread is None:
                self._stop = threading.Event()
                self._thread = threading.Thread(target=self._keep_refreshing, args=(self._stop,), daemon=True)
                self._thread.start()

    def remove(self, progress: Progress, completed: bool) -> None:
        """End work: take its bar away, or say in a log how long it took."""
        thread = None
        with self._lock:
            if progress not in self._work:  # this process was forked while it ran
                return
            self._work.remove(progress)
            if self._shown.pop(progress, None) is not None and self._display:
                is_told = progress.is_concluded and self._display.is_log
                with BROKEN_STREAM:
                    self._display.end(progress, progress.summary() if completed and not is_told else None)
            if self._work and self._work[-1] not in self._shown:  # what encloses it is news again after a while
                self._work[-1].visible_from = self.clock() + 2 * DELAY
            if not self._work:
                thread, self._thread, self._next_refresh = self._thread, None, math.inf
                self._stop.set()
                self._close_display()
        if thread and thread is not threading.current_thread():
            thread.join(timeout=1)  # it may wait for a terminal that takes nothing

    def refresh_if_due(self, now: float) -> None:
        """Update the display if it is time, for work whose calls leave no time for the thread."""
        if now >= self._next_refresh:
            self.refresh()

    def refresh(self) -> None:
        """Update the display."""
        with self._lock:
            now = self.clock()
            visible = [progress for progress in self._work if now >= progress.visible_from]
            if not visible:
                return
            self._next_refresh = now + REFRESH_INTERVAL
            with BROKEN_STREAM:
                self._display = self._display or choose_display(self.stream)
                visible = [work for work in visible[:-1] if work.total] + visible[-1:]
                if self._display.is_log:  # which tells of one thing at a time
                    visible = [work for work in visible[-1:] if self._is_line_due(work, now)]
                self._shown.update(dict.fromkeys(visible, now))
                self._display.update(visible)

    def say(self, line: str) -> None:
        """Show a line that stays, above the bars."""
        with self._lock:
            self._shown.update(dict.fromkeys(self._shown, self.clock()))
            with BROKEN_STREAM:
                (self._display or choose_display(self.stream, live=False)).say(line)

    def _is_line_due(self, progress: Progress, now: float) -> bool:
        elapsed, last = now - progress.started, self._shown.get(progress)
        return last is None or now - last >= min(max(elapsed / 100, MIN_INTERVAL), MAX_INTERVAL)

    def _keep_refreshing(self, stop: threading.Event) -> None:
        while not stop.wait(REFRESH_INTERVAL):
            self.refresh()

    def _close_display(self) -> None:
        display, self._display = self._display, None
        if display:
            with BROKEN_STREAM:
                display.close()


_board = Board()


def _after_fork() -> None:
    _board.reset()
    for name in ("stdout", "stderr"):  # rich puts what the parent prints above its bars
        stream = getattr(sys, name)
        setattr(sys, name, getattr(stream, "rich_proxied_file", stream))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def show_progress(
    activity: str, total: float | None = None, unit: str = "", verbose: bool = True, done: float = 0
) -> Progress:
    """Show the progress of a `with` block on stderr, if it takes more than two seconds.

    Args:
        activity: what is done, for a line such as "Computing features: 120/540 images, 40 s left".
        total: how many units the whole work has, or None if that is not known.
        unit: what is counted, in the plural; "bytes" are shown as megabytes, with their rate.
        verbose: False to show nothing, also of calls inside the block.
        done: units that were done before, by an earlier process.

    Returns:
        A context manager. Its value has `advance(count)`, `set_done(done)`, `track(items)` and `describe(activity)`.
    """
    return Progress(activity, total, unit, verbose, done, _board)
