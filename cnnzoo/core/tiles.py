"""Images with captions and bars, as galleries and summaries show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

MAX_PICTURE_BYTES = 60_000  # of all pictures of a summary together, as text
THUMBNAIL_SIDES = (240, 160, 112, 80, 56)  # pixels; the largest that keeps within the bytes


class Tile(NamedTuple):
    """One image of a gallery.

    Attributes:
        pixels: the image (H, W, 1 or 3) with values from 0 to 255; None if there is none.
        lines: its caption.
        shares: classes with their probabilities, drawn as bars.
        problem: why there is no image.
    """

    pixels: np.ndarray | None
    lines: tuple[str, ...]
    shares: tuple[tuple[str, float], ...] = ()
    problem: str = ""


def fit_thumbnails(
    tiles: Sequence[Tile], max_bytes: int = MAX_PICTURE_BYTES, sides: Sequence[int] = THUMBNAIL_SIDES
) -> list[str]:
    """Return the pictures of the first tiles as data URIs of at most `max_bytes` in all; "" for a tile without one.

    Pictures get smaller to fit, all to the same size; if that is not enough, the last ones are left out.
    """
    from cnnzoo.core.pages import picture_uri

    uris: list[str] = []
    for side in sides:
        uris = ["" if tile.pixels is None else picture_uri(tile.pixels, side) for tile in tiles]
        if sum(map(len, uris)) <= max_bytes:
            return uris
    while uris and sum(map(len, uris)) > max_bytes:
        uris.pop()
    return uris
