"""The pictures of a report, as PNG bytes."""

import io
import unicodedata
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

MAX_READ = 10_000  # characters of a name that are looked at
MAX_CAPTION_LINES = 4  # under a picture
# A confusion matrix grows with its longest label, if that has more letters than this.
SHORT_LABEL, INCHES_PER_LETTER = 14, 0.12
BLUE, ORANGE = "#2563eb", "#ea580c"
# With more classes than these, a confusion matrix has no class names at its sides, or no numbers in its cells.
MAX_NAMED_CLASSES, MAX_NUMBERED_CLASSES = 50, 25


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


def plot_learning_curves(history: Mapping[str, Sequence[float]], best_epoch: int | None) -> bytes:
    """Plot loss and accuracy on training and validation over the epochs, and mark the epoch whose weights were kept.

    Args:
        history: one value per epoch for each of "loss", "accuracy", "val_loss" and "val_accuracy".
        best_epoch: the epoch to mark, counted from 1.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    epochs = range(1, len(history["loss"]) + 1)
    for axes, key in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history[key], color=BLUE, label="training")
        axes.plot(epochs, history[f"val_{key}"], color=ORANGE, label="validation")
        if best_epoch:
            axes.axvline(best_epoch, color="gray", linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set(xlabel="epoch", title=key)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _style_curves(axes)
    return encode_png(figure)


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


def plot_confusion_matrix(matrix: np.ndarray, classes: Sequence[str]) -> bytes:
    """Plot a confusion matrix: colors show the share of the true class, numbers count images.

    Args:
        matrix: counts (classes, classes), one row per true class.
        classes: names, in the order of the rows.
    """
    matrix, names = np.asarray(matrix), [make_label(name) for name in classes]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(4.0, 0.5 * len(names) + 1.5), 16.0)
    side += INCHES_PER_LETTER * max(max(map(len, names)) - SHORT_LABEL, 0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if len(names) <= MAX_NAMED_CLASSES:
        ticks = range(len(names))
        fits_horizontally = max(map(len, names)) <= 3
        axes.set_xticks(ticks, names, rotation=0 if fits_horizontally else 90)
        axes.set_yticks(ticks, names)
    if len(names) <= MAX_NUMBERED_CLASSES:
        for i, j in zip(*np.nonzero(matrix), strict=True):
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, matrix[i, j], ha="center", va="center", color=color)
    return encode_png(figure)


def plot_reliability(bins: Mapping[str, Sequence[float]]) -> bytes:
    """Plot accuracy over confidence for each bin of `calibration.reliability_bins`, and the share of images below.

    A perfectly calibrated model has bars that end on the diagonal.
    """
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    images, accuracy, confidence = (np.asarray(bins[key]) for key in ("images", "accuracy", "confidence"))
    edges = np.linspace(0, 1, len(images) + 1)
    has_images, width = images > 0, 1 / len(images)

    upper.bar(edges[:-1][has_images], accuracy[has_images], width, align="edge", color=BLUE, alpha=0.7)
    upper.plot(confidence[has_images], accuracy[has_images], "o", color=ORANGE, markersize=4)
    upper.plot([0, 1], [0, 1], color="gray", linestyle=":")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    lower.bar(edges[:-1], images / images.sum(), width, align="edge", color=BLUE, alpha=0.7)
    lower.set(xlabel="confidence", ylabel="images")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return encode_png(figure)


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
