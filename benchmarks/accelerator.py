"""Measure training, inference and the data pipeline on this machine's device, beside Keras and torch.

    python benchmarks/accelerator.py --torch-python python3

Whatever device JAX or TensorFlow finds is used. On a GPU the network is ResNet-50 at 224 pixels in bfloat16 with 256
images per step; on a CPU it is ResNet-18 at 64 pixels in float32 with 8. Each side runs in its own process, so that no
side holds memory of the device while another is measured. A row that fails shows its error, a peer that is not
installed is left out, and after --minutes what has been measured until then is printed.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from data import run_pipeline

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SMALL = {"model": "resnet18", "size": 64, "batch_size": 8, "low_precision": False, "seconds": 2.0, "steps": 4}
LARGE = {"model": "resnet50", "size": 224, "batch_size": 256, "low_precision": True, "seconds": 3.0, "steps": 16}
CROP_SIZE = 128  # of the data pipelines
# Work, the result of cnnzoo, and the results that it is compared with
ROWS = (
    (
        "training step, data on the device",
        "training step",
        ("torch.compile training step", "torch eager training step"),
    ),
    ("training from uint8 arrays, last epoch", "fit_and_evaluate", ("training step", "keras fit")),
    ("inference, data on the device", "inference step", ("torch.compile inference step", "torch eager inference step")),
    ("inference from uint8 arrays on the host", "Classifier.predict", ("inference step", "keras predict")),
    ("training batches from JPEG files", "cnnzoo batches", ("torch DataLoader",)),
)
Result = dict[str, Any]


def choose_backend(gpu: bool) -> str:
    """Return the backend of $KERAS_BACKEND, or one that is installed: JAX on a GPU, TensorFlow on a CPU if both are."""
    chosen = os.environ.get("KERAS_BACKEND", "")
    if chosen in ("jax", "tensorflow"):
        return chosen
    order = ("jax", "tensorflow") if gpu else ("tensorflow", "jax")
    return next((name for name in order if find_spec(name)), "tensorflow")


def has_gpu() -> bool:
    """Return whether NVIDIA's or AMD's driver lists a GPU."""
    for tool, arguments in (("nvidia-smi", ["-L"]), ("rocm-smi", ["--showid"])):
        if path := shutil.which(tool):
            done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
            if done.returncode == 0 and "GPU" in done.stdout:
                return True
    return False


def iter_results(command: list[str], environment: dict[str, str], deadline: float) -> Iterator[Result]:
    """Yield the results that a process prints, until it ends or the time is up."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    except OSError as error:
        yield {"name": command[0], "error": error.strerror}
        return
    timer = threading.Timer(max(deadline - time.monotonic(), 1), process.kill)
    timer.start()
    errors: list[str] = []
    assert process.stdout
    assert process.stderr
    reader = threading.Thread(target=lambda stream: errors.extend(stream), args=(process.stderr,))
    reader.start()
    try:
        for line in process.stdout:
            if line.startswith('{"name"'):
                yield json.loads(line)
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
        process.stderr.close()
    if process.returncode and time.monotonic() < deadline:
        yield {"name": Path(command[1]).stem, "error": (errors or ["it failed"])[-1].strip()[:200]}


