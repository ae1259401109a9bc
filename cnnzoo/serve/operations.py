"""What the API description says about each route: requests, answers, examples and a command to try it.

`cnnzoo.serve.openapi` makes the OpenAPI description of this, and `/docs` shows it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cnnzoo.serve.schemas import (
    EXPLANATION,
    FORM,
    INFER_ANSWER,
    INFER_REQUEST,
    LABELS,
    LIVE,
    METADATA,
    MODEL_METADATA,
    MODEL_READY,
    MODELS,
    ONE_FILE_FORM,
    PREDICT_ANSWER,
    PREDICT_REQUEST,
    READINESS,
    READY,
    RESULTS,
    SERVER_METADATA,
    STATE,
    STATUS,
    TASK_REQUEST,
    obj,
)

JSON, FORM_DATA, BYTES, TEXT, HTML, PNG = (
    "application/json",
    "multipart/form-data",
    "application/octet-stream",
    "text/plain",
    "text/html",
    "image/png",
)
BINARY = {"type": "string", "format": "binary"}
VERSIONED = ("/v1/models/{name}", "/v2/models/{name}")  # routes that have another one with the version in its path
BASE64 = "base64 < photo.jpg | tr -d '\\n'"

GATE = (400, 401, 403, 408, 413)  # statuses of every route: what does not pass the gate
FIND = (404,)
WORK = (404, 415, 422, 500, 503, 504)
STATUSES = {
    400: "The request is malformed, or calls the server by a name that is not its own.",
    401: "The server needs a key, in the header Authorization: Bearer KEY or X-API-Key: KEY.",
    403: "The page that sent the request belongs to another site.",
    404: "There is no such model, or no such version of it.",
    405: "The address takes another method.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or has too many images.",
    415: "The body has a type or an encoding that the route does not take.",
    422: "No image of the request can be decoded; the reason is that of the first.",
    500: "The server failed at this request; its log says more.",
    503: "Too many images wait already, or the model is not ready. The header Retry-After says when to try again.",
    504: "There was no answer before the deadline.",
}


class Operation(NamedTuple):
    """One route.

    Attributes:
        id: a name for generated clients.
        curl: a command; NAME is the name of a model, and ADDRESS the address of the server.
        answers: schemas of the answer with status 200, by media type.
        example: an answer.
        statuses: other statuses, beside those of the gate, all with an error.
        bodies: schemas of the body, by media type.
        request: an example of the body, if it is JSON.
        other_answers: schemas of answers with another status that are not errors alone.
    """

    id: str
    curl: str
    answers: dict[str, dict[str, Any]]
    example: Any
    statuses: tuple[int, ...] = ()
    bodies: dict[str, dict[str, Any]] | None = None
    request: Any = None
    other_answers: dict[int, dict[str, Any]] = {}  # noqa: RUF012  # which nobody changes


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="  # a PNG
SCORED = [{"class": "cat", "probability": 0.93}, {"class": "dog", "probability": 0.07}]
INFER_EXAMPLE = {
    "inputs": [{"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": [PIXEL]}],
    "outputs": [{"name": "class_names"}, {"name": "scores"}],
}

OPERATIONS = {
    ("get", "/"): Operation("show_page", "curl ADDRESS/", {HTML: {"type": "string"}}, "<!doctype html>..."),
    ("get", "/docs"): Operation("show_docs", "curl ADDRESS/docs", {HTML: {"type": "string"}}, "<!doctype html>..."),
    ("post", "/predict"): Operation(
        "classify_form",
        "curl ADDRESS/predict -F model=NAME -F top=2 -F file=@photo.jpg -F file=@photo.jpg",
        {JSON: RESULTS},
        {"model": "NAME", "results": [{"file": "photo.jpg", "error": None, "classes": SCORED}] * 2},
        WORK,
        {FORM_DATA: FORM},
        other_answers={422: obj(error={"type": "string"}, **RESULTS["properties"])},
    ),
    ("post", "/explain"): Operation(
        "explain_form",
        "curl ADDRESS/explain -F model=NAME -F file=@photo.jpg -H 'Accept: image/png' -o why.png",
        {JSON: EXPLANATION, PNG: BINARY},
        {
            "model": "NAME",
            "target": "cat",
            "score": 0.93,
            "evidence": True,
            "method": "occlusion",
            "layer": None,
            "overlay": "data:image/jpeg;base64,/9j/4AAQ...",
        },
        WORK,
        {FORM_DATA: ONE_FILE_FORM},
    ),
    ("get", "/v1/models"): Operation(
        "list_models",
        "curl ADDRESS/v1/models",
        {JSON: MODELS},
        {
            "models": [
                {
                    "name": "NAME",
                    "version": "1",
                    "ready": True,
                    "network": "resnet18",
                    "classes": ["cat", "dog"],
                    "input": {"height": 224, "width": 224, "channels": 3},
                    "images": "center-cropped to 87.5 % of each side",
                    "runtime": "openvino",
                    "precision": "float32",
                    "min_probability": None,
                    "explanation": {"method": "occlusion", "predictions": 123},
                    "deadline": 10.0,
                    "facts": {"accuracy": "97.1 % on 172 images of pets, test", "license": "Apache-2.0"},
                }
            ],
            "limits": {"images": 64, "image_bytes": 20_000_000, "request_bytes": 100_000_000, "pixels": 50_000_000},
        },
    ),
    ("post", "/v1/models/{name}:predict"): Operation(
        "predict",
        f'(printf \'{{"instances": [{{"b64": "\'; {BASE64}; printf \'"}}]}}\') | '
        "curl ADDRESS/v1/models/NAME:predict -H 'Content-Type: application/json' --data-binary @-",
        {JSON: PREDICT_ANSWER},
        {
            "predictions": [
                {"class_names": ["cat", "dog"], "probabilities": [0.93, 0.07], "scores": [0.93, 0.07], "errors": ""}
            ]
        },
        WORK,
        {JSON: PREDICT_REQUEST},
        {"instances": [{"b64": PIXEL}]},
    ),
    ("get", "/v1/models/{name}"): Operation(
        "get_status",
        "curl ADDRESS/v1/models/NAME",
        {JSON: STATUS},
        {
            "model_version_status": [
                {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        },
        (*FIND, 405),
    ),
    ("get", "/v1/models/{name}/metadata"): Operation(
        "get_signatures",
        "curl ADDRESS/v1/models/NAME/metadata",
        {JSON: METADATA},
        {
            "model_spec": {"name": "NAME", "signature_name": "", "version": "1"},
            "metadata": {"signature_def": {"signature_def": {"serving_default": {"inputs": "...", "outputs": "..."}}}},
        },
        FIND,
    ),
    ("get", "/v2"): Operation(
        "get_server",
        "curl ADDRESS/v2",
        {JSON: SERVER_METADATA},
        {"name": "cnnzoo", "version": "0.13.0", "extensions": ["binary_tensor_data", "classification"]},
    ),
    ("get", "/v2/health/live"): Operation("get_live", "curl ADDRESS/v2/health/live", {JSON: LIVE}, {"live": True}),
    ("get", "/v2/health/ready"): Operation(
        "get_ready", "curl ADDRESS/v2/health/ready", {JSON: READY}, {"ready": True}, other_answers={503: READY}
    ),
    ("get", "/v2/models/{name}/ready"): Operation(
        "get_model_ready",
        "curl ADDRESS/v2/models/NAME/ready",
        {JSON: MODEL_READY},
        {"name": "NAME", "ready": True},
        FIND,
        other_answers={503: MODEL_READY},
    ),
    ("get", "/v2/models/{name}"): Operation(
        "get_tensors",
        "curl ADDRESS/v2/models/NAME",
        {JSON: MODEL_METADATA},
        {
            "name": "NAME",
            "versions": ["1"],
            "platform": "cnnzoo_openvino",
            "inputs": [{"name": "image_bytes", "datatype": "BYTES", "shape": [-1]}],
            "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 2]}],
        },
        FIND,
    ),
    ("post", "/v2/models/{name}/infer"): Operation(
        "infer",
        '(printf \'{"inputs": [{"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": ["\'; '
        f"{BASE64}; printf '\"]}}]}}') | "
        "curl ADDRESS/v2/models/NAME/infer -H 'Content-Type: application/json' --data-binary @-",
        {JSON: INFER_ANSWER, BYTES: BINARY},
        {
            "model_name": "NAME",
            "model_version": "1",
            "outputs": [
                {"name": "class_names", "datatype": "BYTES", "shape": [1, 2], "data": ["cat", "dog"]},
                {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [0.93, 0.07]},
            ],
        },
        WORK,
        {JSON: INFER_REQUEST},
        INFER_EXAMPLE,
    ),
    ("post", "/models/{name}"): Operation(
        "classify_image",
        "curl ADDRESS/models/NAME -H 'Content-Type: image/jpeg' --data-binary @photo.jpg",
        {JSON: LABELS},
        [{"label": "cat", "score": 0.93}, {"label": "dog", "score": 0.07}],
        WORK,
        {"image/*": BINARY, JSON: TASK_REQUEST},
        {"inputs": PIXEL, "parameters": {"top_k": 2}},
    ),
    ("post", "/"): Operation(
        "classify_image_with_only_model",
        "curl ADDRESS/ -H 'Content-Type: image/jpeg' --data-binary @photo.jpg",
        {JSON: LABELS},
        [{"label": "cat", "score": 0.93}, {"label": "dog", "score": 0.07}],
        WORK,
        {"image/*": BINARY, JSON: TASK_REQUEST},
        {"inputs": PIXEL, "parameters": {"top_k": 2}},
    ),
    ("get", "/healthz"): Operation("get_health", "curl ADDRESS/healthz", {JSON: STATE}, {"status": "ok"}),
    ("get", "/readyz"): Operation(
        "get_readiness",
        "curl ADDRESS/readyz",
        {JSON: READINESS},
        {"ready": True, "models": {"NAME": "ready"}},
        other_answers={503: READINESS},
    ),
    ("get", "/metrics"): Operation(
        "get_metrics",
        "curl ADDRESS/metrics",
        {TEXT: {"type": "string"}},
        'cnnzoo_images_total{model="NAME",result="answered"} 3.0',
    ),
}
