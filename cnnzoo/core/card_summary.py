"""The lines of a model card that a reader looks for first."""

from typing import Any

from cnnzoo.core.text import format_count

MAX_CLASSES = 10  # names that are shown


def summarize_card(card: Any) -> dict[str, str]:
    """Return names and values of what a `Card` says: classes, pixels, crop, weights, training; "" for what it does not.

    Example:
        >>> from cnnzoo.core.card_summary import summarize_card
        >>> summarize_card(cnnzoo.Card("net", ("cat", "dog"), "unit"))["classes"]
        '2: cat, dog'
    """
    weights, training = card.weights or {}, card.training or {}
    data, transform = training.get("data") or {}, card.evaluation_transform
    crop, top1 = transform["crop"], weights.get("top1")
    photos = "whole images, resized" if crop is None else f"center-cropped to {100 * crop:.4g} % of each side"
    border = f", within a black border of {card.pad}" if card.pad else ""
    return {
        "classes": describe_classes(card.classes),
        "pixels": _describe_pixels(card.preprocessing),
        "photos": f"{photos} ({transform['interpolation']}){border}",
        "weights": str(weights.get("tag") or weights.get("file") or ""),
        "accuracy": f"{top1:.2f} % on {weights.get('data') or 'its test set'}" if top1 else "",
        "license": str(weights.get("license") or ""),
        "source": str(weights.get("source") or ""),
        "loading": str(card.receipt or ""),
        "trained on": _describe_data(data),
        "temperature": f"{card.temperature:.4g}" if card.temperature else "",
    }


def describe_classes(classes: tuple[str, ...]) -> str:
    """Return the number of classes and the first of their names."""
    if not classes:
        return "none: the model has no head"
    more = ", ..." if len(classes) > MAX_CLASSES else ""
    return f"{len(classes):,}: {', '.join(classes[:MAX_CLASSES])}{more}"


def _describe_pixels(preprocessing: Any) -> str:
    if preprocessing is None or isinstance(preprocessing, str):
        return preprocessing or ""
    mean, std = ([round(255 * value, 2) for value in values] for values in preprocessing)
    return f"minus {mean}, over {std}"


def _describe_data(data: dict[str, Any]) -> str:
    images = (data.get("images") or {}).get("train")
    source = str(data.get("source") or "")
    return f"{format_count(images, 'image')} of {source}" if source and isinstance(images, int) else source
