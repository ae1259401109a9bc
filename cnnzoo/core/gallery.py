"""Images with captions, and with bars for probabilities: shown in notebooks, and saved as a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cnnzoo.core.files import atomic_write
from cnnzoo.core.notebook import render_notebook
from cnnzoo.core.numbers import format_share
from cnnzoo.core.paths import check_picture_path
from cnnzoo.core.text import escape_controls
from cnnzoo.core.tiles import Tile

MAX_TILES = 100  # images in one gallery
MAX_CAPTION_LINES = 4
# Of a saved picture: the widest that is readable on a phone, where it is 360 pixels wide
MAX_COLUMNS, MAX_COLUMNS_WITH_BARS = 4, 3
COLUMN, COLUMN_WITH_BARS, LINE = 1.5, 2.0, 0.2  # inches
FONT_SIZE = 11
MAX_LABEL = 18  # letters of a line above an image


@dataclass(frozen=True, repr=False)
class Gallery:
    """Images with captions. A notebook shows them; `save` writes them to a file.

    Attributes:
        title: what is shown.
        tiles: the images.

    Example:
        >>> gallery = cnnzoo.load_data("digits").show(count=8)
        >>> gallery
        <8 images of digits, train: in a notebook they are shown, and save("images.png") writes them>
        >>> gallery.save("images.png")
    """

    title: str
    tiles: tuple[Tile, ...]

    def __len__(self) -> int:
        return len(self.tiles)

    def __repr__(self) -> str:
        title = escape_controls(self.title)
        return f'<{title}: in a notebook they are shown, and save("images.png") writes them>'

    def _repr_html_(self) -> str:
        """Return the images as HTML for a notebook, small enough to be kept in it."""
        return render_notebook(self.title, tiles=self.tiles)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Draw the images into a file.

        Args:
            path: a .png file, which is replaced if it exists.

        Raises:
            InputError: if `path` does not end in .png or cannot be written.
        """
        path = check_picture_path(path)
        with atomic_write(path) as new_path:
            new_path.write_bytes(draw_gallery(self))


def draw_gallery(gallery: Gallery) -> bytes:
    """Return the gallery as a PNG file: each image with its caption above it, and its bars below."""
    import io
    import textwrap
    import warnings

    import numpy as np
    from matplotlib.figure import Figure

    bars = max((len(tile.shares) for tile in gallery.tiles), default=0)
    columns = min(MAX_COLUMNS_WITH_BARS if bars else MAX_COLUMNS, max(len(gallery.tiles), 1))
    rows = max(-(-len(gallery.tiles) // columns), 1)
    width = COLUMN_WITH_BARS if bars else COLUMN
    lines = max((min(len(tile.lines), MAX_CAPTION_LINES) for tile in gallery.tiles), default=0)
    heights = (width + LINE * lines, 1.3 * LINE * bars) if bars else (width + LINE * lines,)
    title = textwrap.wrap(_make_label(gallery.title, 200), MAX_LABEL * columns)
    figure = Figure(figsize=(width * columns, sum(heights) * rows + 0.3 * len(title)), layout="constrained")
    figure.suptitle("\n".join(title), fontsize=FONT_SIZE + 1)
    grid = figure.subplots(rows * len(heights), columns, squeeze=False, height_ratios=heights * rows)
    for axes in grid.ravel():
        axes.axis("off")
    for i, tile in enumerate(gallery.tiles):
        row, column = divmod(i, columns)
        axes = grid[row * len(heights), column]
        axes.set_title("\n".join(map(_make_label, tile.lines[:MAX_CAPTION_LINES])), fontsize=FONT_SIZE)
        if tile.pixels is not None:
            pixels = tile.pixels if tile.pixels.shape[-1] == 3 else tile.pixels[..., 0]
            axes.imshow(np.clip(pixels, 0, 255).astype("uint8"), cmap="gray", vmin=0, vmax=255)
        else:
            axes.text(0.5, 0.5, _make_label(tile.problem or "no picture"), ha="center", fontsize=FONT_SIZE)
        if tile.shares:
            below, places = grid[row * len(heights) + 1, column], range(len(tile.shares))
            below.barh(places, [share for _, share in tile.shares], color="#93c5fd")
            for place, (name, share) in zip(places, tile.shares, strict=True):
                below.text(0.02, place, _make_label(name), va="center", fontsize=FONT_SIZE)
                below.text(0.99, place, format_share(share), ha="right", va="center", fontsize=FONT_SIZE)
            below.set(xlim=(0, 1), ylim=(bars - 0.4, -0.6))

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes, as they are in many names.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        figure.savefig(buffer, format="png", dpi=144, bbox_inches="tight")
    return buffer.getvalue()


def _make_label(text: str, length: int = MAX_LABEL) -> str:
    """Return a short line of text in which Matplotlib finds no mathematics; names differ at both ends."""
    line = " ".join(escape_controls(text[:10_000]).split())
    line = line if len(line) <= length else f"{line[: length // 2 - 1]}…{line[-length // 2 :]}"
    return line.replace("$", r"\$")
