"""The demo: digits become a trained, evaluated and exported classifier, step by step."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.declare import CheckedPath
from cnnzoo.cli.options import SEED
from cnnzoo.cli.startup import import_keras_quietly
from cnnzoo.core.errors import InputError
from cnnzoo.core.progress import show_progress

if TYPE_CHECKING:
    import numpy as np

STEP_COUNT = 6
DEFAULT_RUN_DIR = Path("runs/demo")
EXPORT_NAME = "saved_model"
# The code of a client that has TensorFlow and the export, but not this package.
CLIENT_SCRIPT = """
import sys
import numpy as np, tensorflow as tf
images, export = np.load(sys.argv[1]), tf.saved_model.load(sys.argv[2])
answer = export.signatures["pixels"](images=tf.constant(images))
assert "cnnzoo" not in sys.modules
for names, p in zip(answer["class_names"].numpy(), answer["probabilities"].numpy()):
    print(f"{names[0].decode()}, with a probability of {100 * p[0]:.2f} %")
"""


@commands.command()
@commands.option(
    "--run-dir",
    type=CheckedPath(),
    default=DEFAULT_RUN_DIR,
    show_default=True,
    help="Folder for the results; only the default one is overwritten.",
)
@commands.option("--seed", **SEED)
def demo(run_dir: Path, seed: int) -> None:
    """Train, evaluate and export LeNet-5 on real handwritten digits.

    The demo also loads the export in a process without this package. It takes about a minute on two cores.
    """
    check_demo(run_dir)
    import_keras_quietly()
    run_demo(run_dir, seed)


def check_demo(run_dir: Path) -> None:
    """Check that the demo can write into a folder, before anything slow."""
    from cnnzoo.training.run import check_run_dir

    overwrite = run_dir == DEFAULT_RUN_DIR
    check_run_dir(run_dir, None, overwrite)
    if (run_dir / EXPORT_NAME).exists() and not overwrite:
        raise InputError(f"{run_dir / EXPORT_NAME} already exists; choose another --run-dir")


def run_demo(run_dir: Path = DEFAULT_RUN_DIR, seed: int = 0) -> None:
    """Run every step in `run_dir`; a run that is already there is replaced only in the default folder."""
    from PIL import Image

    from cnnzoo.training.prepare import make_reproducible

    start = time.perf_counter()
    export_dir = run_dir / EXPORT_NAME
    overwrite = run_dir == DEFAULT_RUN_DIR

    print_step(1, f"Load the data: scikit-learn's handwritten digits, scans from 43 people, split with seed {seed}")
    data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2), seed=seed)
    print(data)

    print_step(2, "Build the model: LeNet-5 takes 32x32 gray images, normalizes pixels itself and returns logits")
    make_reproducible(seed)
    model = cnnzoo.get("lenet5", classes=data.classes)
    print(cnnzoo.info("lenet5"))

    print_step(3, "Train: SGD with momentum (recipe 'digits'); the epoch with the best validation accuracy is kept")
    report = cnnzoo.fit_and_evaluate(model, data, recipe="digits", run_dir=run_dir, seed=seed, overwrite=overwrite)

    print_step(4, f"Evaluate on the {len(data.test)} test images, which were not used in training")
    print(report)

    print_step(5, "Export as a SavedModel, and compare the export with the model")
    export = cnnzoo.export(model, export_dir, overwrite=overwrite)
    print(export)

    print_step(6, "Load the export in a new process with TensorFlow alone, and classify six test images")
    true_names = [data.classes[label] for label in data.test.labels[:6]]
    for line in predict_in_clean_process(export_dir, data.test.images[:6], true_names):
        print(line)

    picture = run_dir / "digit.png"
    Image.fromarray(data.test.images[0, :, :, 0]).save(picture)
    print(
        f"\nDone in {time.perf_counter() - start:.0f} s. Open {run_dir / 'report.html'}; the export is in {export_dir}"
    )
    # If the environment is not activated, the command is not on the search path and needs its folder.
    command = "cnnzoo" if shutil.which("cnnzoo") else os.path.relpath(Path(sys.executable).parent / "cnnzoo")
    print("Try next:")
    print(f"  {command} predict {export_dir} {picture}")
    print(f"  {command} train lenet5_relu digits --recipe digits --run-dir runs/relu")
    print(f"  {command} info lenet5_1998")


def print_step(number: int, description: str) -> None:
    """Print the heading of a step."""
    print(f"\n[{number}/{STEP_COUNT}] {description}", flush=True)


def predict_in_clean_process(export_dir: Path, images: np.ndarray, true_names: list[str]) -> list[str]:
    """Classify images (N, H, W, C) by the export in a new process, and return a line for each image.

    Raises:
        RuntimeError: if the process fails.
    """
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        command = [sys.executable, "-c", CLIENT_SCRIPT, str(file), str(export_dir.resolve())]
        with show_progress("Starting a process that has TensorFlow alone"):
            process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if process.returncode:
        raise RuntimeError(f"The export failed in a new process:\n{process.stderr}")
    predictions = process.stdout.splitlines()
    return [f"a {name} is read as {prediction}" for name, prediction in zip(true_names, predictions, strict=True)]


COMMANDS = (demo,)
