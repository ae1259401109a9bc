"""The settings that predictions depend on: what differs between those of a file and those of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import parse_json

MAX_SETTING = 160  # characters of a setting in a message
MISSING = object()


def describe_changes(before: Mapping[str, Any], now: Mapping[str, Any], then: str = "then", later: str = "now") -> str:
    """Return which settings differ between two plans, as text; "" if none does.

    Of the cards of two models, the fields that differ are named.

    Example:
        >>> from cnnzoo.inference.plans import describe_changes
        >>> describe_changes({"top": 5, "model": '{"pad": 2}'}, {"top": 5, "model": '{"pad": 0}'})
        'model.pad: 2 then, 0 now'
    """
    before, now = _split_cards(before), _split_cards(now)
    return "; ".join(
        f"{name}: {_shorten_setting(before.get(name))} {then}, {_shorten_setting(now.get(name))} {later}"
        for name in dict.fromkeys([*now, *before])
        if before.get(name, MISSING) != now.get(name, MISSING)
    )


def _split_cards(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plan with each field of a model's card as a setting of its own."""
    settings: dict[str, Any] = {}
    for name, value in plan.items():
        card = _parse_card(value)
        settings |= {f"{name}.{field}": part for field, part in card.items()} if card else {name: value}
    return settings


def _parse_card(value: Any) -> dict[str, Any]:
    """Return the fields of a card in JSON; none of anything else."""
    if not isinstance(value, str) or not value.startswith("{"):
        return {}
    try:
        card = parse_json(value, "the card")
    except InputError:
        return {}
    return card if isinstance(card, dict) else {}


def _shorten_setting(value: Any) -> str:
    """Return the value of a setting for a message; that of a long one, such as names of classes, is cut."""
    text = repr(value)
    return text if len(text) <= MAX_SETTING else f"{text[:MAX_SETTING]}..."
