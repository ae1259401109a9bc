"""Predict an archive in four shards, as four hosts would, and join what they have written.

On a cluster, each shard is a command: cnnzoo predict MODEL photos/ --out answers.csv --shard auto
"""

import itertools
import tempfile
from pathlib import Path

from PIL import Image

import cnnzoo

SHARDS = 4


def write_archive(root: Path) -> None:
    """Write a thousand images in folders, one of them torn."""
    data = cnnzoo.load_data("digits")
    for i, pixels in zip(range(1000), itertools.cycle(data.test.images), strict=False):
        path = root / f"camera{i % 10}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(path)
    torn = root / "camera3" / "13.png"
    torn.write_bytes(torn.read_bytes()[:40])


def main() -> None:
    """Predict the shards one after the other, and merge them."""
    with tempfile.TemporaryDirectory() as folder:
        root, answers = Path(folder) / "photos", Path(folder) / "answers.csv"
        write_archive(root)
        classifier = cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="digits"))

        for number in range(1, SHARDS + 1):
            written = classifier.predict_to(answers, root, top=1, shard=(number, SHARDS), verbose=False)
            print(f"Shard {number}/{SHARDS}: {written.images} images, {written.errors} unreadable")
            if number == SHARDS - 1:
                try:
                    cnnzoo.merge_predictions(answers)
                except cnnzoo.InputError as error:  # names the shard that is missing
                    print(error)

        merged = cnnzoo.merge_predictions(answers, verbose=False)
        print(f"Merged: {merged.images} images, each once, {merged.errors} of them unreadable")


if __name__ == "__main__":
    main()
