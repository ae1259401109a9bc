"""Draw the pictures of the docs with cnnzoo itself: `make pictures`.

Small trainings on real data: scikit-learn's handwritten digits, and its two photographs (china.jpg
and flower.jpg, both CC BY). It takes some minutes on two cores and needs no network.
docs/images/inference.png is made by benchmarks/inference.py.
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


def write_picture(picture: Image.Image, name: str, max_width: int = MAX_WIDTH) -> None:
    """Write a PNG with 256 colors, or a JPEG if the name says so."""
    path = IMAGES / name
    width = min(picture.width, max_width)
    size = width, round(picture.height * width / picture.width)
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    if path.suffix == ".png":
        picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    else:
        picture.save(path, quality=80, optimize=True)
    print(f"{path}: {size[0]}x{size[1]}, {path.stat().st_size:,} bytes")
    assert path.stat().st_size < MAX_BYTES


def stack_parts(picture: Image.Image, share: float, count: int) -> Image.Image:
    """Return the first parts of a picture below each other, each a share of its width.

    Pictures that are side by side in a report are too small for a phone.
    """
    width = round(picture.width * share)
    stacked = Image.new("RGB", (width, picture.height * count), "white")
    for i in range(count):
        part = picture.crop((i * width, 0, (i + 1) * width, picture.height))
        stacked.paste(part, (0, i * picture.height))
    return stacked


def read_png(png: bytes) -> Image.Image:
    """Return the picture in a PNG file, without an alpha channel."""
    return Image.open(io.BytesIO(png)).convert("RGB")


def read_pictures(page: Path) -> dict[str, Image.Image]:
    """Return the pictures inside a report, by their alternative text."""
    pattern = r'<img[^>]*src="data:image/png;base64,([^"]+)"[^>]*alt="([^"]+)"'
    pictures = re.findall(pattern, page.read_text(encoding="utf-8"))
    return {title: read_png(base64.b64decode(data)) for data, title in pictures}


def draw_report(folder: Path) -> None:
    """Train LeNet-5 on a fifth of the digits, so that there are mistakes to show."""
    keras.utils.set_random_seed(0)
    data = cnnzoo.load_data("digits", splits=(0.2, 0.1, 0.7))
    model = cnnzoo.get("lenet5", classes=data.classes)
    recipe = cnnzoo.recipe("sgd", epochs=20)
    report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=folder / "run")
    print(report)
    pictures = read_pictures(folder / "run" / "report.html")
    curves, confusion, reliability, mistakes = (
        next(picture for title, picture in pictures.items() if title.startswith(start))
        for start in ("Loss", "Confusion", "Reliability", "Mistakes")
    )
    write_picture(stack_parts(curves, share=1 / 2, count=2), "curves.png")
    write_picture(confusion, "confusion.png", max_width=640)
    write_picture(reliability, "calibration.png", max_width=520)
    write_picture(stack_parts(mistakes, share=1 / 2, count=1), "mistakes.png")


def draw_range_test(folder: Path) -> None:
    """Draw the learning rate range test of LeNet-5 on the digits."""
    run_command(["lr-find", "lenet5", "digits", "--out", str(folder / "lr_find.png")])
    write_picture(read_png((folder / "lr_find.png").read_bytes()), "lr_find.png")


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
    picture = stack_parts(read_png(sheet.read_bytes()), share=1 / 2, count=2)
    write_picture(picture, "augmentation.jpg", max_width=760)


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
    pictures = read_pictures(folder / "search" / "report.html")
    scores = next(picture for title, picture in pictures.items() if title.startswith("Scores"))
    write_picture(scores, "tuning.png")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        draw_report(Path(name))
        draw_range_test(Path(name))
        draw_augmentation(Path(name))
        draw_search(Path(name))
