"""What a client learns about a model: the facts of its card."""

from __future__ import annotations

from typing import Any

from cnnzoo.core.card_summary import describe_classes, summarize_card
from cnnzoo.core.numbers import format_share, format_share_interval
from cnnzoo.core.text import format_count
from cnnzoo.serve.explanations import PREDICTIONS, choose_method
from cnnzoo.serve.served_model import VERSION, ServedModel
from cnnzoo.serve.server import Server

FIGURES = "evaluation"  # in `Card.training`: the figures of the model's test, as `cnnzoo.evaluate` writes them


def describe_server(server: Server) -> dict[str, Any]:
    """Return the models of a server, and how large requests may be, for JSON."""
    limits = server.limits
    queue = min(model.queue for model in server.models.values())
    return {
        "models": [describe_model(model) for model in server.models.values()],
        "limits": {
            "images": min(limits.images, queue),
            "image_bytes": limits.image_bytes,
            "request_bytes": limits.request_bytes,
            "pixels": limits.pixels,
        },
    }


def describe_model(model: ServedModel) -> dict[str, Any]:
    """Return the facts of a model for JSON."""
    classifier, card = model.classifier, model.classifier.card
    height, width, channels = classifier.shape
    return {
        "name": model.name,
        "version": VERSION,
        "ready": model.ready,
        "network": card.name,
        "classes": list(card.classes),
        "input": {"height": height, "width": width, "channels": channels},
        "images": classifier.transform.describe(),
        "runtime": classifier.runtime,
        "precision": classifier.precision,
        "min_probability": card.min_probability,
        "explanation": {"method": (method := choose_method(classifier)), "predictions": PREDICTIONS[method]},
        "deadline": model.deadline,
        "facts": describe_card(card),
    }


def describe_card(card: Any) -> dict[str, str]:
    """Return what a reader wants to know about a model, in words: names and values.

    Example:
        >>> from cnnzoo.serve.model_facts import describe_card
        >>> describe_card(cnnzoo.Card("net", ("cat", "dog"), "unit"))["intended use"]
        'Images of one of its 2 classes: cat, dog. Anything else gets one of these classes too.'
    """
    summary = summarize_card(card)
    data = summary["trained on"]
    similar = f", like those of its training ({data})" if data else ""
    count, _, names = describe_classes(card.classes).partition(": ")
    facts = {
        "intended use": f"Images of one of its {count} classes{similar}: {names}. Anything else gets one of these "
        "classes too.",
        "accuracy": describe_accuracy(card) or summary["accuracy"],
        "calibration": "probabilities are calibrated by a temperature"
        if card.temperature
        else "probabilities are not calibrated: 90 % need not be right in 9 of 10 cases",
        "training data": data,
        "license": summary["license"],
        "weights": summary["weights"],
        "source": summary["source"],
    }
    return {name: text for name, text in facts.items() if text}


def describe_accuracy(card: Any) -> str:
    """Return the accuracy of a test with its interval; empty if the card has none, or one that someone has edited."""
    figures = card.training.get(FIGURES)
    if not isinstance(figures, dict):
        return ""
    accuracy, images = figures.get("accuracy"), figures.get("images")
    if not isinstance(accuracy, float) or not isinstance(images, int) or not 0 <= accuracy <= 1:
        return ""
    where = f"{format_count(images, 'image')} of {figures.get('data') or 'its data'}, {figures.get('split') or 'test'}"
    text = f"{format_share(accuracy, images)} on {where}"
    bounds = (figures.get("intervals_95") or {}).get("accuracy")
    if isinstance(bounds, list | tuple) and len(bounds) == 2 and all(isinstance(bound, float) for bound in bounds):
        text += f"; 95 % interval {format_share_interval(bounds, images)}"
    return text
