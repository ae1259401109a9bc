"""The values of options as people type them: sizes, shares, class names, rates and levels."""

from __future__ import annotations

from pathlib import Path

import click

from cnnzoo.checkpoints import manifest
from cnnzoo.core.card_fields import check_min_probability, check_target_accuracy
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.threads import check_worker_count
from cnnzoo.data.policies import parse_policy
from cnnzoo.data.split_names import SPLIT_NAMES

DEFAULT_SPLITS = "0.8,0.1,0.1"


def parse_image_size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Return (height, width) for one number, as in 224, or for height and width, as in 224x160."""
    if value is None:
        return None
    try:
        sides = [int(side) for side in value.lower().replace(",", "x").split("x")]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise click.BadParameter(f"{value!r} is neither one number, as in 224, nor height and width, as in 224x160.")
    return sides[0], sides[-1]


def parse_splits(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, float, float]:
    """Return the three shares of "0.8,0.1,0.1"."""
    try:
        train, validation, test = map(float, value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not three shares, as in 0.8,0.1,0.1 or 0.8 0.1 0.1.") from None
    if value != DEFAULT_SPLITS:
        from cnnzoo.data.splits import check_shares

        check_shares((train, validation, test))
    return train, validation, test


def parse_classes(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Return class names from "cat,dog", from a text file with one name per line, or from the name of a list.

    Raises:
        InputError: if a single word is neither the name of a list nor a file.
    """
    if not value:
        return None
    if "," in value:
        return [name for name in value.split(",") if name]  # "cat," is one class
    if (lists := manifest.list_class_lists()) and value in lists:
        return list(manifest.load_class_names(value))
    if value.endswith(".txt"):
        try:
            names = Path(value).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise InputError(f"Cannot read the class names in {value!r}: {error}") from None
        return [name.strip() for name in names if name.strip()]
    raise InputError(
        f"--classes must be names separated by commas, as in cat,dog; a .txt file with one name per line; or one of "
        f"the lists {', '.join(lists)}. Received: {value!r:.200}"
    )


def parse_learning_rate(context: click.Context, parameter: click.Parameter, value: str | None) -> float | str | None:
    """Return a learning rate, or "auto"."""
    if value in (None, "auto"):
        return value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number, as in 0.01, nor auto.") from None


def parse_min_probability(context: click.Context, parameter: click.Parameter, value: str | None) -> float | str | None:
    """Return a probability, or "auto"."""
    if value in (None, "auto"):
        return value
    try:
        probability = float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number, as in 0.8, nor auto.") from None
    check_min_probability(probability)
    return probability


def parse_target_accuracy(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Return a share above 0 and below 1."""
    if value is not None:
        check_target_accuracy(value)
    return value


def parse_augmentation(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the policies, checked."""
    if value is not None:
        parse_policy(value)
    return value


def parse_crop(context: click.Context, parameter: click.Parameter, value: str) -> float | str | None:
    """Return a share of the side, "auto", or None for "none"."""
    if value in ("auto", "none"):
        return None if value == "none" else value
    try:
        share = float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not 'auto', 'none' or a share of the side, as in 0.875.") from None
    if not 0 < share <= 1:
        raise InputError(
            f"crop must be 'auto', 'none', or a share of the side, above 0 and at most 1. Received: {value}"
        )
    return share


def parse_workers(context: click.Context, parameter: click.Parameter, value: str) -> int | str:
    """Return a number of processes, checked, or "auto"."""
    try:
        return check_worker_count(value if value == "auto" else int(value))
    except InputError:
        raise
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number of processes, as in 4, nor auto.") from None


def parse_levels(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | tuple[float, ...] | None:
    """Return one number, as in 4095, or the two of LOW,HIGH."""
    if value is None:
        return None
    try:
        levels = tuple(float(level) for level in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither one level, as in 4095, nor LOW,HIGH, as in 100,4095.") from None
    return levels[0] if len(levels) == 1 else levels


def parse_split_folders(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> dict[str, str] | None:
    """Return the splits by folder of words such as "fold1=train", or None without any."""
    if bad := [word for word in value if not all(word.rpartition("="))]:
        raise click.BadParameter(f"{bad[0]!r} must have the form FOLDER=SPLIT, as in fold1=train.")
    splits = {name: split for name, _, split in (word.rpartition("=") for word in value)}
    for split in splits.values():
        if split.casefold() not in SPLIT_NAMES:
            raise unknown_name("split in --split-folder", split, SPLIT_NAMES)
    return splits or None
