"""Measure how much memory loading a ResNet-50 takes beyond the built model, relative to the size of the file.

    python benchmarks/load.py --files FOLDER

Whole processes are measured, on Linux. FOLDER holds one file of drawn weights for each format; missing files are
written. Those of torch.save need PyTorch, so the script may be run first in an environment that has it.
"""

import csv
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import click

RESULTS = Path(__file__).parent / "results"
GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "logits"
FILES = {
    "resnet50.safetensors": "resnet50",
    "resnet50.h5": "resnet50_v1",
    "resnet50.pth": "resnet50",
    "resnet50.th": "resnet50",
}


def write_missing_files(folder: Path) -> None:
    """Write the files that are missing; those of torch.save only if PyTorch is installed."""
    sys.path.insert(0, str(GOLDEN.parents[1]))
    from helpers.golden import GoldenLogits, draw

    folder.mkdir(parents=True, exist_ok=True)
    for stem, file in (("resnet50-torchvision", "resnet50.safetensors"), ("resnet50_v1-keras", "resnet50.h5")):
        if not (folder / file).exists():
            GoldenLogits(GOLDEN / f"{stem}.npz").write(folder).rename(folder / file)
    if importlib.util.find_spec("torch") is None or (folder / "resnet50.th").exists():
        return
    import torch

    golden = GoldenLogits(GOLDEN / "resnet50-torchvision.npz")
    drawn = draw.weights(golden.tensors, golden.shapes, golden.gain)
    state = {name: torch.from_numpy(value) for name, value in drawn.items()}
    torch.save(state, folder / "resnet50.pth")
    torch.save(state, folder / "resnet50.th", _use_new_zipfile_serialization=False)


def anonymous_bytes(status: str) -> int:
    """Return the anonymous memory in a process's status; pages of libraries do not count, as they come and go."""
    match = re.search(r"RssAnon:\s+(\d+) kB", status)
    return 1024 * int(match[1]) if match else 0


def measure_process(name: str, path: Path | None) -> tuple[int, int]:
    """Return the bytes that a process takes, at its end and at its peak.

    The process builds the model `name`, and loads the file `path` if there is one.
    """
    options = f", weights={str(path)!r}" if path else ""
    code = f"import cnnzoo; model = cnnzoo.get({name!r}{options}); print(open('/proc/self/status').read())"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(Path(f"/proc/{process.pid}/status").read_text()))
            time.sleep(0.001)
        if process.returncode:
            raise SystemExit(f"{name} from {path} failed")
        last = anonymous_bytes(process.stdout.read())
    return last, max(peak, last)


@click.command()
@click.option("--files", "folder", type=click.Path(path_type=Path), required=True, help="Folder of the weights.")
@click.option("--runs", default=3, show_default=True, help="Processes per figure, of which the median is taken.")
@click.option("--keep", is_flag=True, help="Write the table under benchmarks/results.")
def main(folder: Path, runs: int, keep: bool) -> None:
    """Print the bytes of each file, of a process that only builds the model, of the peak while loading, and a ratio."""
    write_missing_files(folder)
    rows = []
    for file, name in FILES.items() if runs else ():
        if not (path := folder / file).exists():
            print(f"{file} is missing, and PyTorch, which writes it, is not installed")
            continue
        built = int(median(measure_process(name, None)[0] for _ in range(runs)))
        peak = int(median(measure_process(name, path)[1] for _ in range(runs)))
        size = path.stat().st_size
        rows.append((path.suffix, size, built, peak, round((peak - built) / size, 2)))
        print(*rows[-1], flush=True)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"load-resnet50-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("format", "file_bytes", "built_bytes", "peak_bytes", "ratio"), *rows])


if __name__ == "__main__":
    main()
