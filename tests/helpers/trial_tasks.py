"""Tasks for the children of a trial server: everything that a trial may do to its process."""

import os
import signal
import time

import numpy as np


def run_task(job):
    """Do what the job, a pair (kind, value), says."""
    kind, value = job
    if kind == "answer":
        return "done", (value, os.getpid())
    if kind == "cpu":
        return "done", time.process_time()
    if kind == "work":
        end = time.monotonic() + value
        while time.monotonic() < end:
            np.ones(1000).sum()
        return "done", value
    if kind == "hang":
        time.sleep(600)
    if kind == "exit":
        os._exit(value)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hog":
        arrays = []
        while True:
            arrays.append(np.ones(5_000_000))
            time.sleep(0.02)
    raise AssertionError(kind)
