"""What each export costs in accuracy and how fast it answers files: GoogLeNet on Imagenette's photographs, 1000-way.

python benchmarks/exports.py --weights googlenet_bvlc.npz --photos imagenette144
"""

import csv
import os
import tempfile
import time
from pathlib import Path

import click
import numpy as np

RESULTS = Path(__file__).parent / "results"
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


def by_hand(model, paths):
    """What people write: one file after the other, through Keras."""
    import keras

    height, width = model.input_shape[1:3]
    for path in paths:
        image = keras.utils.load_img(path, target_size=(height, width), interpolation="bilinear")
        model.predict(keras.utils.img_to_array(image)[None], verbose=0)


def per_second(run, count):
    """How many of `count` images a second `run` answers."""
    begun = time.perf_counter()
    run()
    return count / (time.perf_counter() - begun)


@click.command()
@click.option("--weights", required=True)
@click.option("--photos", required=True)
@click.option("--files", default=200, show_default=True, help="Of how many the speed from files is taken.")
@click.option("--keep", is_flag=True, help="Write the table into results/.")
def main(weights, photos, files, keep):
    """Print for each export its accuracy, by how much it is less than the model's, and images a second from files."""
    import cnnzoo
    from cnnzoo.checkpoints import manifest

    model = cnnzoo.get("googlenet_2014", weights=weights, classes=list(manifest.load_wordnet_ids()))
    data = cnnzoo.load_data(photos, doctor=False)
    index = {name: i for i, name in enumerate(manifest.load_wordnet_ids())}
    truth = np.array([index[name] for name in data.classes])[data.test.labels]
    paths = [Path(photos) / name for name in data.test.names]
    some = paths[:: len(paths) // files][:files]
    original = cnnzoo.Classifier.of(model, "keras")
    pixels = original.transform(paths)

    def judged(classifier):
        scores = np.concatenate([classifier.probabilities(pixels[i : i + 64]) for i in range(0, len(pixels), 64)])
        return scores, float((scores.argmax(axis=1) == truth).mean())

    by_hand(model, some[:3])
    slow = per_second(lambda: by_hand(model, some), len(some))
    expected, before = judged(original)
    rows = [("load_img and predict, one by one", "float32", "keras", "", "", "", round(slow, 1), 1.0)]
    print(f"{len(truth):,} photographs; Keras: {100 * before:.3f} %; files by hand: {slow:.1f} a second", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for format, made, run in EXPORTS:
            path = Path(folder) / f"{format}-{made}"
            if not path.exists():
                cnnzoo.export(model, path, format, precision=made, data=data, max_drop=1)
            classifier = cnnzoo.load(path, precision=run)
            found, accuracy = judged(classifier)
            classifier.predict(some[:8])
            speed = per_second(lambda c=classifier: c.predict(some), len(some))
            agree = float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
            rows.append(
                (
                    format,
                    run or made,
                    classifier.runtime,
                    round(100 * accuracy, 3),
                    round(100 * (before - accuracy), 3),
                    round(100 * agree, 3),
                    round(speed, 1),
                    round(speed / slow, 2),
                )
            )
            print(*rows[-1], flush=True)
    if keep:
        head = ("export", "precision", "runtime", "accuracy", "points lost", "same answer", "files a second", "ratio")
        with (RESULTS / f"exports-googlenet_2014-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([head, *rows])


if __name__ == "__main__":
    main()
