"""Draw the pictures of the docs with cnnzoo itself: `make pictures`.

Small trainings on real data: scikit-learn's handwritten digits, and its two photographs (china.jpg
and flower.jpg, both CC BY). It takes some minutes on two cores and needs no network.
docs/inference.png is made by benchmarks/inference.py.
"""

import base64
import io
import re
import tempfile
from pathlib import Path

import cnnzoo
import keras
import numpy as np
from cnnzoo.cli.main import main as run_command
from PIL import Image
from sklearn.datasets import load_sample_images

IMAGES = Path(__file__).parent / "images"
MAX_WIDTH = 1200  # pixels: enough for the widest column of the site on a sharp screen
MAX_BYTES = 150_000


def write_picture(png: bytes, name: str) -> None:
    """Write a PNG with 256 colors at most, and reduce its size until it is under 150 kB."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    path = IMAGES / f"{name}.png"
    width = min(image.width, MAX_WIDTH)
    while True:
        resized = image.resize(
            (width, round(image.height * width / image.width)), Image.Resampling.LANCZOS
        )
        resized.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < MAX_BYTES:
            break
        width -= 100
    print(f"{path}: {resized.width}x{resized.height}, {path.stat().st_size:,} bytes")


def stack_columns(png: bytes, keep: int, stacks: int) -> bytes:
    """Return a sheet of eight columns with `keep` of them in a row, for narrow screens."""
    sheet = Image.open(io.BytesIO(png)).convert("RGB")
    width = round(sheet.width * keep / 8)
    stacked = Image.new("RGB", (width, sheet.height * stacks), "white")
    for i in range(stacks):
        part = sheet.crop((i * width, 0, (i + 1) * width, sheet.height))
        stacked.paste(part, (0, i * sheet.height))
    buffer = io.BytesIO()
    stacked.save(buffer, "PNG")
    return buffer.getvalue()


def read_pictures(page: Path) -> dict[str, bytes]:
    """Return the pictures inside a report, by their alternative text."""
    pattern = r'<img[^>]*src="data:image/png;base64,([^"]+)"[^>]*alt="([^"]+)"'
    pictures = re.findall(pattern, page.read_text(encoding="utf-8"))
    return {title: base64.b64decode(data) for data, title in pictures}


def draw_report(folder: Path) -> None:
    """Train LeNet-5 on a fifth of the digits, so that there are mistakes to show."""
    keras.utils.set_random_seed(0)
    data = cnnzoo.load_data("digits", splits=(0.2, 0.1, 0.7))
    model = cnnzoo.get("lenet5", classes=data.classes)
    recipe = cnnzoo.recipe("sgd", epochs=20)
    report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=folder / "run")
    print(report)
    pictures = read_pictures(folder / "run" / "report.html")
    for start, name in {
        "Loss": "curves",
        "Confusion": "confusion",
        "Reliability": "calibration",
    }.items():
        write_picture(next(png for title, png in pictures.items() if title.startswith(start)), name)
    mistakes = next(png for title, png in pictures.items() if "istake" in title)
    write_picture(stack_columns(mistakes, keep=4, stacks=1), "mistakes")


def draw_range_test(folder: Path) -> None:
    """Draw the learning rate range test of LeNet-5 on the digits."""
    run_command(["lr-find", "lenet5", "digits", "--out", str(folder / "lr_find.png")])
    write_picture((folder / "lr_find.png").read_bytes(), "lr_find")


def draw_augmentation(folder: Path) -> None:
    """Draw sixteen augmented crops of two photographs."""
    rng = np.random.default_rng(0)
    for name, photo in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(16):
            y, x = rng.integers(0, photo.shape[0] - 300), rng.integers(0, photo.shape[1] - 300)
            Image.fromarray(photo[y : y + 300, x : x + 300]).save(
                folder / "photos" / name / f"{i}.png"
            )
    sheet = folder / "show.png"
    options = ["--augment", "rand+mixup", "--no-doctor", "--out", str(sheet)]
    run_command(["show", str(folder / "photos"), *options])
    write_picture(stack_columns(sheet.read_bytes(), keep=4, stacks=2), "augmentation")


def draw_search(folder: Path) -> None:
    """Search with twelve short trials on the digits."""
    space = {
        "learning_rate": {"low": 0.001, "high": 0.3, "log": True},
        "batch_size": [16, 32, 64],
        "augment": ["none", "shift"],
    }
    recipe = cnnzoo.Recipe(epochs=4, batch_size=32, learning_rate=0.01)
    data = cnnzoo.load_data("digits")
    cnnzoo.tune("lenet5", data, space=space, recipe=recipe, trials=12, run_dir=folder / "search")
    for i, (title, png) in enumerate(read_pictures(folder / "search" / "report.html").items()):
        print(i, title)
        if i == 0:
            write_picture(png, "tuning")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        draw_report(Path(name))
        draw_range_test(Path(name))
        draw_augmentation(Path(name))
        draw_search(Path(name))
