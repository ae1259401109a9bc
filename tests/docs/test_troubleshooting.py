"""The messages on the troubleshooting page are those that a user gets."""

import contextlib
import json
import os
import re
import warnings
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
from helpers.paths import ROOT
from PIL import Image
from safetensors.numpy import save_file

import cnnzoo
from cnnzoo.core.connection import check_backend
from cnnzoo.data.packed_folder import FORMAT, PLAN_FILE

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = dict(re.findall(r"^## ([^\n]+)\n\n```none\n(.*?)\n```", PAGE, re.M | re.S))


def write_noise(folder, count):
    """Write some pictures of noise into a folder."""
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = np.random.default_rng([i, *folder.name.encode()]).integers(0, 256, (64, 64, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"{i}.png")


def load_flat_folder():
    write_noise(Path("flat"), 3)
    cnnzoo.load_data("flat")


def load_table(*rows):
    Path("t.csv").write_text("\n".join(["path,label", *rows]))
    cnnzoo.load_data("t.csv")


def load_tags():
    write_noise(Path("tags"), 3)
    load_table("tags/0.png,cat", "tags/1.png,dog", "tags/2.png,cat dog")


def load_folders_of_two_readings():
    for outer in ("left", "right"):
        for inner in ("cat", "dog"):
            write_noise(Path("views", outer, inner), 1)
    cnnzoo.load_data("views")


def load_few_images():
    write_noise(Path("few/a"), 20)
    write_noise(Path("few/b"), 2)
    cnnzoo.load_data("few")


def train_with_other_classes():
    cnnzoo.fit_and_evaluate(cnnzoo.get("lenet5", classes=3), cnnzoo.load_data("digits"))


def save_a_sigmoid():
    sigmoid = keras.layers.Dense(1, activation="sigmoid")
    cnnzoo.save(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), sigmoid]), "m.keras")


def train_with_a_callback_for_the_rate():
    data = cnnzoo.load_data("digits")
    callbacks = [keras.callbacks.ReduceLROnPlateau()]
    cnnzoo.fit_and_evaluate(cnnzoo.get("lenet5", classes=data.classes), data, callbacks=callbacks)


def train_into_a_finished_run():
    data = cnnzoo.load_data("digits")
    model = cnnzoo.get("lenet5", classes=data.classes)
    recipe = cnnzoo.Recipe(epochs=1, batch_size=256, learning_rate=0.01)
    for _ in range(2):
        cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir="runs/a", verbose=False)


def load_weights_of_another_model():
    cnnzoo.save_weights(cnnzoo.get("lenet5"), "w.safetensors")
    cnnzoo.get("resnet20", weights="w.safetensors")


def load_weights_with_another_head():
    arrays = {name: np.zeros((2, 2), "float32") for name in ("layer1.0.conv1.weight", "fc.0.weight", "fc.3.weight")}
    save_file(arrays, "last.safetensors")
    cnnzoo.get("resnet18", weights="last.safetensors")


def train_at_an_absurd_rate():
    data = cnnzoo.load_data("digits")
    model = cnnzoo.get("lenet5_relu", classes=data.classes)
    recipe = cnnzoo.Recipe(epochs=1, batch_size=32, learning_rate=1e9)
    cnnzoo.fit_and_evaluate(model, data, recipe=recipe, verbose=False)


def continue_a_run_of_an_earlier_version():
    data = cnnzoo.load_data("digits")
    recipe = cnnzoo.Recipe(epochs=2, batch_size=256, learning_rate=0.01)

    def train(**options):
        model = cnnzoo.get("lenet5", classes=data.classes)
        cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir="runs/a", verbose=False, **options)

    def interrupt(epoch, logs):
        raise KeyboardInterrupt

    with contextlib.suppress(cnnzoo.Interrupted):
        train(callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=interrupt)])
    record = json.loads(Path("runs/a/run.json").read_text())
    del record["numerics"]
    Path("runs/a/run.json").write_text(json.dumps(record))
    train()


def load_a_failed_run():
    data = cnnzoo.load_data("digits")
    model = cnnzoo.get("lenet5_relu", classes=data.classes)
    recipe = cnnzoo.Recipe(epochs=1, batch_size=32, learning_rate=1e9)
    with contextlib.suppress(cnnzoo.TrainingError):
        cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir="runs/a", verbose=False)
    cnnzoo.load("runs/a")


def load_broken_weights():
    model = cnnzoo.get("lenet5", weights="digits")
    model.set_weights([value * np.nan for value in model.get_weights()])
    cnnzoo.load(cnnzoo.save(model, "broken.keras"))


