"""Export a trained network in every format, load each export, and classify a whole folder.

All formats but SavedModel need an extra; from a clone: pip install -e '.[export]'.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import cnnzoo


def write_scans(folder: Path) -> None:
    """Write handwritten digits as image files, white on black as in MNIST, and one damaged file."""
    folder.mkdir()
    digits = load_digits()
    for i, (image, label) in enumerate(zip(digits.images[:40], digits.target, strict=False)):
        pixels = np.pad((image * (255 / 16)).astype("uint8"), 2)
        Image.fromarray(pixels).resize((56, 56), Image.Resampling.BICUBIC).save(folder / f"{i:02}_is_{label}.png")
    (folder / "damaged.png").write_bytes(b"\x89PNG and no more")


def main() -> None:
    """Export, load, predict, and write predictions to a file."""
    model = cnnzoo.get("lenet5", weights="mnist")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scans(folder / "scans")

        for format in ("saved_model", "litert", "onnx", "openvino"):
            exported = cnnzoo.export(model, folder / format, format)
            runtime = "onnxruntime" if format == "onnx" else "auto"  # auto: the fastest installed one that reads it
            classifier = cnnzoo.load(folder / format, runtime)
            prediction = classifier.predict(folder / "scans" / "06_is_6.png", top=2)[0]
            print(exported)
            print(f"{classifier.runtime} says {prediction}")

        # bfloat16 is less exact, and faster on processors that support it.
        classifier = cnnzoo.load(folder / "openvino", precision="bfloat16")
        written = classifier.predict_to(folder / "answers.csv", folder / "scans", top=1, verbose=False)
        print(f"{written.images} images, {written.errors} unreadable")
        print("\n".join((folder / "answers.csv").read_text().splitlines()[:4]))
        print((folder / "openvino" / "model_card.md").read_text()[:400])


if __name__ == "__main__":
    main()
