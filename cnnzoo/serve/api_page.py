"""The page `/docs`: every route with its description, a command to try it, an example and its statuses."""

from __future__ import annotations

import json
import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from cnnzoo.core.pages import render_page
from cnnzoo.serve.operations import JSON, STATUSES
from cnnzoo.serve.page import answer_page

ADDRESS = re.compile(r"https?://[\w.:\[\]-]+(?:/[\w./-]*)?")  # that can be part of a command
DEFAULT_ADDRESS = "http://localhost:8080"
KEY_OPTION = '-H "Authorization: Bearer $KEY"'

router = APIRouter(tags=["Pages"])


@router.head("/docs", include_in_schema=False)
@router.get("/docs")
async def show_docs(request: Request) -> HTMLResponse:
    """Return the page of the API for people who write programs."""
    address = str(request.base_url).rstrip("/")
    return answer_page(render_docs(request.app.openapi(), address if ADDRESS.fullmatch(address) else DEFAULT_ADDRESS))


def render_docs(description: dict[str, Any], address: str) -> str:
    """Return the page as HTML.

    Args:
        description: an OpenAPI description.
        address: the address of the server.
    """
    sections: dict[str, list[dict[str, Any]]] = {"cnnzoo": []}  # first, as a form is the simplest
    for path, item in description["paths"].items():
        if "{version}" in path:
            continue
        for method, operation in item.items():
            sections.setdefault(operation["tags"][0], []).append(_describe(method, path, operation, address))
    sections["Pages"] = sections.pop("Pages")  # last
    ids = {name: re.sub(r"\W+", "-", name).casefold() for name in sections}
    return render_page(
        "cnnzoo.serve",
        "api.html",
        contents=[*((ids[name], name) for name in sections), ("errors", "Errors")],
        sections=[(ids[name], name, routes) for name, routes in sections.items()],
        statuses=STATUSES,
        needs_key="securitySchemes" in description["components"],
    )


def _describe(method: str, path: str, operation: dict[str, Any], address: str) -> dict[str, Any]:
    """Return what the page shows of one route."""
    command = operation["x-codeSamples"][0]["source"].replace("ADDRESS", address)
    if "security" in operation:
        command = command.replace("curl ", f"curl {KEY_OPTION} ")
    body = operation.get("requestBody", {}).get("content", {})
    answers = operation["responses"]["200"]["content"]
    (kind, answer), *others = answers.items()
    return {
        "method": method.upper(),
        "path": path,
        "text": " ".join(operation["description"].split()).split("`"),  # every second part is code
        "command": command,
        "bodies": list(body),
        "request": _to_text(body[JSON]["example"]) if JSON in body else "",
        "kinds": [kind, *(other for other, _ in others)],
        "answer": _to_text(answer["example"]),
        "statuses": list(operation["responses"]),
    }


def _to_text(example: Any) -> str:
    """Return an example as JSON that fits on a page."""
    return example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
