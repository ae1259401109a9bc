"""The picture of a learning rate range test."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

BLUE, ORANGE, GRAY = "#1d4ed8", "#c2410c", "#4b5563"


def plot_range_test(rates: Sequence[float], losses: Sequence[float], suggestion: float) -> bytes:
    """Plot the smoothed loss over the learning rate, and mark the suggested rate; return a PNG file.

    Args:
        rates: the learning rate of each step.
        losses: the smoothed training loss after each step.
        suggestion: the learning rate to train with.

    Example:
        >>> from cnnzoo.training.range_figure import plot_range_test
        >>> plot_range_test([0.01, 0.1, 1.0], [2.3, 1.9, 4.0], 0.01)[1:4]
        b'PNG'
    """
    lowest = int(np.argmin(losses))
    # 5 inches with letters of 11 points: readable on a phone
    figure = Figure(figsize=(5, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color=BLUE)
    axes.axvline(suggestion, color=ORANGE, linestyle="--", label=f"suggested: {suggestion:.2g}")
    axes.plot(rates[lowest], losses[lowest], "o", color=GRAY, label=f"lowest loss: {losses[lowest]:.3g}")
    axes.set(xscale="log")
    axes.set_title("Learning rate range test", fontsize=13)
    axes.set_xlabel("learning rate", fontsize=11)
    axes.set_ylabel("training loss, smoothed", fontsize=11)
    axes.tick_params(labelsize=11)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144)
    return buffer.getvalue()
