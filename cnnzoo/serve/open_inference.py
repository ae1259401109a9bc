"""The Open Inference Protocol, version 2, which Triton, KServe and MLServer speak, with its binary tensors.

The inputs and outputs are those of an exported SavedModel. The one input is `image_bytes`, BYTES of shape [N], encoded
images (in JSON as base64), or `images`, UINT8 of shape [N, height, width, channels], pixels of any size. The outputs:

- `class_names`, BYTES [N, k], and `probabilities`, FP32 [N, k], of the likeliest classes
- `scores`, FP32 [N, classes]
- `errors`, BYTES [N], why an image has no answer, or nothing

Of Triton's extensions there are binary tensors, compressed bodies, and the classification of `scores`.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

import cnnzoo
from cnnzoo.inference.scores import find_best_classes
from cnnzoo.serve.bodies import compress_answer, read_body_without_form
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.requests import (
    check_list,
    check_object,
    check_optional_object,
    decode_base64,
    describe_kind,
    parse_json,
    parse_top,
    run_if_large,
    server_of,
    show_value,
    to_array,
    to_pixels,
)
from cnnzoo.serve.served_model import VERSION, ServedModel
from cnnzoo.serve.tensors import (
    FILES,
    OUTPUTS,
    PIXELS,
    STRINGS,
    check_input,
    check_output,
    default_input,
    make_outputs,
    output_shapes,
    text_size,
)

router = APIRouter(tags=["Open Inference Protocol"])
HEADER_LENGTH = "inference-header-content-length"  # bytes of JSON before the binary tensors
EXTENSIONS = ["binary_tensor_data", "classification"]
CONTENT_TYPES = (None, "base64", "np", "str")  # of an input, as MLServer's clients state them
MAX_SIDES = 8  # of the shape of an input
LENGTH = struct.Struct("<I")  # of each string in a binary tensor of BYTES


@router.get("/v2")
async def server_metadata() -> dict[str, Any]:
    """Return the name and the version of the server."""
    return {"name": "cnnzoo", "version": cnnzoo.__version__, "extensions": EXTENSIONS}


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
    entry: dict[str, Any] = {"name": FILES, "datatype": "BYTES", "shape": [-1]}
    if default_input(model) == PIXELS:
        entry = {"name": PIXELS, "datatype": "UINT8", "shape": [-1, -1, -1, model.classifier.shape[2]]}
    return {
        "name": name,
        "versions": [VERSION],
        "platform": f"cnnzoo_{model.classifier.runtime}",
        "inputs": [entry],
        "outputs": [
            {"name": key, "datatype": datatype_of(key), "shape": shape} for key, shape in output_shapes(model).items()
        ],
    }


def datatype_of(output: str) -> str:
    """Return the type of the values of an output."""
    return "BYTES" if output in STRINGS else "FP32"


@router.post("/v2/models/{name}/infer")
@router.post("/v2/models/{name}/versions/{version}/infer")
async def infer(request: Request, name: str, version: str = VERSION) -> Response:
    """Classify the images of the input."""
    server = server_of(request)
    model = server.find_model(name, version)
    body = await read_body_without_form(request)
    message, images = await run_if_large(len(body), parse_request, body, request.headers.get(HEADER_LENGTH), model)
    requested = parse_outputs(message)
    tensors = make_outputs(model, await server.classify(model, images))
    response = await run_if_large(text_size(tensors), encode_response, model, message, requested, tensors)
    return await compress_answer(request, response)


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
        if not length:  # the body is one image and nothing else
            return {}, [body]
        body, binary = body[:length], memoryview(body)[length:]
    message = check_object(parse_json(body), "The body")
    if not isinstance(message.get("id"), str | None):
        raise RequestError(400, f'"id" must be a string. Received: {describe_kind(message["id"])}')
    tensors = check_list(message.get("inputs"), '"inputs"')
    if len(tensors) != 1:
        raise RequestError(
            400, f"{model.name} has one input, {default_input(model)!r}. Received: {len(tensors)} inputs"
        )
    tensor = check_object(tensors[0], "inputs[0]")
    check_input(tensor.get("name"), model)
    parse_outputs(message)  # wrong wishes are refused before the images are read
    return message, _read_images(tensor, binary, model.limits.images)


def parse_outputs(message: dict[str, Any]) -> list[tuple[str, bool, int]]:
    """Return the outputs that a request asks for: their names, whether as binary, and of how many classes (0: all)."""
    parameters = check_optional_object(message.get("parameters"), '"parameters"')
    all_binary = parameters.get("binary_data_output") is True
    requested = []
    outputs = [] if message.get("outputs") is None else check_list(message["outputs"], '"outputs"')
    if len(outputs) > 2 * len(OUTPUTS):  # each once as numbers and once more as classes
        raise RequestError(400, f"{len(outputs)} outputs were requested, of {len(OUTPUTS)} that there are")
    for output in outputs:
        name = check_output(check_object(output, "An output").get("name"))
        wishes = check_optional_object(output.get("parameters"), '"parameters"')
        top = 0
        if wishes.get("classification") is not None:
            if name != "scores":
                raise RequestError(400, f"The classification of {name!r} was requested; only 'scores' has one")
            top = parse_top(wishes["classification"], 0)
        requested.append((name, wishes.get("binary_data", all_binary) is True, top))
    return requested or [(name, all_binary, 0) for name in OUTPUTS]


def _read_images(tensor: dict[str, Any], binary: memoryview, limit: int) -> list[bytes | np.ndarray]:
    """Return the images of the input."""
    kind, shape = tensor.get("datatype"), check_list(tensor.get("shape"), 'The "shape" of the input')
    if len(shape) > MAX_SIDES:
        raise RequestError(400, f'The "shape" of the input has {len(shape)} sides, more than {MAX_SIDES}')
    if not all(isinstance(side, int) and not isinstance(side, bool) and 0 <= side < 2**31 for side in shape):
        raise RequestError(400, f'The "shape" of the input must be whole numbers. Received: {shape!r:.100}')
    count = shape[0] if shape else 0
    parameters = check_optional_object(tensor.get("parameters"), '"parameters"')
    size, content_type = parameters.get("binary_data_size"), parameters.get("content_type")
    if content_type not in CONTENT_TYPES:
        raise RequestError(400, f'The "content_type" of the input may be base64. Received: {show_value(content_type)}')
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size != len(binary)):
        raise RequestError(
            400, f'"binary_data_size" is {show_value(size)}, but {len(binary)} bytes follow the JSON of the request'
        )
    if kind in ("BYTES", "UINT8") and count > limit:
        raise RequestError(413, f"{count} images are more than the {limit} allowed in a request")
    if kind == "BYTES" and math.prod(shape) == count:  # [N] or [N, 1]
        images: list[bytes | np.ndarray]
        if size is not None:
            strings = _split_strings(binary)
            images = list(strings)
            if content_type == "base64":
                images = [decode_base64(text.decode("latin-1"), f"Image {i}") for i, text in enumerate(strings)]
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
        f"The input is BYTES of shape [N], encoded images, or UINT8 of shape [N, height, width, channels]. Received: "
        f"{show_value(kind)} of shape {shape!r:.100}",
    )


def _read_pixels(tensor: dict[str, Any], binary: memoryview | None, shape: list[int]) -> list[bytes | np.ndarray]:
    if binary is None:
        array = to_array(check_list(tensor.get("data"), 'The "data" of the input'), 'The "data" of the input')
    else:
        array = np.frombuffer(binary, "uint8")
    if array.size != math.prod(shape):
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


def encode_response(
    model: ServedModel, message: dict[str, Any], requested: list[tuple[str, bool, int]], tensors: dict[str, np.ndarray]
) -> Response:
    """Return the answer with the outputs that a request asks for, as JSON or binary, as it says."""
    outputs, parts = [], []
    for name, is_binary, top in requested:
        values, kind = tensors[name], datatype_of(name)
        if top:
            values, kind = classify_scores(values, model.classes, top), "BYTES"
        described: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(values.shape)}
        if is_binary:
            parts.append(_to_binary(values))
            described["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            described["data"] = values.ravel().tolist()
        outputs.append(described)
    answer: dict[str, Any] = {"model_name": model.name, "model_version": VERSION, "outputs": outputs}
    if isinstance(message.get("id"), str):
        answer["id"] = message["id"]
    head = json.dumps(answer).encode()
    if not parts:
        return Response(head, media_type="application/json")
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return Response(b"".join([head, *parts]), media_type="application/octet-stream", headers=headers)


def classify_scores(scores: np.ndarray, classes: tuple[str, ...], top: int) -> np.ndarray:
    """Return the likeliest classes (N, top) as Triton does: "score:index:class"."""
    best = find_best_classes(scores, min(top, len(classes)))
    rows = [[f"{row[i]:f}:{i}:{classes[i]}" for i in order] for row, order in zip(scores, best, strict=True)]
    return np.array(rows, "object")


def _to_binary(values: np.ndarray) -> bytes:
    if values.dtype != "object":
        return values.astype("<f4").tobytes()
    encoded = [text.encode() for text in values.ravel()]
    return b"".join(LENGTH.pack(len(text)) + text for text in encoded)
