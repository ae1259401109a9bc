"""The Open Inference Protocol, version 2, which Triton, KServe and MLServer speak, with its binary tensors.

The model has one input, `images`: BYTES of shape [N], encoded images (in JSON as base64), or UINT8 of shape
[N, height, width, channels], pixels of any size. It has three outputs: `scores`, FP32 [N, classes]; `labels`, BYTES
[N], the likeliest class of each image; `errors`, BYTES [N], why an image has no answer, or nothing. The scores of an
image without an answer are all 0, and its label is empty.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

import cnnzoo
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.requests import (
    check_list,
    check_object,
    decode_base64,
    parse_json,
    run_if_large,
    server_of,
    to_pixels,
)
from cnnzoo.serve.served_model import VERSION, ServedModel

router = APIRouter(tags=["Open Inference Protocol"])
HEADER_LENGTH = "inference-header-content-length"  # bytes of JSON before the binary tensors
INPUT = "images"
OUTPUTS = {"scores": "FP32", "labels": "BYTES", "errors": "BYTES"}
LENGTH = struct.Struct("<I")  # of each string in a binary tensor of BYTES


@router.get("/v2")
async def server_metadata() -> dict[str, Any]:
    """Return the name and the version of the server."""
    return {"name": "cnnzoo", "version": cnnzoo.__version__, "extensions": ["binary_tensor_data"]}


@router.get("/v2/health/live")
async def live() -> dict[str, bool]:
    """Return that the server runs."""
    return {"live": True}


@router.get("/v2/health/ready")
async def ready(request: Request, response: Response) -> dict[str, bool]:
    """Return whether all models can be asked; with status 503 if one cannot."""
    is_ready = server_of(request).is_ready
    response.status_code = 200 if is_ready else 503
    return {"ready": is_ready}


@router.get("/v2/models/{name}/ready")
@router.get("/v2/models/{name}/versions/{version}/ready")
async def model_ready(request: Request, response: Response, name: str, version: str = VERSION) -> dict[str, Any]:
    """Return whether the model can be asked; with status 503 if it cannot."""
    model = server_of(request).find_model(name, version)
    response.status_code = 200 if model.ready else 503
    return {"name": name, "ready": model.ready}


@router.get("/v2/models/{name}")
@router.get("/v2/models/{name}/versions/{version}")
async def model_metadata(request: Request, name: str, version: str = VERSION) -> dict[str, Any]:
    """Return the inputs and outputs of the model."""
    model = server_of(request).find_model(name, version)
    shapes = {"scores": [-1, len(model.classes)], "labels": [-1], "errors": [-1]}
    return {
        "name": name,
        "versions": [VERSION],
        "platform": f"cnnzoo_{model.classifier.runtime}",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": key, "datatype": kind, "shape": shapes[key]} for key, kind in OUTPUTS.items()],
    }


@router.post("/v2/models/{name}/infer")
@router.post("/v2/models/{name}/versions/{version}/infer")
async def infer(request: Request, name: str, version: str = VERSION) -> Response:
    """Classify the images of the input."""
    server = server_of(request)
    model = server.find_model(name, version)
    body = await request.body()
    message, images = await run_if_large(len(body), parse_request, body, request.headers.get(HEADER_LENGTH), model)
    answers = await server.classify(model, images)
    tensors = make_outputs(model, answers)
    return encode_response(model.name, message, tensors)


def parse_request(
    body: bytes, header_length: str | None, model: ServedModel
) -> tuple[dict[str, Any], list[bytes | np.ndarray]]:
    """Return the JSON of a request, and its images.

    Args:
        body: JSON, and after it the binary tensors, if there are any.
        header_length: the header that tells how long the JSON is; None if all of the body is JSON.
        model: the model that is asked.
    """
    binary = memoryview(b"")
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and int(header_length[:12]) <= len(body)):
            raise RequestError(400, f"{HEADER_LENGTH} must be at most the {len(body)} bytes of the body")
        length = int(header_length)
        body, binary = body[:length], memoryview(body)[length:]
    message = check_object(parse_json(body), "The body")
    tensors = check_list(message.get("inputs"), '"inputs"')
    if len(tensors) != 1:
        raise RequestError(400, f"The model has one input, {INPUT!r}. Received: {len(tensors)} inputs")
    tensor = check_object(tensors[0], "inputs[0]")
    if tensor.get("name", INPUT) != INPUT:
        raise RequestError(400, f"The input of the model is {INPUT!r}. Received: {tensor.get('name')!r:.100}")
    outputs = check_list(message.get("outputs") or [], '"outputs"')
    for output in outputs:
        if check_object(output, "An output").get("name") not in OUTPUTS:
            raise RequestError(400, f"Outputs are {', '.join(OUTPUTS)}. Received: {output.get('name')!r:.100}")
    return message, _read_images(tensor, binary, model.limits.images)


def _read_images(tensor: dict[str, Any], binary: memoryview, limit: int) -> list[bytes | np.ndarray]:
    """Return the images of the input."""
    kind, shape = tensor.get("datatype"), check_list(tensor.get("shape"), 'The "shape" of the input')
    if not all(isinstance(side, int) and not isinstance(side, bool) and 0 <= side < 2**31 for side in shape):
        raise RequestError(400, f'The "shape" of the input must be whole numbers. Received: {shape!r:.100}')
    count = shape[0] if shape else 0
    if count > limit:
        raise RequestError(413, f"{count} images are more than the {limit} allowed in a request")
    size = check_object(tensor.get("parameters") or {}, '"parameters"').get("binary_data_size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size != len(binary)):
        raise RequestError(
            400, f'"binary_data_size" is {size!r:.50}, but {len(binary)} bytes follow the JSON of the request'
        )
    if kind == "BYTES" and math.prod(shape) == count:  # [N] or [N, 1]
        images: list[bytes | np.ndarray]
        if size is not None:
            images = list(_split_strings(binary))
        else:
            values = _flatten(check_list(tensor.get("data"), 'The "data" of the input'))
            images = [decode_base64(value, f"Image {i}") for i, value in enumerate(values)]
        if len(images) != count:
            raise RequestError(400, f"The input has shape {shape}, but {len(images)} images")
        return images
    if kind == "UINT8" and len(shape) == 4 and all(shape):
        return _read_pixels(tensor, binary if size is not None else None, shape)
    raise RequestError(
        400,
        f'The input "{INPUT}" is BYTES of shape [N], encoded images, or UINT8 of shape [N, height, width, channels]. '
        f"Received: {kind!r:.50} of shape {shape!r:.100}",
    )


def _read_pixels(tensor: dict[str, Any], binary: memoryview | None, shape: list[int]) -> list[bytes | np.ndarray]:
    if binary is None:
        values: Any = check_list(tensor.get("data"), 'The "data" of the input')
        try:
            array = np.asarray(values)
        except (ValueError, OverflowError):
            raise RequestError(400, 'The "data" of the input is no array of numbers') from None
    else:
        array = np.frombuffer(binary, "uint8")
    if array.size != math.prod(shape) or array.dtype.kind not in "iuf":
        raise RequestError(400, f"The input has shape {shape}, but {array.size} values")
    return [to_pixels(image, f"Image {i}") for i, image in enumerate(array.reshape(shape))]


def _split_strings(binary: memoryview) -> list[bytes]:
    """Return the strings of a binary tensor: each has its length before it."""
    strings, position = [], 0
    while position < len(binary):
        if position + LENGTH.size > len(binary):
            raise RequestError(400, "The binary tensor ends within the length of an image")
        (length,) = LENGTH.unpack_from(binary, position)
        position += LENGTH.size
        if position + length > len(binary):
            raise RequestError(400, f"The binary tensor ends within an image of {length} bytes")
        strings.append(bytes(binary[position : position + length]))
        position += length
    return strings


def _flatten(values: list[Any]) -> list[Any]:
    """Return the items of a list whose items may be lists of one item."""
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def make_outputs(model: ServedModel, answers: list[np.ndarray | str]) -> dict[str, np.ndarray | list[str]]:
    """Return the outputs by their names."""
    scores = np.zeros((len(answers), len(model.classes)), "float32")
    labels, errors = [""] * len(answers), [""] * len(answers)
    for i, answer in enumerate(answers):
        if isinstance(answer, str):
            errors[i] = answer
        else:
            scores[i] = answer
            labels[i] = model.best_classes(answer, 1)[0][0]
    return {"scores": scores, "labels": labels, "errors": errors}


def encode_response(name: str, message: dict[str, Any], tensors: dict[str, np.ndarray | list[str]]) -> Response:
    """Return the answer with the outputs that a request asks for, as JSON or binary, as it says."""
    parameters = check_object(message.get("parameters") or {}, '"parameters"')
    all_binary = parameters.get("binary_data_output") is True
    requested = message.get("outputs") or [{"name": key} for key in OUTPUTS]
    outputs, parts = [], []
    for output in requested:
        key = output["name"]
        values = tensors[key]
        shape = list(values.shape) if isinstance(values, np.ndarray) else [len(values)]
        described: dict[str, Any] = {"name": key, "datatype": OUTPUTS[key], "shape": shape}
        wishes = check_object(output.get("parameters") or {}, '"parameters"')
        if wishes.get("binary_data", all_binary) is True:
            parts.append(_to_binary(values))
            described["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            described["data"] = values.ravel().tolist() if isinstance(values, np.ndarray) else values
        outputs.append(described)
    answer: dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    if isinstance(message.get("id"), str):
        answer["id"] = message["id"]
    head = json.dumps(answer).encode()
    if not parts:
        return Response(head, media_type="application/json")
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return Response(b"".join([head, *parts]), media_type="application/octet-stream", headers=headers)


def _to_binary(values: np.ndarray | list[str]) -> bytes:
    if isinstance(values, np.ndarray):
        return values.astype("<f4").tobytes()
    encoded = [value.encode() for value in values]
    return b"".join(LENGTH.pack(len(text)) + text for text in encoded)
