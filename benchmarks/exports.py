"""Measure what each export costs in accuracy, and how many files it classifies a second.

python benchmarks/exports.py --weights googlenet_bvlc.npz --photos imagenette144

GoogLeNet on the photographs of Imagenette, among all 1000 classes.
"""

import csv
import os
import tempfile
import time
from pathlib import Path

import click
import numpy as np

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("export", "precision", "runtime", "accuracy", "points lost", "same answer", "files a second", "ratio")
BATCH_SIZE = 64
# Format, precision of the export, and precision to run it in, if that differs
EXPORTS = (
    ("saved_model", "float32", None),
    ("onnx", "float32", None),
    ("openvino", "float32", None),
    ("openvino", "float32", "bfloat16"),
    ("openvino", "float16", None),
    ("litert", "float32", None),
    ("litert", "float16", None),
    ("onnx", "int8", None),
    ("openvino", "int8", None),
    ("litert", "int8", None),
)


def predict_one_by_one(model, paths):
    """Classify one file after the other with Keras, as people commonly write it."""
    import keras

    height, width = model.input_shape[1:3]
    for path in paths:
        image = keras.utils.load_img(path, target_size=(height, width), interpolation="bilinear")
        model.predict(keras.utils.img_to_array(image)[None], verbose=0)


def images_per_second(run, count):
    """Return how many of `count` images a second `run` classifies."""
    started = time.perf_counter()
    run()
    return count / (time.perf_counter() - started)


def measure_accuracy(classifier, pixels, labels):
    """Return the class indices that the classifier predicts, and its accuracy."""
    batches = (pixels[i : i + BATCH_SIZE] for i in range(0, len(pixels), BATCH_SIZE))
    predictions = np.concatenate([classifier.probabilities(batch).argmax(axis=1) for batch in batches])
    return predictions, float((predictions == labels).mean())


@click.command()
@click.option("--weights", required=True, help="Checkpoint of googlenet_2014.")
@click.option("--photos", required=True, help="Folder with one folder of photos per class, named by WordNet id.")
@click.option("--files", default=200, show_default=True, help="Number of files to measure the speed with.")
@click.option("--keep", is_flag=True, help="Write the table into results/.")
def main(weights, photos, files, keep):
    """Print the accuracy of each export, its loss against the model, and its speed on files."""
    import cnnzoo
    from cnnzoo.checkpoints import manifest

    wordnet_ids = list(manifest.load_wordnet_ids())
    model = cnnzoo.get("googlenet_2014", weights=weights, classes=wordnet_ids)
    data = cnnzoo.load_data(photos, doctor=False)
    labels = np.array([wordnet_ids.index(name) for name in data.classes])[data.test.labels]
    paths = [Path(photos) / name for name in data.test.names]
    timed_paths = paths[:: len(paths) // files][:files]
    original = cnnzoo.Classifier.of(model, "keras")
    pixels = original.transform(paths)

    # The baseline: Keras, one file after the other
    predict_one_by_one(model, timed_paths[:3])  # compiles
    baseline_speed = images_per_second(lambda: predict_one_by_one(model, timed_paths), len(timed_paths))
    expected, baseline_accuracy = measure_accuracy(original, pixels, labels)
    rows = [("load_img and predict, one by one", "float32", "keras", "", "", "", round(baseline_speed, 1), 1.0)]
    print(
        f"{len(labels):,} photographs; Keras: {100 * baseline_accuracy:.3f} %; "
        f"files one by one: {baseline_speed:.1f} a second",
        flush=True,
    )

    with tempfile.TemporaryDirectory() as folder:
        for format, precision, run_precision in EXPORTS:
            path = Path(folder) / f"{format}-{precision}"
            if not path.exists():
                cnnzoo.export(model, path, format, precision=precision, data=data, max_drop=1)
            classifier = cnnzoo.load(path, precision=run_precision)
            predictions, accuracy = measure_accuracy(classifier, pixels, labels)
            classifier.predict(timed_paths[:8])
            speed = images_per_second(lambda c=classifier: c.predict(timed_paths), len(timed_paths))
            rows.append(
                (
                    format,
                    run_precision or precision,
                    classifier.runtime,
                    round(100 * accuracy, 3),
                    round(100 * (baseline_accuracy - accuracy), 3),
                    round(100 * float((predictions == expected).mean()), 3),
                    round(speed, 1),
                    round(speed / baseline_speed, 2),
                )
            )
            print(*rows[-1], flush=True)
    if keep:
        with (RESULTS / f"exports-googlenet_2014-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
