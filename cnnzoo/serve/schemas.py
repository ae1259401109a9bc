"""JSON schemas of requests and answers, for the description of the API."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NULL: Schema = {"type": "null"}
NOTHING: Schema = {"enum": [None, []]}  # in the place of an object
PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
FILE: Schema = {"type": "string", "format": "binary"}
ENCODED: Schema = {
    "type": "string",
    "contentEncoding": "base64",
    "pattern": "^[A-Za-z0-9+/_-]+={0,2}$",
    "description": "the bytes of an image file",
}
TOP: Schema = {"type": "integer", "minimum": 1, "maximum": 10_000, "description": "number of classes of each answer"}
MODEL: Schema = {"type": "string", "description": "name of a model, if there are several"}


def obj(optional: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """Return the schema of an object whose properties are all required, but for those that are optional."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def array(items: Schema, **limits: int) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **limits}


def either(*schemas: Schema) -> Schema:
    """Return the schema of a value that one of several allows."""
    return {"anyOf": list(schemas)}


ERROR = obj(error={"type": "string", "description": "what was received, what is allowed, and what to do"})

# ---- Forms

FORM = obj(("model", "top"), file=array(FILE, minItems=1), model=MODEL, top=TOP)
ONE_FILE_FORM = obj(
    ("model", "target"),
    file=FILE,
    model=MODEL,
    target={"type": "string", "description": "the class: its name, its id or its number; by default the likeliest"},
)
RESULT = obj(
    file=TEXT,
    error={**either(TEXT, NULL), "description": "why the image has no answer"},
    classes=array(obj(**{"class": TEXT, "probability": PROBABILITY})),
)
RESULTS = obj(model=TEXT, results=array(RESULT))
EXPLANATION = obj(
    model=TEXT,
    target=TEXT,
    score={**PROBABILITY, "description": "the probability of the class"},
    evidence={"type": "boolean", "description": "whether anything in the photo speaks for the class"},
    method=TEXT,
    layer=either(TEXT, NULL),
    overlay={"type": "string", "description": "the photo under its map, as a data URI: PNG or JPEG"},
)
MODELS = obj(
    models=array(
        obj(
            name=TEXT,
            version=TEXT,
            ready=FLAG,
            network=TEXT,
            classes=array(TEXT),
            input=obj(height=COUNT, width=COUNT, channels=COUNT),
            images={"type": "string", "description": "how images are resized and cropped"},
            runtime=TEXT,
            precision=TEXT,
            min_probability={**either(PROBABILITY, NULL), "description": "less probable answers are unsure"},
            explanation=obj(method=TEXT, predictions={**COUNT, "description": "about how many take as long"}),
            deadline={"type": "number", "description": "seconds until an answer"},
            facts={"type": "object", "additionalProperties": TEXT, "description": "the card of the model, in words"},
        )
    ),
    limits=obj(images=COUNT, image_bytes=COUNT, request_bytes=COUNT, pixels=COUNT),
)

# ---- TensorFlow Serving

PIXELS: Schema = array({}, minItems=1)  # nested lists of numbers
IMAGE = either(obj(b64=ENCODED), ENCODED, PIXELS)
INSTANCE = either(IMAGE, {"type": "object", "description": "an image, under the name of the input"})
SIGNATURE: Schema = {"enum": ["serving_default", "pixels", "network", "", None]}
PREDICT_REQUEST = either(
    obj(("signature_name",), instances=array(INSTANCE, minItems=1), signature_name=SIGNATURE),
    obj(("signature_name",), inputs=either({"type": "object"}, array(INSTANCE, minItems=1)), signature_name=SIGNATURE),
)
ROW = obj(class_names=array(TEXT), probabilities=array(PROBABILITY), scores=array(PROBABILITY), errors=TEXT)
COLUMNS = obj(
    class_names=array(array(TEXT)),
    probabilities=array(array(PROBABILITY)),
    scores=array(array(PROBABILITY)),
    errors=array(TEXT),
)
PREDICT_ANSWER = either(obj(predictions=array(ROW)), obj(outputs=COLUMNS))
STATUS = obj(
    model_version_status=array(
        obj(
            version=TEXT,
            state={"enum": ["AVAILABLE", "LOADING", "END"]},
            status=obj(error_code=TEXT, error_message=TEXT),
        )
    )
)
METADATA = obj(model_spec=obj(name=TEXT, signature_name=TEXT, version=TEXT), metadata={"type": "object"})

# ---- Open Inference Protocol

PARAMETERS = either({"type": "object"}, NOTHING)
SHAPE = array({"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, minItems=1)
TENSOR = obj(
    ("data", "parameters"), name=TEXT, datatype=TEXT, shape=SHAPE, data=array({}), parameters={"type": "object"}
)
INFER_REQUEST = obj(
    ("id", "outputs", "parameters"),
    id=either(TEXT, NULL),
    inputs=array(
        obj(
            ("parameters",),
            name={"enum": ["image_bytes", "images"]},
            datatype={"enum": ["BYTES", "UINT8"]},
            shape=SHAPE,
            data=array({}),
            parameters=PARAMETERS,
        ),
        minItems=1,
        maxItems=1,
    ),
    outputs=either(
        array(
            obj(
                ("parameters",),
                name={"enum": ["class_names", "probabilities", "scores", "errors"]},
                parameters=PARAMETERS,
            )
        ),
        NULL,
    ),
    parameters=PARAMETERS,
)
INFER_ANSWER = obj(("id",), model_name=TEXT, model_version=TEXT, outputs=array(TENSOR), id=TEXT)
SERVER_METADATA = obj(name=TEXT, version=TEXT, extensions=array(TEXT))
DESCRIBED = array(obj(name=TEXT, datatype=TEXT, shape=array({"type": "integer"})))
MODEL_METADATA = obj(name=TEXT, versions=array(TEXT), platform=TEXT, inputs=DESCRIBED, outputs=DESCRIBED)
LIVE, READY, MODEL_READY = obj(live=FLAG), obj(ready=FLAG), obj(name=TEXT, ready=FLAG)

# ---- Hugging Face, and operations

TASK_PARAMETERS = obj(
    ("top_k", "function_to_apply"), top_k=either(TOP, NULL), function_to_apply={"enum": ["softmax", None]}
)
TASK_REQUEST = obj(("parameters",), inputs=ENCODED, parameters=either(TASK_PARAMETERS, NOTHING))
LABELS = array(obj(label=TEXT, score=PROBABILITY))
STATE = obj(status=TEXT)
READINESS = obj(ready=FLAG, models={"type": "object", "additionalProperties": TEXT})
