"""A SavedModel that takes pixels and gives class names and probabilities, and needs TensorFlow alone."""

from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.evaluation.predict import gives_probabilities
from cnnzoo.preprocessing import fit

CARD = "assets.extra/cnnzoo.json"  # the folder that the format leaves to others


FILES = {"assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables"}


def is_export(path: Path) -> bool:
    """Whether `path` holds an export of ours and nothing else."""
    return (path / CARD).exists() and {entry.name for entry in path.iterdir()} <= FILES


def write(model: Any, path: Path) -> None:
    """Write the SavedModel folder `path`, whose signature `pixels` (and default) is

    images, uint8 (N, H, W, C) of any height and width -> class_names (N, k) and probabilities (N, k),
    the k = min(5, classes) likeliest first, and scores (N, classes): the probability of every class in order.
    """
    import keras
    import tensorflow as tf

    card = cards.card(model)
    names = tf.constant(card.classes)
    shape = model.input_shape[1:]
    likeliest = min(5, len(card.classes))
    softmax = (lambda x: x) if gives_probabilities(model) else tf.nn.softmax

    def pixels(images):
        scores = softmax(tf.cast(model(fit(images, shape, card.pad, **card.evaluation), training=False), tf.float32))
        values, indices = tf.math.top_k(scores, likeliest)
        return {"class_names": tf.gather(names, indices), "probabilities": values, "scores": scores}

    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((None, None, None, shape[2]), tf.uint8, name="images")]
    archive.add_endpoint("pixels", pixels, signature)
    archive.add_endpoint("serving_default", pixels, signature)
    archive.write_out(str(path), verbose=False)
    extra = path / CARD
    extra.parent.mkdir()
    extra.write_text(card.to_json(), encoding="utf-8")


def read(path: Path) -> tuple[Any, tuple[Any, ...]]:
    """A function from images (N, H, W, C) to probabilities (N, classes), and the shape (H, W, C) that it takes."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    pixels = loaded.signatures["pixels"]

    def run(images: np.ndarray) -> np.ndarray:
        whole = np.clip(np.rint(images), 0, 255).astype("uint8")
        return pixels(images=tf.constant(whole))["scores"].numpy()

    run.owner = loaded  # type: ignore[attr-defined]  # a signature does not keep its variables alive
    return run, tuple(pixels.structured_input_signature[1]["images"].shape[1:])
