"""Photos of sizes and kinds that a careless resize, crop or conversion gets wrong."""

import numpy as np
from PIL import Image

from helpers.image_files import encode, make_scene

ORIENTATION = 0x0112


def odd_photos():
    """Return 24 image files: {name: bytes}, all of which Pillow reads and SavedModels too."""
    photos = {}
    sizes = [(97, 31), (31, 97), (180, 20), (20, 180), (5, 7), (1, 1), (33, 31), (32, 32), (37, 37), (300, 211)]
    for i, (height, width) in enumerate(sizes):
        photos[f"{width}x{height}"] = encode(Image.fromarray(_noisy_scene(height, width, i)), "PNG")
    rgb = _noisy_scene(61, 83, 20)
    image = Image.fromarray(rgb)
    opacity = Image.fromarray(np.arange(83, dtype="uint8")[None].repeat(61, 0) * 3)
    clear = image.copy()
    clear.putalpha(opacity)
    palette = image.quantize(64)
    for orientation in (3, 5, 6):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        photos[f"turned-{orientation}"] = encode(image, "JPEG", quality=95, exif=exif)
    gray = image.convert("L")
    deep = Image.fromarray(np.asarray(gray).astype("uint16") * 200)
    photos |= {
        "jpeg": encode(image, "JPEG"),
        "progressive": encode(image, "JPEG", progressive=True),
        "gray": encode(gray, "JPEG", quality=95),
        "cmyk": encode(image.convert("CMYK"), "JPEG", quality=95),
        "rgba": encode(clear, "PNG"),
        "gray-alpha": encode(clear.convert("LA"), "PNG"),
        "16-bit": encode(deep, "PNG"),
        "black-white": encode(image.convert("1"), "PNG"),
        "palette": encode(palette, "PNG", transparency=3),
        "gif": encode(palette, "GIF"),
        "webp": encode(image, "WEBP", lossless=True),
    }
    assert len(photos) == 24
    return photos


def _noisy_scene(height, width, seed):
    """Return a scene with noise, which shows whether a resize averages all the pixels that it replaces."""
    noise = np.random.default_rng(seed).integers(-60, 60, (height, width, 3))
    return np.clip(make_scene(height, width, seed).astype(int) + noise, 0, 255).astype("uint8")
