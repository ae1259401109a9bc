"""Compare data pipelines: cnnzoo, torch's DataLoader, Keras, Grain and Pillow, by images per second.

    python benchmarks/data.py FOLDER --size 128 --policies basic,trivial,rand --workers 0,1,2

FOLDER has one sub-folder of photos per class, or train, val and test folders that contain these. Every pipeline runs in
its own process, in turns (see `pipelines/measure.py`). A peer that is not installed is skipped; torch, torchvision and
Grain may be installed for another interpreter, which --torch-python and --grain-python name. Use the same release of
Pillow there.

Other work on the machine disturbs the rates more than the processor time per image. The ratios are those of the
medians over the turns.
"""

import csv
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import click

HERE = Path(__file__).parent
RESULTS = HERE / "results"
AUTO = -1
POLICIES = ("none", "gentle", "basic", "trivial", "rand", "erase")
# The pipelines, and whether the number of worker processes can be chosen
PIPELINES = {
    "cnnzoo_batches": True,
    "cnnzoo_packed": True,
    "cnnzoo_memory": False,
    "torch_loader": True,
    "grain_dataset": True,
    "pillow_pool": True,
    "keras_directory": False,
    "tensorflow_decode": False,
}
COLUMNS = ("images_per_second", "processor_ms", "startup_seconds", "memory_mb")
Row = dict[str, Any]
Variant = tuple[str, str, int]  # pipeline, policy and number of workers


def split_names(context: click.Context, parameter: click.Parameter, value: str) -> list[str]:
    """Split a comma-separated list and check it against the names allowed."""
    allowed = POLICIES if parameter.name == "policies" else tuple(PIPELINES)
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if name not in allowed:
            raise click.BadParameter(f"{name!r} is none of {', '.join(allowed)}")
    return names


