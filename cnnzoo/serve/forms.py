"""The server's own routes: several files in a form, heat maps, and what the models are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from cnnzoo.core.text import escape_controls
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.model_facts import describe_model
from cnnzoo.serve.requests import parse_top, server_of

router = APIRouter(tags=["cnnzoo"])
TOP = 5
MAX_NAME = 200  # characters of a file name in an answer


@router.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """Classify the files of a form.

    Every file of the form is an image, whatever its field is called. `model` names the model, if there are several,
    and `top` is the number of classes of each answer; both as fields of the form or in the query.
    """
    server = server_of(request)
    files, fields = await read_form(request)
    model = server.find_model(fields.get("model", ""))
    top = parse_top(fields.get("top"), TOP)
    answers = await server.classify(model, [content for _, content in files])
    results = []
    for (name, _), answer in zip(files, answers, strict=True):
        result: dict[str, Any] = {"file": name, "error": None, "classes": []}
        if isinstance(answer, str):
            result["error"] = answer
        else:
            pairs = model.best_classes(answer, top)
            result["classes"] = [{"class": label, "probability": score} for label, score in pairs]
        results.append(result)
    return {"model": model.name, "results": results}


async def read_form(request: Request) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
    """Return the files of a form, by name, and its other fields together with those of the query.

    Raises:
        RequestError: 400 or 413 for a body that is no form, has no files, or too many or too large ones.
    """
    limits = server_of(request).limits
    if not request.headers.get("content-type", "").casefold().startswith("multipart/form-data"):
        raise RequestError(415, "Send the images as files of a form: curl -F file=@photo.jpg ADDRESS/predict")
    fields = dict(request.query_params)
    files = []
    try:
        async with request.form(max_files=limits.images, max_fields=20, max_part_size=10_000) as form:
            for key, value in form.multi_items():
                if isinstance(value, UploadFile):
                    name = escape_controls((value.filename or key)[:MAX_NAME])
                    files.append((name, await value.read(limits.image_bytes + 1)))
                else:
                    fields[key] = value
    except HTTPException as error:  # Starlette's parser refuses a form
        status = 413 if "Too many" in str(error.detail) else 400
        raise RequestError(status, f"The form cannot be read: {error.detail}") from None
    if not files:
        raise RequestError(400, "The form has no files: curl -F file=@photo.jpg ADDRESS/predict")
    return files, fields


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """Return the models: their classes, their pixels, their accuracy, license and training, as their cards say."""
    return {"models": [describe_model(model) for model in server_of(request).models.values()]}
