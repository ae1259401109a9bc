"""Where progress is shown: as bars in a terminal, as lines in a log, as one updated line in a notebook."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TextIO, cast

from cnnzoo.core.text import wrap_for_terminal

BAR_WIDTH = 24


class Stderr(io.TextIOBase):
    """The stderr of this process, wherever it is at the moment; see `shown_on`."""

    def write(self, text: str) -> int:
        return _current_stderr().write(text)

    def flush(self) -> None:
        _current_stderr().flush()

    def isatty(self) -> bool:
        return _current_stderr().isatty()

    def fileno(self) -> int:
        return _current_stderr().fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding, of which rich takes the characters of its bars."""
        return getattr(_current_stderr(), "encoding", None) or "utf-8"


_real_stderr: TextIO | None = None  # while the file descriptor of stderr is used for something else


def _current_stderr() -> TextIO:
    stream = _real_stderr or sys.stderr or io.StringIO()  # a Windows program without a console has no stderr
    return getattr(stream, "rich_proxied_file", stream)  # not the one that puts lines above the bars


@contextlib.contextmanager
def shown_on(file_descriptor: int) -> Iterator[None]:
    """Show progress on a copy of stderr's file descriptor within the block, in which stderr is redirected."""
    global _real_stderr
    with open(file_descriptor, "w", encoding="utf-8", errors="replace", closefd=False) as stream:
        _real_stderr = stream
        try:
            yield
        finally:
            _real_stderr = None


class Work(Protocol):
    """Work in progress, as displays need it."""

    activity: str
    done: float
    total: float | None

    def status(self) -> str:
        """Return how far the work is and how long it still takes."""


class Display(Protocol):
    """One place where progress is shown."""

    is_log: bool  # whether each update is a line that stays

    def update(self, work: Sequence[Work]) -> None:
        """Show all work in progress, outermost first."""

    def end(self, work: Work, summary: str | None) -> None:
        """Take away work that was shown; `summary` says how long it took, if it was completed."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """Leave the place as it was found."""


class LogDisplay:
    """Writes lines."""

    is_log = True

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def update(self, work: Sequence[Work]) -> None:
        for item in work:
            self.say(f"{item.activity}: {item.status()}")

    def end(self, work: Work, summary: str | None) -> None:
        if summary:
            self.say(summary)

    def say(self, line: str) -> None:
        self.stream.write(f"{wrap_for_terminal(line, self.stream)}\n")  # at once, as threads write too
        self.stream.flush()

    def close(self) -> None:
        pass


class NotebookDisplay:
    """Updates one line of the output of a cell, and leaves how long the work took."""

    is_log = False

    def __init__(self) -> None:
        self.handles: dict[Work, Any] = {}

    def update(self, work: Sequence[Work]) -> None:
        for item in work[-1:]:
            self._show(item, f"{item.activity}: {item.status()}")

    def end(self, work: Work, summary: str | None) -> None:
        if summary and work in self.handles:
            self._show(work, summary)
        self.handles.pop(work, None)

    def say(self, line: str) -> None:
        self._show(None, line)

    def close(self) -> None:
        self.handles.clear()

    def _show(self, work: Work | None, line: str) -> None:
        from IPython.display import display

        content = {"text/plain": line}
        if work in self.handles:
            self.handles[work].update(content, raw=True)
        else:
            handle = display(content, raw=True, display_id=True)
            if work is not None:
                self.handles[work] = handle


class TerminalDisplay:
    """Draws a bar for each piece of work in progress, and erases it at the end."""

    is_log = False

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.fields[status]}", markup=False),
            console=Console(file=stream, force_terminal=True, force_jupyter=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # otherwise results would end in the terminal, not in their file
        )
        self.stream = stream
        self.tasks: dict[Work, Any] = {}
        self.bars.start()

    def update(self, work: Sequence[Work]) -> None:
        for item in work:
            if item not in self.tasks:
                self.tasks[item] = self.bars.add_task(item.activity, total=item.total, status="")
            task, status = self.tasks[item], item.status()
            self.bars.update(task, completed=item.done, total=item.total, description=item.activity, status=status)
        self.bars.refresh()

    def end(self, work: Work, summary: str | None) -> None:
        if work in self.tasks:
            self.bars.remove_task(self.tasks.pop(work))

    def say(self, line: str) -> None:
        line = wrap_for_terminal(line, self.stream)
        self.bars.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        self.bars.stop()


def choose_display(stream: TextIO | None, live: bool = True) -> Display:
    """Return the display for this process, or the one for `stream` in place of stderr.

    Without `live` there is nothing to update: a line in a terminal needs no bars.
    """
    if stream is None and is_notebook():
        return NotebookDisplay()
    target = stream or cast(TextIO, Stderr())
    if live and target.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        return TerminalDisplay(target)
    return LogDisplay(target)


def is_notebook() -> bool:
    """Return whether this code runs in a Jupyter notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None
