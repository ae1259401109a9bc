"""Train the weights that are shipped, measure them on the test split, and write their rows into the manifest.

    python weights/train.py digits mnist mnist_1998 --mnist path/to/mnist.npz

The recipes and their settings were chosen on validation images. The test split is used once, here.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import keras

import cnnzoo
from cnnzoo.training.prepare import make_reproducible

WEIGHTS_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One set of weights: what to train, how, and on which data."""

    model: str
    tag: str
    recipe: str
    settings: dict[str, Any] = field(default_factory=dict)  # fields of the recipe that are changed
    data: str  # description of the test images, for the manifest
    load_options: dict[str, Any]  # arguments of load_data
    source: str  # of the images


# 28x28 images in the middle of 32x32; the test split is MNIST's own.
MNIST_FIELDS: dict[str, Any] = {
    "tag": "mnist",
    "data": "MNIST's test set",
    "load_options": {"pad": 2, "splits": (0.8, 0.1, 0.1)},
    "source": "MNIST (LeCun, Cortes, Burges)",
}
JOBS = {
    "digits": TrainingJob(
        model="lenet5",
        tag="digits",
        recipe="digits",
        data="scikit-learn's digits, 360 held out",
        load_options={"splits": (0.7, 0.1, 0.2)},
        source="UCI's optical recognition of handwritten digits (Alpaydin and Kaynak 1998), as scikit-learn ships it",
    ),
    "mnist": TrainingJob(model="lenet5", recipe="mnist", **MNIST_FIELDS),
    "mnist_1998": TrainingJob(model="lenet5_1998", recipe="lenet_1998", settings={"augment": "shift"}, **MNIST_FIELDS),
}


@click.command()
@click.argument("jobs", nargs=-1, type=click.Choice(list(JOBS)), required=True)
@click.option("--mnist", type=click.Path(exists=True), help="mnist.npz, as downloaded by keras.datasets.mnist.")
@click.option("--seed", default=0, show_default=True, help="Seed of the split, the weights and the training.")
@click.option("--runs", default="runs/weights", show_default=True, help="Folder for the runs and their reports.")
def main(jobs: tuple[str, ...], mnist: str | None, seed: int, runs: str) -> None:
    """Train JOBS. An interrupted run is continued."""
    for name in jobs:
        job = JOBS[name]
        data = cnnzoo.load_data("digits" if name == "digits" else mnist, seed=seed, **job.load_options)
        make_reproducible(seed)
        model = cnnzoo.get(job.model, classes=data.classes)
        recipe = cnnzoo.recipe(job.recipe, **job.settings)
        report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=Path(runs) / name, seed=seed, resume=True)
        print(report)
        publish_weights(job, model, report, seed)


def publish_weights(job: TrainingJob, model: keras.Model, report: cnnzoo.Report, seed: int) -> None:
    """Write the weights, and their row at the end of the manifest, in place of earlier ones of the same name."""
    new_file = cnnzoo.save_weights(model, WEIGHTS_FOLDER / "new.safetensors")
    content = new_file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    for old_file in WEIGHTS_FOLDER.glob(f"{job.model}-{job.tag}-*.safetensors"):
        old_file.unlink()
    file = new_file.rename(WEIGHTS_FOLDER / f"{job.model}-{job.tag}-{digest[:8]}.safetensors")

    card, side = cnnzoo.card(model), model.input_shape[1]
    fields = {
        "model": job.model,
        "tag": job.tag,
        "file": file.name,
        "hash": f"sha256:{digest}",
        "bytes": len(content),
        "classes": card.classes,
        "preprocessing": card.preprocessing,
        "input_size": side,
        "resize": side - 2 * card.pad,
        "pad": card.pad,
        "data": job.data,
        "recipe": ", ".join([job.recipe, *(f"{key}={value}" for key, value in job.settings.items())]),
        "seed": seed,
        "top1": round(100 * report.accuracy, 2),
        "test_images": len(report.labels),
        "license": "Apache-2.0",
        "license_from": "weights",
        "source": f"trained by weights/train.py on {job.source}",
        "verified": True,
    }
    replace_manifest_row(fields)


def replace_manifest_row(fields: dict[str, Any]) -> None:
    """Append a [[weights]] table to the manifest, and remove an earlier one with the same model and tag."""
    new_row = "\n".join(["[[weights]]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items()), ""])
    manifest = WEIGHTS_FOLDER / "manifest.toml"
    head, *rows = re.split(r"(?=^\[\[weights\]\])", manifest.read_text(encoding="utf-8"), flags=re.M)
    own_lines = f'model = "{fields["model"]}"\ntag = "{fields["tag"]}"\n'
    other_rows = [row.strip() + "\n" for row in rows if own_lines not in row]
    manifest.write_text("\n".join([head.strip() + "\n", *other_rows, new_row]), encoding="utf-8")


if __name__ == "__main__":
    main()
