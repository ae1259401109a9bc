"""The REST protocol of TensorFlow Serving: predict, status and metadata of a model.

An instance is an image in base64, {"b64": "..."}, or nested lists of pixels with values 0 to 255. A prediction is the
list of the probabilities of all classes. An image that cannot be decoded has {"error": reason} in its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.requests import (
    check_list,
    check_object,
    decode_base64,
    describe_kind,
    read_json,
    run_if_large,
    server_of,
    to_pixels,
)
from cnnzoo.serve.served_model import VERSION, ServedModel

router = APIRouter(tags=["TensorFlow Serving"])
SIGNATURE = "serving_default"
INPUT, OUTPUT = "images", "scores"


@router.post("/v1/models/{name}:predict")
@router.post("/v1/models/{name}/versions/{version}:predict")
async def predict(request: Request, name: str, version: str = VERSION) -> dict[str, Any]:
    """Classify the images in `instances`, or in `inputs` for the column format."""
    server = server_of(request)
    model = server.find_model(name, version)
    body = check_object(await read_json(request), "The body")
    signature = body.get("signature_name", SIGNATURE)
    if signature not in (SIGNATURE, ""):
        raise RequestError(400, f"There is no signature {signature!r:.100}; the one of the model is {SIGNATURE!r}")
    key = "inputs" if "inputs" in body else "instances"
    length = int(request.headers.get("content-length", 0))
    images = await run_if_large(length, parse_images, body, key, model)
    answers = await server.classify(model, images)
    predictions = [{"error": answer} if isinstance(answer, str) else answer.tolist() for answer in answers]
    return {"predictions" if key == "instances" else "outputs": predictions}


def parse_images(body: dict[str, Any], key: str, model: ServedModel) -> list[bytes | np.ndarray]:
    """Return the images of a request in row format (`instances`) or column format (`inputs`)."""
    if key not in body:
        raise RequestError(400, 'The body needs "instances", a list of images: {"instances": [{"b64": "..."}]}')
    values = body[key]
    if key == "inputs" and isinstance(values, dict) and "b64" not in values:
        values = _take_input(values)
    values = [values] if key == "inputs" and isinstance(values, dict) else check_list(values, f'"{key}"')
    if len(values) > model.limits.images:
        raise RequestError(413, f"{len(values)} images are more than the {model.limits.images} allowed in a request")
    return [_parse_image(value, f"{key}[{i}]") for i, value in enumerate(values)]


def _parse_image(value: Any, what: str) -> bytes | np.ndarray:
    if isinstance(value, dict) and "b64" not in value:
        value = _take_input(value)
    if isinstance(value, dict):
        return decode_base64(value.get("b64"), f'{what}["b64"]')
    if isinstance(value, str):
        return decode_base64(value, what)
    if not isinstance(value, list):
        raise RequestError(400, f'{what} must be {{"b64": "..."}} or pixels. Received: {describe_kind(value)}')
    return to_pixels(value, what)


def _take_input(values: dict[str, Any]) -> Any:
    """Return the value of the only input, whatever a client calls it."""
    if len(values) != 1:
        raise RequestError(400, f"The model has one input, {INPUT!r}. Received: {', '.join(values)[:200] or 'none'}")
    return next(iter(values.values()))


@router.get("/v1/models/{name}")
@router.get("/v1/models/{name}/versions/{version}")
async def status(request: Request, name: str, version: str = VERSION) -> dict[str, Any]:
    """Return whether the model can be asked."""
    model = server_of(request).find_model(name, version)
    state = (
        {"error_code": "UNKNOWN", "error_message": model.failure}
        if model.failure
        else {"error_code": "OK", "error_message": ""}
    )
    return {
        "model_version_status": [
            {"version": VERSION, "state": "AVAILABLE" if model.ready else "LOADING", "status": state}
        ]
    }


@router.get("/v1/models/{name}/metadata")
@router.get("/v1/models/{name}/versions/{version}/metadata")
async def metadata(request: Request, name: str, version: str = VERSION) -> dict[str, Any]:
    """Return the signature of the model."""
    model = server_of(request).find_model(name, version)
    signature = {
        "inputs": {INPUT: _describe_tensor(INPUT, "DT_STRING", [-1])},
        "outputs": {OUTPUT: _describe_tensor(OUTPUT, "DT_FLOAT", [-1, len(model.classes)])},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _describe_tensor(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}