def load_a_damaged_export():
    path = cnnzoo.export(cnnzoo.get("lenet5", weights="digits"), "exported", "onnx").path
    (path / "model.onnx").write_bytes(b"torn")
    cnnzoo.load(path)


def load_in_a_fork():
    path = cnnzoo.save(cnnzoo.get("lenet5", weights="digits"), "m.keras")
    with mock.patch("cnnzoo.core.forks._parents", [1]):
        cnnzoo.load(path)


def read_a_large_image():
    Image.fromarray(np.zeros((6000, 6000), "uint16")).save("large.png", compress_level=1)
    cnnzoo.Transform((8, 8))("large.png")


def load_12_bits():
    for name in ("cat", "dog"):
        write_noise(Path("dim", name), 12)
    for path in Path("dim").rglob("*.png"):
        gray = np.asarray(Image.open(path).convert("L")).astype("uint16")
        gray[0, 0] = 255
        Image.fromarray(gray * 16).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as an error, like the other messages
        cnnzoo.load_data("dim")


def load_interrupted_packed_data():
    Path("packed").mkdir()
    Path("packed", PLAN_FILE).write_text(json.dumps({"format": FORMAT, "shards": 2, "size": None, "source": "photos"}))
    cnnzoo.load_data("packed")


def load_a_shard_that_was_cut():
    write_noise(Path("pairs/a"), 2)
    write_noise(Path("pairs/b"), 2)
    cnnzoo.pack("pairs", "packed")
    os.truncate(next(Path("packed").glob("*.array_record")), 100)
    cnnzoo.load_data("packed")


def merge_without_a_shard():
    images = cnnzoo.load_data("digits").test.images[:9]
    classifier = cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="digits"))
    for shard in ("1/3", "3/3"):
        classifier.predict_to("all.csv", images, shard=shard, verbose=False)
    cnnzoo.merge_predictions("all.csv")


def launch_on_tensorflow():
    with mock.patch.dict(os.environ, {"KERAS_BACKEND": "tensorflow"}):
        check_backend()


CAUSES = {
    "Unknown model": lambda: cnnzoo.get("resnet51"),
    "Unknown data source": lambda: cnnzoo.load_data("photos/"),
    "No images in sub-folders": load_flat_folder,
    "The images of a table are not found": lambda: load_table("cat_1.jpg,a", "cat_2.jpg,b"),
    "An image has several labels": load_tags,
    "A folder can be read in two ways": load_folders_of_two_readings,
    "A split has no image of a class": load_few_images,
    "The model has another number of classes": train_with_other_classes,
    "The model is not built": lambda: cnnzoo.export(keras.Sequential([keras.layers.Flatten()]), "out"),
    "The model ends in a sigmoid": save_a_sigmoid,
    "A callback sets the learning rate": train_with_a_callback_for_the_rate,
    "The run directory is in use": train_into_a_finished_run,
    "A checkpoint does not fit the model": load_weights_of_another_model,
    "The head of a checkpoint has other layers": load_weights_with_another_head,
    "Weights are not in the cache": lambda: cnnzoo.get("resnet18", weights="imagenet"),
    "The loss became NaN": train_at_an_absurd_rate,
    "A run was interrupted under an earlier version": continue_a_run_of_an_earlier_version,
    "The run has failed": load_a_failed_run,
    "A model has weights that are no numbers": load_broken_weights,
    "An export is damaged": load_a_damaged_export,
    "Packed data is not complete": load_interrupted_packed_data,
    "A shard of packed data was cut or changed": load_a_shard_that_was_cut,
    "Shards of a prediction are missing": merge_without_a_shard,
    "Several processes need the JAX backend": launch_on_tensorflow,
    "TensorFlow was started before a fork": load_in_a_fork,
    "An image is too large": read_a_large_image,
    "Images of 16 bits are nearly black": load_12_bits,
    "An image cannot be read": lambda: cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="mnist")).predict(b"text"),
}


def test_every_message_is_tried():
    assert MESSAGES.keys() == CAUSES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("title", CAUSES)
def test_message_is_on_the_page(title, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    with pytest.raises((cnnzoo.InputError, cnnzoo.TrainingError, UserWarning)) as caught:
        CAUSES[title]()
    pattern = ".*".join(re.escape(part) for part in MESSAGES[title].split("..."))
    assert re.fullmatch(pattern, str(caught.value), re.S), f"{caught.value}\n\nis not what the page says"
