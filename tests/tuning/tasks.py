"""Tasks for a server's children: what a trial may do to its process."""

import os
import signal
import time

import numpy as np


def task(job, beat):
    """Do as the job says."""
    kind, value = job
    if kind == "answer":
        return "done", (value, os.getpid())
    if kind == "sleep":
        for _ in range(int(value * 10)):
            time.sleep(0.1)
            beat()
        return "done", value
    if kind == "hang":
        time.sleep(600)
    if kind == "exit":
        os._exit(value)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hog":
        kept = []
        while True:
            kept.append(np.ones(5_000_000))
            beat()
            time.sleep(0.02)
    raise AssertionError(kind)
