"""A photo that vanishes while a model is trained ends the training with its name, and nothing is lost."""

from pathlib import Path

import keras
import pytest
from helpers.image_files import write_class_folders

import cnnzoo


@pytest.mark.parametrize("split", ["train", pytest.param("validation", marks=pytest.mark.slow)])
def test_a_photo_that_vanishes_ends_the_training_safely(split, tmp_path):
    root = write_class_folders(tmp_path / "photos", {"a": 10, "b": 10}, size=(32, 32))
    data = cnnzoo.load_data(root, image_size=32, cache="none")
    file = Path(data.splits[split].images.photos[0].source)
    content = file.read_bytes()
    vanish = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: file.unlink() if epoch == 1 else None)
    model = cnnzoo.get("lenet5", classes=["a", "b"], input_shape=(32, 32, 3))
    options = {
        "recipe": cnnzoo.Recipe(epochs=3, batch_size=8, learning_rate=0.01),
        "run_dir": tmp_path / "run",
        "verbose": False,
    }
    with pytest.raises(cnnzoo.TrainingError, match="Cannot read .*no such file.*kept weights are saved as"):
        cnnzoo.fit_and_evaluate(model, data, callbacks=[vanish], **options)

    file.write_bytes(content)
    report = cnnzoo.fit_and_evaluate(model, data, resume=True, **options)
    assert len(report.history["loss"]) == 3, "the training goes on where it was"
