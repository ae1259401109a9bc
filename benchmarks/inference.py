"""Measure latency at batch 1 and throughput at batch 32 of Keras, TensorFlow, torch and our runtimes, side by side.

python benchmarks/inference.py resnet50 --rounds 15

The weights are random, because only the time matters. torch and torchvision take part if they are installed.
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
CHART = Path(__file__).parents[1] / "docs" / "images" / "inference.png"
COLORS = {
    "tf.function": "#9ca3af",
    "torch channels-last": "#ee9966",
    "cnnzoo litert float32": "#aaccee",
    "cnnzoo onnxruntime float32": "#77aadd",
    "cnnzoo openvino float32": "#3377bb",
    "cnnzoo openvino bfloat16": "#227755",
    "cnnzoo openvino int8": "#114433",
}
MODELS = ("resnet18", "resnet50", "vgg16", "googlenet", "inception_v3")
BATCH_SIZES = (1, 32)
WARM_UP_ROUNDS = 2


def build_torch_runner(name, images):
    """Return a function from a batch size to the scores of torchvision's model, or None without torch."""
    try:
        import torch
        import torchvision
    except ImportError:
        return None
    options = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, weights=None, **options).eval().to(memory_format=torch.channels_last)
    tensors = {
        n: torch.from_numpy(x.transpose(0, 3, 1, 2).astype("float32")).contiguous(memory_format=torch.channels_last)
        for n, x in images.items()
    }

    def run(n):
        with torch.inference_mode():
            return model(tensors[n])

    return run


def build_contenders(name, images):
    """Return functions from a batch size to the scores of as many images, by the name of the contender."""
    torch_runner = build_torch_runner(name, images)  # torch crashes if it is imported after TensorFlow
    import openvino
    import tensorflow as tf

    import cnnzoo
    from cnnzoo.inference.classifier import Classifier
    from cnnzoo.runtimes.choose import RUNTIMES, OpenRuntime
    from cnnzoo.runtimes.network import build_graph

    model = cnnzoo.get(name)

    # Without cnnzoo
    float_images = {n: x.astype("float32") for n, x in images.items()}
    tf_graph = tf.function(lambda x: model(x, training=False))
    converted = openvino.convert_model(build_graph(model).get_concrete_function())
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    contenders = {
        "keras predict": lambda n: model.predict(float_images[n], batch_size=n, verbose=0),
        "tf.function": lambda n: tf_graph(tf.constant(float_images[n])),
        "torch channels-last": torch_runner,
        "openvino directly": lambda n: compiled(images[n])[0],
    }

    # Classifier.predict, as a user calls it
    def add(classifier):
        name = f"cnnzoo {classifier.runtime} {classifier.precision}"
        contenders[name] = lambda n: classifier.predict(images[n])

    for runtime in ("keras", "litert", "onnxruntime", "openvino"):
        add(Classifier.of(model, runtime))
    add(Classifier.of(model, "openvino", "bfloat16"))

    # An export in int8, without writing it
    calibration = np.random.default_rng(0).integers(0, 256, (40, *model.input_shape[1:]), "uint8")
    quantized = RUNTIMES["openvino"].convert(model, precision="int8", images=calibration)
    opened = OpenRuntime("openvino", "int8", RUNTIMES["openvino"].open(quantized))
    original = Classifier.of(model, "keras")
    add(Classifier(original.card, original.shape, lambda: opened, "openvino", "int8"))
    return {key: run for key, run in contenders.items() if run}


def draw_chart(table, chart):
    """Draw how much faster than Keras' predict each contender is: one panel per batch size, on a logarithmic scale."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import ScalarFormatter

    with Path(table).open(newline="") as file:
        rows = list(csv.DictReader(file))
    speedups = {(row["batch"], row["model"], row["contender"]): float(row["times keras predict"]) for row in rows}
    models = list(dict.fromkeys(row["model"] for row in rows))
    contenders = [name for name in dict.fromkeys(row["contender"] for row in rows) if name in COLORS]

    # 6 inches with letters of 11 points: readable on a phone
    plt.rcParams["font.size"] = 11
    figure, panels = plt.subplots(2, 1, figsize=(6, 8.6), sharey=True, layout="constrained")
    figure.suptitle("Speed compared with Keras' predict, two cores with AMX", fontsize=13)
    titles = {1: "One image at a time", 32: "Batches of 32 images"}
    for axes, batch in zip(panels, BATCH_SIZES, strict=True):
        for i, name in enumerate(contenders):
            keys = [(str(batch), model, name) for model in models]
            heights = np.array([speedups[key] for key in keys if key in speedups])
            positions = np.arange(len(models)) + (i - (len(contenders) - 1) / 2) * 0.11
            axes.bar(positions, heights - 1, 0.1, bottom=1, color=COLORS[name], label=name)
        axes.set_yscale("log")
        axes.set_yticks([0.5, 1, 2, 4, 8, 16, 32])
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.minorticks_off()
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_xticks(range(len(models)), models)
        axes.set_title(titles[batch], fontsize=12)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlabel="network", ylabel="times as fast as Keras' predict")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(chart, dpi=130)


def measure_model(name, rounds):
    """Return one row per contender and batch size, with its median, least and greatest time."""
    import cnnzoo

    input_shape = cnnzoo.info(name).row.input_shape
    draw = np.random.default_rng(0)
    images = {n: draw.integers(0, 256, (n, *input_shape), "uint8") for n in BATCH_SIZES}
    contenders, rows = build_contenders(name, images), []
    for n in BATCH_SIZES:
        seconds = {key: [] for key in contenders}
        for i in range(WARM_UP_ROUNDS + (rounds if n == 1 else max(3, rounds // 3))):
            for key in draw.permutation(list(contenders)):
                time.sleep(0.1)  # the threads of the contender before spin for a while
                started = time.perf_counter()
                contenders[key](n)
                if i >= WARM_UP_ROUNDS:
                    seconds[key].append(time.perf_counter() - started)

        baseline = float(np.median(seconds["keras predict"]))
        for key, values in seconds.items():
            median = float(np.median(values))
            row = {"model": name, "batch": n, "contender": key, "ms": round(1000 * median, 1)}
            row |= {"least": round(1000 * min(values), 1), "most": round(1000 * max(values), 1)}
            row |= {"times keras predict": round(baseline / median, 2)}
            rows.append(row)
            print(", ".join(f"{column} {value}" for column, value in row.items()), flush=True)
    return rows


@click.command()
@click.argument("models", nargs=-1)
@click.option("--rounds", default=15, show_default=True, help="Times that each contender runs at batch 1.")
@click.option("--keep", is_flag=True, help="Write the table into results/, and draw docs/images/inference.png from it.")
@click.option("--draw", type=click.Path(exists=True), help="Only draw docs/images/inference.png, from this table.")
def main(models, rounds, keep, draw):
    """Run each contender once per round, in random order, and print medians, spreads and ratios."""
    if draw:
        draw_chart(draw, CHART)
        return
    rows = []
    # A process per model, so that its memory is freed before the next one.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for model_rows in pool.map(measure_model, models or MODELS, itertools.repeat(rounds)):
            rows += model_rows
    if keep:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"inference-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        draw_chart(file.name, CHART)


if __name__ == "__main__":
    main()
