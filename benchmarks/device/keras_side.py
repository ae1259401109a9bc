"""The rows of cnnzoo and of bare Keras: training and inference of one graph, with data on the device and on the host.

python keras_side.py OPTIONS, as `accelerator.py` passes them; KERAS_BACKEND is "jax" or "tensorflow".
"""

import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from timing import Options, measure_rate, read_options, report, run_tasks

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import cnnzoo

CLASSES = 2  # few, so that the smallest splits have all of them
IS_JAX = keras.backend.backend() == "jax"


def random_images(count: int, options: Options) -> np.ndarray:
    """Return pixels (count, size, size, 3), uint8."""
    return np.random.default_rng(0).integers(0, 256, (count, options.size, options.size, 3), "uint8")


@cache
def training_arrays(options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of one epoch."""
    images = random_images(options.batch_size * options.steps, options)
    return images, np.arange(len(images)) % CLASSES


def build_model(options: Options) -> keras.Model:
    """Return the network with random weights, in bfloat16 if the options say so."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if options.low_precision else "float32")
    try:
        return cnnzoo.get(options.model, classes=CLASSES, input_shape=(options.size, options.size, 3))
    finally:
        keras.config.set_dtype_policy(policy)


def compile_model(model: keras.Model) -> None:
    """Compile as the recipes train: SGD with Nesterov momentum and cross-entropy from logits."""
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, 0.9, nesterov=True), loss, metrics=["accuracy"])


def training_step(options: Options) -> dict[str, object]:
    """Measure one compiled training step on a batch that stays on the device."""
    model = build_model(options)
    images = random_images(options.batch_size, options)
    labels = np.eye(CLASSES, dtype="float32")[np.arange(options.batch_size) % CLASSES]
    optimizer = keras.optimizers.SGD(0.01, 0.9, nesterov=True)
    optimizer.build(model.trainable_variables)
    loss_function = keras.losses.CategoricalCrossentropy(from_logits=True)
    make_step = jax_training_step if IS_JAX else tensorflow_training_step
    rate, first = measure_rate(*make_step(model, optimizer, loss_function, images, labels), options)
    return {"rate": round(rate), "first_step_seconds": round(first, 1)}


