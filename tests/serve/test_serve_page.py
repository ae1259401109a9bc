"""The page for people as bytes: complete, valid, without addresses, and allowed by its own policy alone."""

import re

import pytest
from helpers.local_server import LocalServer
from helpers.pages import Page

import cnnzoo
from cnnzoo.serve.app import create_app
from cnnzoo.serve.page import FOLDER, make_policy, render_people_page

KEY = "a-secret-of-32-letters-and-more"


@pytest.fixture(scope="module")
def client():
    model = cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="digits"), runtime="keras")
    with LocalServer(create_app(model, api_key=KEY)) as client:
        yield client.wait_until_ready()


def test_the_page_is_one_file_that_loads_nothing_else(client):
    answer = client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(answer.text)
    assert not re.findall(r"(?:https?:)?//[a-z0-9.]+\.[a-z]{2,}", answer.text)
    assert not {"iframe", "object", "base", "img"} & {name for name, _ in page.tags}
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on") or key == "style"]
    assert {link["href"] for link in page.all("a")} == {"#main", "docs"}, "relative, for applications that mount it"
    assert page.scripts == [(FOLDER / "classify.js").read_text(encoding="utf-8")]
    assert not re.search("innerHTML|outerHTML|insertAdjacent|document.write|eval|javascript:", page.scripts[0])


def test_the_policy_allows_the_script_and_the_style_by_their_hashes_and_this_server_alone(client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("script-src").startswith("'sha256-")
    assert rules.pop("style-src").startswith("'sha256-")
    assert rules == {
        "default-src": "'none'",
        "img-src": "data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert policy != make_policy(answer.text.replace("use strict", "use strict "))
    assert not [meta for meta in Page(answer.text).all("meta") if "http-equiv" in meta], "it would need the same hashes"


def test_the_page_is_open_and_the_same_for_all_and_its_data_need_the_key(client):
    assert client.get("/").text == render_people_page()
    assert client.session.head(f"{client.url}/").status_code == 200
    assert client.get("/v1/models").status_code == 401
    assert client.post("/", data=b"").status_code == 401, "which classifies an image"
    assert client.get("/v1/models", headers={"X-API-Key": KEY}).status_code == 200


def test_everything_that_a_person_uses_has_a_name(client):
    page = Page(client.get("/").text)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    labels = {label.get("for") for label in page.all("label")}
    for field in page.all("input"):
        assert field["id"] in labels or field["aria-label"]
    for section in page.all("section"):
        assert section.get("aria-label") or section["aria-labelledby"] in ids
    assert all(button.get("type") == "button" for button in page.all("button")[1:]), "the first one sends the key"
    assert page.all("p")[[p.get("id") for p in page.all("p")].index("status")]["role"] == "status"
    assert "capture" in page.all("input")[2]
    assert "multiple" in page.all("input")[1]


def test_the_models_come_with_what_the_page_says_about_them(client):
    answer = client.get("/v1/models", headers={"X-API-Key": KEY}).json()
    assert answer["limits"] == {
        "images": 64,
        "image_bytes": 20_000_000,
        "request_bytes": 100_000_000,
        "pixels": 50_000_000,
    }
    (model,) = answer["models"]
    assert model["classes"] == [str(i) for i in range(10)]
    assert model["explanation"] == {"method": "gradcam", "predictions": 3}
    facts = model["facts"]
    assert facts["license"] == "Apache-2.0"
    assert facts["accuracy"] == "98.89 % on scikit-learn's digits, 360 held out"
    assert facts["intended use"].startswith("Images of one of its 10 classes, like those of its training (1,257 images")


def test_the_accuracy_of_a_run_has_its_interval(trained):
    model = cnnzoo.Classifier.of(trained.model, runtime="keras")
    with LocalServer(create_app({"run": model}, queue=8)) as client:
        answer = client.get("/v1/models").json()
    accuracy = answer["models"][0]["facts"]["accuracy"]
    assert re.fullmatch(r"\d+ % on \d+ images of .*, test; 95 % interval \d+ to \d+ %", accuracy), accuracy
    assert answer["limits"]["images"] == 8, "a larger group would never fit into the queue"


@pytest.mark.parametrize(
    "figures", ["text", {"accuracy": "1"}, {"accuracy": 0.5, "images": "x"}, {"accuracy": 7.0, "images": 3}]
)
def test_figures_that_someone_has_edited_are_left_out(figures):
    from cnnzoo.serve.model_facts import describe_accuracy

    assert describe_accuracy(cnnzoo.Card("net", training={"evaluation": figures})) == ""
