"""Run the command line in this process."""

import contextlib
import io
from types import SimpleNamespace

from cnnzoo.cli.main import main

# Settings of a quick training on the images of `make_blobs`.
CLASSES = ("ant", "bee", "cow")
SPLITS = ("--splits", "0.6", "0.2", "0.2")
QUICK = ("--set", "epochs=2", "--set", "batch_size=12", *SPLITS)


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
