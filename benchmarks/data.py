"""Compare data pipelines by images per second and peak memory: cnnzoo, Keras, Pillow, decoding only.

SIZE=224 python benchmarks/data.py FOLDER

FOLDER has one sub-folder of photos per class, or train, val and test folders that contain these. Every pipeline runs
in its own process, in turns: one first epoch, for which files may not be in the system's cache, then epochs for four
seconds.
"""

import csv
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import click

RESULTS = Path(__file__).parent / "results"
SIZE = int(os.environ.get("SIZE", 224))  # side in pixels; from the environment, for the processes of the pipelines
BATCH_SIZE, SECONDS = 32, 4


def training_folder(folder):
    """Return the train folder, or the folder itself if it has none."""
    train = Path(folder) / "train"
    return train if train.is_dir() else Path(folder)


def list_jpegs(folder):
    """Return the JPEG files of the training part."""
    return sorted(str(path) for path in training_folder(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def count_images(batches):
    """Take all batches; return the number of images."""
    return sum(len(images) for images, _ in batches)


def load(folder, **options):
    """Load the folder at SIZE, without checking the files first."""
    import cnnzoo

    return cnnzoo.load_data(folder, image_size=SIZE, doctor=False, **options)


def ours_evaluation(folder):
    """Exact decoding, antialiased resizing, center crop."""
    batches = load(folder, cache="none").batches("train", BATCH_SIZE)
    return lambda: count_images(batches[i] for i in range(len(batches)))


def ours_training(folder):
    """Random resized crops and flips."""
    batches = load(folder, cache="none").batches("train", BATCH_SIZE, seed=0, augment="basic")

    def epoch():
        batches.set_epoch(batches.epoch + 1)
        return count_images(batches[i] for i in range(len(batches)))

    return epoch


def ours_cached(folder):
    """The evaluation pipeline, from memory after the first epoch."""
    batches = load(folder, cache="auto").batches("train", BATCH_SIZE)
    return lambda: count_images(batches[i] for i in range(len(batches)))


def ours_training_cached(folder):
    """Random resized crops and flips of resized images in memory."""
    batches = load(folder, cache="memory").batches("train", BATCH_SIZE, seed=0, augment="basic")
    return lambda: count_images(batches[i] for i in range(len(batches)))


def keras_directory(folder):
    """keras.utils.image_dataset_from_directory: no aspect ratio, no antialiasing, no EXIF rotation."""
    import keras

    dataset = keras.utils.image_dataset_from_directory(
        training_folder(folder), image_size=(SIZE, SIZE), batch_size=BATCH_SIZE, verbose=False
    )
    dataset = dataset.ignore_errors().prefetch(2)  # otherwise one broken file ends it
    return lambda: count_images(dataset)


def load_with_pillow(path):
    """Resize and crop one image, as a user of Pillow would."""
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    scale = SIZE / 0.875 / min(upright.size)
    upright = upright.resize((round(upright.width * scale), round(upright.height * scale)), Image.Resampling.BILINEAR)
    left, top = (upright.width - SIZE) // 2, (upright.height - SIZE) // 2
    return np.asarray(upright.crop((left, top, left + SIZE, top + SIZE)))


def pillow(folder):
    """The same transform, written with Pillow, in two processes."""
    from multiprocessing import get_context

    workers, files = get_context("fork").Pool(2), list_jpegs(folder)
    return lambda: sum(1 for _ in workers.imap(load_with_pillow, files, chunksize=8))


def bare(folder):
    """Only tf.io.decode_jpeg: the upper bound."""
    import tensorflow as tf

    decoded = tf.data.Dataset.from_tensor_slices(list_jpegs(folder)).map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3), num_parallel_calls=2
    )
    return lambda: sum(1 for _ in decoded.prefetch(8))


PIPELINES = {
    pipeline.__name__: pipeline
    for pipeline in (ours_evaluation, pillow, bare, ours_training, keras_directory, ours_cached, ours_training_cached)
}


def measure(pipeline, folder):
    """Print images per second of the first and of later epochs, and this process's peak memory in MB."""
    epoch = PIPELINES[pipeline](folder)
    started = time.perf_counter()
    first = epoch() / (time.perf_counter() - started)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        count += epoch()
    later = count / (time.perf_counter() - started)
    # Workers have memory of their own
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps([round(first), round(later), round(peak / 1024)]))


@click.command()
@click.argument("folder")
@click.option("--turns", default=5, show_default=True)
@click.option("--keep", is_flag=True, help="Write the table under benchmarks/results.")
@click.option("--pipeline", help="Measure only this one, in this process.")
def main(folder, turns, keep, pipeline):
    """Print the rates of every turn, and the ratios of their medians."""
    if pipeline:
        measure(pipeline, folder)
        return
    rows = []
    for turn in range(1, turns + 1):
        for name in PIPELINES:
            command = [sys.executable, __file__, folder, "--pipeline", name]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append([turn, name, *json.loads(out.splitlines()[-1])])
            print(*rows[-1], flush=True)
    first, later = ({name: median(row[i] for row in rows if row[1] == name) for name in PIPELINES} for i in (2, 3))
    print(f"evaluation / Pillow in two processes    {later['ours_evaluation'] / later['pillow']:.2f}")
    print(f"evaluation / decoding only              {later['ours_evaluation'] / later['bare']:.2f}")
    print(f"training / image_dataset_from_directory {later['ours_training'] / later['keras_directory']:.2f}")
    print(f"later epochs from memory / first epoch  {later['ours_cached'] / first['ours_cached']:.1f}")
    if keep:
        path = RESULTS / f"data-{Path(folder).resolve().name}-{SIZE}-cpu{os.cpu_count()}.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["turn", "way", "first epoch", "later epochs", "peak MB"], *rows])


if __name__ == "__main__":
    main()
