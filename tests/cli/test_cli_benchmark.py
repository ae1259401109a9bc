"""The command that measures a model in every export format."""

import json
import shutil

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.quick_speeds import use_quick_speeds

import cnnzoo


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs/none",), "MODEL must be a run directory"),
        (("lenet5:digits", "--format", "onxx"), "Did you mean onnx?"),
        (("lenet5:digits", "--precision", "int4"), "Did you mean int8?"),
        (("lenet5:digits", "--margin", "5"), "for 5 points, write 0.05"),
        (("lenet5:digits", "--out", "page.pdf"), "--out must be a file that ends in .html, .json, .csv"),
        (("lenet5:digits", "--export-dir", "."), "--export-dir must be a new or an empty folder"),
        (("lenet5:digits", "no/photos"), "no/photos"),
    ],
)
def test_wrong_words_are_refused_at_once(cli, words, message):
    answer = cli("benchmark", *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


@pytest.fixture
def benchmarked(monkeypatch):
    """What the command measures, in place of measuring it."""
    received = []
    monkeypatch.setattr(cnnzoo, "benchmark", lambda model, data, **options: received.append(data) or "measured")
    return received


def test_the_data_of_a_run_is_found(cli, run, benchmarked):
    answer = cli("benchmark", run.folder, "--split", "validation")
    assert answer.code == 0, answer.err
    assert "so the splits of its training are used" in answer.out
    assert f"{len(benchmarked[0].validation)} validation images to compare on" in answer.out
    counts = {name: len(split) for name, split in benchmarked[0].splits.items()}
    assert counts == json.loads((run.folder / "run.json").read_text())["plan"]["data"]["images"]


@pytest.mark.parametrize("state", ["gone", "other", "unknown"])
def test_a_run_whose_data_is_gone_is_measured_without(state, cli, run, npz, benchmarked, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    assert record["source"] == str(npz)
    content = np.load(npz)
    np.savez(tmp_path / "other.npz", x=255 - content["x"], y=content["y"])
    sources = {"gone": {"source": str(tmp_path / "gone.npz")}, "other": {"source": str(tmp_path / "other.npz")}}
    record = {key: value for key, value in record.items() if key != "source"} | sources.get(state, {})
    (folder / "run.json").write_text(json.dumps(record))
    answer = cli("benchmark", folder)
    assert (answer.code, benchmarked) == (0, [None]), answer.err
    reason = {"gone": "is no longer at", "other": "no longer holds the images", "unknown": "does not say where"}[state]
    assert reason in answer.err
    assert "so accuracy is not measured and int8 is left out: name DATA" in answer.err


@pytest.mark.slow
def test_json_of_a_run_and_its_own_data(cli, run, tmp_path):
    options = ("--format", "litert", "--precision", "float32", "--json", "--out", tmp_path / "benchmark.html")
    with use_quick_speeds():
        answer = cli("benchmark", run.folder, *options)
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    documented = next(line for line in page.splitlines() if line.startswith("| `benchmark` |"))
    assert all(f"`{key}`" in documented for key in result)
    report = json.loads((run.folder / "report.json").read_text())
    assert [row["accuracy"] for row in result["rows"]] == [report["metrics"]["accuracy"]] * 2
    assert result["images"] == report["metrics"]["images"]
    assert "Time of one image" in (tmp_path / "benchmark.html").read_text()
