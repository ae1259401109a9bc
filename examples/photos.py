"""From a folder of pictures to a classifier: check the files, train, and classify one of them.

The folder is made here from scikit-learn's digits, so the example needs no download. Yours would contain photos.
"""

import sys
import tempfile
from pathlib import Path

import keras
from PIL import Image
from sklearn.datasets import load_digits

import cnnzoo


def write_folder(root: Path) -> None:
    """Write one sub-folder per class, and one truncated file."""
    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = root / f"digit_{label}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * (255 / 16)).astype("uint8")).resize((32, 32)).save(path)
    truncated = root / "digit_7" / "truncated.png"
    truncated.write_bytes((root / "digit_0" / "0.png").read_bytes()[:60])


def main() -> None:
    """Load and check the data, train, predict, and use the transform by itself."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "digits"
        write_folder(root)

        # Warns about the truncated file; strict=True would fail. Digits fill their images, so they are not cropped.
        data = cnnzoo.load_data(root, crop=None)
        print(data)
        print(data.diagnosis)

        keras.utils.set_random_seed(0)
        model = cnnzoo.get("lenet5", classes=data.classes)
        recipe = cnnzoo.Recipe(epochs=4, batch_size=32, learning_rate=0.02, augment="shift")
        report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, verbose=sys.stderr.isatty())
        print(report)

        path = root / data.test.names[0]
        print(path.name, cnnzoo.Classifier.of(model).predict(path)[0])

        transform = cnnzoo.transform(model)  # what evaluation does to a file, for your own code
        pixels = transform(path)
        print(transform, pixels.shape, model.predict(pixels[None], verbose=0).shape)


if __name__ == "__main__":
    main()
