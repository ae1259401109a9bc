"""What each protocol answers: the commands of TensorFlow Serving's documentation, and conventions of other clients."""

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
import requests
from helpers.image_files import encode, make_scene
from helpers.local_server import to_base64
from PIL import Image

from cnnzoo.runtimes.saved_model import write_saved_model

PHOTO = encode(Image.fromarray(make_scene()), "JPEG")
OUTPUTS = ["class_names", "probabilities", "scores", "errors"]


@pytest.fixture(scope="module")
def expected(classifiers):
    """The probabilities of the photo."""
    (prediction,) = classifiers["digits"].predict(PHOTO, top=10, verbose=False)
    return {label: round(score, 6) for label, score in zip(prediction.classes, prediction.probabilities, strict=True)}


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    path.write_bytes(PHOTO)
    return path


def curl(*arguments):
    """Run curl; return the JSON of its answer."""
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    command = ["curl", "-s", "--max-time", "60", *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


# ---- TensorFlow Serving


def test_curl_asks_as_the_documentation_of_tensorflow_serving_does(server, expected):
    address = f"{server.url}/v1/models/digits"
    status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert curl(address) == {"model_version_status": [status]}
    assert curl(f"{address}/versions/1") == {"model_version_status": [status]}
    body = json.dumps({"instances": [{"b64": to_base64(PHOTO)}]})
    for arguments in ([], ["-X", "POST"], ["-H", "Content-Type: application/json"]):
        (row,) = curl("-d", body, *arguments, f"{address}:predict")["predictions"]
        assert list(row) == OUTPUTS
        assert {str(i): round(score, 6) for i, score in enumerate(row["scores"])} == expected
        assert row["class_names"] == list(expected)[:5]
        assert row["probabilities"] == sorted(row["scores"], reverse=True)[:5]
        assert row["errors"] == ""
    columns = curl("-d", json.dumps({"inputs": [{"b64": to_base64(PHOTO)}]}), f"{address}/versions/1:predict")
    assert columns == {"outputs": {name: [row[name]] for name in OUTPUTS}}
    error = curl("-d", body, f"{server.url}/v1/models/half:predict")
    assert list(error) == ["error"]


def test_all_ways_to_write_an_image_are_equal(server):
    pixels = make_scene(32, 32)[..., :1]
    named, bare = {"image_bytes": {"b64": to_base64(PHOTO)}}, {"b64": to_base64(PHOTO)}
    files = [
        {"instances": [bare]},
        {"instances": [named]},
        {"instances": [to_base64(PHOTO)]},
        {"instances": [{"b64": f"data:image/jpeg;base64,{to_base64(PHOTO)}"}]},
        {"instances": [{"b64": base64.urlsafe_b64encode(PHOTO).decode().rstrip("=")}]},
        {"instances": [bare], "signature_name": "serving_default"},
        {"instances": [bare], "signature_name": ""},
        {"inputs": [bare]},
        {"inputs": bare},
        {"inputs": {"image_bytes": [bare]}},
        {"inputs": {"image_bytes": bare}},
    ]
    arrays = [
        {"instances": [pixels.tolist()]},
        {"instances": [pixels[..., 0].tolist()]},
        {"instances": [pixels.astype("float64").tolist()]},
        {"instances": [{"images": pixels.tolist()}], "signature_name": "pixels"},
        {"instances": [pixels.tolist()], "signature_name": "network"},
        {"inputs": {"images": [pixels.tolist()]}, "signature_name": "network"},
    ]
    for bodies in (files, arrays):
        answers = [server.post("/v1/models/digits:predict", json=body).json() for body in bodies]
        scores = [
            answer["predictions"][0]["scores"] if "predictions" in answer else answer["outputs"]["scores"][0]
            for answer in answers
        ]
        assert all(row == scores[0] for row in scores)


@pytest.mark.slow
def test_names_shapes_and_answers_are_those_of_an_exported_saved_model(server, digits_model, tmp_path):
    import tensorflow as tf

    write_saved_model(digits_model, tmp_path / "export")
    exported = tf.saved_model.load(str(tmp_path / "export"))
    document = server.get("/v1/models/digits/metadata").json()
    assert document["model_spec"] == {"name": "digits", "signature_name": "", "version": "1"}
    described = document["metadata"]["signature_def"]["signature_def"]

    def describe(tensors):
        names = {"string": "DT_STRING", "uint8": "DT_UINT8", "float32": "DT_FLOAT"}
        return {name: (names[spec.dtype.name], len(spec.shape)) for name, spec in tensors.items()}

    def summarize(tensors):
        return {name: (entry["dtype"], len(entry["tensor_shape"]["dim"])) for name, entry in tensors.items()}

    assert set(described) == set(exported.signatures)
    for name, signature in exported.signatures.items():
        assert summarize(described[name]["inputs"]) == describe(signature.structured_input_signature[1])
        outputs = summarize(described[name]["outputs"])
        assert {key: outputs[key] for key in signature.structured_outputs} == describe(signature.structured_outputs)

    files = [PHOTO, b"text"]
    expected = exported.signatures["serving_default"](image_bytes=tf.constant(files))
    answer = server.post(
        "/v1/models/digits:predict", json={"inputs": [{"b64": to_base64(content)} for content in files]}
    ).json()["outputs"]
    assert answer["class_names"] == expected["class_names"].numpy().astype("str").tolist()
    for name in ("scores", "probabilities"):
        assert np.abs(np.subtract(answer[name], expected[name].numpy())).max() < 1e-5
    assert [bool(error) for error in answer["errors"]] == [bool(error) for error in expected["errors"].numpy()]


# ---- Open Inference Protocol


def test_health_and_metadata(server):
    assert server.get("/v2").json()["name"] == "cnnzoo"
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}
    assert server.get("/v2/models/color/ready").json() == {"name": "color", "ready": True}
    assert server.get("/v2/models/color/versions/1").json()["outputs"][0] == {
        "name": "class_names",
        "datatype": "BYTES",
        "shape": [-1, 5],
    }


