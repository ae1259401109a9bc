"""What a client learns about a model: the facts of its card."""

from __future__ import annotations

from typing import Any

from cnnzoo.core.card_summary import summarize_card
from cnnzoo.serve.served_model import VERSION, ServedModel


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
        "facts": {name: text for name, text in summarize_card(card).items() if text and name != "classes"},
    }
