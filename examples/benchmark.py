"""Measure a model in two precisions of LiteRT, and keep the export that is recommended."""

import shutil
import tempfile
from pathlib import Path

import cnnzoo


def main() -> None:
    """Export LeNet-5, measure the exports on the test digits, and use the best one."""
    data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
    model = cnnzoo.get("lenet5", weights="digits")

    with tempfile.TemporaryDirectory() as folder:
        result = cnnzoo.benchmark(
            model,
            data,
            formats="litert",
            precisions=("float32", "int8"),
            margin=0.02,
            export_dir=Path(folder) / "exports",
        )
        print(result)

        best = result.recommended
        if best is not None:
            shutil.copytree(best.path, Path(folder) / "deployed")
            classifier = cnnzoo.load(Path(folder) / "deployed")
            print("The recommended export says", classifier.predict(data.test.images[:1])[0].label)


if __name__ == "__main__":
    main()
