"""Images per second of fit_and_evaluate beside a bare model.fit, and of bfloat16 beside float32: ResNet-50, 160 pixels.

python benchmarks/overhead.py --keep

All ways train one network on the same tensors, by turns in one process; the first steps, which trace, are left out.
"""

import csv
import os
import time
from pathlib import Path
from statistics import median

import click
import numpy as np

RESULTS = Path(__file__).parent / "results"


class Clock:
    """Seconds of every step: a Keras callback, made when Keras is there."""

    def __new__(cls):
        import keras

        class Steps(keras.callbacks.Callback):
            times: list = []  # noqa: RUF012  # one list for an object that lives once

            def on_train_batch_end(self, batch, logs=None):
                self.times.append(time.perf_counter())

        clock = Steps()
        clock.times = []
        return clock


def rate(clock, batch, skip=2):
    """Images per second by the whole time of the steps after the first ones."""
    times = clock.times[skip:]
    return batch * (len(times) - 1) / (times[-1] - times[0])


@click.command()
@click.option("--model", "name", default="resnet50", show_default=True)
@click.option("--size", default=160, show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--steps", default=12, show_default=True)
@click.option("--turns", default=5, show_default=True)
@click.option("--keep", is_flag=True, help="Write the table under benchmarks/results.")
def main(name, size, batch, steps, turns, keep):
    """Print the rates of every turn and the ratios of their medians."""
    import keras

    import cnnzoo
    from cnnzoo.training.prepare import make_reproducible

    make_reproducible(0)
    draw = np.random.default_rng(0)
    train = draw.integers(0, 256, (steps * batch, size, size, 3), "uint8"), np.arange(steps * batch) % 10
    few = draw.integers(0, 256, (20, size, size, 3), "uint8"), np.arange(20) % 10
    data = cnnzoo.load_data((train, few), splits=(0.9, 0.05, 0.05))
    x, y = data.train.images, np.eye(10, dtype="float32")[data.train.labels]
    models = {way: cnnzoo.get(name, classes=10, input_shape=(size, size, 3)) for way in ("bare", "float32", "bfloat16")}
    models["bare"].compile(
        keras.optimizers.SGD(0.01, 0.9, nesterov=True),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    rows = []
    for turn in range(1, turns + 1):
        found = []
        for way, model in models.items():
            clock = Clock()
            if way == "bare":
                model.fit(x, y, batch, verbose=0, callbacks=[clock])
            else:
                recipe = cnnzoo.Recipe(epochs=1, batch_size=batch, learning_rate=0.01, precision=way)
                cnnzoo.fit_and_evaluate(model, data, recipe=recipe, callbacks=[clock], verbose=False)
            found.append(round(rate(clock, batch), 2))
        rows.append((turn, *found))
        print(*rows[-1], flush=True)
    bare, whole, half = (median(column) for column in list(zip(*rows, strict=True))[1:])
    print(f"fit_and_evaluate to a bare fit {whole / bare:.3f}; bfloat16 to float32 {half / whole:.2f}")
    if keep:
        with (RESULTS / f"overhead-{name}-{size}-cpu{os.cpu_count()}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("turn", "bare fit", "fit_and_evaluate", "bfloat16"), *rows])


if __name__ == "__main__":
    main()
