"""What a report shows as pictures, as PNG bytes."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE = "#2563eb", "#ea580c"


def encode_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=144, bbox_inches="tight")
    return out.getvalue()


def escape_mathtext(text: str) -> str:
    """The text as it is: matplotlib takes what stands between dollars for TeX."""
    return text.replace("$", r"\$")


def plot_learning_curves(history: Mapping[str, Sequence[float]], best_epoch: int | None) -> bytes:
    """Loss and accuracy of training and validation over the epochs; the kept epoch is marked."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    epochs = range(1, len(history["loss"]) + 1)
    for axes, key in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history[key], color=BLUE, label="training")
        axes.plot(epochs, history[f"val_{key}"], color=ORANGE, label="validation")
        if best_epoch:
            axes.axvline(best_epoch, color="gray", linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.set(xlabel="epoch", title=key)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return encode_png(figure)


def plot_confusion_matrix(matrix: np.ndarray, classes: Sequence[str]) -> bytes:
    """The confusion matrix: colour is the share of the true class, numbers are images."""
    matrix, classes = np.asarray(matrix), [escape_mathtext(name) for name in classes]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(4.0, 0.5 * len(classes) + 1.5), 16.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if len(classes) <= 50:
        ticks = range(len(classes))
        upright = max(map(len, classes)) <= 3
        axes.set_xticks(ticks, classes, rotation=0 if upright else 90)
        axes.set_yticks(ticks, classes)
    if len(classes) <= 25:
        for i, j in zip(*np.nonzero(matrix), strict=True):
            axes.text(j, i, matrix[i, j], ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    return encode_png(figure)


def plot_reliability(bins: Mapping[str, Sequence[float]]) -> bytes:
    """Accuracy over confidence, bin by bin, and the share of images below.

    Where bars end on the diagonal, probabilities keep their word.
    """
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    images, accuracy, confidence = (np.asarray(bins[key]) for key in ("images", "accuracy", "confidence"))
    edges = np.linspace(0, 1, len(images) + 1)
    there, width = images > 0, 1 / len(images)
    axes.bar(edges[:-1][there], accuracy[there], width, align="edge", color=BLUE, alpha=0.7)
    axes.plot(confidence[there], accuracy[there], "o", color=ORANGE, markersize=4)
    axes.plot([0, 1], [0, 1], color="gray", linestyle=":")
    axes.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    below.bar(edges[:-1], images / images.sum(), width, align="edge", color=BLUE, alpha=0.7)
    below.set(xlabel="confidence", ylabel="images")
    for each in (axes, below):
        each.spines[["top", "right"]].set_visible(False)
    return encode_png(figure)


def plot_learning_rates(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> bytes:
    """The loss over the learning rate of a range test; the suggestion is marked."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=BLUE)
    axes.axvline(suggestion, color=ORANGE, linestyle=":", label=f"suggested: {suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return encode_png(figure)


def shorten_middle(line: str, length: int = 26) -> str:
    """A line that fits over a picture: of a long one, its beginning and its end, where names differ."""
    return line if len(line) <= length else f"{line[: length // 2 - 1]}…{line[-length // 2 :]}"


def plot_image_grid(images: np.ndarray, captions: Sequence[str]) -> bytes:
    """A grid of images (N, H, W, C) of 0 to 255 with a caption over each."""
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.5 * columns, 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        shown = image[..., 0] if image.shape[-1] != 3 else image
        axes.imshow(np.clip(shown, 0, 255).astype("uint8"), cmap="gray", vmin=0, vmax=255)
        axes.set_title(escape_mathtext("\n".join(map(shorten_middle, caption.split("\n")))), fontsize=7)
    return encode_png(figure)