def write_photos(folder: Path, count: int = 512) -> None:
    """Write photo-like JPEG files of 192x144 pixels: smooth colors with some noise."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"class{i % 4}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (12, 16, 3), "uint8")).resize((192, 144), Image.Resampling.BICUBIC)
        pixels = np.asarray(image) + rng.normal(0, 6, (144, 192, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype("uint8")).save(path, quality=85)


def measure_pipelines(photos: Path | None, torch_python: str, deadline: float) -> Iterator[Result]:
    """Yield the rates of cnnzoo's batches and of torch's DataLoader, with one worker per core."""
    with tempfile.TemporaryDirectory() as temporary:
        if photos is None:
            photos = Path(temporary)
            write_photos(photos)
        for name, pipeline, python in (
            ("cnnzoo batches", "cnnzoo_batches", sys.executable),
            ("torch DataLoader", "torch_loader", torch_python),
        ):
            if time.monotonic() > deadline:
                return
            options = {"folder": str(photos), "size": CROP_SIZE, "policy": "basic", "workers": -1, "batch_size": 128}
            result = run_pipeline(python, pipeline, options, 3.0)
            if "skipped" in result:
                yield {"name": name, "error": result["skipped"]}
            else:
                yield {"name": name, "rate": result["images_per_second"]}


def table_lines(results: dict[str, Result]) -> list[str]:
    """Return the lines of a Markdown table of all rows."""

    def show(name: str) -> str:
        result = results.get(name, {})
        return f"{result['rate']:,}" if "rate" in result else result.get("error", "not measured")

    lines = ["| work | cnnzoo, images/s | compared with | ratio |", "|---|---|---|---|"]
    for work, ours, peers in ROWS:
        rate = results.get(ours, {}).get("rate")
        peer_rates = {peer: results.get(peer, {}).get("rate") for peer in peers}
        texts = [f"{peer} {show(peer)}" for peer in peers]
        ratios = [f"{rate / peer:.2f}" if rate and peer else "-" for peer in peer_rates.values()]
        lines.append(f"| {work} | {show(ours)} | {'; '.join(texts)} | {'; '.join(ratios)} |")
    return lines


def detail_lines(results: dict[str, Result]) -> list[str]:
    """Return what else was measured, such as the seconds of the first step."""
    lines = []
    for name, result in results.items():
        details = [f"{key.replace('_', ' ')} {value}" for key, value in result.items() if key not in ("name", "rate")]
        if details and "error" not in result:
            lines.append(f"* {name}: {', '.join(details)}")
    return lines


@click.command()
@click.option("--model", help="resnet50 on a GPU, resnet18 on a CPU by default.")
@click.option("--size", type=int, help="Side of the images: 224 or 64.")
@click.option("--batch", "batch_size", type=int, help="Images per step: 256 or 8.")
@click.option("--seconds", type=float, help="Measured time of each figure.")
@click.option("--photos", type=click.Path(exists=True, path_type=Path), help="Class folders for the data pipelines.")
@click.option("--torch-python", default=sys.executable, help="Interpreter with torch, torchvision and timm.")
@click.option("--minutes", default=5.0, show_default=True, help="Stop after this time.")
@click.option("--keep", is_flag=True, help="Write the table to benchmarks/results.")
def main(photos: Path | None, torch_python: str, minutes: float, keep: bool, **changes: Any) -> None:
    """Print a table of images per second, and ratios."""
    deadline = time.monotonic() + 60 * minutes
    gpu = has_gpu()
    options = (LARGE if gpu else SMALL) | {key: value for key, value in changes.items() if value is not None}
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"KERAS_BACKEND": choose_backend(gpu), "PYTHONPATH": os.pathsep.join(paths)}
    torch_environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    # Measure, the most important first; a third of the time is left for torch, which compiles for long
    results: dict[str, Result] = {}
    arguments = json.dumps(options)
    sides = (
        ([sys.executable, str(HERE / "device" / "keras_side.py"), arguments], environment, deadline - 20 * minutes),
        ([torch_python, str(HERE / "device" / "torch_side.py"), arguments], torch_environment, deadline),
    )
    streams = [iter_results(*sides[0]), measure_pipelines(photos, torch_python, deadline), iter_results(*sides[1])]
    for stream in streams:
        for result in stream:
            results[result["name"]] = result
            print(*(f"{key}={value}" for key, value in result.items()), flush=True)

    # Report
    sides_text = [results[name]["text"] for name in ("device", "torch") if "text" in results.get(name, {})]
    precision = "bfloat16" if options["low_precision"] else "float32"
    title = (
        f"{'; '.join(sides_text)}. {options['model']} at {options['size']} pixels, {options['batch_size']} images per "
        f"step, {precision}. {os.cpu_count()} cores ({platform.machine()}), {datetime.now(UTC):%Y-%m-%d}"
    )
    lines = ["", title, "", *table_lines(results), "", *detail_lines(results)]
    print("\n".join(lines))
    if keep:
        device = results.get("device", {}).get("text", "unknown").split(",")[0].replace(" ", "-").lower()
        (RESULTS / f"accelerator-{options['model']}-{device}.md").write_text("\n".join(lines[1:]) + "\n")


if __name__ == "__main__":
    main()
