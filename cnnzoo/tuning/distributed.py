"""Searches on several machines: the role of this process, and heartbeats between chief and workers.

Keras Tuner's environment variables name the role and the chief's address. All machines share the search's folder.
"""

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.training.run import plan_differences, read_record

HEARTBEAT_SECONDS = 2.0  # between two heartbeats of a worker
SILENT_SECONDS = 10 * HEARTBEAT_SECONDS  # without a heartbeat, after which a worker counts as lost
CHIEF_SECONDS = 300.0  # the time that a worker waits for its chief
VARIABLES = tuple(f"KERASTUNER_{name}" for name in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT"))


@dataclass(frozen=True)
class Role:
    """The role of this process in a search on several machines; empty if the search runs on this machine alone."""

    name: str = ""  # "chief", "worker-0", ...
    chief_address: str = ""  # "IP:PORT"

    @classmethod
    def from_environment(cls) -> "Role":
        """Return the role that Keras Tuner's variables state; raise InputError if some of them are missing."""
        missing = [name for name in VARIABLES if not os.environ.get(name)]
        if len(missing) == len(VARIABLES):
            return cls()
        if missing:
            raise InputError(
                f"A search on several machines needs {', '.join(VARIABLES)}. Not set: {', '.join(missing)}"
            )
        name, ip, port = (os.environ[variable] for variable in VARIABLES)
        return cls(name, f"{ip}:{port}")

    @property
    def is_chief(self) -> bool:
        return "chief" in self.name

    @property
    def is_worker(self) -> bool:
        return bool(self.name) and not self.is_chief


def wait_for_chief(folder: Path, plan: dict[str, Any]) -> bool:
    """Wait until the chief has begun the search; return whether it still runs.

    Raises:
        InputError: if the chief does not begin in time, its record is broken, or its search differs from `plan`.
    """
    record = folder / "run.json"
    deadline = time.monotonic() + CHIEF_SECONDS
    while not record.exists():
        if time.monotonic() > deadline:
            raise InputError(f"No chief has begun a search in {folder}. All machines must share this folder")
        time.sleep(0.5)
    saved = read_record(folder, "start the chief's search again with overwrite=True (--overwrite)")
    if differences := plan_differences(saved["plan"], plan):
        raise InputError(f"{folder} holds a different search: {'; '.join(differences)}")
    return bool(saved["status"] != "done")


def send_heartbeats(folder: Path, names: Sequence[str], done: threading.Event) -> None:
    """Write the time into a file for each worker of this process, until `done` is set."""
    heartbeats = folder / "workers"
    while not done.wait(HEARTBEAT_SECONDS):
        with contextlib.suppress(OSError):  # a shared folder may fail for a moment; the next heartbeat follows
            heartbeats.mkdir(exist_ok=True)
            for name in names:
                (heartbeats / name).write_text(str(time.time()), encoding="utf-8")


def release_silent_workers(folder: Path, oracle: Any, done: threading.Event) -> None:
    """Give the trials of workers without heartbeat to other workers, until `done` is set."""
    last_seen: dict[str, tuple[str, float]] = {}  # heartbeat and when it was first seen, by worker
    while not done.wait(HEARTBEAT_SECONDS):
        for name in list(oracle.tuner_ids):
            try:
                heartbeat = (folder / "workers" / name).read_text(encoding="utf-8")
            except OSError:
                heartbeat = ""
            if name not in last_seen or last_seen[name][0] != heartbeat:
                last_seen[name] = heartbeat, time.monotonic()
            elif time.monotonic() - last_seen[name][1] > SILENT_SECONDS:
                oracle.release_worker(name)
                del last_seen[name]
