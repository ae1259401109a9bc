"""Heat maps over HTTP: they equal those of `cnnzoo.explain`, and wait for nobody but each other."""

import base64
import io
import threading

import numpy as np
import pytest
from helpers.image_files import encode
from helpers.local_server import LocalServer
from PIL import Image

import cnnzoo
from cnnzoo.serve.app import create_app
from cnnzoo.serve.explanations import CELLS, MAX_SIDE, make_explainer


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The same network as a Keras model and as an export."""
    model = cnnzoo.get("lenet5", weights="digits")
    folder = tmp_path_factory.mktemp("served") / "export"
    cnnzoo.export(model, folder, "onnx", verbose=False)
    return {"keras": cnnzoo.Classifier.of(model, runtime="keras"), "export": cnnzoo.load(folder)}


@pytest.fixture(scope="module")
def app(models):
    return create_app(models, limits=cnnzoo.serve.Limits(explanations=1, image_bytes=100_000))


@pytest.fixture(scope="module")
def client(app):
    with LocalServer(app) as client:
        yield client.wait_until_ready()


@pytest.fixture(scope="module")
def digit():
    return encode_array(cnnzoo.load_data("digits").test.images[0, ..., 0])


def encode_array(pixels):
    return encode(Image.fromarray(pixels.astype("uint8")), "PNG")


def ask(client, content, accept="application/json", **fields):
    return client.post("/explain", files={"file": ("a.png", content)}, data=fields, headers={"Accept": accept})


def read_picture(answer):
    kind, _, encoded = answer["overlay"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def test_a_keras_model_gets_the_map_of_explain(client, models, digit):
    answer = ask(client, digit, model="keras").json()
    (expected,) = cnnzoo.explain(models["keras"], [digit], verbose=False)
    assert answer["method"] == expected.method == "gradcam"
    assert (answer["model"], answer["target"], answer["layer"]) == ("keras", expected.target, expected.layer)
    assert answer["score"] == pytest.approx(expected.score, abs=1e-6)
    assert answer["evidence"] is True
    assert np.abs(read_picture(answer).astype(int) - np.asarray(expected.overlay())).max() <= 1


def test_an_export_gets_a_map_of_occlusion_in_fewer_cells(client, models, digit):
    answer = ask(client, digit, model="export", target="7").json()
    explainer = make_explainer(models["export"])
    assert (answer["method"], answer["layer"], answer["target"]) == ("occlusion", None, "7")
    assert answer["score"] == pytest.approx(
        float(models["export"].probabilities(np.asarray(Image.open(io.BytesIO(digit)))[None, ..., None])[0][7]),
        abs=1e-6,
    )
    assert explainer.occlusion_cells == CELLS
    assert read_picture(answer).shape == (8, 8, 3)


def test_the_map_lies_where_that_of_the_original_lies_although_the_picture_is_smaller(client, models):
    pixels = np.zeros((900, 1600, 3), "uint8")
    pixels[300:600, 700:900] = 255
    content = encode_array(pixels)
    answer = ask(client, content, "image/png", model="keras")
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (MAX_SIDE, MAX_SIDE * 900 // 1600)
    (expected,) = cnnzoo.explain(models["keras"], [content], verbose=False)
    expected = expected.overlay().resize(picture.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(expected)).mean() < 2


@pytest.mark.parametrize(
    ("fields", "content", "status", "words"),
    [
        ({}, b"", 400, "several models"),
        ({"model": "keras", "target": "no"}, b"", 400, "Unknown class"),
        ({"model": "keras"}, b"text", 422, "Cannot read the image"),
        ({"model": "keras"}, b"", 422, "an empty file"),
        ({"model": "keras"}, bytes(100_001), 422, "larger than the 100,000"),
        ({"model": "other"}, b"", 404, "There is no model"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_its_reason(client, fields, content, status, words):
    answer = ask(client, content, **fields)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert str(client.app.state.server.explanations.waiting) == "0"


def test_two_photos_are_refused(client, digit):
    answer = client.post("/explain", files=[("a", ("a", digit)), ("b", ("b", digit))], data={"model": "keras"})
    assert (answer.status_code, answer.json()["error"]) == (400, "A heat map is made of one photo. Received: 2 files")


def test_a_full_queue_sheds_and_predictions_go_on_meanwhile(client, app, digit, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    explainer = make_explainer(app.state.server.models["export"].classifier)
    explain = explainer.explain

    def wait(photos, targets):
        begun.set()
        assert go_on.wait(60)
        yield from explain(photos, targets)

    monkeypatch.setattr(explainer, "explain", wait)
    monkeypatch.setitem(app.state.server.explanations._explainers, "export", explainer)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask(client, digit, model="export")))
    thread.start()
    assert begun.wait(60)
    shed = ask(client, digit, model="keras")
    assert (shed.status_code, shed.headers["retry-after"]) == (503, "5")
    assert "1 heat maps are waiting" in shed.json()["error"]
    predicted = client.post("/predict", files={"file": digit}, data={"model": "export"})
    assert predicted.json()["results"][0]["classes"][0]["class"] == "4"
    go_on.set()
    thread.join(60)
    assert answers[0].status_code == 200


def test_a_map_that_takes_too_long_is_given_up(models, digit):
    app = create_app(models, limits=cnnzoo.serve.Limits(explanation_seconds=1e-4))
    with LocalServer(app) as client:
        answer = ask(client, digit, model="export")
    assert (answer.status_code, answer.json()["error"]) == (504, "The heat map was not ready within 0.0001 seconds")
    assert app.state.server.explanations.waiting == 0
