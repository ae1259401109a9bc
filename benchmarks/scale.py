"""Measure how work grows with processes on one machine: images per second, and the efficiency against one process.

python benchmarks/scale.py predict photos/ --model resnet18 --counts 1,2,4
python benchmarks/scale.py train photos/ --model resnet18 --counts 1,2,4

Each process has cores of its own, as if it were a host with so many cores (`--cores`, by default 1): predicting
processes are bound to them, training ones have as many threads. Counts for which there are too few cores share them,
and their efficiency says little.
"""

import multiprocessing
import os
import queue
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

WARM_UP_IMAGES = 64


def predict_shard(model, photos, out, number, count, cores, barrier, results):
    """Predict one shard in this process, once all others are ready; put the times and the number of images."""
    if cores:
        os.sched_setaffinity(0, cores)  # before the runtimes count their threads
    import cnnzoo
    from cnnzoo.inference.inputs import iter_images

    if Path(model).exists():
        classifier = cnnzoo.load(model)
    else:
        name, _, tag = model.partition(":")
        classifier = cnnzoo.Classifier.of(cnnzoo.get(name, weights=tag or None))
    first_images = [path for (_, path), _ in zip(iter_images(photos), range(WARM_UP_IMAGES), strict=False)]
    classifier.predict(first_images, verbose=False)

    barrier.wait()
    started = time.time()
    written = classifier.predict_to(out, photos, shard=(number, count), verbose=False)
    results.put((started, time.time(), written.images))


def wait_for_results(processes, results):
    """Return what each process has put into a queue; raise ChildProcessError as soon as one of them fails."""
    received = []
    while len(received) < len(processes):
        try:
            received.append(results.get(timeout=1))
        except queue.Empty:
            if any(process.exitcode for process in processes):
                for process in processes:
                    process.kill()
                raise ChildProcessError("a process has failed; see its message above") from None
    for process in processes:
        process.join()
    return received


def measure_prediction(photos, model, count, cores_each):
    """Return images and seconds of a prediction in `count` shards at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(count), context.Queue()
    available = sorted(os.sched_getaffinity(0))
    has_own = count * cores_each <= len(available)
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for i in range(count):
            cores = available[i * cores_each : (i + 1) * cores_each] if has_own else None
            arguments = (model, photos, str(Path(folder) / "a.csv"), i + 1, count, cores, barrier, results)
            processes.append(context.Process(target=predict_shard, args=arguments))
            processes[-1].start()
        shards = wait_for_results(processes, results)
    started, ended, images = zip(*shards, strict=True)
    return sum(images), max(ended) - min(started), has_own


TIMED_EPOCHS = 3  # after a first one, which compiles the steps


def time_training():
    """Train in this process, which `cnnzoo launch` has started with others; process 0 writes images and seconds.

    The arguments are the images, the model, and the file to write.
    """
    photos, name, out = sys.argv[1:]
    import keras

    if os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES"):
        keras.distribution.initialize()
    import cnnzoo
    from cnnzoo.core.processes import is_main_process

    data = cnnzoo.load_data(photos, splits=(0.8, 0.1, 0.1))
    recipe = cnnzoo.recipe("sgd", epochs=1 + TIMED_EPOCHS, batch_size=32)
    model = cnnzoo.get(name, classes=data.classes)
    ends = []
    timer = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
    cnnzoo.fit_and_evaluate(model, data, recipe=recipe, callbacks=[timer], verbose=False)
    if is_main_process():
        images = TIMED_EPOCHS * (len(data.train) + len(data.validation))
        Path(out).write_text(f"{images} {ends[-1] - ends[0]}")


def measure_training(photos, model, count, cores_each):
    """Return images and seconds of a training, with validation, in `count` processes on the JAX backend."""
    available = sorted(os.sched_getaffinity(0))
    has_own = count * cores_each <= len(available)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "times"
        program = [sys.executable, "-c", "import scale; scale.time_training()", photos, model, str(out)]
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        os.sched_setaffinity(0, available[: count * cores_each])  # of which `launch` gives each process its share
        try:
            subprocess.run(
                [sys.executable, "-m", "cnnzoo", "launch", "-n", str(count), "--", *program],
                env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(paths)},
                check=True,
            )
        finally:
            os.sched_setaffinity(0, available)
        images, seconds = out.read_text().split()
    return int(images), float(seconds), has_own


# What can be measured: each function takes the images, the model, the number of processes and the cores of each, and
# returns images, seconds, and whether each process had cores of its own.
PARTS = {"predict": measure_prediction, "train": measure_training}


def table_lines(rows):
    """Return the results as the lines of a Markdown table: `rows` are (count, images, seconds, has own cores)."""
    lines = ["| processes | images/s | efficiency | cores |", "|---|---|---|---|"]
    base = rows[0][1] / rows[0][2] / rows[0][0]
    for count, images, seconds, has_own in rows:
        rate = images / seconds
        lines.append(f"| {count} | {rate:,.0f} | {rate / count / base:.2f} | {'own' if has_own else 'shared'} |")
    return lines


@click.command()
@click.argument("part", type=click.Choice(sorted(PARTS)))
@click.argument("photos", type=click.Path(exists=True))
@click.option("--model", default="resnet18", show_default=True, help="A run, a .keras file, an export, or NAME[:TAG].")
@click.option("--counts", default="1,2,4", show_default=True, help="Numbers of processes.")
@click.option("--cores", default=1, show_default=True, type=click.IntRange(1), help="Cores of each process.")
def main(part, photos, model, counts, cores):
    """Measure PART on PHOTOS with each number of processes in turn."""
    rows = []
    for count in map(int, counts.split(",")):
        rows.append((count, *PARTS[part](photos, model, count, cores)))
        click.echo(f"{part}, {count}: {rows[-1][1]:,} images in {rows[-1][2]:.1f} s", err=True)
    click.echo("\n".join(table_lines(rows)))


if __name__ == "__main__":
    main()
