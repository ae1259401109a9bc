"""What the protocols refuse: each request gets a status of its own and a reason, as {"error": reason}."""

import gzip
import json
import struct
import zlib

import pytest
from helpers.image_files import encode, make_scene
from helpers.local_server import to_base64
from PIL import Image

from cnnzoo.serve.bodies import accepts_gzip

PHOTO = encode(Image.fromarray(make_scene()), "JPEG")
B64 = {"b64": to_base64(PHOTO)}
TENSOR = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": [B64["b64"]]}
RGB_ROWS = [[[1, 2, 3]] * 8] * 8
PREDICT, INFER, LABEL = "/v1/models/digits:predict", "/v2/models/digits/infer", "/models/digits"


def change(**values):
    return {"inputs": [TENSOR | values]}


# Path, the JSON of the body, the status, and words of the reason.
REFUSED = [
    # TensorFlow Serving
    ("/v1/models/digit:predict", {"instances": [B64]}, 404, "Did you mean digits?"),
    ("/v1/models/digits/versions/2:predict", {"instances": [B64]}, 404, "only version 1. Received: '2'"),
    ("/v1/models/digits/labels/stable:predict", {"instances": [B64]}, 404, "no labels of versions"),
    ("/v1/models/digits:classify", {"examples": [{"x": 1}]}, 400, "only to predict"),
    ("/v1/models/digits:regress", {"examples": [{"x": 1}]}, 400, "'regress'"),
    ("/v1/models/digits/versions/1:classify", {}, 400, "only to predict"),
    ("/v1/models/nothing:classify", {}, 404, "There is no model 'nothing'"),
    (PREDICT, {}, 400, '"instances"'),
    (PREDICT, [], 400, "must be a JSON object. Received: an array"),
    (PREDICT, {"instances": []}, 400, "no images"),
    (PREDICT, {"instances": B64}, 400, '"instances" must be a JSON array'),
    (PREDICT, {"instances": [B64], "inputs": [B64]}, 400, "a request has one of them"),
    (PREDICT, {"instances": [B64] * 65}, 413, "65 images are more than the 64"),
    (PREDICT, {"instances": [B64], "signature_name": "servng_default"}, 400, "Did you mean serving_default?"),
    (PREDICT, {"instances": [B64], "signature_name": "pixels"}, 400, "takes pixels, and image 0 is encoded"),
    (PREDICT, {"instances": [RGB_ROWS], "signature_name": "network"}, 400, "pixels of shape [32, 32, 1]"),
    (PREDICT, {"instances": [{"image": B64}]}, 400, "The input is 'image_bytes'"),
    (PREDICT, {"instances": [{"image_bytes": B64, "images": B64}]}, 400, "one input"),
    (PREDICT, {"instances": [{"b64": 5}]}, 400, 'instances[0]["b64"] must be an image in base64'),
    (PREDICT, {"instances": [{"b64": "&&&"}]}, 400, 'instances[0]["b64"] is not base64'),
    (PREDICT, {"instances": ["https://example.com/a.jpg"]}, 400, "not its path or address. Received: a string of 25"),
    (PREDICT, {"instances": [None]}, 400, "Received: null"),
    (PREDICT, {"instances": [[[1, 2], [3]]]}, 400, "rows differ in length"),
    (PREDICT, {"instances": [[[1, 300], [3, 4]]]}, 400, "from 0 to 255. Received: 1 to 300"),
    (PREDICT, {"instances": [[1, 2, 3]]}, 400, "shape (3,)"),
    (PREDICT, {"instances": RGB_ROWS}, 400, "put brackets around the image"),
    (PREDICT, {"instances": [[[0.0, 0.5], [1.0, 0.2]]]}, 400, "from 0 to 1. Send 0 to 255"),
    (PREDICT, {"instances": [[[-0.5, 0.5], [1.0, 0.2]]]}, 400, "from -0.5 to 1. Send 0 to 255"),
    (PREDICT, {"instances": [[[[1, 2]] * 9] * 9]}, 422, "images with 1 channel. Received: 2"),
    (PREDICT, {"instances": [[[[1, 2, 3, 4]] * 9] * 9]}, 422, "images with 1 channel. Received: 4"),
    (PREDICT, {"instances": [[["a"]]]}, 400, "it has a string"),
    (PREDICT, {"instances": [{"b64": to_base64(b"text")}]}, 422, "not a JPEG"),
    (PREDICT, {"instances": [{"b64": to_base64(b"text")}] * 2}, 422, "(the first of 2 images)"),
    (PREDICT, {"instances": [{"b64": ""}]}, 422, "empty file"),
    (PREDICT, {"inputs": {"image": [B64]}}, 400, "The input is 'image_bytes'"),
    (PREDICT, {"inputs": 5}, 400, '"inputs" must be a JSON array'),
    # Open Inference Protocol
    ("/v2/models/nothing/infer", change(), 404, "There is no model 'nothing'"),
    ("/v2/models/digits/versions/7/infer", change(), 404, "only version 1"),
    (INFER, {}, 400, '"inputs" must be a JSON array. Received: null'),
    (INFER, {"inputs": []}, 400, "Received: 0 inputs"),
    (INFER, {"inputs": [TENSOR, TENSOR]}, 400, "Received: 2 inputs"),
    (INFER, change(name="input"), 400, "The input is 'image_bytes'"),
    (INFER, change(datatype="FP32", shape=[1, 8, 8, 3]), 400, "'FP32' of shape [1, 8, 8, 3]"),
    (INFER, change(shape=[-1]), 400, "whole numbers"),
    (INFER, change(shape=["1"]), 400, "whole numbers"),
    (INFER, change(shape=[True]), 400, "whole numbers"),
    (INFER, change(shape=None), 400, '"shape" of the input must be a JSON array'),
    (INFER, change(shape=[2]), 400, "shape [2], but 1 images"),
    (INFER, change(shape=[0], data=[]), 400, "no images"),
    (INFER, change(shape=[65]), 413, "65 images"),
    (INFER, change(data=None), 400, '"data" of the input must be a JSON array'),
    (INFER, change(data=[5]), 400, "Image 0 must be an image in base64"),
    (INFER, change(parameters={"content_type": "pd"}), 400, "'pd'"),
    (INFER, change(parameters={"binary_data_size": 5}), 400, "0 bytes follow"),
    (INFER, change(parameters=[]), 200, ""),  # an empty list is as good as none
    (INFER, change(parameters=[1]), 400, '"parameters" must be a JSON object'),
    (INFER, change(datatype="UINT8", shape=[1, 2, 2, 1], data=[1, 2, 3]), 400, "but 3 values"),
    (INFER, change(datatype="UINT8", shape=[1, 2, 2, 1], data=[1, 2, 3, 256]), 400, "0 to 255"),
    (INFER, change(datatype="UINT8", shape=[1, 2, 2, 1], data=["a"] * 4), 400, "it has a string"),
    (INFER, change() | {"outputs": [{"name": "labels"}]}, 400, "The outputs are class_names"),
    (INFER, change() | {"outputs": [{"name": "score"}]}, 400, "Did you mean scores?"),
    (INFER, change() | {"outputs": ["scores"]}, 400, "An output must be a JSON object"),
    (
        INFER,
        change() | {"outputs": [{"name": "errors", "parameters": {"classification": 2}}]},
        400,
        "only 'scores' has one",
    ),
    (
        INFER,
        change() | {"outputs": [{"name": "scores", "parameters": {"classification": 0}}]},
        400,
        "whole number from 1",
    ),
    # Hugging Face
    ("/models/nothing", {"inputs": B64["b64"]}, 404, "There is no model 'nothing'"),
    ("/", {"inputs": B64["b64"]}, 400, "several models"),
    (LABEL, {}, 400, '"inputs" must be an image in base64, as a string. Received: null'),
    (LABEL, {"inputs": "&"}, 400, '"inputs" is not base64'),
    (LABEL, {"inputs": B64["b64"], "parameters": {"top_k": 0}}, 400, "whole number from 1"),
    (LABEL, {"inputs": B64["b64"], "parameters": {"top_k": "all"}}, 400, "whole number from 1"),
    (LABEL, {"inputs": B64["b64"], "parameters": {"function_to_apply": "sigmoid"}}, 400, "softmax"),
    (LABEL, {"inputs": B64["b64"], "parameters": 5}, 400, '"parameters" must be a JSON object'),
    (LABEL, {"inputs": to_base64(b"text")}, 422, "not a JPEG"),
    # Addresses that do not exist
    ("/v2/repository/models/digits/load", {}, 404, "/docs lists all addresses"),
    ("/v1/models/digits/metadata", {}, 405, ""),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"), REFUSED, ids=[f"{i}-{row[3]}" for i, row in enumerate(REFUSED)]
)
def test_a_request_is_refused_with_its_reason(server, path, body, status, words):
    answer = server.post(path, json=body)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert list(answer.json()) == ["error"]
        assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/models/nothing", 404, "There is no model 'nothing'. Models: digits"),
        ("/v1/models/digits/versions/0", 404, "only version 1"),
        ("/v1/models/digits/labels/canary", 404, "no labels"),
        ("/v1/models/digits/labels/canary/metadata", 404, "no labels"),
        ("/v1/models/nothing/metadata", 404, "nothing"),
        ("/v1/models/digits:predict", 405, "Send a POST"),
        ("/v1/models/digits/versions/1:predict", 405, "Send a POST"),
        ("/v2/models/nothing", 404, "nothing"),
        ("/v2/models/nothing/ready", 404, "nothing"),
        ("/v2/models/digits/versions/2/ready", 404, "only version 1"),
        ("/v2/models/digits/infer", 405, ""),
        ("/predict", 405, ""),
        ("/admin", 404, "There is nothing at '/admin'. /docs lists all addresses"),
        ("/predct", 404, "There is nothing at '/predct'. Did you mean /predict? /docs"),
        ("/v1/model", 404, "Did you mean /v1/models?"),
    ],
)
def test_a_get_is_refused_with_its_reason(server, path, status, words):
    answer = server.get(path)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


