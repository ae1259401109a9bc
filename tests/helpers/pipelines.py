"""Pipelines that worker processes of the tests run in place of `cnnzoo.data.pipeline`."""

import os
import signal
import sys
import time
from typing import NamedTuple

import numpy as np


class TestPipeline(NamedTuple):
    """Does something else with the image of one color, and returns the others as they are."""

    __test__ = False
    action: str
    color: int = 3
    is_copy: bool = False
    starts_resized: bool = False

    def load(self, source, seed):
        pixels = np.array(source)
        if pixels.flat[0] == self.color:
            pixels = getattr(self, self.action)(pixels)
        return pixels, None

    def kill(self, pixels):
        os.kill(os.getpid(), signal.SIGKILL)

    def crash(self, pixels):
        os.kill(os.getpid(), signal.SIGSEGV)

    def hang(self, pixels):
        time.sleep(1000)

    def fail(self, pixels):
        raise ZeroDivisionError("a fault of the program")

    def invert(self, pixels):
        return 255 - pixels

    def grow(self, pixels):
        return np.zeros((9, 9, 1), "uint8")

    def heavy_modules(self, pixels):
        """Write the number of heavy libraries that this process has imported into the image."""
        pixels[:] = len({"keras", "tensorflow", "jax", "torch", "scipy", "sklearn", "pandas"} & sys.modules.keys())
        return pixels
