"""What commands print: names cannot act on the terminal, and closed or narrow streams do not stop a command."""

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TextIO

import click

from cnnzoo.core.text import escape_controls, wrap_for_terminal

READER_GONE = 141  # exit code: 128 and the number of SIGPIPE, as for programs that the signal ends


class ReaderGoneError(Exception):
    """The program that reads the output of this one has ended, as in `| head`."""


def echo(message: object = "", err: bool = False) -> None:
    """Print lines to stdout or stderr; characters that act on a terminal are written out, as in \\x1b.

    On a terminal, long lines are wrapped at words.
    """
    text = escape_controls(str(message), keep="\n\t")
    try:
        click.echo(wrap_for_terminal(text, sys.stderr if err else sys.stdout), err=err)
    except BrokenPipeError:
        raise ReaderGoneError from None  # click would end the process with 1 itself


def echo_next_steps(folder: Path) -> None:
    """Print what can be done with the folder of a training or of a search, as commands to copy."""
    model = shlex.quote(str(folder))
    echo(f"Open {folder}/report.html in a browser. Try next:")
    echo(f"  cnnzoo predict {model} new_images/ --out answers.csv")
    echo(f"  cnnzoo export {model} exported")


def prepare_streams() -> None:
    """Let every stream of this process exist, and take any character.

    A stream that is closed (`2>&-`) becomes the null device: otherwise the next file that is opened, of whatever kind,
    takes its number and receives the messages. Characters that the encoding of a stream lacks are written out.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or _open_null("r")
    sys.stdout = sys.stdout or _open_null("w")
    sys.stderr = sys.stderr or _open_null("w")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            with contextlib.suppress(OSError):  # what was left to write cannot be written
                stream.reconfigure(errors="backslashreplace")


def _open_null(mode: str) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # type: ignore[return-value]  # noqa: PTH123


def discard_output() -> None:
    """Discard what cannot be written because a reader has ended, so that Python does not try again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
