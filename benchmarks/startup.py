"""Measure how long `cnnzoo list` takes compared with `pip --version`: whole processes, which take turns.

python benchmarks/startup.py
"""

import subprocess
import sys
import time
from statistics import median

COMMANDS = {"cnnzoo list": ["-m", "cnnzoo", "list"], "pip --version": ["-m", "pip", "--version"]}
TURNS = 15
times: dict[str, list[float]] = {name: [] for name in COMMANDS}
for _ in range(TURNS):
    for name, arguments in COMMANDS.items():
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times[name].append(time.perf_counter() - start)
for name, seconds in times.items():
    print(f"{name:14} median {median(seconds):.3f} s, {min(seconds):.3f} to {max(seconds):.3f}")
list_seconds, pip_seconds = (median(seconds) for seconds in times.values())
print(f"ratio {list_seconds / pip_seconds:.2f}")
