"""Pack a folder of images into a few files, and train on them: the splits and the batches are those of the folder.

The folder is made here from scikit-learn's digits. Packing pays for millions of files, or on a network disk.
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import cnnzoo


def write_folder(root: Path) -> None:
    """Write one sub-folder per class."""
    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = root / f"digit_{label}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * (255 / 16)).astype("uint8")).resize((32, 32)).save(path)


def main() -> None:
    """Pack, compare with the folder, and train."""
    with tempfile.TemporaryDirectory() as folder:
        photos, packed = Path(folder) / "digits", Path(folder) / "packed"
        write_folder(photos)
        print(cnnzoo.pack(photos, packed, shards=4))
        print(*sorted(path.name for path in packed.iterdir()), sep="\n")

        # Equal seeds give equal splits and batches, so a training may move from one to the other
        options = {"image_size": 32, "crop": None}
        first, second = (cnnzoo.load_data(source, **options) for source in (photos, packed))
        assert first.fingerprints == second.fingerprints
        batches = [data.batches("train", seed=0, augment="shift")[0][0] for data in (first, second)]
        print("Equal batches:", np.array_equal(*batches))

        data = cnnzoo.load_data(packed, crop=None)
        keras.utils.set_random_seed(0)
        model = cnnzoo.get("lenet5", classes=data.classes)
        recipe = cnnzoo.Recipe(epochs=4, batch_size=32, learning_rate=0.02, augment="shift")
        print(cnnzoo.fit_and_evaluate(model, data, recipe=recipe, verbose=sys.stderr.isatty()))


if __name__ == "__main__":
    main()
