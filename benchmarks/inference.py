"""Latency at batch 1 and throughput at batch 32, side by side in one run: Keras, TensorFlow, torch, and our runtimes.

python benchmarks/inference.py resnet50 --rounds 15
Random weights, as only the time is asked for; torch and torchvision take part where they are installed.
"""

import csv
import itertools
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np

RESULTS = Path(__file__).parent / "results"
PICTURE = Path(__file__).parents[1] / "docs" / "inference.png"
SHOWN = {
    "tf.function": "#bbbbbb",
    "torch channels-last": "#ee9966",
    "cnnzoo litert float32": "#aaccee",
    "cnnzoo onnxruntime float32": "#77aadd",
    "cnnzoo openvino float32": "#3377bb",
    "cnnzoo openvino bfloat16": "#227755",
    "cnnzoo openvino int8": "#114433",
}
MODELS = ("resnet18", "resnet50", "vgg16", "googlenet", "inception_v3")


def torch_model(name, images):
    """torchvision's model of the same name, in channels-last; None where torch is not installed."""
    try:
        import torch
        import torchvision
    except ImportError:
        return None
    options = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, **options).eval().to(memory_format=torch.channels_last)
    tensors = {n: torch.from_numpy(x.transpose(0, 3, 1, 2).astype("float32")) for n, x in images.items()}
    tensors = {n: x.contiguous(memory_format=torch.channels_last) for n, x in tensors.items()}

    def run(n):
        with torch.inference_mode():
            return model(tensors[n])

    return run


def contenders(name, images):
    """Functions from a batch size to the scores of as many images, by name; the first is the measure of the others."""
    torchs = torch_model(name, images)  # imported after TensorFlow, torch crashes
    import openvino
    import tensorflow as tf

    import cnnzoo
    from cnnzoo.inference.classifier import Classifier
    from cnnzoo.runtimes import choose
    from cnnzoo.runtimes import openvino as ours
    from cnnzoo.surgery.fold import fold

    model = cnnzoo.get(name)
    floats = {n: x.astype("float32") for n, x in images.items()}
    graph = tf.function(lambda x: model(x, training=False))
    direct = openvino.compile_model(ours.convert_to_openvino(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = {
        "keras predict": lambda n: model.predict(floats[n], batch_size=n, verbose=0),
        "tf.function": lambda n: graph(tf.constant(floats[n])),
        "torch channels-last": torchs,
        "openvino directly": lambda n: direct(images[n])[0],
    }
    kinds = [(r, "float32") for r in ("keras", "litert", "onnxruntime", "openvino")] + [("openvino", "bfloat16")]
    for runtime, precision in kinds:
        found[f"cnnzoo {runtime} {precision}"] = predictor(Classifier.of(model, runtime, precision), images)
    calibration = np.random.default_rng(0).integers(0, 256, (40, 1, *model.input_shape[1:]), "uint8")
    small = choose.open_openvino(choose.quantize_to_int8(ours.convert_to_openvino(fold(model)), list(calibration)))
    classifier = Classifier.of(model, "keras")
    found["cnnzoo openvino int8"] = predictor(
        Classifier(classifier.card, classifier.shape, lambda: small, "openvino", "int8"), images
    )
    return {key: value for key, value in found.items() if value}


def predictor(classifier, images):
    """Classifier.predict, as a user calls it."""
    return lambda n: classifier.predict(images[n])


def chart(table, picture):
    """Draw how many times as fast as Keras' predict each contender is, a panel a batch size, on a logarithmic scale."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import ScalarFormatter

    with Path(table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    models = list(dict.fromkeys(row["model"] for row in rows))
    names = [name for name in dict.fromkeys(row["contender"] for row in rows) if name in SHOWN]
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    for axes, batch in zip(panels, ("1", "32"), strict=True):
        for i, name in enumerate(names):
            times = [
                float(row["times keras predict"])
                for model in models
                for row in rows
                if (row["model"], row["batch"], row["contender"]) == (model, batch, name)
            ]
            places = np.arange(len(models)) + (i - (len(names) - 1) / 2) * 0.11
            axes.bar(places, np.array(times) - 1, 0.1, bottom=1, color=SHOWN[name], label=name)
        axes.set_yscale("log")
        axes.set_yticks([0.5, 1, 2, 4, 8, 16, 32])
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.minorticks_off()
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xticks(range(len(models)), models)
        axes.set_title(f"batch {batch}")
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("times Keras' predict")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(picture, dpi=110)


def measured(name, rounds):
    """The rows of a model: each contender's times at batch 1 and 32."""
    import cnnzoo

    size = cnnzoo.info(name).row.input_shape
    draw = np.random.default_rng(0)
    images = {n: draw.integers(0, 256, (n, *size), "uint8") for n in (1, 32)}
    runners, rows = contenders(name, images), []
    for n in images:
        seconds = {key: [] for key in runners}
        for i in range(2 + (rounds if n == 1 else max(3, rounds // 3))):
            for key in draw.permutation(list(runners)):
                time.sleep(0.1)  # threads of the one before spin for a while
                begun = time.perf_counter()
                runners[key](n)
                if i > 1:  # the first ones compile
                    seconds[key].append(time.perf_counter() - begun)
        base = np.median(seconds["keras predict"])
        for key, values in seconds.items():
            middle = float(np.median(values))
            row = {"model": name, "batch": n, "contender": key, "ms": round(1000 * middle, 1)}
            row |= {"least": round(1000 * min(values), 1), "most": round(1000 * max(values), 1)}
            row |= {"times keras predict": round(float(base) / middle, 2)}
            rows.append(row)
            print(", ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    return rows


@click.command()
@click.argument("models", nargs=-1)
@click.option("--rounds", default=15, show_default=True)
@click.option("--keep", is_flag=True, help="Write the figures into results/, and the chart of the README.")
def main(models, rounds, keep):
    """Time each contender once a round, in turn, and print medians, spreads and ratios."""
    rows = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for found in pool.map(measured, models or MODELS, itertools.repeat(rounds)):  # memory goes with the process
            rows += found
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"inference-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        chart(file.name, PICTURE)


if __name__ == "__main__":
    main()
