"""A folder of pictures to a classifier: look at them, set aside what is broken, train, and ask for a file.

The folder is made here of scikit-learn's digits, so that the example needs no download; yours would hold photos.
"""

import sys
import tempfile
from pathlib import Path

import keras
from PIL import Image
from sklearn.datasets import load_digits

import cnnzoo


def write_folder(root: Path) -> None:
    """A sub-folder a class, as people keep their photos; one file is torn, as files are."""
    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = root / f"digit_{label}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * (255 / 16)).astype("uint8")).resize((32, 32)).save(path)
    torn = root / "digit_7" / "torn.png"
    torn.write_bytes((root / "digit_0" / "0.png").read_bytes()[:60])


def main() -> None:
    """Doctor, training, prediction, and the transform by itself."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "digits"
        write_folder(root)

        # Warns of what it sets aside; strict=True would refuse. Digits fill their pictures, so all of it is seen
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

        transform = cnnzoo.transform(model)  # what evaluation does to a file, for uses of your own
        pixels = transform(path)
        print(transform, pixels.shape, model.predict(pixels[None], verbose=0).shape)


if __name__ == "__main__":
    main()
