"""docs/serving.md: its commands work as printed, and its tables list what there is."""

import json
import re
import subprocess
from dataclasses import fields

import numpy as np
import pytest
from helpers.local_server import LocalServer
from helpers.paths import ROOT
from PIL import Image

import cnnzoo
from cnnzoo.serve.metrics import Metrics

PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
CURLS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
    for line in re.split(r"\n(?=curl)", block.rstrip())
    if line.startswith("curl")
]


def table_after(heading):
    """The cells of the first table in a section."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\|(.+)\|$", section, re.M)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


@pytest.fixture(scope="module")
def address(digits_export):
    with LocalServer(cnnzoo.serve.create_app({"digits": digits_export})) as server:
        yield server.wait_until_ready().url


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two scans of digits."""
    folder = tmp_path_factory.mktemp("scans")
    images = cnnzoo.load_data("digits").test.images[:2]
    for name, pixels in zip(("photo", "other"), np.squeeze(images), strict=True):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_page_has_a_command_for_each_route():
    assert len(CURLS) >= 10
    text = "\n".join(CURLS)
    for path in ("/predict", "/explain", "/v1/models", "/v1/models/digits:predict", "/v2/models/digits/infer"):
        assert f"{ADDRESS}{path}" in text
    assert f"{ADDRESS}/models/digits" in text


@pytest.mark.parametrize("command", CURLS, ids=lambda command: re.search(rf"{ADDRESS}(\S+)", command)[1])
def test_commands_work_as_printed(command, address, folder):
    script = command.replace(ADDRESS, address).replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert json.loads(done.stdout)


def test_form_answers_as_printed(address, folder):
    """The answer on the page has the keys of a real one."""
    printed = json.loads(re.search(r"^```json\n(.*?)^```", PAGE, re.M | re.S)[1])
    command = CURLS[0].replace(ADDRESS, address)
    answer = json.loads(subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True).stdout)

    def keys(value):
        if isinstance(value, dict):
            return {name: keys(inner) for name, inner in value.items()}
        return [keys(inner) for inner in value] if isinstance(value, list) else None

    assert keys(answer) == keys(printed)


def test_limits_are_those_of_the_class():
    limits = {field.name: field.default for field in fields(cnnzoo.serve.Limits)}
    table = {name.strip("`"): float(default.replace(",", "")) for name, default, _ in table_after("Limits")}
    assert table == limits


def test_metrics_are_those_of_the_server():
    metrics = {}
    for family in Metrics().registry.collect():
        if family.name.startswith("cnnzoo_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            metrics[name] = family.type
    assert {name.strip("`"): kind for name, kind, _, _ in table_after("Logs and metrics")} == metrics


def test_files_to_deploy_are_those_in_the_folder():
    names = {name.strip("`") for name, _ in table_after("Deployment")}
    assert names == {file.name for file in (ROOT / "examples" / "deploy").iterdir()} - {"Dockerfile.dockerignore"}
