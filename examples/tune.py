"""Search for a better recipe with three trials on digits, and compare it with the default on the test split."""

import tempfile
from pathlib import Path

import cnnzoo

SPACE = {
    "learning_rate": {"low": 0.005, "high": 0.3, "log": True},
    "batch_size": [32, 64],
    "augment": ["none", "shift"],
    "model": ["lenet5", "lenet5_relu"],  # the network may vary too, and the fields of its row: "row.FIELD"
}

# Trials run in processes of their own, which import this file, so only the main process may run this.
if __name__ == "__main__":
    data = cnnzoo.load_data("digits")
    recipe = cnnzoo.Recipe(epochs=3, batch_size=32, learning_rate=0.01)
    with tempfile.TemporaryDirectory() as folder:
        result = cnnzoo.tune("lenet5", data, space=SPACE, recipe=recipe, trials=3, run_dir=Path(folder) / "search")
        print(result)
        print("best:", result.model, result.best.chosen)
        print(sorted(path.name for path in result.run_dir.iterdir()))

        # The best model is a run like any other.
        classifier = cnnzoo.load(result.run)
        print(classifier.predict(data.test.images[:2]))
        cnnzoo.export(result.run, Path(folder) / "exported", "litert")

    # For Keras Tuner's own tuners: keras_tuner.RandomSearch(hypermodel, "val_accuracy").search(data)
    hypermodel = cnnzoo.hypermodel("lenet5", space=SPACE, recipe=recipe, classes=data.classes)
    print("a HyperModel of", hypermodel.name)