@pytest.mark.parametrize("content_type", [None, "base64", "str"])
def test_content_types_of_mlserver(server, expected, content_type):
    parameters = {"content_type": content_type} if content_type else {}
    tensor = {
        "name": "image_bytes",
        "datatype": "BYTES",
        "shape": [1, 1],
        "data": [to_base64(PHOTO)],
        "parameters": parameters,
    }
    request = {"id": "a", "parameters": {"content_type": "np"}, "inputs": [tensor], "outputs": [{"name": "scores"}]}
    answer = server.post("/v2/models/digits/infer", json=request).json()
    (output,) = answer["outputs"]
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a", "digits", "1")
    assert output["shape"] == [1, 10]
    assert {str(i): round(score, 6) for i, score in enumerate(output["data"])} == expected


def test_base64_may_be_in_a_binary_tensor(server, expected):
    text = to_base64(PHOTO).encode()
    binary = len(text).to_bytes(4, "little") + text
    parameters = {"content_type": "base64", "binary_data_size": len(binary)}
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = server.post("/v2/models/digits/infer", data=head + binary, headers=headers)
    length = int(answer.headers["Inference-Header-Content-Length"])
    outputs = {output["name"]: output for output in json.loads(answer.content[:length])["outputs"]}
    assert list(outputs) == OUTPUTS
    sizes = [output["parameters"]["binary_data_size"] for output in outputs.values()]
    assert length + sum(sizes) == len(answer.content)
    scores = np.frombuffer(answer.content[length + sum(sizes[:2]) :][: sizes[2]], "<f4")
    assert {str(i): round(float(score), 6) for i, score in enumerate(scores)} == expected


def test_an_image_alone_is_a_request(server, photo, expected):
    answer = curl(
        *("--data-binary", f"@{photo}", "-H", "Inference-Header-Content-Length: 0"),
        f"{server.url}/v2/models/digits/infer",
    )
    assert answer["outputs"][0]["data"] == list(expected)[:5]


# ---- Hugging Face, forms


def test_curl_sends_a_file_or_json_to_the_address_of_a_model(server, photo, expected):
    address = f"{server.url}/models/digits"
    best = [{"label": label, "score": score} for label, score in expected.items()]

    def rounded(answer):
        return [{**entry, "score": round(entry["score"], 6)} for entry in answer]

    assert rounded(curl("--data-binary", f"@{photo}", address)) == best[:5]
    assert rounded(curl("--data-binary", f"@{photo}", "-H", "Content-Type: image/jpeg", address)) == best[:5]
    assert rounded(curl("-T", photo, "-X", "POST", address)) == best[:5]
    body = json.dumps({"inputs": to_base64(PHOTO), "parameters": {"top_k": 2}})
    assert rounded(curl("-d", body, address)) == best[:2]  # curl calls this a form


def test_curl_sends_a_form(server, photo, expected):
    answer = curl("-F", f"file=@{photo}", "-F", f"x=@{photo};filename=b", f"{server.url}/predict?model=digits&top=2")
    assert answer["model"] == "digits"
    assert [result["file"] for result in answer["results"]] == ["photo.jpg", "b"]
    for result in answer["results"]:
        found = {entry["class"]: round(entry["probability"], 6) for entry in result["classes"]}
        assert found == pytest.approx(dict(list(expected.items())[:2]), abs=2e-6)


def test_a_single_model_needs_no_name(one_model_server, expected):
    best = next(iter(expected))
    form = requests.post(f"{one_model_server.url}/predict", files={"file": PHOTO}).json()
    assert form["results"][0]["classes"][0]["class"] == best
    assert requests.post(one_model_server.url, data=PHOTO).json()[0]["label"] == best
    assert [model["name"] for model in one_model_server.get("/v1/models").json()["models"]] == ["lenet5"]


def test_the_list_of_models_says_what_their_cards_say(server, classifiers):
    models = {model["name"]: model for model in server.get("/v1/models").json()["models"]}
    assert list(models) == list(classifiers)
    for name, classifier in classifiers.items():
        facts = models[name]
        assert facts["classes"] == list(classifier.classes)
        assert facts["input"] == dict(zip(("height", "width", "channels"), classifier.shape, strict=True))
        assert (facts["runtime"], facts["precision"]) == (classifier.runtime, classifier.precision)
        assert facts["ready"]
    assert "accuracy" in str(models["digits"]["facts"])
