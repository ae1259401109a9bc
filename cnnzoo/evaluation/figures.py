"""Pictures in files of their own: the learning rate range test, and grids of images; as PNG bytes."""

import io
import unicodedata
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MAX_READ = 10_000  # characters of a name that are looked at
MAX_CAPTION_LINES = 4  # under a picture
BLUE, ORANGE = "#2563eb", "#ea580c"


def encode_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes, as they are in many names.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        figure.savefig(buffer, format="png", dpi=144, bbox_inches="tight")
    return buffer.getvalue()


def one_line(text: str) -> str:
    """Return a name without line breaks and control characters, each of which becomes a space."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in text[:MAX_READ]).strip()


def make_label(name: str) -> str:
    """Return a name as a short label of one line: a picture grows with its longest label."""
    return escape_mathtext(shorten_middle(one_line(name)))


def escape_mathtext(text: str) -> str:
    """Escape dollar signs, between which Matplotlib would typeset mathematics."""
    return text.replace("$", r"\$")


def shorten_middle(line: str, length: int = 26) -> str:
    """Shorten a line to about `length` characters by leaving out its middle; names differ at both ends."""
    return line if len(line) <= length else f"{line[: length // 2 - 1]}…{line[-length // 2 :]}"


def plot_learning_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> bytes:
    """Plot the smoothed loss over the learning rate of a range test, and mark the suggested rate."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=BLUE)
    axes.axvline(suggestion, color=ORANGE, linestyle=":", label=f"suggested: {suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
    _style_curves(axes)
    return encode_png(figure)


def _style_curves(axes: Axes) -> None:
    """Add a grid and a legend, and remove the frame above and on the right."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def plot_image_grid(images: np.ndarray, captions: Sequence[str]) -> bytes:
    """Plot a grid of images (N, H, W, C) with values from 0 to 255, each under its caption."""
    column_count = min(8, len(images))
    row_count = -(-len(images) // column_count)
    figure = Figure(figsize=(1.5 * column_count, 2.1 * row_count), layout="constrained")
    grid = figure.subplots(row_count, column_count, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        pixels = image[..., 0] if image.shape[-1] != 3 else image
        axes.imshow(np.clip(pixels, 0, 255).astype("uint8"), cmap="gray", vmin=0, vmax=255)
        lines = caption.split("\n", MAX_CAPTION_LINES)[:MAX_CAPTION_LINES]
        axes.set_title("\n".join(map(make_label, lines)), fontsize=7)
    return encode_png(figure)
