"""A SavedModel that takes files or pixels, gives class names and probabilities, and needs TensorFlow alone."""

from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.data.transform import transform
from cnnzoo.runtimes import decode_graph
from cnnzoo.runtimes.choose import RunFunction, to_uint8
from cnnzoo.runtimes.network import build_network
from cnnzoo.runtimes.resize_graph import resize_in_graph

FILES = ("assets", "fingerprint.pb", "saved_model.pb", "variables")
NOT_AN_IMAGE = "no JPEG, PNG, GIF, BMP or WebP image that TensorFlow decodes"


def write(model: Any, path: Path, precision: str, images: Any) -> None:
    """Write the SavedModel folder `path`, whose signatures are

    serving_default: image_bytes, string (N,), the contents of image files
    pixels: images, uint8 (N, H, W, C) of any height and width
    network: images, uint8 (N, height, width, channels) as the network takes them

    to class_names (N, k) and probabilities (N, k), the k = min(5, classes) likeliest first; scores (N, classes), the
    probability of every class in order; and of files errors (N,), empty where there is none.
    """
    import keras
    import tensorflow as tf

    names, likeliest = tf.constant(cards.card(model).classes), min(5, len(cards.card(model).classes))
    run, change = build_network(model), transform(model)

    def answer(images: Any) -> dict[str, Any]:
        found = run(images)
        values, indices = tf.math.top_k(found, likeliest)
        return {"class_names": tf.gather(names, indices), "probabilities": values, "scores": found}

    def pixels(images: Any) -> dict[str, Any]:
        return answer(resize_in_graph(images, change))

    def files(image_bytes: Any) -> dict[str, Any]:
        images, good = decode_graph.decode_files(image_bytes, change)
        answers = answer(images)
        for name, nothing in (("class_names", ""), ("probabilities", 0.0), ("scores", 0.0)):
            answers[name] = tf.where(good[:, None], answers[name], nothing)
        return answers | {"errors": tf.where(good, "", NOT_AN_IMAGE)}

    channels = model.input_shape[3]
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("network", answer, [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, "images")])
    archive.add_endpoint("pixels", pixels, [tf.TensorSpec((None, None, None, channels), tf.uint8, "images")])
    archive.add_endpoint("serving_default", files, [tf.TensorSpec((None,), tf.string, "image_bytes")])
    archive.write_out(str(path), verbose=False)


def open_saved_model(path: Path, precision: str, shape: tuple[int, ...]) -> RunFunction:
    """TensorFlow's own runtime."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    network = loaded.signatures["network"]

    def run(images: np.ndarray) -> np.ndarray:
        return network(images=tf.constant(to_uint8(images)))["scores"].numpy()

    run.owner = loaded  # type: ignore[attr-defined]  # a signature does not keep its variables alive
    return run


READERS = {"keras": open_saved_model}
USAGE = """```python
import tensorflow as tf

model = tf.saved_model.load("{name}")
answer = model.signatures["serving_default"](image_bytes=tf.constant([open("photo.jpg", "rb").read()]))
print(answer["class_names"].numpy()[0], answer["probabilities"].numpy()[0])
```

By TensorFlow Serving, with the folder as version 1 of a model called {name}:

```sh
tensorflow_model_server --rest_api_port=8501 --model_name={name} --model_base_path=/models/{name}
curl -d "{{\\"instances\\": [{{\\"b64\\": \\"$(base64 -w 0 photo.jpg)\\"}}]}}" localhost:8501/v1/models/{name}:predict
```"""
