"""Colors of the pages, and their contrast as WCAG 2 defines it."""

import re
from pathlib import Path

import numpy as np

from cnnzoo.core import pages

CSS = (Path(pages.__file__).parent / "page.css").read_text(encoding="utf-8")
# {"ink": ("#1f2937", "#e5e7eb"), ...}: for light and for dark pages
COLORS = {
    name: (light, dark) for name, light, dark in re.findall(r"--([a-z-]+): light-dark\((#\w{6}), (#\w{6})\)", CSS)
}


def channels(color):
    return np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def luminance(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(first, second, opacity=0.0, over="#000000"):
    """Return the contrast of two colors, the second of which is covered by `over` with an opacity."""
    ground = (1 - opacity) * channels(second) + opacity * channels(over)
    low, high = sorted((luminance(channels(first)), luminance(ground)))
    return (high + 0.05) / (low + 0.05)
