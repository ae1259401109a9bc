"""Photos under their maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnzoo.core.errors import unknown_name

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

COLORS = "viridis"  # of Matplotlib: even steps, also for color-blind readers
MIN_OPACITY, MAX_OPACITY = 0.15, 0.65  # of the colors over the photo, where the map is 0 and where it is 1


def overlay_map(photo: PillowImage, values: np.ndarray, colors: str = COLORS) -> PillowImage:
    """Return an RGB picture under a map (H, W) of 0 to 1.

    Raises:
        InputError: if there is no such colormap.
    """
    from matplotlib import colormaps
    from PIL import Image

    if colors not in colormaps:
        raise unknown_name("colormap", colors, list(colormaps))
    # At most 256 levels, so that a table of colors is enough
    levels = np.rint(values * 255).astype("uint8")
    table = np.rint(colormaps[colors](np.arange(256))[:, :3] * 255).astype("uint8")
    opacity = np.rint(255 * (MIN_OPACITY + (MAX_OPACITY - MIN_OPACITY) * np.arange(256) / 255)).astype("uint8")
    return Image.composite(Image.fromarray(table[levels]), photo, Image.fromarray(opacity[levels]))
