"""What to do next with a comparison of two models: steps that its figures suggest."""

import math
from typing import Any

from scipy.special import ndtri

from cnnzoo.core.charts import shorten_label
from cnnzoo.core.pages import Step
from cnnzoo.core.text import format_count
from cnnzoo.evaluation.differences import format_points
from cnnzoo.evaluation.paired_statistics import LEVEL, SIGNIFICANT, tango_score

Comparison = Any  # `evaluation.comparison` imports the page, which imports this file, so this file cannot import it

MAX_NAME = 40  # letters of a group
MAX_FACTOR = 100  # times as many images are still worth naming


def suggest_steps(comparison: Comparison) -> list[Step]:
    """Return what to do next, the most useful first; empty if nothing is left to look at.

    Args:
        comparison: the comparison.
    """
    steps = [_compare_on_more_images(comparison), _look_at_worst_group(comparison), _look_at_losses(comparison)]
    return [step for step in steps if step is not None]


def count_images_needed(gains: int, losses: int, images: int) -> int | None:
    """Return on about how many images a difference of this size would be shown; None if it is 0 or needs too many.

    The counts are multiplied until the 95 % interval of the difference no longer contains 0.

    Args:
        gains: images on which only B is right.
        losses: images on which only A is right.
        images: number of images.

    Example:
        >>> from cnnzoo.evaluation.comparison_steps import count_images_needed
        >>> count_images_needed(12, 8, 100) > 100
        True
    """
    if gains == losses:
        return None
    # The interval contains 0 as long as the score of no difference is below the limit; it grows as the square root
    score = abs(float(tango_score(gains, losses, images, 0.0)))
    factor = max(1.0, (float(ndtri(0.5 + LEVEL / 2)) / score) ** 2)
    return math.ceil(images * factor) if factor <= MAX_FACTOR else None


def _compare_on_more_images(comparison: Comparison) -> Step | None:
    if comparison.has_same_probabilities:
        evidence = "All probabilities are equal, as of two copies of one model, or of two equal trainings."
        return Step("Check that A and B are the models you mean", evidence)
    if comparison.is_better or comparison.is_worse or comparison.is_equivalent:
        return None
    images = len(comparison.labels)
    needed = count_images_needed(len(comparison.gains), len(comparison.losses), images)
    evidence = f"Only {len(comparison.gains) + len(comparison.losses):,} of {images:,} images tell the two apart."
    if needed is not None and needed > images:
        difference = format_points(comparison.difference, images)
        unit = 10 ** max(len(str(needed)) - 2, 0)  # two digits, rounded up
        rounded = math.ceil(needed / unit) * unit
        evidence += f" A difference of {difference} would be shown on about {rounded:,} images."
    if comparison.margin is None:
        evidence += " With --margin 0.01, the comparison says whether the two are equivalent within 1 point."
    return Step("Compare the two on more images", evidence)


def _look_at_worst_group(comparison: Comparison) -> Step | None:
    tables = [comparison.per_class, *comparison.slices.values()]
    worse = [
        (row["difference"], row, number)
        for number, rows in enumerate(tables, 1)
        for row in rows
        if row["p_holm"] < SIGNIFICANT and row["difference"] < 0
    ]
    if not worse:
        return None
    _, row, number = min(worse, key=lambda found: found[0])
    name, images = shorten_label(str(row["name"]), MAX_NAME), row["images"]
    evidence = (
        f"{format_points(row['difference'], images)} on {format_count(images, 'image')}: B is right on "
        f"{row['gains']:,} that A gets wrong, and wrong on {row['losses']:,} that A gets right."
    )
    return Step(f"Look at “{name}”, where B is worse", evidence, "", f"#by-{number}", "See all groups")


def _look_at_losses(comparison: Comparison) -> Step | None:
    count = len(comparison.losses)
    if not count:
        return None
    title = f"Look at the {format_count(count, 'image')} that only A recognizes"
    return Step(title, "Those of which B is most certain come first.", "", "#losses", "See these images")
