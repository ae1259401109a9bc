"""Only tf.io.decode_jpeg: no resizing, no batches, the upper bound of TensorFlow's pipelines."""

import os
from collections.abc import Iterator

from common import Options, SkippedError, list_images

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def iter_batches(options: Options) -> Iterator[int]:
    """Yield 1 for each image, without end."""
    if options.policy != "none" or options.workers >= 0:
        raise SkippedError("it only decodes")
    import tensorflow as tf

    decoded = tf.data.Dataset.from_tensor_slices(list_images(options.folder)[0]).map(
        lambda path: tf.io.decode_jpeg(tf.io.read_file(path), channels=3), num_parallel_calls=tf.data.AUTOTUNE
    )
    for _ in decoded.repeat().prefetch(8):
        yield 1
