"""A trained network for elsewhere: exported in every format, loaded again by each, and a whole folder answered.

The formats but SavedModel need the extra: pip install 'cnnzoo[export]'.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import cnnzoo


def write_scans(folder: Path) -> None:
    """Handwritten digits as files, white on black as MNIST's, and one that is torn."""
    folder.mkdir()
    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images[:40], digits.target, strict=False)):
        pixels = np.pad((image * (255 / 16)).astype("uint8"), 2)
        Image.fromarray(pixels).resize((56, 56), Image.Resampling.BICUBIC).save(folder / f"{i:02}_is_{label}.png")
    (folder / "torn.png").write_bytes(b"\x89PNG and no more")


def main() -> None:
    """Export, load, predict, and predict to a file."""
    model = cnnzoo.get("lenet5", weights="mnist")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scans(folder / "scans")

        for format in ("saved_model", "litert", "onnx", "openvino"):
            done = cnnzoo.export(model, folder / format, format)
            runtime = "onnxruntime" if format == "onnx" else "auto"  # the fastest that is installed and reads it
            classifier = cnnzoo.load(folder / format, runtime)
            answer = classifier.predict(folder / "scans" / "06_is_6.png", top=2)[0]
            print(f"{format}: within {done.difference:.1g} of the model; {classifier.runtime} says {answer}")

        classifier = cnnzoo.load(folder / "openvino", precision="bfloat16")  # less exact, faster where the CPU has it
        done = classifier.predict_to(folder / "answers.csv", folder / "scans", top=1, verbose=False)
        print(f"{done.images} images, {done.errors} unreadable")
        print("\n".join((folder / "answers.csv").read_text().splitlines()[:4]))
        print((folder / "openvino" / "model_card.md").read_text()[:400])


if __name__ == "__main__":
    main()