@pytest.mark.parametrize("path", [PREDICT, INFER, LABEL])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b"[" * 10**5, "nested too deeply"),
    ],
)
def test_a_body_that_is_no_json_is_refused(server, path, content, words):
    answer = server.post(path, data=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert words in answer.json()["error"]


# ---- Forms


def test_a_form_is_refused_with_its_reason(server):
    file = {"file": ("a.jpg", PHOTO)}

    def ask(**options):
        answer = server.post("/predict", **options)
        return answer.status_code, answer.json()["error"]

    assert ask(data=PHOTO)[0] == 415
    assert ask(json={})[0] == 415
    status, reason = ask(files=file)
    assert status == 400
    assert "several models, so the request must name one: digits, digits-keras, color" in reason
    assert ask(files=file, data={"model": "digit"}) == (404, ask(files=file, params={"model": "digit"})[1])
    assert ask(files=file, data={"model": "digits", "top": "0"}) == (
        400,
        "The number of classes must be a whole number from 1 to 10000. Received: '0'",
    )
    for path in (PREDICT, INFER, LABEL):
        answer = server.post(path, files=file)
        assert answer.status_code == 415, path
        assert "takes no form. Forms go to ADDRESS/predict" in answer.json()["error"]
    # curl -F file=photo.jpg, which sends the name of the file, is not left out beside files
    for field in ("file", "image"):
        status, reason = ask(files=[("file", ("a.jpg", PHOTO)), (field, (None, "photo.jpg"))], data={"model": "digits"})
        assert (status, reason) == (
            400,
            f"The field '{field}' has text in place of a file: curl -F {field}=@photo.jpg ADDRESS/predict",
        )
    assert ask(files=file, data={"model": "digits", "top": "some"})[0] == 400
    assert ask(files={"model": (None, "digits")}) == (
        400,
        "The form has no files: curl -F file=@photo.jpg ADDRESS/predict",
    )
    assert ask(files=[("file", ("a", PHOTO))] * 65, data={"model": "digits"})[0] == 413
    broken = ask(data=b"no form", headers={"content-type": "multipart/form-data; boundary=x"})
    assert broken[0] == 400


# ---- Binary tensors


def send_binary(server, tensor, binary, length=None, **message):
    head = json.dumps({"inputs": [tensor], **message}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head) if length is None else length)}
    return server.post(INFER, data=head + binary, headers=headers)


