"""The server's own routes: several files in a form, heat maps, and what the models are."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from cnnzoo.core.pages import picture_uri
from cnnzoo.core.text import escape_controls
from cnnzoo.serve.bodies import read_body
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.explanations import MAX_SIDE
from cnnzoo.serve.model_facts import describe_server
from cnnzoo.serve.multipart import parse_form
from cnnzoo.serve.requests import parse_top, run_if_large, server_of
from cnnzoo.serve.server import describe_refusals

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

router = APIRouter(tags=["cnnzoo"])
TOP = 5
FILE_FIELDS = ("file", "files", "image", "images")  # as which an @ forgotten in a command of curl sends text
MAX_NAME = 200  # characters of a file name in an answer


@router.post("/predict")
async def predict(request: Request) -> JSONResponse:
    """Classify the files of a form.

    Every file of the form is an image, whatever its field is called. `model` names the model, if there are several,
    and `top` is the number of classes of each answer; both as fields of the form or in the query.
    """
    server = server_of(request)
    files, fields = await read_form(request)
    model = server.find_model(fields.get("model", ""))
    top = parse_top(fields.get("top"), TOP)
    answers = await server.classify(model, [content for _, content in files], refuse=False)
    results = []
    for (name, _), answer in zip(files, answers, strict=True):
        result: dict[str, Any] = {"file": name, "error": None, "classes": []}
        if isinstance(answer, str):
            result["error"] = answer
        else:
            pairs = model.best_classes(answer, top)
            result["classes"] = [{"class": label, "probability": score} for label, score in pairs]
        results.append(result)
    values: dict[str, Any] = {"model": model.name, "results": results}
    if all(result["error"] for result in results):
        return JSONResponse({"error": describe_refusals(answers), **values}, 422)
    return JSONResponse(values)


async def read_form(request: Request) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
    """Return the files of a form, by name, and its other fields together with those of the query.

    Raises:
        RequestError: 400 or 413 for a body that is no form, has no files, or too many or too large ones.
    """
    limits = server_of(request).limits
    if not request.headers.get("content-type", "").casefold().startswith("multipart/form-data"):
        raise RequestError(415, "Send the images as files of a form: curl -F file=@photo.jpg ADDRESS/predict")
    content_type = request.headers["content-type"]
    body = await read_body(request)
    fields = dict(request.query_params)
    files = []
    for part in await run_if_large(len(body), parse_form, body, content_type, limits.images):
        if part.file is None and part.field in FILE_FIELDS:
            example = f"curl -F {part.field}=@photo.jpg ADDRESS/predict"
            raise RequestError(400, f"The field {part.field!r} has text in place of a file: {example}")
        if part.file is None:
            fields[part.field] = part.content.decode("utf-8", "replace")
        else:
            files.append((escape_controls((part.file or part.field)[:MAX_NAME]), part.content))
    if not files:
        raise RequestError(400, "The form has no files: curl -F file=@photo.jpg ADDRESS/predict")
    return files, fields


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """Return the models: their classes, their pixels, their accuracy, license and training, as their cards say."""
    return describe_server(server_of(request))


@router.post("/explain")
async def explain(request: Request) -> Response:
    """Show which parts of one photo speak for a class, as a heat map over the photo.

    The form has one file, and perhaps `target`, the name of the class (by default the likeliest), and `model`. The
    answer is JSON with the picture as a data URI, or the picture as PNG if the request accepts image/png.
    """
    server = server_of(request)
    files, fields = await read_form(request)
    if len(files) > 1:
        raise RequestError(400, f"A heat map is made of one photo. Received: {len(files)} files")
    model = server.find_model(fields.get("model", ""))
    explanation, overlay = await server.explanations.explain(model, files[0][1], fields.get("target", ""))
    if prefers_png(request.headers.get("accept", "")):
        return Response(await asyncio.to_thread(encode_png, overlay), media_type="image/png")
    values = {
        "model": model.name,
        "target": explanation.target,
        "score": explanation.score,
        "evidence": explanation.evidence,
        "method": explanation.method,
        "layer": explanation.layer or None,
        "overlay": await asyncio.to_thread(picture_uri, np.asarray(overlay), MAX_SIDE),
    }
    return JSONResponse(values)


def prefers_png(accept: str) -> bool:
    """Return whether a request asks for a picture, and not for JSON."""
    kinds = [kind.partition(";")[0].strip().casefold() for kind in accept.split(",")]
    return "image/png" in kinds and "application/json" not in kinds


def encode_png(picture: PillowImage) -> bytes:
    """Return a picture as a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
