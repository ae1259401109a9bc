"""A server in a process of its own."""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ADDRESS = re.compile(r"Serving .* at http://[^ ]*:(\d+)/")


class ServerProcess:
    """The command `cnnzoo serve`, on a free port, which is `port`; exports to OpenVINO start without TensorFlow."""

    def __init__(self, *arguments, stdout=None):
        self._folder = tempfile.TemporaryDirectory()
        self._out, self._error = (Path(self._folder.name) / name for name in ("out", "error"))
        command = [sys.executable, "-m", "cnnzoo", "serve", *map(str, arguments), "--port", "0"]
        with self._out.open("wb") as out, self._error.open("wb") as error:
            self.process = subprocess.Popen(command, stdout=stdout or out, stderr=error)
        self.pid, self.port = self.process.pid, 0

    def wait_until_ready(self, seconds=120):
        """Wait until all models have answered an image, and return this server."""
        end = time.monotonic() + seconds
        while not (match := ADDRESS.search(self.read_error())):
            assert self.process.poll() is None and time.monotonic() < end, self.read_error()
            time.sleep(0.02)
        self.port = int(match[1])
        return self

    def read_output(self):
        """Return what it has written to stdout so far."""
        return self._out.read_text()

    def read_error(self):
        """Return what it has written to stderr so far."""
        return self._error.read_text()

    def end(self):
        """End it without waiting for answers."""
        self.process.kill()
        self.process.wait()
        self._folder.cleanup()

    @property
    def resident_bytes(self):
        """The memory that it has in use."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return 1024 * int(line.split()[1])
        raise AssertionError("The process has ended")


@contextlib.contextmanager
def run_command_serve(*arguments, **options):
    """Serve models until the end of the block; yields the process."""
    server = ServerProcess(*arguments, **options)
    try:
        yield server.wait_until_ready()
    finally:
        server.end()
