"""The REST protocol of TensorFlow Serving: predict, status and metadata of a model.

The signatures are those of an exported SavedModel, so that a client may ask either. In the row format, an instance is
an image in base64, {"b64": "..."}, or nested lists of pixels with values 0 to 255, and a prediction is an object of the
outputs. In the column format, `inputs` has all images and `outputs` all answers. An image that cannot be decoded has
its reason in `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from cnnzoo.core.errors import suggest_names
from cnnzoo.serve.bodies import compress_answer, read_body_without_form
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.requests import (
    check_list,
    check_object,
    decode_base64,
    describe_kind,
    parse_json,
    run_if_large,
    server_of,
    show_value,
    to_pixels,
)
from cnnzoo.serve.served_model import VERSION, ServedModel
from cnnzoo.serve.tensors import (
    FILES,
    OUTPUTS,
    PIXELS,
    STRINGS,
    check_input,
    make_outputs,
    output_shapes,
    takes_files,
    text_size,
)

router = APIRouter(tags=["TensorFlow Serving"])
SIGNATURE = "serving_default"
SIGNATURES = (SIGNATURE, "pixels", "network")  # files, pixels of any size, pixels of the size of the network


@router.post("/v1/models/{name}:predict")
@router.post("/v1/models/{name}/versions/{version}:predict")
async def predict(request: Request, name: str, version: str = VERSION) -> Response:
    """Classify the images in `instances`, or in `inputs` for the column format."""
    server = server_of(request)
    model = server.find_model(name, version)
    body = await read_body_without_form(request)
    is_row, images = await run_if_large(len(body), parse_request, body, model)
    outputs = make_outputs(model, await server.classify(model, images))
    response = await run_if_large(text_size(outputs), encode_response, outputs, is_row)
    return await compress_answer(request, response)


def encode_response(outputs: dict[str, np.ndarray], is_row: bool) -> Response:
    """Return the answer in the row or in the column format."""
    columns = {key: values.tolist() for key, values in outputs.items()}
    if not is_row:
        return JSONResponse({"outputs": columns})
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return JSONResponse({"predictions": rows})


def parse_request(body: bytes, model: ServedModel) -> tuple[bool, list[bytes | np.ndarray]]:
    """Return whether a request has the row format, and its images."""
    message = check_object(parse_json(body), "The body")
    signature = message.get("signature_name")
    signature = SIGNATURE if signature is None or signature == "" else signature
    if signature not in SIGNATURES:
        nearest = suggest_names(signature, SIGNATURES) if isinstance(signature, str) else ()
        hint = f"Did you mean {nearest[0]}? " if nearest else ""
        raise RequestError(
            400,
            f"There is no signature {show_value(signature)}. {hint}Signatures of {model.name}: {', '.join(SIGNATURES)}",
        )
    if "instances" in message and "inputs" in message:
        raise RequestError(400, 'The body has "instances" and "inputs"; a request has one of them')
    if "instances" in message:
        key, values = "instances", check_list(message["instances"], '"instances"')
    elif "inputs" in message:
        key, values = "inputs", message["inputs"]
        if isinstance(values, dict) and "b64" not in values:
            values = _take_input(values, model)
        values = [values] if isinstance(values, dict) else check_list(values, '"inputs"')
    else:
        raise RequestError(400, 'The body needs "instances", a list of images: {"instances": [{"b64": "..."}]}')
    if len(values) > model.limits.images:
        raise RequestError(413, f"{len(values)} images are more than the {model.limits.images} allowed in a request")
    images = [_parse_image(value, f"{key}[{i}]", model) for i, value in enumerate(values)]
    if signature != SIGNATURE:
        _check_pixels(signature, images, model)
    return key == "instances", images


def _parse_image(value: Any, what: str, model: ServedModel) -> bytes | np.ndarray:
    if isinstance(value, dict) and "b64" not in value:
        value = _take_input(value, model)
    if isinstance(value, dict):
        return decode_base64(value.get("b64"), f'{what}["b64"]')
    if isinstance(value, str):
        return decode_base64(value, what)
    if not isinstance(value, list):
        raise RequestError(400, f'{what} must be {{"b64": "..."}} or pixels. Received: {describe_kind(value)}')
    return to_pixels(value, what)


def _take_input(values: dict[str, Any], model: ServedModel) -> Any:
    """Return the value of the only input in an object of named inputs."""
    if len(values) != 1:
        raise RequestError(400, f"{model.name} has one input. Received: {', '.join(values)[:200] or 'none'}")
    ((name, value),) = values.items()
    check_input(name, model)
    return value


def _check_pixels(signature: str, images: list[bytes | np.ndarray], model: ServedModel) -> None:
    """Check that images are what the signatures of pixels take."""
    for i, image in enumerate(images):
        if isinstance(image, bytes):
            raise RequestError(
                400, f"The signature {signature!r} takes pixels, and image {i} is encoded. For files: {SIGNATURE!r}"
            )
        if signature == "network" and image.shape != model.classifier.shape:
            raise RequestError(
                400,
                f"The signature 'network' takes pixels of shape {list(model.classifier.shape)}. Received: image {i} of "
                f"{list(image.shape)}. The signature 'pixels' takes any size",
            )


@router.get("/v1/models/{name}")
@router.get("/v1/models/{name}/versions/{version}")
async def status(request: Request, name: str, version: str = VERSION) -> dict[str, Any]:
    """Return whether the model can be asked."""
    refuse_method(name if version == VERSION else version, "GET")
    model = server_of(request).find_model(name, version)
    if model.failure:
        state, code = "END", "UNKNOWN"
    else:
        state, code = "AVAILABLE" if model.ready else "LOADING", "OK"
    entry = {"version": VERSION, "state": state, "status": {"error_code": code, "error_message": model.failure}}
    return {"model_version_status": [entry]}


@router.get("/v1/models/{name}/metadata")
@router.get("/v1/models/{name}/versions/{version}/metadata")
async def metadata(request: Request, name: str, version: str = VERSION) -> dict[str, Any]:
    """Return the signatures of the model."""
    model = server_of(request).find_model(name, version)
    channels = model.classifier.shape[2]
    pixels = (PIXELS, "DT_UINT8", [-1, -1, -1, channels])
    inputs = {
        SIGNATURE: (FILES, "DT_STRING", [-1]) if takes_files(model) else pixels,
        "pixels": pixels,
        "network": (PIXELS, "DT_UINT8", [-1, *model.classifier.shape]),
    }
    shapes = output_shapes(model)
    outputs = {
        key: _describe_tensor(key, "DT_STRING" if key in STRINGS else "DT_FLOAT", shapes[key]) for key in OUTPUTS
    }
    signatures = {
        signature: {
            "inputs": {tensor[0]: _describe_tensor(*tensor)},
            "outputs": outputs,
            "method_name": "tensorflow/serving/predict",
        }
        for signature, tensor in inputs.items()
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _describe_tensor(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}


# ---- What TensorFlow Serving has and this server has not


@router.post("/v1/models/{name}:{method}", include_in_schema=False)
@router.post("/v1/models/{name}/versions/{version}:{method}", include_in_schema=False)
async def refuse(request: Request, name: str, method: str, version: str = VERSION) -> None:
    """Refuse the methods that models of images do not have, such as classify and regress."""
    server_of(request).find_model(name, version)
    raise RequestError(
        400,
        f"{name} answers only to predict, as a SavedModel does: POST /v1/models/{name}:predict. Received: "
        f"{method!r:.50}",
    )


@router.get("/v1/models/{name}/labels/{rest:path}", include_in_schema=False)
@router.post("/v1/models/{name}/labels/{rest:path}", include_in_schema=False)
async def refuse_label(request: Request, name: str, rest: str) -> None:
    """Refuse labels of versions: a model has one version."""
    server_of(request).find_model(name)
    raise RequestError(
        404, f"{name} has no labels of versions; it has only version {VERSION}: /v1/models/{name}/versions/{VERSION}"
    )


def refuse_method(last: str, method: str) -> None:
    """Raise RequestError 405 for an address of a POST that was asked with another method."""
    if ":" in last:
        raise RequestError(405, f"Send a POST to this address. Received: {method}", {"Allow": "POST"})
