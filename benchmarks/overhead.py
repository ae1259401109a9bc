"""Compare fit_and_evaluate with a plain model.fit, and bfloat16 with float32: images per second of ResNet-50.

python benchmarks/overhead.py --keep

All variants train the same network on the same tensors, in turns and in one process; the first steps, which trace the
graph, are left out.
"""

import csv
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

RESULTS = Path(__file__).parent / "results"
WARMUP_STEPS = 2
VARIANTS = ("bare", "float32", "bfloat16")


def new_step_timer() -> Any:
    """Return a Keras callback that notes in `times` when each step ends; Keras is imported here."""
    import keras

    class StepTimer(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.times: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.times.append(time.perf_counter())

    return StepTimer()


def images_per_second(times: list[float], batch_size: int) -> float:
    """Return the rate over the whole time of the steps after the first ones."""
    times = times[WARMUP_STEPS:]
    return batch_size * (len(times) - 1) / (times[-1] - times[0])


@click.command()
@click.option("--model", "name", default="resnet50", show_default=True)
@click.option("--size", default=160, show_default=True, help="Height and width of the images.")
@click.option("--batch", "batch_size", default=16, show_default=True, help="Images per step.")
@click.option("--steps", default=12, show_default=True, help="Steps per training.")
@click.option("--turns", default=5, show_default=True, help="Trainings of each variant.")
@click.option("--keep", is_flag=True, help="Write the table to benchmarks/results.")
def main(name: str, size: int, batch_size: int, steps: int, turns: int, keep: bool) -> None:
    """Print the rates of every turn and the ratios of their medians."""
    import keras

    import cnnzoo
    from cnnzoo.training.prepare import make_reproducible

    # Data of random pixels, and a model for each variant
    make_reproducible(0)
    rng = np.random.default_rng(0)
    count = steps * batch_size
    train = rng.integers(0, 256, (count, size, size, 3), "uint8"), np.arange(count) % 10
    test = rng.integers(0, 256, (20, size, size, 3), "uint8"), np.arange(20) % 10
    data = cnnzoo.load_data((train, test), splits=(0.9, 0.05, 0.05))
    images, one_hot = data.train.images, np.eye(10, dtype="float32")[data.train.labels]
    models = {variant: cnnzoo.get(name, classes=10, image_size=size) for variant in VARIANTS}
    models["bare"].compile(
        keras.optimizers.SGD(0.01, 0.9, nesterov=True),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    # Train in turns
    rows = []
    for turn in range(1, turns + 1):
        rates = []
        for variant, model in models.items():
            timer = new_step_timer()
            if variant == "bare":
                model.fit(images, one_hot, batch_size, verbose=0, callbacks=[timer])
            else:
                recipe = cnnzoo.Recipe(epochs=1, batch_size=batch_size, learning_rate=0.01, precision=variant)
                cnnzoo.fit_and_evaluate(model, data, recipe=recipe, callbacks=[timer], verbose=False)
            rates.append(round(images_per_second(timer.times, batch_size), 2))
        rows.append((turn, *rates))
        print(*rows[-1], flush=True)

    bare, float32, bfloat16 = (median(column) for column in list(zip(*rows, strict=True))[1:])
    print(f"fit_and_evaluate / plain fit: {float32 / bare:.3f}; bfloat16 / float32: {bfloat16 / float32:.2f}")
    if keep:
        with (RESULTS / f"overhead-{name}-{size}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("turn", "bare fit", "fit_and_evaluate", "bfloat16"), *rows])


if __name__ == "__main__":
    main()