def pack(*contents):
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


@pytest.mark.parametrize(
    ("binary", "size", "length", "words"),
    [
        (pack(PHOTO), len(PHOTO), None, f"{len(PHOTO) + 4} bytes follow"),
        (pack(PHOTO), True, None, "bytes follow"),
        (pack(PHOTO)[:-1], len(PHOTO) + 3, None, f"ends within an image of {len(PHOTO)} bytes"),
        (pack(PHOTO) + b"\0\0", len(PHOTO) + 6, None, "ends within the length"),
        (pack(PHOTO, PHOTO), 2 * len(PHOTO) + 8, None, "shape [1], but 2 images"),
        (pack(PHOTO), len(PHOTO) + 4, 10**9, "at most the"),
        (pack(PHOTO), len(PHOTO) + 4, -1, "at most the"),
        (pack(PHOTO), len(PHOTO) + 4, 5, "not JSON"),
    ],
    ids=["size", "boolean", "torn image", "torn length", "two images", "long head", "negative head", "short head"],
)
def test_a_binary_tensor_is_refused_with_its_reason(server, binary, size, length, words):
    tensor = {**TENSOR, "parameters": {"binary_data_size": size}}
    del tensor["data"]
    answer = send_binary(server, tensor, binary, length)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_pixels_as_a_binary_tensor_of_another_size_are_refused(server):
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 2, 2, 1], "parameters": {"binary_data_size": 3}}
    answer = send_binary(server, tensor, b"abc")
    assert (answer.status_code, answer.json()["error"]) == (400, "The input has shape [1, 2, 2, 1], but 3 values")


