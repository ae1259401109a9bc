"""Train the weights that are shipped, measure them on the test split, and write their rows into the manifest.

    python weights/train.py digits mnist mnist_1998 --mnist path/to/mnist.npz

Recipes and their settings were chosen on validation images; the test split is looked at once, here.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import NamedTuple

import click
import keras

import cnnzoo
from cnnzoo.training import recipes
from cnnzoo.training.prepare import make_reproducible

HERE = Path(__file__).parent


class Job(NamedTuple):
    """One set of weights: what to train, how, and on what."""

    model: str
    tag: str
    recipe: str
    settings: dict
    data: str
    load: dict
    source: str


MNIST = {"pad": 2, "splits": (0.8, 0.1, 0.1)}  # 28x28 in the middle of 32x32; the test part is MNIST's own
JOBS = {
    "digits": Job(
        "lenet5",
        "digits",
        "digits",
        {},
        "scikit-learn's digits, 360 held out",
        {"splits": (0.7, 0.1, 0.2)},
        "UCI's optical recognition of handwritten digits (Alpaydin and Kaynak 1998), as scikit-learn ships it",
    ),
    "mnist": Job("lenet5", "mnist", "mnist", {}, "MNIST's test set", MNIST, "MNIST (LeCun, Cortes, Burges)"),
    "mnist_1998": Job(
        "lenet5_1998",
        "mnist",
        "lenet_1998",
        {"augment": "shift"},
        "MNIST's test set",
        MNIST,
        "MNIST (LeCun, Cortes, Burges)",
    ),
}


@click.command()
@click.argument("jobs", nargs=-1, type=click.Choice(list(JOBS)), required=True)
@click.option("--mnist", type=click.Path(exists=True), help="mnist.npz, as keras.datasets.mnist downloads it.")
@click.option("--seed", default=0, show_default=True)
@click.option("--runs", default="runs/weights", show_default=True, help="Where the runs and their reports go.")
def main(jobs: tuple[str, ...], mnist: str | None, seed: int, runs: str) -> None:
    """Train JOBS; a run that was interrupted goes on."""
    for name in jobs:
        job = JOBS[name]
        data = cnnzoo.load_data("digits" if name == "digits" else mnist, seed=seed, **job.load)
        make_reproducible(seed)
        model = cnnzoo.get(job.model, classes=data.classes)
        recipe = recipes.resolve_recipe(job.recipe, job.settings)
        report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=Path(runs) / name, seed=seed, resume=True)
        print(report)
        publish(job, model, report, seed)


def publish(job: Job, model: keras.Model, report: cnnzoo.Report, seed: int) -> None:
    """Write the weights and, at the manifest's end, their row, in place of an earlier one."""
    scratch = cnnzoo.save_weights(model, HERE / "new.safetensors")
    content = scratch.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    for old in HERE.glob(f"{job.model}-{job.tag}-*.safetensors"):
        old.unlink()
    file = scratch.rename(HERE / f"{job.model}-{job.tag}-{digest[:8]}.safetensors")
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
    row = "\n".join(["[[weights]]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items()), ""])
    manifest = HERE / "manifest.toml"
    head, *rows = re.split(r"(?=^\[\[weights\]\])", manifest.read_text(encoding="utf-8"), flags=re.M)
    mine = f'model = "{job.model}"\ntag = "{job.tag}"\n'
    rows = [*(r.strip() + "\n" for r in rows if mine not in r), row]
    manifest.write_text("\n".join([head.strip() + "\n", *rows]), encoding="utf-8")


if __name__ == "__main__":
    main()
