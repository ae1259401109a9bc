"""The page for people: one HTML file with its style and its script, which sends photos and shows the answers.

The page is the same for all servers: its script asks for the models. So it says nothing to those who have no key.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from cnnzoo.core.pages import render_page

FOLDER = Path(__file__).parent
SOURCES = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)

router = APIRouter(tags=["Pages"])


@router.head("/", include_in_schema=False)
@router.get("/")
async def show_page() -> HTMLResponse:
    """Return the page for people."""
    return answer_page(render_people_page())


@cache
def render_people_page() -> str:
    """Return the page as HTML."""
    script = (FOLDER / "classify.js").read_text(encoding="utf-8")
    return render_page("cnnzoo.serve", "classify.html", script=Markup(script))


def answer_page(page: str) -> HTMLResponse:
    """Return an answer that allows a page its own style and script, and requests to this server alone."""
    return HTMLResponse(page, headers={"Content-Security-Policy": make_policy(page)})


def make_policy(page: str) -> str:
    """Return the Content-Security-Policy of a page: nothing from other hosts, and only the scripts that it has.

    Example:
        >>> from cnnzoo.serve.page import make_policy
        >>> make_policy("<script>alert(1)</script>").split("; ")[1]
        "script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
    """
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, source in SOURCES.findall(page):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(hashes["script"]) or "'none'",
        "style-src": " ".join(hashes["style"]) or "'none'",
        "img-src": "data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
