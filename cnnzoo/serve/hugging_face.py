"""Image classification as Hugging Face's inference endpoints do it: an image in, labels and scores out."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from cnnzoo.serve.bodies import read_body_without_form
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.requests import (
    check_object,
    check_optional_object,
    decode_base64,
    parse_json,
    parse_top,
    run_if_large,
    server_of,
    show_value,
)

router = APIRouter(tags=["Hugging Face"])
TOP = 5


@router.post("/")
async def classify_with_default(request: Request) -> list[dict[str, Any]]:
    """Classify one image with the only model, as an endpoint with one model does."""
    return await classify(request, "")


@router.post("/models/{name}")
async def classify(request: Request, name: str) -> list[dict[str, Any]]:
    """Classify one image: the bytes of its file, or JSON with the image in base64 and parameters."""
    server = server_of(request)
    model = server.find_model(name)
    body = await read_body_without_form(request)
    top = TOP
    if is_json(request, body):
        image, top = await run_if_large(len(body), _parse_body, body)
    else:
        image = body
    answer = (await server.classify(model, [image]))[0]
    assert not isinstance(answer, str)  # one image without an answer is a RequestError
    return [{"label": label, "score": score} for label, score in model.best_classes(answer, top)]


def is_json(request: Request, body: bytes) -> bool:
    """Return whether a body is JSON: by its type, or by its start, as curl -d states another type."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    return kind == "application/json" or body[:100].lstrip().startswith(b"{")


def _parse_body(body: bytes) -> tuple[bytes, int]:
    """Return the image and the number of classes of a request in JSON."""
    values = check_object(parse_json(body), "The body")
    parameters = check_optional_object(values.get("parameters"), '"parameters"')
    function = parameters.get("function_to_apply")
    if function not in (None, "softmax"):
        raise RequestError(400, f'"function_to_apply" must be "softmax". Received: {show_value(function)}')
    return decode_base64(values.get("inputs"), '"inputs"'), parse_top(parameters.get("top_k"), TOP)