def split_numbers(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """Split a comma-separated list of numbers of workers; "auto" is what the library chooses."""
    try:
        return [AUTO if part.strip() == "auto" else int(part) for part in value.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list such as 0,1,2,auto") from None


def run_pipeline(python: str, pipeline: str, options: dict[str, Any], seconds: float) -> Row:
    """Measure one pipeline in a new process of an interpreter."""
    command = [python, str(HERE / "pipelines" / "measure.py"), pipeline, json.dumps(options), str(seconds)]
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | ({"PYTHONPATH": os.pathsep.join(paths)} if python == sys.executable else {})
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        return {"skipped": "no figures after ten minutes"}
    except OSError as error:
        return {"skipped": f"{python}: {error.strerror}", "missing": True}
    if done.returncode:
        return {"skipped": (done.stderr.strip().splitlines() or ["it failed"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def summarize_turns(rows: list[Row]) -> dict[Variant, list[float]]:
    """Return the medians of the columns over all turns, by pipeline, policy and workers."""
    keys = list(dict.fromkeys((row["pipeline"], row["policy"], row["workers"]) for row in rows))
    turns = {key: [row for row in rows if (row["pipeline"], row["policy"], row["workers"]) == key] for key in keys}
    return {key: [median(row[column] for row in turns[key]) for column in COLUMNS] for key in keys}


def print_table(medians: dict[Variant, list[float]]) -> None:
    """Print the medians as a Markdown table."""
    print("\n| pipeline | policy | workers | images/s | CPU ms per image | start, s | memory, MB |")
    print("|---|---|---|---|---|---|---|")
    for (pipeline, policy, number), (rate, processor, startup, memory) in medians.items():
        workers = "auto" if number == AUTO else number
        print(f"| {pipeline} | {policy} | {workers} | {rate:.0f} | {processor:.2f} | {startup:.1f} | {memory:.0f} |")


def print_ratios(medians: dict[Variant, list[float]]) -> None:
    """Print the rates of cnnzoo divided by those of its peers, at equal policies and numbers of workers.

    The ratio by processor time is that of the images per second of processor time.
    """
    print()
    for (pipeline, policy, number), (rate, processor, *_) in medians.items():
        if pipeline != "cnnzoo_batches":
            continue
        for (peer, peer_policy, peer_number), (peer_rate, peer_processor, *_) in medians.items():
            is_equal = peer_policy == policy and (peer_number == number or not PIPELINES[peer])
            is_plain = peer == "keras_directory" and peer_policy == "none" != policy
            if peer != pipeline and (is_equal or is_plain):
                workers = "auto" if number == AUTO else number
                name = f"{peer} without augmentation" if is_plain else peer
                ratios = f"{rate / peer_rate:.2f}, by processor time {peer_processor / processor:.2f}"
                print(f"{policy}, {workers} workers: cnnzoo / {name} {ratios}")


def list_variants(pipelines: list[str], policies: list[str], workers: list[int]) -> list[Variant]:
    """Return the pipelines, policies and numbers of workers of one turn."""
    variants = []
    for pipeline in pipelines:
        numbers = workers if PIPELINES[pipeline] else [AUTO]
        names = ["none", *(name for name in policies if name != "none")] if pipeline == "keras_directory" else policies
        names = ["none"] if pipeline == "tensorflow_decode" else names
        variants += [(pipeline, name, number) for name in names for number in numbers]
    return variants


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--size", default=224, show_default=True, help="Side of the images in pixels.")
@click.option("--policies", default="basic,trivial,rand", show_default=True, callback=split_names)
@click.option("--workers", default="0,1,2,auto", show_default=True, callback=split_numbers)
@click.option("--pipelines", default=",".join(PIPELINES), show_default=True, callback=split_names)
@click.option("--batch", "batch_size", default=32, show_default=True, help="Images per batch.")
@click.option("--seconds", default=4.0, show_default=True, help="Measured time of each pipeline and turn.")
@click.option("--turns", default=3, show_default=True)
@click.option("--torch-python", default=sys.executable, help="Interpreter with torch and torchvision.")
@click.option("--grain-python", default=sys.executable, help="Interpreter with Grain.")
@click.option("--keep", is_flag=True, help="Write the figures of all turns under benchmarks/results.")
def main(
    folder: Path,
    size: int,
    policies: list[str],
    workers: list[int],
    pipelines: list[str],
    batch_size: int,
    seconds: float,
    turns: int,
    torch_python: str,
    grain_python: str,
    keep: bool,
) -> None:
    """Print the figures of every turn, a table of their medians, and ratios."""
    train = folder / "train"
    interpreters = {"torch_loader": torch_python, "grain_dataset": grain_python}
    rows: list[Row] = []
    missing: set[str] = set()
    for turn in range(1, turns + 1):
        for pipeline, policy, number in list_variants(pipelines, policies, workers):
            if pipeline in missing:
                continue
            options = {
                "folder": str(train if train.is_dir() else folder),
                "size": size,
                "policy": policy,
                "workers": number,
                "batch_size": batch_size,
            }
            result = run_pipeline(interpreters.get(pipeline, sys.executable), pipeline, options, seconds)
            if reason := result.get("skipped"):
                if turn == 1:
                    print(f"{pipeline} {policy} {number}: skipped, {reason}", flush=True)
                if result.get("missing"):
                    missing.add(pipeline)
                continue
            load = {"load": round(os.getloadavg()[0], 1)} if hasattr(os, "getloadavg") else {}
            rows.append({"turn": turn, "pipeline": pipeline, "policy": policy, "workers": number, **result, **load})
            print(*rows[-1].values(), flush=True)
    if not rows:
        raise click.ClickException("nothing was measured")

    load = median(row.get("load", 0.0) for row in rows)
    print(
        f"\n{folder.name}, {size} pixels, batches of {batch_size}; {os.cpu_count()} cores ({platform.machine()}), ",
        end="",
    )
    print(f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}, load {load:.1f}")
    medians = summarize_turns(rows)
    print_table(medians)
    print_ratios(medians)
    if keep:
        path = RESULTS / f"pipelines-{folder.resolve().name}-{size}-cpu{os.cpu_count()}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
