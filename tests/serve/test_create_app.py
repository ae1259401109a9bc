"""The application of `create_app`: its models, and where it runs: alone, mounted, twice, before it is ready."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import asynccontextmanager

import pytest
import requests
from fastapi import FastAPI
from helpers.image_files import encode, make_scene
from helpers.local_server import LocalServer
from helpers.paths import ROOT
from PIL import Image

import cnnzoo
from cnnzoo.serve import create_app

PHOTO = encode(Image.fromarray(make_scene()), "PNG")
KEY = "a secret of 20 chars"


def ask(server, path):
    """Return the likeliest class of the photo."""
    answer = server.post(path, data=PHOTO)
    assert answer.status_code == 200, answer.text
    return answer.json()[0]["label"]


@pytest.fixture(scope="module")
def label(classifiers):
    return classifiers["digits"].predict(PHOTO)[0].label


# ---- Models


def test_models_may_be_classifiers_keras_models_paths_and_a_mapping(digits_model, digits_export, classifiers, label):
    def names(models, **options):
        app = create_app(models, **options)
        return {name: model.classifier.runtime for name, model in app.state.server.models.items()}

    assert names(classifiers["digits"]) == {"lenet5": "openvino"}
    assert names(digits_model, runtime="keras") == {"lenet5": "keras"}
    assert names(digits_export) == names(str(digits_export)) == {"lenet5": "openvino"}
    several = {"a": digits_model, "b": str(digits_export), "c.1": classifiers["digits-keras"]}
    assert names(several, runtime="openvino") == {"a": "openvino", "b": "openvino", "c.1": "keras"}


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({}, "No models"),
        (["runs/cats"], "Several models are given by their names"),
        ({"a/b": None}, "part of addresses"),
        ({"": None}, "part of addresses"),
        ({1: None}, "part of addresses"),
        ({"a": 5}, "a"),
        ("no/such/folder", "no/such/folder"),
    ],
)
def test_what_is_no_model_is_refused(models, words):
    with pytest.raises((cnnzoo.InputError, TypeError), match=words):
        create_app(models)


@pytest.mark.parametrize(
    "setting", [{"queue": 0}, {"deadline": 0}, {"deadline": "1"}, {"api_key": "short"}, {"origins": ["example.com"]}]
)
def test_settings_out_of_range_are_refused(classifiers, setting):
    with pytest.raises((cnnzoo.InputError, TypeError)):
        create_app(classifiers["digits"], **setting)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"limits": {"images": 16}}, "limits must be of cnnzoo.serve.Limits.*Received: {'images': 16}"),
        ({"hosts": "example.com"}, r"hosts must be a list of names, as in \['example.com'\]"),
        ({"origins": "https://example.com"}, r"origins must be a list of names, as in \['https://example.com'\]"),
        ({"access_log": "access.log"}, "access_log must be an open text file.*Received: 'access.log'"),
    ],
)
def test_settings_of_another_kind_are_refused_at_once(classifiers, setting, words):
    with pytest.raises(cnnzoo.InputError, match=words):
        create_app(classifiers["digits"], **setting)


# ---- Where it runs


def test_a_mounted_application_works_without_its_lifespan(classifiers, label):
    """Starlette runs the lifespan of the outer application alone; the server starts with the first request."""
    own = FastAPI()
    own.mount("/vision", create_app({"digits": classifiers["digits"]}, api_key=KEY))
    headers = {"X-API-Key": KEY}
    with LocalServer(own) as server:
        assert server.get("/vision/healthz").status_code == 200
        assert server.get("/vision/v1/models").status_code == 401
        assert server.get("/vision/readyz").status_code in (200, 503)
        answer = server.post("/vision/models/digits", data=PHOTO, headers=headers)
        assert answer.json()[0]["label"] == label
        assert server.post("/vision/", data=PHOTO, headers=headers).json()[0]["label"] == label
        missing = server.get("/vision/nothing", headers=headers)
        assert "/vision/docs lists all addresses" in missing.json()["error"]
        assert "/models/{name}" in server.get("/vision/openapi.json", headers=headers).json()["paths"]
        assert server.get("/nothing").json() == {"detail": "Not Found"}  # of the outer application
        metrics = server.get("/vision/metrics", headers=headers).text
        assert 'cnnzoo_images_total{model="digits",result="answered"} 2.0' in metrics


def test_an_outer_application_may_run_the_lifespan_of_a_mounted_one(classifiers, label):
    vision = create_app({"digits": classifiers["digits"]})

    @asynccontextmanager
    async def lifespan(app):
        async with vision.router.lifespan_context(vision):
            yield

    own = FastAPI(lifespan=lifespan)
    own.mount("/vision", vision)
    with LocalServer(own) as server:
        assert ask(server, "/vision/models/digits") == label
        assert vision.state.server.is_started
    assert not vision.state.server.is_started


def test_two_applications_in_a_process_share_nothing(classifiers, label):
    first = LocalServer(create_app({"a": classifiers["digits"]}))
    second = LocalServer(create_app({"b": classifiers["digits"]}, api_key=KEY))
    with first, second:
        assert ask(first, "/models/a") == label
        assert second.post("/models/b", data=PHOTO).status_code == 401
        assert first.post("/models/b", data=PHOTO).status_code == 404
        assert 'cnnzoo_images_total{model="a",result="answered"} 1.0' in first.get("/metrics").text
        assert "cnnzoo_images_total{" not in second.get("/metrics", headers={"X-API-Key": KEY}).text


def test_an_application_may_be_started_again(classifiers, label):
    app = create_app({"digits": classifiers["digits"]})
    for _ in range(2):
        with LocalServer(app) as server:
            assert ask(server.wait_until_ready(), "/models/digits") == label
    assert not app.state.server.is_started


def test_requests_without_any_server_work_in_an_event_loop_each(classifiers, label):
    """As the test client of Starlette does outside of a `with` block."""
    app = create_app({"digits": classifiers["digits"]})

    async def call():
        sent = []
        messages = [{"type": "http.request", "body": PHOTO, "more_body": False}]

        async def receive():
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/models/digits",
            "raw_path": b"/models/digits",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        await app(scope, receive, send)
        return sent

    for _ in range(2):
        start, body = asyncio.run(call())
        assert start["status"] == 200
        assert json.loads(body["body"])[0]["label"] == label
    asyncio.run(app.state.server.stop())


@pytest.mark.slow
def test_uvicorn_runs_it_from_a_module_without_tensorflow(digits_export, label, tmp_path):
    (tmp_path / "own.py").write_text(
        "import sys, cnnzoo.serve\n"
        f"app = cnnzoo.serve.create_app({str(digits_export)!r})\n"
        "@app.get('/modules')\n"
        "async def modules():\n"
        "    return sorted({name.partition('.')[0] for name in sys.modules})\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "uvicorn", "own:app", "--port", "0", "--log-level", "info"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = next(line.split()[-5] for line in process.stderr if "running on" in line)
            answer = requests.post(f"{address}/models/lenet5", data=PHOTO)
            assert answer.json()[0]["label"] == label
            for channels in (1, 2, 3, 4):  # Keras resizes what Pillow cannot
                body = {"instances": [[[[7] * channels] * 40] * 30]}
                status = requests.post(f"{address}/v1/models/lenet5:predict", json=body).status_code
                assert status == (200 if channels in (1, 3) else 422)
            modules = requests.get(f"{address}/modules").json()
        finally:
            process.terminate()
            process.stderr.read()
    assert "openvino" in modules
    assert {"tensorflow", "keras", "jax", "torch", "sklearn", "matplotlib", "pandas"}.isdisjoint(modules)


# ---- Before it is ready


def test_requests_wait_until_the_network_is_open(digits_export, label, monkeypatch):
    classifier = cnnzoo.load(digits_export)
    is_open, scores = threading.Event(), classifier.scores

    def scores_once_open(images):
        assert is_open.wait(60)
        return scores(images)

    monkeypatch.setattr(classifier, "scores", scores_once_open)
    with LocalServer(create_app({"digits": classifier})) as server:
        try:
            loading = server.get("/readyz")
            assert (loading.status_code, loading.json()) == (503, {"ready": False, "models": {"digits": "loading"}})
            assert server.get("/v2/health/ready").status_code == 503
            assert server.get("/v2/models/digits/ready").json() == {"name": "digits", "ready": False}
            assert server.get("/healthz").status_code == server.get("/v2/health/live").status_code == 200
            (status,) = server.get("/v1/models/digits").json()["model_version_status"]
            assert status["state"] == "LOADING"
            assert not server.get("/v1/models").json()["models"][0]["ready"]
            answers = []
            thread = threading.Thread(target=lambda: answers.append(ask(server, "/models/digits")))
            thread.start()
        finally:
            is_open.set()
        thread.join(60)
        assert answers == [label]
        server.wait_until_ready()
        assert server.get("/v2/health/ready").json() == {"ready": True}


def test_a_network_that_fails_is_reported_and_the_others_answer(digits_export, classifiers, label, monkeypatch):
    broken = cnnzoo.load(digits_export)

    def fail(images):
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(broken, "scores", fail)
    with LocalServer(create_app({"broken": broken, "good": classifiers["digits"]})) as server:
        assert ask(server, "/models/good") == label
        while server.get("/v1/models/good").json()["model_version_status"][0]["state"] != "AVAILABLE":
            threading.Event().wait(0.05)
        ready = server.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["models"]["good"] == "ready"
        assert ready.json()["models"]["broken"] == "broken cannot be served: the device is gone"
        (status,) = server.get("/v1/models/broken").json()["model_version_status"]
        assert status["state"] == "END"
        assert status["status"]["error_code"] == "UNKNOWN"
        assert "cannot be served" in status["status"]["error_message"]
        answer = server.post("/models/broken", data=PHOTO)
        assert answer.status_code == 503
        assert "cannot be served" in answer.json()["error"]


# ---- Metrics


def test_the_metrics_count_requests_images_and_batches(classifiers):
    with LocalServer(create_app({"digits": classifiers["digits"]})) as server:
        server.wait_until_ready()
        server.post("/predict", files=[("file", PHOTO), ("file", b"text")])
        server.post("/models/digits", data=b"text")
        server.get("/v1/models/nothing")
        answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    expected = {
        'cnnzoo_images_total{model="digits",result="answered"}': 1,
        'cnnzoo_images_total{model="digits",result="refused"}': 2,
        'cnnzoo_requests_total{method="POST",route="/predict",status="200"}': 1,
        'cnnzoo_requests_total{method="POST",route="/models/{name}",status="422"}': 1,
        'cnnzoo_requests_total{method="GET",route="/v1/models/{name}",status="404"}': 1,
        'cnnzoo_request_seconds_count{route="/predict"}': 1,
        'cnnzoo_batch_size_sum{model="digits"}': 1,
        'cnnzoo_decode_seconds_count{model="digits"}': 1,
        'cnnzoo_predict_seconds_count{model="digits"}': 1,
        'cnnzoo_waiting_images{model="digits"}': 0,
    }
    assert {name: float(lines[name]) for name in expected} == expected
