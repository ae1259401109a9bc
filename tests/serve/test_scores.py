"""Every protocol answers with the probabilities of `Classifier.predict`, for every kind of file, one or many."""

import json
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.image_files import broken_files, encode, make_scene
from helpers.image_kinds import image_kinds
from helpers.local_server import to_base64
from PIL import Image

MODELS = ("digits", "digits-keras", "color")
KINDS = {kind.name: kind.content for kind in image_kinds() if kind.levels is None}
TOLERANCE = 1e-6  # of a score that was computed in another batch


def ask_form(server, model, files):
    """Return the probabilities of all classes by their names, for each file, from the form."""
    form = [("file", (f"{i}", content)) for i, content in enumerate(files)]
    results = check(server.post("/predict", files=form, data={"model": model, "top": "10"}))["results"]
    assert [result["file"] for result in results] == [f"{i}" for i in range(len(files))]
    return [
        result["error"] or {find_index(entry["class"]): entry["probability"] for entry in result["classes"]}
        for result in results
    ]


def ask_tensorflow_rows(server, model, files):
    instances = [{"b64": to_base64(content)} for content in files]
    rows = check(server.post(f"/v1/models/{model}:predict", json={"instances": instances}))["predictions"]
    return [row["errors"] or name_scores(row["scores"]) for row in rows]


def ask_tensorflow_columns(server, model, files):
    inputs = {"image_bytes": [{"b64": to_base64(content)} for content in files]}
    columns = check(server.post(f"/v1/models/{model}/versions/1:predict", json={"inputs": inputs}))["outputs"]
    return [error or name_scores(row) for row, error in zip(columns["scores"], columns["errors"], strict=True)]


def ask_open_inference(server, model, files):
    data = [to_base64(content) for content in files]
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [len(files)], "data": data}
    return read_open_inference(server.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]}), len(files))


def ask_open_inference_binary(server, model, files):
    binary = b"".join(struct.pack("<I", len(content)) + content for content in files)
    tensor = {
        "name": "image_bytes",
        "datatype": "BYTES",
        "shape": [len(files)],
        "parameters": {"binary_data_size": len(binary)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = server.post(f"/v2/models/{model}/versions/1/infer", data=head + binary, headers=headers)
    return read_open_inference(answer, len(files))


def ask_hugging_face(server, model, files):
    return [read_labels(server.post(f"/models/{model}", data=content)) for content in files]


def ask_hugging_face_json(server, model, files):
    bodies = [{"inputs": to_base64(content), "parameters": {"top_k": 10}} for content in files]
    return [read_labels(server.post(f"/models/{model}", json=body)) for body in bodies]


def read_open_inference(answer, count):
    outputs = {output["name"]: output for output in check(answer)["outputs"]}
    scores = np.reshape(outputs["scores"]["data"], outputs["scores"]["shape"])
    assert outputs["errors"]["shape"] == [count]
    return [error or name_scores(row) for row, error in zip(scores, outputs["errors"]["data"], strict=True)]


def read_labels(answer):
    if answer.status_code == 422:
        return answer.json()["error"]
    return {find_index(entry["label"]): entry["score"] for entry in check(answer)}


def find_index(label):
    """Return the number of a class: the classes are "0" to "9", or "class 0" to "class 9"."""
    return int(label.removeprefix("class "))


def name_scores(scores):
    return dict(enumerate(scores))


def check(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


PROTOCOLS = (
    ask_form,
    ask_tensorflow_rows,
    ask_tensorflow_columns,
    ask_open_inference,
    ask_open_inference_binary,
)


@pytest.fixture(scope="module")
def expected(classifiers):
    """What `Classifier.predict` answers for each kind of file alone: a function of the model, computed once."""
    answers = {}

    def predict(model):
        if model not in answers:
            answers[model] = [predict_alone(classifiers[model], content) for content in KINDS.values()]
        return answers[model]

    return predict


def predict_alone(classifier, content):
    """Return the probabilities of all classes by their numbers."""
    (prediction,) = classifier.predict(content, top=10, verbose=False)
    return {find_index(label): score for label, score in zip(prediction.classes, prediction.probabilities, strict=True)}


def difference(answer, expected):
    assert isinstance(answer, dict), answer
    return max(abs(score - expected[label]) for label, score in answer.items())


@pytest.mark.parametrize("model", ["digits", "color"])
def test_every_kind_of_file_has_the_scores_of_predict_to_the_bit(server, expected, model):
    answers = dict(zip(KINDS, ask_hugging_face(server, model, KINDS.values()), strict=True))
    assert {len(answer) for answer in answers.values()} == {5}
    differences = {
        name: difference(answer, scores)
        for (name, answer), scores in zip(answers.items(), expected(model), strict=True)
    }
    assert {name: value for name, value in differences.items() if value} == {}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ask", PROTOCOLS, ids=lambda ask: ask.__name__)
def test_many_images_keep_their_order_and_their_scores(server, expected, ask, model):
    files = list(KINDS.values())
    answers = [answer for start in range(0, len(files), 64) for answer in ask(server, model, files[start : start + 64])]
    assert len(answers) == len(files)
    for answer, scores in zip(answers, expected(model), strict=True):
        assert len(answer) == 10
        assert difference(answer, scores) <= TOLERANCE


@pytest.mark.parametrize("ask", PROTOCOLS, ids=lambda ask: ask.__name__)
def test_concurrent_requests_have_the_scores_of_single_ones(server, expected, ask):
    files = list(KINDS.values())[:24]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: ask(server, "digits", [content])[0], files))
    for answer, scores in zip(answers, expected("digits"), strict=False):
        assert difference(answer, scores) <= TOLERANCE


@pytest.mark.filterwarnings("ignore")  # of Pillow, and of predict about files that cannot be read
@pytest.mark.parametrize("ask", (*PROTOCOLS, ask_hugging_face_json), ids=lambda ask: ask.__name__)
def test_a_torn_file_fails_alone_with_the_reason_of_predict(server, classifiers, ask):
    broken = broken_files()
    good = encode(Image.fromarray(make_scene()), "PNG")
    predictions = classifiers["digits"].predict([good, *broken.values()], top=10, verbose=False)
    files = [good, *broken.values(), good]
    if ask is ask_hugging_face_json:
        answers = [ask(server, "digits", [content])[0] for content in files]
    else:
        answers = ask(server, "digits", files)
    assert isinstance(answers[0], dict)
    assert difference(answers[0], answers[-1]) <= TOLERANCE
    expected = [prediction.error.replace("the bytes as an image", "the image") for prediction in predictions]
    assert answers[1:-1] == expected[1:]


@pytest.mark.parametrize("model", MODELS)
def test_pixels_have_the_scores_of_predict(server, classifiers, model):
    channels = classifiers[model].shape[2]
    pixels = np.stack([make_scene(40, 30, seed=seed)[..., :channels] for seed in range(3)])
    expected = classifiers[model].probabilities(pixels)
    rows = check(server.post(f"/v1/models/{model}:predict", json={"instances": pixels.tolist()}))["predictions"]
    assert np.abs([row["scores"] for row in rows] - expected).max() <= TOLERANCE
    tensor = {"name": "images", "datatype": "UINT8", "shape": list(pixels.shape)}
    for data in (pixels.tolist(), pixels.ravel().tolist()):
        answer = server.post(f"/v2/models/{model}/infer", json={"inputs": [{**tensor, "data": data}]})
        (scores,) = (output for output in check(answer)["outputs"] if output["name"] == "scores")
        assert np.abs(np.reshape(scores["data"], scores["shape"]) - expected).max() <= TOLERANCE
