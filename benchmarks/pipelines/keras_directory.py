"""keras.utils.image_dataset_from_directory: no aspect ratio, no antialiasing, no EXIF rotation.

TensorFlow decides itself how many threads decode. The policy "none" is the data set alone, the others add layers.
"""

import os
from collections.abc import Iterator
from typing import Any

from common import Options, SkippedError

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def list_layers(policy: str) -> list[Any]:
    """Return Keras' layers that come closest to a policy. There is no random resized crop that keeps the aspect."""
    import keras

    crop = [keras.layers.RandomZoom((-0.5, 0.0)), keras.layers.RandomFlip("horizontal")]
    if policy == "none":
        return []
    if policy == "basic":
        return crop
    if policy == "trivial":  # one operation for a whole batch, of fixed strength
        return [*crop, keras.layers.RandAugment(num_ops=1)]
    if policy == "rand":
        return [*crop, keras.layers.RandAugment(num_ops=2)]
    raise SkippedError("it has no layers for this policy")


def iter_batches(options: Options) -> Iterator[int]:
    """Yield the number of images of each batch, without end."""
    if options.workers >= 0:
        raise SkippedError("TensorFlow chooses the number of threads")
    import keras
    import tensorflow as tf

    dataset = keras.utils.image_dataset_from_directory(
        options.folder, image_size=(options.size, options.size), batch_size=options.batch_size, verbose=False
    ).ignore_errors()  # otherwise one broken file ends it
    if layers := list_layers(options.policy):
        augment = keras.Sequential(layers)
        dataset = dataset.map(lambda x, y: (augment(x, training=True), y), num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.prefetch(2)
    while True:
        yield from (len(images) for images, _ in dataset)
