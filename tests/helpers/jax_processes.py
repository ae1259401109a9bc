"""The environment of processes that train on the JAX backend, in which they start fast."""

import os
import socket
import subprocess
import sys

from helpers.paths import ROOT


def jax_variables(folder):
    """Return the variables of the environment as a dict; `folder` receives a file or two, and compiled programs."""
    blocked = folder / "blocked"
    blocked.mkdir()
    for module in ("tensorflow", "torch"):  # their imports take seconds
        (blocked / f"{module}.py").write_text("raise ImportError('blocked')")
    paths = [str(blocked), str(ROOT / "tests"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        "KERAS_BACKEND": "jax",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(paths),
        # Equal programs are compiled once, and fast: they run for a few steps.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def free_port():
    """Return the number of a port that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_module(module, *arguments, folder, variables):
    """Run a module of the helpers in a folder; return what it wrote to stdout.

    A variable of its environment whose value is None is not set.
    """
    environment = {name: value for name, value in (os.environ | variables).items() if value is not None}
    command = [sys.executable, "-m", f"helpers.{module}", *(str(argument) for argument in arguments)]
    process = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout
