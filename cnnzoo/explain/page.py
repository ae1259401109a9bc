"""The page of explanations: each photo beside its map, with the likeliest classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.numbers import format_probabilities, format_share
from cnnzoo.core.outputs import check_output_file, write_text_file
from cnnzoo.core.pages import file_address, picture_uri, render_page
from cnnzoo.core.paths import path_is_file
from cnnzoo.core.text import choose_form, format_count
from cnnzoo.explain.explanation import Explanation
from cnnzoo.explain.methods import METHODS

MAX_PHOTOS = 100  # on one page
SIDE, SMALL_SIDE, MANY = 420, 240, 24  # pixels of a picture, fewer if there are many photos
SMALL_PHOTO = 64  # pixels; smaller photos are enlarged without blur


def check_page_path(path: object, name: str = "--out") -> Path:
    """Return the path of a page to write; raise InputError as `check_output_file` does."""
    return check_output_file(path, name, (".html",), "a .html file, for the page")


def write_page(explanations: Sequence[Explanation], path: str | os.PathLike[str]) -> None:
    """Write the page of some explanations of one model, which is replaced if it exists.

    Raises:
        InputError: if the path has another suffix or cannot be written to, or there are no explanations.
    """
    file = check_page_path(path)
    if not explanations:
        raise InputError("A page needs at least one explanation. Received: none")
    write_text_file(file, render_explanations(explanations, file.parent))


def render_explanations(explanations: Sequence[Explanation], folder: Path | None = None) -> str:
    """Return the page as HTML; addresses of photos are relative to `folder` if they are inside."""
    readable = [explanation for explanation in explanations if not explanation.error]
    unreadable = len(explanations) - len(readable)
    first = (readable or explanations)[0]
    method = METHODS[first.method]
    shown = explanations[:MAX_PHOTOS]
    side = SIDE if len(shown) <= MANY else SMALL_SIDE
    without = sum(not explanation.evidence for explanation in readable)
    return render_page(
        "cnnzoo.explain",
        "explain.html",
        model=first.model,
        count=format_count(len(explanations), "photo"),
        method=method.title,
        says=method.says,
        layer=first.layer,
        notes=list(_notes(len(explanations), unreadable, without)),
        photos=[_describe(explanation, side, folder) for explanation in shown],
    )


def _notes(count: int, unreadable: int, without: int) -> Iterator[str]:
    if unreadable:
        yield f"{format_count(unreadable, 'photo')} could not be read."
    if without:
        them = choose_form(without, "it", "them")
        yield f"For {format_count(without, 'photo')} there is no evidence: nothing in {them} speaks for the class."
    if count > MAX_PHOTOS:
        yield f"The first {MAX_PHOTOS} of {count:,} photos are shown."


def _describe(explanation: Explanation, side: int, folder: Path | None) -> dict[str, Any]:
    """Return what the page shows of one photo."""
    source = explanation.source
    name = f"image {source}" if source.isdecimal() else source
    if explanation.error:
        return {"name": name, "title": Path(source).name, "error": explanation.error}
    try:
        photo, overlay = np.asarray(explanation.photo()), np.asarray(explanation.overlay())
    except InputError as error:  # the file was moved or deleted while the others were explained
        return {"name": name, "title": Path(source).name, "error": str(error)}
    is_file = not source.isdecimal() and path_is_file(source)
    percents = format_probabilities(explanation.probabilities)
    is_contrast = not isinstance(explanation.target, str)
    bars = zip(explanation.classes, explanation.probabilities, percents, strict=True)
    return {
        "name": name,
        "error": "",
        "title": Path(source).name if is_file else name,
        "address": file_address(source, folder) if is_file else None,
        "photo": picture_uri(photo, side),
        "overlay": picture_uri(overlay, side),
        "pixelated": max(photo.shape[:2]) <= SMALL_PHOTO,
        "target": explanation.describe_target(),
        "score": explanation.describe_score(),
        "is_contrast": is_contrast,
        "evidence": explanation.evidence,
        "bars": [(label, 100 * share, percent) for label, share, percent in bars],
        "completeness": None
        if explanation.completeness_error is None
        else format_share(explanation.completeness_error),
    }
