"""Real processes that start at once: forks of a process that has imported TensorFlow and the package, and done nothing.

An import of TensorFlow takes four seconds of a processor. What is about imports, or about variables of the environment
that imports read, needs `subprocess` instead.
"""

import functools
import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from cnnzoo.cli.main import main

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED_MODULES = [
    "keras",
    "cnnzoo.cli.main",
    "cnnzoo.training.fine_tuning",
    "cnnzoo.training.lr_range",
    "cnnzoo.tuning.tune",
    "cnnzoo.tuning.retraining",
    "cnnzoo.inference.load",
]


@functools.cache
def start_fork_server():
    """Start the process of which the others are forks."""
    CONTEXT.set_forkserver_preload(PRELOADED_MODULES)
    with mock.patch.dict(os.environ, {"TF_CPP_MIN_LOG_LEVEL": "3"}):
        forkserver.ensure_running()


class ForkedProcess:
    """A process that calls a function; has the methods of `subprocess.Popen` that the tests use."""

    def __init__(self, function, *arguments, cwd=None):
        """Start the process, in the environment of this one, and in the folder `cwd` or that of this one."""
        if multiprocessing.parent_process() is None:
            start_fork_server()
        self.folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        for name in ("stdout", "stderr"):
            (self.folder / name).touch()
        call = (function, arguments, self.folder, str(cwd or Path.cwd()), dict(os.environ))
        self.process = CONTEXT.Process(target=_call_function, args=call, daemon=True)
        self.process.start()
        self.pid = self.process.pid

    @property
    def returncode(self):
        return self.process.exitcode

    def poll(self):
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.process.kill()

    def wait(self, timeout=None):
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout)
        return self.process.exitcode

    def read_output(self):
        """Return what it has written to stdout so far."""
        return (self.folder / "stdout").read_text()

    def read_error(self):
        """Return what it has written to stderr so far."""
        return (self.folder / "stderr").read_text()

    def communicate(self, timeout=None):
        """Wait for the end; return what it wrote to stdout and to stderr."""
        self.wait(timeout)
        return self.read_output(), self.read_error()


def _call_function(function, arguments, folder, cwd, environment):
    """Call a function in this process, with what it prints in files of the folder."""
    gc.freeze()  # a collection would write to all that was imported, and so copy it
    multiprocessing.current_process().daemon = False  # it may have children,
    forkserver.ensure_running.__self__.ensure_running = lambda: None  # which the same process forks
    for number, name in ((1, "stdout"), (2, "stderr")):
        with (folder / name).open("ab") as file:
            os.dup2(file.fileno(), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


def start_command(*arguments, **options):
    """Start a command in a process of its own, which Ctrl-C (SIGINT) interrupts."""
    return ForkedProcess(_run_command, [str(argument) for argument in arguments], **options)


def _run_command(words):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background would ignore it
    with fork_trial_servers():
        main(words)


def finish(process, timeout=None):
    """Wait for a process to succeed; return what it wrote to stdout."""
    out, error = process.communicate(timeout)
    assert process.returncode == 0, error
    return out


def run_code(code, *arguments, **options):
    """Run code in a process of its own; return what it wrote to stdout."""
    return finish(ForkedProcess(_run_code, code, [str(argument) for argument in arguments], **options))


def _run_code(code, arguments):
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


def fork_trial_servers():
    """Make the searches of this process fork their servers, instead of starting a new Python; a context manager."""
    return mock.patch("cnnzoo.tuning.server.subprocess", SimpleNamespace(Popen=_fork_server, DEVNULL=None))


def _fork_server(command, **_):
    """Stand in for the `subprocess.Popen` of a trial server; the last word of its command is a file descriptor."""
    return ForkedProcess(_serve, Connection(os.dup(int(command[-1]))))


def _serve(connection):
    from cnnzoo.tuning import server

    os.setsid()
    server.serve(connection.fileno())
