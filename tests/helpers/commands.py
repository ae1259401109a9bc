"""Run the command line in this process or in another one."""

import contextlib
import io
import subprocess
import sys
from types import SimpleNamespace

from cnnzoo.cli.main import main

# Settings of a quick training on the images of `make_blobs`.
CLASSES = ("ant", "bee", "cow")
SPLITS = ("--splits", "0.6", "0.2", "0.2")
QUICK = ("--set", "epochs=2", "--set", "batch_size=12", *SPLITS)

# A job in the background ignores Ctrl-C, and so do the processes that it starts unless they change that.
WITH_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from cnnzoo.cli.main import main
main()
"""


def run_command(*arguments):
    """Run a command and return its exit code and what it printed: run_command("list", "lenet*").out."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    return SimpleNamespace(code=code, out=out.getvalue(), err=err.getvalue())


def start_command(*arguments, **options):
    """Start a command in a process that Ctrl-C (SIGINT) interrupts, whatever this process does."""
    command = [sys.executable, "-c", WITH_CTRL_C, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
