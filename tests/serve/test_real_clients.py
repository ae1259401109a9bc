"""The unmodified clients of Triton, Hugging Face and Starlette; `make test-clients` installs and runs them."""

import asyncio
import base64
import re
import warnings

import numpy as np
import pytest
from helpers.image_files import encode, make_scene
from PIL import Image

import cnnzoo

triton = pytest.importorskip("tritonclient.http", reason="make test-clients installs the clients")
hub = pytest.importorskip("huggingface_hub", reason="make test-clients installs the clients")
from huggingface_hub.errors import HfHubHTTPError
from tritonclient.utils import InferenceServerException

FILES = [encode(Image.fromarray(make_scene(seed=seed)), "JPEG") for seed in range(3)]


@pytest.fixture(scope="module")
def client(server):
    with triton.InferenceServerClient(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def expected(classifiers):
    """The probabilities (3, 10) of the files."""
    predictions = classifiers["digits"].predict(FILES, top=10, verbose=False)
    scores = np.zeros((len(FILES), 10), "float32")
    for row, prediction in zip(scores, predictions, strict=True):
        row[[int(label) for label in prediction.classes]] = prediction.probabilities
    return scores


def make_input(contents, binary=True, name="image_bytes"):
    tensor = triton.InferInput(name, [len(contents)], "BYTES")
    values = contents if binary else [base64.b64encode(content) for content in contents]
    return tensor.set_data_from_numpy(np.array(values, "object"), binary_data=binary)


# ---- Triton


def test_triton_asks_for_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "1")
    assert not client.is_model_ready("nothing") and not client.is_model_ready("digits", "2")
    assert client.get_server_metadata() == {
        "name": "cnnzoo",
        "version": cnnzoo.__version__,
        "extensions": ["binary_tensor_data", "classification"],
    }
    facts = client.get_model_metadata("digits")
    assert facts["inputs"] == [{"name": "image_bytes", "datatype": "BYTES", "shape": [-1]}]
    assert {output["name"]: output["shape"] for output in facts["outputs"]} == {
        "class_names": [-1, 5],
        "probabilities": [-1, 5],
        "scores": [-1, 10],
        "errors": [-1],
    }


@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_triton_classifies_files(client, expected, binary, packed):
    options = {"request_compression_algorithm": packed, "response_compression_algorithm": packed}
    answer = client.infer("digits", [make_input(FILES, binary)], request_id="7", **options)
    assert answer.get_response()["id"] == "7"
    assert np.abs(answer.as_numpy("scores") - expected).max() <= 1e-6
    best = np.argsort(-expected, axis=1, kind="stable")[:, :5]
    assert answer.as_numpy("class_names").tolist() == best.astype("str").astype("S1").tolist()
    assert np.abs(answer.as_numpy("probabilities") - np.take_along_axis(expected, best, 1)).max() <= 1e-6
    assert answer.as_numpy("errors").tolist() == [b""] * 3


def test_triton_gets_the_outputs_that_it_requests(client, expected):
    outputs = [
        triton.InferRequestedOutput("scores", binary_data=False),
        triton.InferRequestedOutput("class_names", binary_data=True),
    ]
    answer = client.infer("digits", [make_input(FILES)], outputs=outputs)
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["scores", "class_names"]
    assert np.abs(answer.as_numpy("scores") - expected).max() <= 1e-6
    assert answer.as_numpy("class_names").shape == (3, 5)


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
def test_triton_gets_a_classification(client, expected, binary):
    output = triton.InferRequestedOutput("scores", binary_data=binary, class_count=3)
    rows = client.infer("digits", [make_input(FILES)], outputs=[output]).as_numpy("scores")
    assert rows.shape == (3, 3)
    for row, scores in zip(rows, expected, strict=True):
        text = [value.decode() if isinstance(value, bytes) else value for value in row]
        entries = [re.fullmatch(r"(0\.\d{6}):(\d):(\d)", value).groups() for value in text]
        assert [int(index) for _, index, _ in entries] == np.argsort(-scores)[:3].tolist()
        assert all(index == label for _, index, label in entries)
        assert [float(value) for value, _, _ in entries] == pytest.approx(sorted(scores)[:-4:-1], abs=2e-6)


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize(("model", "channels"), [("digits", 1), ("color", 3)])
def test_triton_classifies_pixels(client, classifiers, model, channels, binary):
    pixels = np.stack([make_scene(24, 36, seed=seed)[..., :channels] for seed in range(2)])
    tensor = triton.InferInput("images", pixels.shape, "UINT8").set_data_from_numpy(pixels, binary_data=binary)
    answer = client.infer(model, [tensor], model_version="1")
    assert np.abs(answer.as_numpy("scores") - classifiers[model].probabilities(pixels)).max() <= 1e-6


