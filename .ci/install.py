"""Install packages with pip, and say how far it is: python .ci/install.py PIP_ARGUMENTS.

pip prints hundreds of lines, and nothing for the minute in which it unpacks. This script prints one line that is
updated in a terminal, and a line every five seconds in a log. If pip fails, all of its output is shown. Only the
standard library is needed, as nothing else is installed yet.
"""

import queue
import re
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

LOG_INTERVAL, TERMINAL_INTERVAL = 5.0, 0.5  # seconds between two lines
ERASE_LINE = "\r\x1b[2K"


class Installation:
    """What pip has done so far, by its output and by the folder that it fills."""

    def __init__(self, folder, clock=time.monotonic):
        self.folder, self.clock, self.start = folder, clock, clock()
        self.output, self.download, self.collected, self.names = [], "", set(), []
        self.installed_before = self.count_installed()

    def count_installed(self):
        return len(list(self.folder.glob("*.dist-info")))

    def read(self, line):
        """Take in a line of pip's output."""
        self.output.append(line)
        if match := re.match(r"(?:Collecting|Processing|Obtaining) ([\w.-]*)", line):
            self.collected.add(match[1].casefold())
            self.download = ""
        elif match := re.match(r" *Downloading ([\w.]+)-.*(\(\d+(\.\d+)? MB\))", line):
            self.download = f", {match[1]} {match[2]}"
        elif line.startswith("Installing collected packages:"):
            self.names = line.partition(": ")[2].strip().split(", ")

    def status(self):
        """Return how far the installation is, in one line."""
        seconds = f"{self.clock() - self.start:.0f} s so far"
        if not self.names:
            return f"Downloading package {len(self.collected)}{self.download}, {seconds}"
        done = self.count_installed() - self.installed_before
        following = f", now {self.names[done]}" if done < len(self.names) else ""  # pip unpacks them in this order
        return f"Unpacking: {done} of {len(self.names)} packages{following}, {seconds}"


def run_pip(command, installation, out):
    """Run a command of pip while showing its progress on the stream `out`; return its exit code."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace") as pip:
        lines = queue.SimpleQueue()

        def read_output():
            for line in pip.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read_output, daemon=True).start()
        interval, shown, line = TERMINAL_INTERVAL if out.isatty() else LOG_INTERVAL, installation.clock(), ""
        while line is not None:
            try:
                line = lines.get(timeout=TERMINAL_INTERVAL)
            except queue.Empty:
                line = ""
            if line:
                installation.read(line)
            if installation.clock() - shown >= interval:
                shown = installation.clock()
                out.write(f"{ERASE_LINE}{installation.status()}" if out.isatty() else f"{installation.status()}\n")
                out.flush()

    out.write(ERASE_LINE if out.isatty() else "")
    code = pip.returncode
    if code:
        out.writelines(installation.output)
    else:
        out.write(
            f"{len(installation.names)} packages installed in {installation.clock() - installation.start:.0f} s\n"
        )
    return code


if __name__ == "__main__":
    PIP = [sys.executable, "-m", "pip", "install", "--progress-bar", "off", *sys.argv[1:]]
    try:
        sys.exit(run_pip(PIP, Installation(Path(sysconfig.get_path("purelib"))), sys.stderr))
    except KeyboardInterrupt:  # which pip has got too
        sys.exit("\nStopped")
