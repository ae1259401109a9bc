"""A data set as others hand it over: a table with their column names, a test folder, and a picture in memory.

The files are made here from scikit-learn's digits, so the example needs no download.
"""

import csv
import io
import tempfile
from pathlib import Path

import keras
from PIL import Image
from sklearn.datasets import load_digits

import cnnzoo


def write_files(root: Path) -> None:
    """Write labels.csv beside a folder of images, and new_photos with three of the same images among its own."""
    digits = load_digits()
    count = 2 * len(digits.target) // 3
    rows: list[list[object]] = [["", "id", "breed", "phase", "comment"]]  # with the index that a data frame adds
    for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        paths = [root / "images" / f"{i}.png"] if i < count else []
        if i < 3 or (i >= count and label < 6):  # not every class occurs
            paths.append(root / "new_photos" / f"digit_{label}" / f"photo {i}.png")
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((pixels * (255 / 16)).astype("uint8")).save(path)
        if i < count:
            rows.append([i, i, f"digit_{label}", "test" if i % 6 == 0 else "train", "scanned"])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


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
        print(cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=root / "run", verbose=False))

        # All of a folder, with the classes of the model. Images that the run was trained on are reported.
        new_photos = cnnzoo.load_data(root / "new_photos", split="test", classes=data.classes, crop=None)
        classifier = cnnzoo.load(root / "run")
        print(cnnzoo.evaluate(classifier.model, new_photos))
        upload = io.BytesIO((root / "images" / "1.png").read_bytes())  # as a web server receives it
        print(classifier.predict(upload))


if __name__ == "__main__":
    main()
