"""A data set as others hand it over: a table with their column names, a test folder, and a picture in memory.

The files are made here from scikit-learn's digits, so the example needs no download.
"""

import csv
import io
import sys
import tempfile
from pathlib import Path

import keras
from PIL import Image
from sklearn.datasets import load_digits

import cnnzoo


def write_files(root: Path) -> None:
    """Write labels.csv beside a folder of images, and new_photos with copies of three of these."""
    digits = load_digits()
    (root / "images").mkdir()
    with (root / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["", "id", "breed", "phase", "comment"])  # with the index that a data frame adds
        for i, (image, label) in enumerate(zip(digits.images[:600], digits.target, strict=False)):
            Image.fromarray((image * (255 / 16)).astype("uint8")).save(root / "images" / f"{i}.png")
            rows.writerow([i, i, f"digit_{label}", "train" if i < 500 else "test", "scanned"])
    for i, label in enumerate(digits.target[600:660], 600):
        if label < 6:  # not every class occurs
            path = root / "new_photos" / f"digit_{label}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[i] * (255 / 16)).astype("uint8")).save(path)
    for i in range(3):
        copy = root / "new_photos" / f"digit_{digits.target[i]}" / f"copy of {i}.png"
        copy.write_bytes((root / "images" / f"{i}.png").read_bytes())


def main() -> None:
    """Read the table, train, evaluate on the folder, and classify a picture from memory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root)

        # The last lines say which columns were used, how paths were completed, and what was left out.
        data = cnnzoo.load_data(root / "labels.csv", crop=None)
        print(data)

        keras.utils.set_random_seed(0)
        model = cnnzoo.get("lenet5", classes=data.classes)
        recipe = cnnzoo.Recipe(epochs=4, batch_size=32, learning_rate=0.02)
        run = root / "run"
        print(cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=run, verbose=sys.stderr.isatty()))

        # All of a folder, with the classes of the model. Images that the run was trained on are reported.
        new_photos = cnnzoo.load_data(root / "new_photos", split="test", classes=data.classes, crop=None)
        classifier = cnnzoo.load(run)
        print(cnnzoo.evaluate(classifier.model, new_photos))

        upload = io.BytesIO((root / "images" / "1.png").read_bytes())  # as a web server receives it
        print(classifier.predict(upload))


if __name__ == "__main__":
    main()
