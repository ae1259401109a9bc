"""Draw the pictures of the docs with cnnzoo itself: `make pictures`.

Small trainings on real data: scikit-learn's handwritten digits, and its two photographs (china.jpg
and flower.jpg, both CC BY). Pages are shown as in a browser, so Chromium or
Chrome is needed. It takes some minutes on two cores and needs no network.
docs/images/inference.png is made by benchmarks/inference.py.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import cnnzoo
import keras
import numpy as np
from cnnzoo.cli.main import main as run_command
from PIL import Image, ImageChops
from sklearn.datasets import load_sample_images

IMAGES = Path(__file__).parent / "images"
MAX_WIDTH = 1200  # pixels: enough for the widest column of the site on a sharp screen
MAX_BYTES = 150_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
NARROW, WIDE, SCALE = 540, 760, 1.5  # pixels of a page, so that its text is readable on a phone too


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


def find_browser() -> str:
    """Return the path of a browser that can take screenshots."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise SystemExit(f"The pictures of pages are screenshots: install one of {', '.join(BROWSERS)}")


def shoot_sections(
    page: Path,
    *sections: str,
    header: bool = False,
    without: str = "",
    width: int = NARROW,
    height: int = 1600,
) -> Image.Image:
    """Return a screenshot of some sections of a page, in the light theme.

    Args:
        page: the HTML file.
        sections: the ids of their headings; the others are left out.
        header: whether the header of the page is kept.
        without: what to leave out, as a regular expression.
        width: pixels of the page.
        height: the same, from which the empty rest is cut off.
    """
    html = page.read_text(encoding="utf-8")
    for name in re.findall(r'<section aria-labelledby="(\w+)">', html):
        if name not in sections:
            html = re.sub(rf'<section aria-labelledby="{name}">.*?</section>', "", html, flags=re.S)
    if not header:
        html = re.sub("<header>.*?</header>", "", html, flags=re.S)
    html = re.sub(f"<footer>.*?</footer>|{without}", "", html, flags=re.S)
    part, picture = page.with_name("part.html"), page.with_name("part.png")
    part.write_text(html, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
    options += ["--blink-settings=preferredColorScheme=1", f"--force-device-scale-factor={SCALE}"]
    command = [
        find_browser(),
        *options,
        f"--window-size={width},{height}",
        f"--screenshot={picture}",
    ]
    subprocess.run([*command, part.as_uri()], check=True, capture_output=True, timeout=120)
    shot = Image.open(picture).convert("RGB")
    _, top, right, bottom = ImageChops.difference(
        shot, Image.new("RGB", shot.size, "white")
    ).getbbox()
    return shot.crop(
        (0, max(top - 24, 0), min(right + 24, shot.width), min(bottom + 24, shot.height))
    )


def draw_report(folder: Path) -> None:
    """Train LeNet-5 on a fifth of the digits, so that there are mistakes to show."""
    keras.utils.set_random_seed(0)
    data = cnnzoo.load_data("digits", splits=(0.2, 0.1, 0.7))
    model = cnnzoo.get("lenet5", classes=data.classes)
    recipe = cnnzoo.recipe("sgd", epochs=20)
    report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=folder / "digits")
    print(report)
    page = folder / "digits" / "report.html"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace(str(folder), "runs"), encoding="utf-8")  # not a temporary folder
    pairs = r'<div class="scroll"[^>]*>.<table>.<caption>The most confused.*?</table>.</div>'
    use = r"<h3>Use the model</h3>.*?</ul>"
    top = shoot_sections(page, "next", "figures", header=True, without=use, width=WIDE)
    write_picture(top, "report.png")
    write_picture(shoot_sections(page, "mistakes", width=WIDE, height=810), "mistakes.png")
    write_picture(shoot_sections(page, "confusion", without=pairs), "confusion.png")
    write_picture(shoot_sections(page, "calibration", width=480), "calibration.png")
    write_picture(shoot_sections(page, "training", width=480), "curves.png")


def draw_range_test(folder: Path) -> None:
    """Draw the learning rate range test of LeNet-5 on the digits."""
    run_command(["lr-find", "lenet5", "digits", "--out", str(folder / "lr_find.png")])
    write_picture(Image.open(folder / "lr_find.png").convert("RGB"), "lr_find.png")


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
    write_picture(Image.open(sheet).convert("RGB"), "augmentation.jpg", max_width=760)


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
    page = folder / "search" / "report.html"
    wide_parts = r'<figure><div class="scroll".*?</figure>|<div class="scroll".*?</table>.</div>'
    nav = r'<nav class="contents".*?</nav>'
    shot = shoot_sections(page, "trials", header=True, without=f"{wide_parts}|{nav}")
    write_picture(shot, "tuning.png")


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        draw_report(Path(name))
        draw_range_test(Path(name))
        draw_augmentation(Path(name))
        draw_search(Path(name))