def test_triton_gets_the_reason_of_a_torn_file_beside_the_answers(client, expected):
    answer = client.infer("digits", [make_input([FILES[0], b"text", FILES[2]])])
    assert [bool(error) for error in answer.as_numpy("errors")] == [False, True, False]
    assert b"a text file" in answer.as_numpy("errors")[1]
    assert answer.as_numpy("class_names")[1].tolist() == [b""] * 5
    assert not answer.as_numpy("scores")[1].any()
    assert np.abs(answer.as_numpy("scores")[[0, 2]] - expected[[0, 2]]).max() <= 1e-6


def test_triton_raises_its_own_error_with_our_reason(client):
    def reason(call, *arguments, **options):
        with pytest.raises(InferenceServerException) as info:
            call(*arguments, **options)
        return f"{info.value.status()} {info.value.message()}"

    good = [make_input(FILES)]
    floats = triton.InferInput("images", [1, 8, 8, 1], "FP32").set_data_from_numpy(np.zeros((1, 8, 8, 1), "float32"))
    assert "404 There is no model 'digit'. Did you mean digits?" in reason(client.infer, "digit", good)
    assert "404 There is no model 'digit'" in reason(client.get_model_metadata, "digit")
    assert "404 digits has only version 1" in reason(client.infer, "digits", good, model_version="2")
    assert "400 The input is 'image_bytes'" in reason(client.infer, "digits", [make_input(FILES, name="input")])
    assert "400 The input is BYTES" in reason(client.infer, "digits", [floats])
    assert "422 Cannot read the image" in reason(client.infer, "digits", [make_input([b"text"])])
    outputs = [triton.InferRequestedOutput("score")]
    assert "Did you mean scores?" in reason(client.infer, "digits", good, outputs=outputs)
    assert "404 There is nothing at" in reason(client.load_model, "digits")


def test_triton_asks_without_waiting(server, expected):
    with triton.InferenceServerClient(server.address, concurrency=4) as client:
        requests = [client.async_infer("digits", [make_input([content])]) for content in FILES]
        scores = np.concatenate([request.get_result().as_numpy("scores") for request in requests])
    assert np.abs(scores - expected).max() <= 1e-6


# ---- Hugging Face


@pytest.mark.parametrize("path", ["", "/", "/models/lenet5"])
def test_hugging_face_classifies_with_a_base_url(one_model_server, expected, tmp_path, path):
    client = hub.InferenceClient(base_url=f"{one_model_server.url}{path}")
    file = tmp_path / "photo.jpg"
    file.write_bytes(FILES[0])
    best = np.argsort(-expected[0])
    for image in (FILES[0], file, str(file)):
        answer = client.image_classification(image)
        assert [entry.label for entry in answer] == [str(i) for i in best[:5]]
        assert [entry.score for entry in answer] == pytest.approx(expected[0][best[:5]].tolist(), abs=1e-6)
    assert len(client.image_classification(FILES[0], top_k=2)) == 2
    assert len(client.image_classification(file, top_k=100, function_to_apply="softmax")) == 10


def test_hugging_face_names_the_model_in_its_address(server, expected):
    client = hub.InferenceClient(model=f"{server.url}/models/digits", token="hf_secret")
    assert client.image_classification(FILES[1])[0].label == str(expected[1].argmax())
    answer = hub.InferenceClient().image_classification(FILES[1], model=f"{server.url}/models/digits", top_k=1)
    assert answer[0].label == str(expected[1].argmax())


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # of the client itself
def test_hugging_face_asks_asynchronously(server, expected):
    async def ask():
        async with hub.AsyncInferenceClient(base_url=f"{server.url}/models/digits") as client:
            return await asyncio.gather(*(client.image_classification(content) for content in FILES))

    labels = [answer[0].label for answer in asyncio.run(ask())]
    assert labels == [str(i) for i in expected.argmax(1)]


def test_hugging_face_raises_its_own_error(server):
    def status(image, path="/models/digits", **options):
        with pytest.raises(HfHubHTTPError) as info:
            hub.InferenceClient(base_url=f"{server.url}{path}").image_classification(image, **options)
        return info.value.response.status_code, str(info.value)

    assert status(FILES[0], "/models/digit")[0] == 404
    assert status(FILES[0], "")[0] == 400
    assert status(FILES[0], function_to_apply="sigmoid")[0] == 400
    code, text = status(b"text")
    assert code == 422
    assert "but a text file" in text


# ---- Starlette's test client


def test_starlette_test_client(classifiers, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that are older or newer than what Starlette prefers
        from starlette.testclient import TestClient
    app = cnnzoo.serve.create_app({"digits": classifiers["digits"]})
    with TestClient(app, base_url="http://localhost") as client:
        answer = client.post("/models/digits", content=FILES[0])
    assert answer.json()[0]["label"] == str(expected[0].argmax())
