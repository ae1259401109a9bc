"""The demo: digits to a trained, evaluated, exported classifier, step by step."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import cnnzoo

STEP_COUNT = 6
DEFAULT_RUN_DIR = Path("runs/demo")
# What a stranger would write, who has TensorFlow and the export but not this package.
CLIENT_SCRIPT = """
import sys
import numpy as np, tensorflow as tf
images, export = np.load(sys.argv[1]), tf.saved_model.load(sys.argv[2])
answer = export.signatures["pixels"](images=tf.constant(images))
assert "cnnzoo" not in sys.modules
for names, p in zip(answer["class_names"].numpy(), answer["probabilities"].numpy()):
    print(names[0].decode(), f"{p[0]:.4f}")
"""


def run_demo(run_dir: Path = DEFAULT_RUN_DIR, seed: int = 0) -> None:
    """Run every step in `run_dir`; only the default one is replaced where it holds a run already."""
    begun = time.perf_counter()
    exported = run_dir / "saved_model"

    print_step(
        1, f"The data: scikit-learn's handwritten digits, real scans of 43 people's writing, split by seed {seed}"
    )
    data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2), seed=seed)
    print(data)

    print_step(2, "The model: LeNet-5, 32x32 gray images in, logits out; pixels are normalised inside")
    from cnnzoo.training.prepare import make_reproducible

    make_reproducible(seed)
    model = cnnzoo.get("lenet5", classes=data.classes)
    print(cnnzoo.info("lenet5"))

    print_step(3, "Training: SGD with momentum, recipe 'digits'; the best epoch by validation is kept")
    again = run_dir == DEFAULT_RUN_DIR
    report = cnnzoo.fit_and_evaluate(model, data, recipe="digits", run_dir=run_dir, seed=seed, overwrite=again)

    print_step(4, f"Evaluation on the {len(data.test)} test images, which training never saw")
    print(report)

    print_step(5, "Export as a SavedModel, compared with the model before it is called done")
    done = cnnzoo.export(model, exported, overwrite=again)
    print(f"{exported}: probabilities within {done.difference:.1g} of the model's")

    print_step(6, "A clean process, with TensorFlow alone, loads the export and reads six raw test images")
    for line in predict_in_clean_process(
        exported, data.test.images[:6], [data.classes[i] for i in data.test.labels[:6]]
    ):
        print(line)

    picture = run_dir / "digit.png"
    Image.fromarray(data.test.images[0, :, :, 0]).save(picture)
    print(f"\nDone in {time.perf_counter() - begun:.0f} s. Open {run_dir / 'report.html'}; the export is {exported}")
    # in a shell without the environment's folder on its path, the command needs its place
    command = "cnnzoo" if shutil.which("cnnzoo") else os.path.relpath(Path(sys.executable).parent / "cnnzoo")
    print("Try next:")
    print(f"  {command} predict {exported} {picture}")
    print(f"  {command} train lenet5_relu digits --recipe digits --run-dir runs/relu")
    print(f"  {command} info lenet5_1998")


def print_step(step: int, what: str) -> None:
    """Head the next step."""
    print(f"\n[{step}/{STEP_COUNT}] {what}", flush=True)


def predict_in_clean_process(exported: Path, images: np.ndarray, truth: list[str]) -> list[str]:
    """What the export answers in a process of its own, a line an image."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        command = [sys.executable, "-c", CLIENT_SCRIPT, str(file), str(exported.resolve())]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if answer.returncode:
        raise RuntimeError(f"The clean process failed:\n{answer.stderr}")
    return [f"a {true} is read as {guess}" for true, guess in zip(truth, answer.stdout.splitlines(), strict=True)]
