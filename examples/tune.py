"""A better recipe than the default: eight trials on digits, and both compared where no trial looked."""

import tempfile
from pathlib import Path

import cnnzoo

SPACE = {
    "learning_rate": {"low": 0.005, "high": 0.3, "log": True},
    "batch_size": [32, 64],
    "augment": ["none", "shift"],
    "model": ["lenet5", "lenet5_relu"],  # the row may vary too, and its fields: "row.FIELD"
}

# trials are processes of their own, so what follows is for the one that searches
if __name__ == "__main__":
    data = cnnzoo.load_data("digits")
    recipe = cnnzoo.Recipe(epochs=4, batch_size=32, learning_rate=0.01)
    with tempfile.TemporaryDirectory() as folder:
        found = cnnzoo.tune("lenet5", data, space=SPACE, recipe=recipe, trials=8, run_dir=Path(folder) / "search")
        print(found)
        print("best:", found.model, found.best.chosen)
        print(sorted(path.name for path in found.run_dir.iterdir()))

        # the best model is a run like any other
        classifier = cnnzoo.load(found.run)
        print(classifier.predict(data.test.images[:2]))
        cnnzoo.export(found.run, Path(folder) / "exported")

    # what Keras Tuner's own tuners take: keras_tuner.RandomSearch(hypermodel, "val_accuracy").search(data)
    hypermodel = cnnzoo.hypermodel("lenet5", space=SPACE, recipe=recipe, classes=data.classes)
    print("a HyperModel of", hypermodel.name)
