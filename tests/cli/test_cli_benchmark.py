"""The command that measures a model in every export format."""

import json

import pytest
from helpers.paths import ROOT
from helpers.quick_speeds import use_quick_speeds


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


@pytest.mark.slow
def test_json_of_a_run_and_its_own_data(cli, run, npz, tmp_path):
    options = ("--format", "litert", "--precision", "float32", "--json", "--out", tmp_path / "benchmark.html")
    with use_quick_speeds():
        answer = cli("benchmark", run.folder, npz, *options)
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    documented = next(line for line in page.splitlines() if line.startswith("| `benchmark` |"))
    assert all(f"`{key}`" in documented for key in result)
    report = json.loads((run.folder / "report.json").read_text())
    assert [row["accuracy"] for row in result["rows"]] == [report["metrics"]["accuracy"]] * 2
    assert result["images"] == report["metrics"]["images"]
    assert "Time of one image" in (tmp_path / "benchmark.html").read_text()
