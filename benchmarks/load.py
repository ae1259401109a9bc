"""Memory that loading a ResNet-50 takes above the built model, over the size of the file: whole processes, on Linux.

python benchmarks/load.py --files FOLDER

FOLDER keeps a file of drawn weights for each format and gets those that are missing; the two of torch.save only where
torch is installed, so an environment that has it may go first.
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


def write(folder: Path) -> None:
    """Make the files that are missing, those of torch.save where torch is there."""
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


def anonymous(status: str) -> int:
    """The anonymous bytes by a process's status; pages of libraries are left out, as they come and go by themselves."""
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return 1024 * int(found[1]) if found else 0


def child(name: str, path: Path | None) -> tuple[int, int]:
    """Bytes of a process that builds the model, and loads the file if there is one: in the end, and at most."""
    options = f", weights={str(path)!r}" if path else ""
    code = f"import cnnzoo; model = cnnzoo.get({name!r}{options}); print(open('/proc/self/status').read())"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        most = 0
        while process.poll() is None:
            most = max(most, anonymous(Path(f"/proc/{process.pid}/status").read_text()))
            time.sleep(0.001)
        if process.returncode:
            raise SystemExit(f"{name} from {path} failed")
        last = anonymous(process.stdout.read())
    return last, max(most, last)


@click.command()
@click.option("--files", "folder", type=click.Path(path_type=Path), required=True)
@click.option("--runs", default=3, show_default=True)
@click.option("--keep", is_flag=True, help="Write the table under benchmarks/results.")
def main(folder: Path, runs: int, keep: bool) -> None:
    """Print for each format the bytes of the file, of the built model's process, of the peak, and the ratio."""
    write(folder)
    rows = []
    for file, name in FILES.items() if runs else ():
        if not (path := folder / file).exists():
            print(f"{file}: not there, and no torch to make it")
            continue
        built = int(median(child(name, None)[0] for _ in range(runs)))
        peak = int(median(child(name, path)[1] for _ in range(runs)))
        size = path.stat().st_size
        rows.append((path.suffix, size, built, peak, round((peak - built) / size, 2)))
        print(*rows[-1], flush=True)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"load-resnet50-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("format", "file_bytes", "built_bytes", "peak_bytes", "ratio"), *rows])


if __name__ == "__main__":
    main()
