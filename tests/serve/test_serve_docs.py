"""The description of the API and the page made of it: complete, true, and with commands that work as printed."""

import html
import json
import re
import shutil
import subprocess

import pytest
from helpers.image_files import encode, make_scene
from helpers.local_server import LocalServer
from helpers.pages import Page
from PIL import Image

from cnnzoo.serve.api_page import render_docs
from cnnzoo.serve.app import create_app
from cnnzoo.serve.operations import OPERATIONS, PIXEL

KEY = "a-secret-of-32-letters-and-more"
KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": int | float}


@pytest.fixture(scope="module")
def description(server):
    return server.get("/openapi.json").json()


def iter_operations(description):
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def check(value, schema, description, where="answer"):
    """Check a value against the parts of JSON Schema that the description uses."""
    if "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        errors = []
        for choice in schema["anyOf"]:
            try:
                return check(value, choice, description, where)
            except AssertionError as error:
                errors.append(str(error))
        raise AssertionError(f"{where}: {errors}")
    if schema.get("type") == "null":
        assert value is None, where
    elif "type" in schema:
        assert isinstance(value, KINDS[schema["type"]]), (where, value)
    if "enum" in schema:
        assert value in schema["enum"], where
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), (where, value)
    if isinstance(value, list):
        for item in value:
            check(item, schema.get("items", {}), description, f"{where}[]")
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= value.keys(), where
        for key, item in value.items():
            check(item, schema.get("properties", {}).get(key, {}), description, f"{where}.{key}")
    return None


def test_the_check_of_schemas_finds_faults():
    for value in ({}, {"error": 1}):
        with pytest.raises(AssertionError):
            check(
                value,
                {"$ref": "#/components/schemas/E"},
                {
                    "components": {
                        "schemas": {
                            "E": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
                        }
                    }
                },
            )


def test_every_route_is_described_once(description):
    routes = {(method, path) for method, path, _ in iter_operations(description)}
    assert {(method, path.replace("/versions/{version}", "")) for method, path in routes} == set(OPERATIONS)
    ids = [operation["operationId"] for _, _, operation in iter_operations(description)]
    assert len(set(ids)) == len(ids)
    for _, path, operation in iter_operations(description):
        assert operation["summary"]
        assert set(re.findall(r"{(\w+)}", path)) == {one["name"] for one in operation.get("parameters", [])}
        assert {"200", "400", "401", "403", "408", "413"} <= operation["responses"].keys()


def test_commands_name_a_model_where_there_are_several(classifiers, description):
    def command(described):
        return described["paths"]["/"]["post"]["x-codeSamples"][0]["source"].split()[1]

    assert command(description) == "ADDRESS/models/digits"
    assert command(create_app(classifiers["digits"]).openapi()) == "ADDRESS/"


def test_examples_are_what_the_schemas_allow(description):
    for method, path, operation in iter_operations(description):
        for part in (operation["responses"]["200"], operation.get("requestBody", {"content": {}})):
            for kind, content in part["content"].items():
                if "example" in content and path != "/v1/models/{name}/metadata":
                    check(content["example"], content["schema"], description, f"{method} {path} {kind}")


def test_examples_of_bodies_can_be_sent_as_they_are(server, description):
    for method, path, operation in iter_operations(description):
        example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        if example and path != "/":  # which is for servers of one model
            address = path.replace("{name}", "digits").replace("{version}", "1")
            answer = server.session.request(method, f"{server.url}{address}", json=example)
            assert answer.status_code == 200, (path, answer.text)


