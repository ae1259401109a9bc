"""Find classes that a model can tell by the size, shape or color mode of their files instead of what they show."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from cnnzoo.data.findings import Finding
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.scan import ImageFacts

MIN_IMAGES = 20  # of a class, and of all others together; fewer may differ by chance
MIN_SHARE = 0.95  # of the class on one side of a limit, and of the others on the other side
MIN_RATIO = 1.25  # between the medians of both; a model hardly sees less
GRAY_MODES = ("1", "L", "LA", "I;16", "I", "F")


def find_shortcuts(images: Sequence[ListedImage], facts: Sequence[ImageFacts]) -> list[Finding]:
    """Return a finding for each class whose files nearly all differ from those of the others in one property."""
    labels = np.array([image.label for image in images])
    counts = Counter(labels.tolist())
    sides = np.array([(f.height, f.width) for f in facts], "float64").reshape(-1, 2)
    gray = np.array([f.mode in GRAY_MODES for f in facts])
    findings: list[Finding] = []
    for label, count in counts.items():
        if min(count, len(labels) - count) < MIN_IMAGES or (len(counts) == 2 and findings):
            continue
        own = labels == label
        reason = (
            _compare(sides.min(axis=1), own, "pixels on the shorter side", "{:.0f}".format)
            or _compare(sides[:, 1] / np.maximum(sides[:, 0], 1), own, "as width divided by height", "{:.2f}".format)
            or _compare_gray(gray, own)
        )
        if reason:
            findings.append(Finding("shortcut", (), f"{label}: {reason}"))
    return findings


def _compare(values: np.ndarray, own: np.ndarray, unit: str, text: Callable[[float], str]) -> str:
    """Return how the values of a class differ from those of the others; "" if they overlap."""
    inside, outside = values[own], values[~own]
    median, other_median = np.median(inside), np.median(outside)
    if max(median, other_median) < MIN_RATIO * min(median, other_median):
        return ""
    if median < other_median:
        limit = np.quantile(inside, MIN_SHARE, method="higher")
        share, word = (outside > limit).mean(), "at most"
    else:
        limit = np.quantile(inside, 1 - MIN_SHARE, method="lower")
        share, word = (outside < limit).mean(), "at least"
    if share < MIN_SHARE:
        return ""
    other_word = {"at most": "more", "at least": "less"}[word]
    return f"nearly all of its images have {word} {text(limit)} {unit}, and nearly all others have {other_word}"


def _compare_gray(gray: np.ndarray, own: np.ndarray) -> str:
    """Return that a class is gray and the others are not, or the reverse; "" if that does not tell it."""
    share, other_share = gray[own].mean(), gray[~own].mean()
    if share >= MIN_SHARE and other_share <= 1 - MIN_SHARE:
        return "nearly all of its images are gray, and nearly all others are in color"
    if share <= 1 - MIN_SHARE and other_share >= MIN_SHARE:
        return "nearly all of its images are in color, and nearly all others are gray"
    return ""
