"""Images per second and peak memory of the pipelines, side by side: ours, Keras' own, Pillow, bare decoding.

SIZE=224 python benchmarks/data.py FOLDER

FOLDER holds photos in a sub-folder a class, or train, val and test folders of such. Every way runs in a process of its
own, by turns: a first epoch, which may find the files in no cache, and then epochs for four seconds.
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
SIZE, BATCH, SECONDS = int(os.environ.get("SIZE", 224)), 32, 4  # the side, for what runs in other processes


def paths(folder):
    """The JPEG files of the training part."""
    root = Path(folder) / "train" if (Path(folder) / "train").is_dir() else Path(folder)
    return sorted(str(path) for path in root.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def drain(batches):
    """Take all batches; the number of images."""
    return sum(len(images) for images, _ in batches)


def data(folder, **options):
    """The folder, trusted, at the size."""
    import cnnzoo

    return cnnzoo.load_data(folder, image_size=(SIZE, SIZE), doctor=False, **options)


def ours_evaluation(folder):
    """Exact decoding, antialiased resizing, centre crop."""
    batches = data(folder, cache="none").batches("train", BATCH)
    return lambda: drain(batches[i] for i in range(len(batches)))


def ours_training(folder):
    """Random-resized crops and flips."""
    batches = data(folder, cache="none").batches("train", BATCH, seed=0, augment="basic")

    def epoch():
        batches.set_epoch(batches.epoch + 1)
        return drain(batches[i] for i in range(len(batches)))

    return epoch


def ours_cached(folder):
    """The evaluation pipeline, from memory after the first epoch."""
    batches = data(folder, cache="auto").batches("train", BATCH)
    return lambda: drain(batches[i] for i in range(len(batches)))


def ours_training_cached(folder):
    """Random-resized crops and flips of resized images in memory."""
    batches = data(folder, cache="memory").batches("train", BATCH, seed=0, augment="basic")
    return lambda: drain(batches[i] for i in range(len(batches)))


def keras_directory(folder):
    """keras.utils.image_dataset_from_directory: squashed, not antialiased, not turned upright."""
    import keras

    root = Path(folder) / "train" if (Path(folder) / "train").is_dir() else folder
    made = keras.utils.image_dataset_from_directory(root, image_size=(SIZE, SIZE), batch_size=BATCH, verbose=False)
    made = made.ignore_errors().prefetch(2)  # else one broken file ends it
    return lambda: drain(made)


def one(path):
    """An image as a user of Pillow would bring it to the size."""
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    scale = SIZE / 0.875 / min(upright.size)
    upright = upright.resize((round(upright.width * scale), round(upright.height * scale)), Image.Resampling.BILINEAR)
    left, top = (upright.width - SIZE) // 2, (upright.height - SIZE) // 2
    return np.asarray(upright.crop((left, top, left + SIZE, top + SIZE)))


def pillow(folder):
    """The same transform by Pillow in two processes."""
    from multiprocessing import get_context

    workers, files = get_context("fork").Pool(2), paths(folder)
    return lambda: sum(1 for _ in workers.imap(one, files, chunksize=8))


def bare(folder):
    """tf.io.decode_jpeg and nothing else: the limit."""
    import tensorflow as tf

    decoded = tf.data.Dataset.from_tensor_slices(paths(folder)).map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3), num_parallel_calls=2
    )
    return lambda: sum(1 for _ in decoded.prefetch(8))


WAYS = {
    way.__name__: way
    for way in (ours_evaluation, pillow, bare, ours_training, keras_directory, ours_cached, ours_training_cached)
}


def measure(way, folder):
    """In a process of its own: images per second of the first and of later epochs, and peak memory in MB."""
    epoch = WAYS[way](folder)
    begun = time.perf_counter()
    first = epoch() / (time.perf_counter() - begun)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < SECONDS:
        count += epoch()
    later = count / (time.perf_counter() - begun)
    # workers' too, which have theirs beside that of the process
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps([round(first), round(later), round(peak / 1024)]))


@click.command()
@click.argument("folder")
@click.option("--turns", default=5, show_default=True)
@click.option("--keep", is_flag=True, help="Write the table under benchmarks/results.")
@click.option("--way", help="Only this one, in this process.")
def main(folder, turns, keep, way):
    """Print the rates of every turn, and the ratios of their medians."""
    if way:
        measure(way, folder)
        return
    rows = []
    for turn in range(1, turns + 1):
        for name in WAYS:
            command = [sys.executable, __file__, folder, "--way", name]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            rows.append([turn, name, *json.loads(out.splitlines()[-1])])
            print(*rows[-1], flush=True)
    first, later = ({name: median(row[i] for row in rows if row[1] == name) for name in WAYS} for i in (2, 3))
    print(f"evaluation to Pillow in two processes {later['ours_evaluation'] / later['pillow']:.2f}")
    print(f"evaluation to bare decoding           {later['ours_evaluation'] / later['bare']:.2f}")
    print(f"training to Keras' directory          {later['ours_training'] / later['keras_directory']:.2f}")
    print(f"later epochs from memory to the first {later['ours_cached'] / first['ours_cached']:.1f}")
    if keep:
        path = RESULTS / f"data-{Path(folder).resolve().name}-{SIZE}-cpu{os.cpu_count()}.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["turn", "way", "first epoch", "later epochs", "peak MB"], *rows])


if __name__ == "__main__":
    main()
