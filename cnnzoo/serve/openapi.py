"""The OpenAPI description: FastAPI lists the routes, and the tables of `operations` say what they take and answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from cnnzoo.serve.operations import FORM_DATA, GATE, JSON, OPERATIONS, STATUSES, Operation
from cnnzoo.serve.schemas import ERROR
from cnnzoo.serve.served_model import VERSION

VERSION_PART = "/versions/{version}"
ERROR_CONTENT = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
OPEN = ("/", "/docs", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")  # need no key


def describe_api(app: FastAPI, models: Sequence[str], needs_key: bool) -> dict[str, Any]:
    """Return the OpenAPI description of an application.

    Args:
        app: the application with all its routes.
        models: the names of the models, the first of which is that of the examples.
        needs_key: whether requests must carry a key.
    """
    description = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    for path, item in description["paths"].items():
        for method, listed in item.items():
            operation = OPERATIONS[method, path.replace(VERSION_PART, "")]
            item[method] = _describe(operation, listed, path, models)
            if needs_key and (method != "get" or path not in OPEN):
                item[method]["security"] = [{name: []} for name in KEY_SCHEMES]
    description["components"] = {"schemas": {"Error": ERROR}}
    if needs_key:
        description["components"]["securitySchemes"] = KEY_SCHEMES
    return description


def _describe(operation: Operation, listed: dict[str, Any], path: str, models: Sequence[str]) -> dict[str, Any]:
    """Return the description of one route; `listed` is what FastAPI knows of it."""
    has_version = VERSION_PART in path
    curl = operation.curl.replace("/models/NAME", "/models/NAME/versions/1") if has_version else operation.curl
    if path == "/" and operation.bodies and len(models) > 1:  # of several models, a request names one
        curl = curl.replace("ADDRESS/", "ADDRESS/models/NAME")
    answers = {kind: {"schema": schema} for kind, schema in operation.answers.items()}
    first = next(iter(answers))
    answers[first]["example"] = _insert_name(operation.example, models[0])
    responses: dict[str, Any] = {"200": {"description": "The answer.", "content": answers}}
    for status in sorted({*GATE, *operation.statuses, *operation.other_answers}):
        schema = operation.other_answers.get(status)
        content = {JSON: {"schema": schema}} if schema else ERROR_CONTENT
        responses[str(status)] = {"description": STATUSES[status], "content": content}
        if status == 503 and not schema:
            responses["503"]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    description = {
        "tags": listed["tags"],
        "summary": _first_sentence(listed["description"]),
        "description": listed["description"],
        "operationId": f"{operation.id}_of_version" if has_version else operation.id,
        "responses": responses,
        "x-codeSamples": [{"lang": "Shell", "source": curl.replace("NAME", models[0])}],
    }
    if names := re.findall(r"{(\w+)}", path):
        values = {"name": list(models), "version": [VERSION]}
        description["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": values[name]}}
            for name in names
        ]
    if operation.bodies:
        bodies: dict[str, Any] = {kind: {"schema": deepcopy(schema)} for kind, schema in operation.bodies.items()}
        if FORM_DATA in bodies:
            schema = bodies[FORM_DATA]["schema"]
            schema["properties"]["model"]["enum"] = list(models)
            schema["required"] += ["model"] if len(models) > 1 else []
        if JSON in bodies:
            bodies[JSON]["example"] = operation.request
        description["requestBody"] = {"required": True, "content": bodies}
    return deepcopy(description)


def _insert_name(example: Any, model: str) -> Any:
    """Return an example with the name of a model."""
    return json.loads(json.dumps(example).replace('"NAME"', json.dumps(model)).replace("NAME", model))


def _first_sentence(text: str) -> str:
    """Return the first sentence of a docstring, without its end."""
    return " ".join(text.split("\n\n")[0].split()).partition(": ")[0].rstrip(".")