# ---- Compressed bodies

BODY = json.dumps({"instances": [B64]}).encode()


@pytest.mark.parametrize(
    ("encoding", "content", "status", "words"),
    [
        ("gzip", gzip.compress(BODY), 200, ""),
        ("GZIP", gzip.compress(BODY), 200, ""),
        ("deflate", zlib.compress(BODY), 200, ""),
        ("identity", BODY, 200, ""),
        ("gzip", BODY, 400, "not gzip"),
        ("gzip", gzip.compress(BODY)[:-4], 400, "not complete"),
        ("gzip", gzip.compress(BODY) + b"x", 400, "bytes after its end"),
        ("br", BODY, 415, "gzip or deflate. Received: 'br'"),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), 415, "gzip or deflate"),
    ],
    ids=["gzip", "capitals", "deflate", "identity", "no gzip", "torn", "longer", "brotli", "twice"],
)
def test_bodies_may_be_compressed(server, encoding, content, status, words):
    answer = server.post(PREDICT, data=content, headers={"content-encoding": encoding})
    assert answer.status_code == status, answer.text
    assert words in answer.text


def test_a_compressed_body_of_too_many_bytes_is_refused_before_it_is_unpacked(one_model_server):
    limit = one_model_server.app.state.server.limits.request_bytes
    content = gzip.compress(b" " * (limit + 1), 1)
    assert len(content) < limit / 100
    answer = one_model_server.post("/v1/models/lenet5:predict", data=content, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert "once it is decompressed" in answer.json()["error"]


def test_a_large_answer_is_compressed_for_clients_that_accept_it(server):
    body = {"instances": [B64] * 40}
    plain = server.post(PREDICT, json=body, headers={"accept-encoding": "identity"})
    packed = server.post(PREDICT, json=body, headers={"accept-encoding": "br, gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(packed.content) == len(plain.content)
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    small = server.post(PREDICT, json={"instances": [B64]}, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in small.headers


def test_a_client_may_refuse_gzip():
    assert accepts_gzip("gzip") and accepts_gzip("deflate, gzip;q=0.5")
    assert not accepts_gzip("") and not accepts_gzip("gzip;q=0, deflate") and not accepts_gzip("br")
