"""TensorFlow SavedModels that take image files or pixels and return class names and probabilities.

Networks of other channels than image files have, which are 1 or 3, take pixels only.

They need TensorFlow alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import cards
from cnnzoo.data.decode import FILE_CHANNELS
from cnnzoo.data.transform import transform
from cnnzoo.runtimes.base import RunFunction, to_uint8
from cnnzoo.runtimes.decode_graph import decode_files
from cnnzoo.runtimes.network import make_probability_function
from cnnzoo.runtimes.resize_graph import resize_in_graph

if TYPE_CHECKING:
    import keras

TOP_CLASSES = 5
# For networks of other channels than image files have
USAGE_OF_ARRAYS = """```python
import numpy as np
import tensorflow as tf
{read_pixels}

model = tf.saved_model.load("{name}")
answer = model.signatures["serving_default"](images=tf.constant(pixels))
print(answer["class_names"].numpy()[0, 0].decode(), answer["probabilities"].numpy()[0, 0])
```"""
USAGE = """```python
import tensorflow as tf

model = tf.saved_model.load("{name}")
answer = model.signatures["serving_default"](image_bytes=tf.io.read_file("photo.jpg")[None])
print(answer["class_names"].numpy()[0, 0].decode(), answer["probabilities"].numpy()[0, 0])
```

With TensorFlow Serving, if the folder is version 1 of a model of this name:

```sh
tensorflow_model_server --rest_api_port=8501 --model_name={shell_name} --model_base_path=/models/{shell_name}
curl -d "{{\\"instances\\": [{{\\"b64\\": \\"$(base64 -w 0 photo.jpg)\\"}}]}}" \\
  localhost:8501/v1/models/{url_name}:predict
```"""


def write_saved_model(model: keras.Model, path: Path) -> None:
    """Write a SavedModel to the folder `path`.

    It has three signatures:

    - `serving_default` takes `image_bytes`, string (N,), the contents of image files; it is the same as `pixels` if the
      network has other channels than image files
    - `pixels` takes `images`, uint8 (N, H, W, C) of any height and width
    - `network` takes `images`, uint8 (N, height, width, channels) of the size that the network takes

    Each returns `class_names` (N, k) and `probabilities` (N, k) of the k = min(5, classes) likeliest classes, best
    first, and `scores` (N, classes), the probability of every class in order. `serving_default` also returns `errors`
    (N,), which is empty for images that were decoded.
    """
    import keras
    import tensorflow as tf

    class_names = tf.constant(cards.card(model).classes)
    top = min(TOP_CLASSES, len(cards.card(model).classes))
    network, image_transform = make_probability_function(model), transform(model)

    def classify(images: Any) -> dict[str, Any]:
        # TensorFlow cannot convolve an empty batch, so that it gets a blank image.
        count = tf.shape(images)[0]
        blank = tf.zeros(tf.stack([tf.cast(tf.equal(count, 0), tf.int32), *model.input_shape[1:]]), tf.uint8)
        scores = network(tf.concat([images, blank], 0))[:count]
        probabilities, indices = tf.math.top_k(scores, top)
        return {"class_names": tf.gather(class_names, indices), "probabilities": probabilities, "scores": scores}

    def classify_pixels(images: Any) -> dict[str, Any]:
        return classify(resize_in_graph(images, image_transform))

    def classify_files(image_bytes: Any) -> dict[str, Any]:
        images, problems = decode_files(image_bytes, image_transform)
        answer, is_decoded = classify(images), tf.equal(problems, "")
        for name, blank in (("class_names", ""), ("probabilities", 0.0), ("scores", 0.0)):
            answer[name] = tf.where(is_decoded[:, None], answer[name], blank)
        return answer | {"errors": problems}

    # Keras and TensorFlow each trace what they get; they get calls of functions that were traced before.
    def trace(function: Any, *shape: int | None, dtype: Any = tf.uint8) -> Any:
        return tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec((None, *shape), dtype))

    height, width, channels = model.input_shape[1:]
    traced_network = trace(classify, height, width, channels)
    traced_pixels = trace(classify_pixels, None, None, channels)
    any_size = tf.TensorSpec((None, None, None, channels), tf.uint8)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "network", lambda images: traced_network(images), [tf.TensorSpec((None, height, width, channels), tf.uint8)]
    )
    archive.add_endpoint("pixels", lambda images: traced_pixels(images), [any_size])
    if channels in FILE_CHANNELS:
        traced_files = trace(classify_files, dtype=tf.string)
        contents = tf.TensorSpec((None,), tf.string)
        archive.add_endpoint("serving_default", lambda image_bytes: traced_files(image_bytes), [contents])
    else:
        archive.add_endpoint("serving_default", lambda images: traced_pixels(images), [any_size])
    archive.write_out(str(path), verbose=False)


def open_saved_model(path: str | os.PathLike[str]) -> RunFunction:
    """Open a SavedModel with TensorFlow, for images of the size that the network takes."""
    import tensorflow as tf

    saved_model = tf.saved_model.load(str(path))
    network = saved_model.signatures["network"]

    def run(images: np.ndarray) -> np.ndarray:
        scores: np.ndarray = network(images=tf.constant(to_uint8(images)))["scores"].numpy()
        return scores

    run.owner = saved_model  # type: ignore[attr-defined]  # a signature does not keep its variables alive
    return run