def test_names_of_models_are_listed(server, description):
    (name,) = description["paths"]["/v2/models/{name}"]["get"]["parameters"]
    form = description["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    names = list(server.app.state.server.models)
    assert name["schema"]["enum"] == form["properties"]["model"]["enum"] == names
    assert form["required"] == ["file", "model"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/", "GET, HEAD, POST"),
        ("/docs", "GET, HEAD"),
        ("/predict", "POST"),
        ("/v1/models/digits", "GET"),
        ("/v1/models/digits:predict", "POST"),
        ("/v1/models/digits/versions/1:predict", "POST"),
    ],
)
def test_another_method_is_refused_with_those_that_are_allowed(server, path, methods):
    answer = server.session.put(f"{server.url}{path}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, methods)
    assert answer.json() == {"error": f"This address takes {methods}. Received: PUT"}


@pytest.mark.parametrize("value", [False, 0, "", [1], 3])
def test_parameters_are_an_object_or_null(server, value):
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": [PIXEL]}
    answer = server.post("/v2/models/digits/infer", json={"inputs": [tensor], "parameters": value})
    assert (answer.status_code, answer.json()["error"].split(". ")[0]) == (400, '"parameters" must be a JSON object')
    assert server.post("/models/digits", json={"inputs": PIXEL, "parameters": value}).status_code == 400
    assert server.post("/models/digits", json={"inputs": PIXEL, "parameters": None}).status_code == 200


@pytest.mark.parametrize(
    ("value", "status"), [(None, 200), ("", 200), ("pixel", 400), (0, 400), (False, 400), ([], 400)]
)
def test_a_signature_is_a_name_or_null(server, value, status):
    answer = server.post("/v1/models/digits:predict", json={"instances": [{"b64": PIXEL}], "signature_name": value})
    assert answer.status_code == status


def test_keys_are_described_where_they_are_needed(classifiers):
    description = create_app(classifiers["digits-keras"], api_key=KEY).openapi()
    assert description["components"]["securitySchemes"].keys() == {"bearer", "header"}
    paths = description["paths"]
    assert "security" in paths["/predict"]["post"]
    assert "security" not in paths["/healthz"]["get"]


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("base64"), reason="needs curl and base64")
@pytest.mark.parametrize("key", ["", KEY])
def test_the_commands_of_the_page_work_as_printed(classifiers, description, key, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(encode(Image.fromarray(make_scene()), "JPEG"))
    with LocalServer(create_app({"my.net": classifiers["digits"]}, api_key=key)) as running:
        page = running.wait_until_ready().get("/docs").text
        commands = [
            html.unescape(re.sub("<[^>]*>", "", text))
            for text in re.findall(r"<pre><code>(.*?)</code></pre>", page, re.S)
        ]
        answers = {
            command: subprocess.run(
                ["sh", "-c", command.replace("curl", "curl -sS --fail-with-body", 1)],
                cwd=tmp_path,
                capture_output=True,
                env={"KEY": key, "PATH": "/usr/bin:/bin"},
                timeout=60,
            )
            for command in commands
        }
    assert len(commands) == len(OPERATIONS)
    for command, done in answers.items():
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    routes = [(method.lower(), path) for method, path in re.findall(r"<h3><code>(\w+) (\S+)</code></h3>", page)]
    for (method, path), command in zip(routes, commands, strict=True):
        answer = answers[command].stdout
        operation = description["paths"][path][method]
        if path == "/explain":
            with Image.open(tmp_path / "why.png") as picture:
                assert picture.size == (80, 60)
        elif path == "/docs" or (method, path) == ("get", "/"):
            assert answer.startswith(b"<!doctype html>")
        elif path == "/metrics":
            assert b'cnnzoo_images_total{model="my.net",result="answered"}' in answer
        else:
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            check(json.loads(answer), schema, description, f"{method} {path}")
            assert b'"errors": ""' in answer or b'"error"' not in answer or b'"error":null' in answer, answer


def test_the_page_is_one_file_and_open_to_all(classifiers):
    with LocalServer(create_app(classifiers["digits-keras"], api_key=KEY)) as running:
        answer = running.get("/docs")
    page = Page(answer.text)
    assert answer.status_code == 200
    assert "export KEY=" in page.text
    assert KEY not in answer.text
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for link in page.all("a"):
        assert link["href"] in ("./", "openapi.json") or link["href"][1:] in ids
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on") or key == "style"]
    assert "script-src 'sha256-" in answer.headers["content-security-policy"]


def test_an_odd_host_name_does_not_get_into_commands(classifiers):
    app = create_app(classifiers["digits-keras"], hosts=["*"])
    with LocalServer(app) as running:
        text = running.get("/docs", headers={"Host": "x;reboot"}).text
    assert "reboot" not in text
    assert "http://localhost:8080/predict" in text


def test_names_of_models_are_escaped(description):
    page = render_docs(json.loads(json.dumps(description).replace("digits", "<b>")), "http://localhost")
    assert "<b>" not in page
