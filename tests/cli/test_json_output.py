"""--json: stdout holds JSON and nothing else, under the keys that docs/command_line.md lists."""

import json
import re

import pytest
from helpers.image_files import write_class_folders
from helpers.paths import ROOT
from PIL import Image

import cnnzoo
from cnnzoo.cli.main import cli as command_group


def documented_keys(command):
    """Return the keys that the table "For scripts" names for a command."""
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    return set(re.findall(r"`(\w+)`", re.search(rf"^\| `{command}` \|(.*)$", page, re.M)[1])) - {"report", "doctor"}


def test_every_command_with_json_is_documented():
    commands = {
        name for name, command in command_group.commands.items() if any(p.name == "as_json" for p in command.params)
    }
    assert commands == {"list", "info", "predict", "merge", "evaluate", "compare", "benchmark", "doctor", "board"}
    assert all(documented_keys(name) for name in commands)


def test_list_and_info(cli):
    rows = json.loads(cli("list", "lenet*", "--json").out)
    assert [row["name"] for row in rows] == cnnzoo.list_models("lenet*")
    assert set(rows[0]) == documented_keys("list")
    details = json.loads(cli("info", "resnet18", "--json").out)
    own_keys = {"name", "family", "input_shape", "parameters", "multiply_adds", "weights"}
    assert {*details, *details["weights"][0]} == (documented_keys("info") | own_keys)
    assert sum(row["default"] for row in details["weights"]) == 1


def test_predict(cli, tmp_path, mnist):
    Image.fromarray(mnist["x_test"][0]).save(tmp_path / "7.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    command = ("predict", "lenet5:mnist", tmp_path / "7.png", tmp_path / "broken.png", tmp_path / "none.png")
    answer = cli(*command, "--json", "--top", 2, "--runtime", "keras")
    assert answer.code == 2
    good, broken, missing = map(json.loads, answer.out.splitlines())
    assert {*good, *good["classes"][0]} <= documented_keys("predict")
    assert good["classes"][0]["class"] == "7"
    assert good["error"] is None
    assert (broken["classes"], missing["classes"]) == ([], [])
    assert broken["error"]
    assert missing["error"]
    written = cli(*command, "--json", "--out", tmp_path / "answers.csv", "--runtime", "keras")
    summary = json.loads(written.out)
    assert (summary["images"], summary["errors"]) == (3, 2)
    assert set(summary) <= documented_keys("predict")


@pytest.mark.parametrize("command", [("doctor",), ("evaluate", "lenet5:mnist")])
def test_doctor_and_evaluate(cli, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "photos", {"0": 12, "1": 12})
    answer = cli(*command, "photos", "--json")
    assert answer.code == 0, answer.err
    assert documented_keys(command[0]) <= set(json.loads(answer.out))
