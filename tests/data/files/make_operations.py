"""Write operations.npz: small images, and what torchvision's Pillow backend makes of them.

Run with `pip install torch==2.14.1 torchvision==0.29.1`, which the tests do not need. The fill is gray of level 128
and the interpolation bilinear, as in cnnzoo.data.operations; amounts are those of torchvision.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import _apply_op as apply_operation

AMOUNTS = {
    "Identity": [0],
    "ShearX": [0.3, -0.99],
    "ShearY": [0.3, -0.99],
    "TranslateX": [7, -5],
    "TranslateY": [7.9, -5.2],
    "Rotate": [9, -135],
    "Brightness": [0.27, -0.99, 0.9],
    "Color": [0.27, -0.99, 0.9],
    "Contrast": [0.27, -0.99, 0.9],
    "Sharpness": [0.27, -0.99, 0.9],
    "Posterize": [2, 7, 8],
    "Solarize": [0, 178.5, 255],
    "AutoContrast": [0],
    "Equalize": [0],
}


def make_images():
    """Return smooth images: of all levels, of few levels, gray, and of one level."""
    rng = np.random.default_rng(0)
    colors = Image.fromarray(rng.integers(0, 256, (6, 6, 3), "uint8")).resize((24, 20), Image.Resampling.BICUBIC)
    gray = Image.fromarray(rng.integers(0, 256, (6, 6), "uint8")).resize((24, 20), Image.Resampling.BICUBIC)
    tall = Image.fromarray(rng.integers(0, 256, (5, 5, 3), "uint8")).resize((17, 31), Image.Resampling.BICUBIC)
    return {
        "colors": np.asarray(colors),
        "pale": (np.asarray(tall) // 3 + 60).astype("uint8"),
        "gray": np.asarray(gray),
        "flat": np.full((9, 12, 3), 77, "uint8"),
    }


def main():
    arrays = make_images()
    for image, pixels in list(arrays.items()):
        picture = Image.fromarray(pixels)
        fill = [128.0] * len(picture.getbands())
        for operation, amounts in AMOUNTS.items():
            for amount in amounts:
                result = apply_operation(picture, operation, amount, InterpolationMode.BILINEAR, fill)
                arrays[f"{image} {operation} {amount}"] = np.asarray(result)
    np.savez_compressed(Path(__file__).with_name("operations.npz"), **arrays)


if __name__ == "__main__":
    main()