def jax_training_step(
    model: Any, optimizer: Any, loss_function: Any, images: np.ndarray, labels: np.ndarray
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a step in JAX, and a function that waits for it."""
    import jax

    x, y = jax.device_put(images), jax.device_put(labels)
    states = [[v.value for v in variables] for variables in (model.trainable_variables, model.non_trainable_variables)]
    states.append([v.value for v in optimizer.variables])

    def compute_loss(weights: Any, statistics: Any) -> tuple[Any, Any]:
        logits, statistics = model.stateless_call(weights, statistics, x, training=True)
        return loss_function(y, logits), statistics

    @jax.jit
    def update(weights: Any, statistics: Any, slots: Any) -> tuple[Any, Any, Any]:
        (_, statistics), gradients = jax.value_and_grad(compute_loss, has_aux=True)(weights, statistics)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return weights, statistics, slots

    def step() -> None:
        states[:] = update(*states)

    return step, lambda: jax.block_until_ready(states)


def tensorflow_training_step(
    model: Any, optimizer: Any, loss_function: Any, images: np.ndarray, labels: np.ndarray
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a step in TensorFlow, and a function that waits for it."""
    import tensorflow as tf

    x, y = tf.constant(images), tf.constant(labels)
    losses = []

    @tf.function(jit_compile=bool(tf.config.list_physical_devices("GPU")))
    def update() -> Any:
        with tf.GradientTape() as tape:
            loss = loss_function(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return lambda: losses.append(update()), lambda: losses[-1].numpy()


class EpochClock(keras.callbacks.Callback):
    """Notes when training begins and each epoch ends. Steps may run in the background; reading the loss waits."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self.times:
            self.times.append(time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        float((logs or {})["loss"])
        self.times.append(time.perf_counter())

    def rates(self, images: int) -> dict[str, object]:
        """Return the images per second of the last epoch, and of the first one, in which programs are compiled."""
        first, last = self.times[1] - self.times[0], self.times[-1] - self.times[-2]
        return {"rate": round(images / last), "rate_first_epoch": round(images / first)}


def fit_and_evaluate(options: Options) -> dict[str, object]:
    """Measure cnnzoo's training from uint8 arrays, all of which are trained on."""
    images, labels = training_arrays(options)
    few = images[: 2 * options.batch_size + 1], labels[: 2 * options.batch_size + 1]
    data = cnnzoo.load_data(((images, labels), few), splits=(1, 0, 0), doctor=False)
    model = cnnzoo.get(options.model, classes=CLASSES, input_shape=(options.size, options.size, 3))
    recipe = cnnzoo.Recipe(
        epochs=3,
        batch_size=options.batch_size,
        learning_rate=0.01,
        augment="none",
        precision="bfloat16" if options.low_precision else "float32",
    )
    clock, started = EpochClock(), time.perf_counter()
    cnnzoo.fit_and_evaluate(model, data, recipe=recipe, callbacks=[clock], deterministic=False, verbose=False)
    seconds = time.perf_counter() - started
    return {**clock.rates(len(images)), "seconds_in_all": round(seconds, 1)}


def keras_fit(options: Options) -> dict[str, object]:
    """Measure Keras' own training loop on the same arrays."""
    images, labels = training_arrays(options)
    model, clock = build_model(options), EpochClock()
    compile_model(model)
    one_hot = np.eye(CLASSES, dtype="float32")[labels]
    model.fit(images, one_hot, options.batch_size, epochs=3, verbose=0, callbacks=[clock])
    return clock.rates(len(images))


def inference_step(options: Options) -> dict[str, object]:
    """Measure the compiled graph on a batch that stays on the device."""
    model, images, results = build_model(options), random_images(options.batch_size, options), []
    if IS_JAX:
        import jax

        weights = [v.value for v in model.trainable_variables]
        statistics = [v.value for v in model.non_trainable_variables]
        graph = jax.jit(lambda w, s, x: model.stateless_call(w, s, x, training=False)[0])
        x = jax.device_put(images)
        step, wait = lambda: results.append(graph(weights, statistics, x)), lambda: results[-1].block_until_ready()
    else:
        import tensorflow as tf

        x = tf.constant(images)
        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        graph = tf.function(lambda x: model(x, training=False), jit_compile=has_gpu)
        step, wait = lambda: results.append(graph(x)), lambda: results[-1].numpy()
    rate, first = measure_rate(lambda: (results.clear(), step()), wait, options)
    return {"rate": round(rate), "first_step_seconds": round(first, 1)}


def measure_predict(predict: Callable[[np.ndarray], object], options: Options) -> dict[str, object]:
    """Measure a function that predicts arrays of the host, after one call that compiles."""
    images = random_images(options.batch_size * options.steps, options)
    predict(images)
    started, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - started < options.seconds:
        predict(images)
        count += len(images)
    return {"rate": round(count / (time.perf_counter() - started))}


def keras_predict(options: Options) -> dict[str, object]:
    """Measure Keras' `predict` on uint8 arrays."""
    model = build_model(options)
    return measure_predict(lambda x: model.predict(x, batch_size=options.batch_size, verbose=0), options)


def classifier_predict(options: Options) -> dict[str, object]:
    """Measure `Classifier.predict` with the runtime "keras" on uint8 arrays."""
    from cnnzoo.inference.classifier import Classifier

    model = cnnzoo.get(options.model, classes=CLASSES, input_shape=(options.size, options.size, 3))
    classifier = Classifier.of(model, runtime="keras", precision="bfloat16" if options.low_precision else "float32")
    return measure_predict(lambda x: classifier.predict(x, verbose=False), options)


def describe_device() -> str:
    """Return the name of the device that the backend computes on."""
    if IS_JAX:
        import jax

        return f"{jax.devices()[0].device_kind}, JAX {jax.__version__}"
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
    return f"{name}, TensorFlow {tf.__version__}"


if __name__ == "__main__":
    report("device", text=f"{describe_device()}, Keras {keras.__version__}")
    tasks: dict[str, Callable[[Options], dict[str, object]]] = {
        "training step": training_step,
        "fit_and_evaluate": fit_and_evaluate,
        "keras fit": keras_fit,
        "inference step": inference_step,
        "keras predict": keras_predict,
        "Classifier.predict": classifier_predict,
    }
    run_tasks(tasks, read_options())
