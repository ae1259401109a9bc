"""benchmark: every export is a row with measurements or a reason, and the rule of the recommendation."""

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers.pages import Page

import cnnzoo
from cnnzoo.core.errors import InputError
from cnnzoo.evaluation.evaluations import read_evaluations
from cnnzoo.evaluation.report import Report
from cnnzoo.export import speed
from cnnzoo.export.benchmark import EXPORT_PRECISIONS, find_model_file
from cnnzoo.export.benchmark_result import Benchmark, BenchmarkRow
from cnnzoo.export.speed import Speed, measure_in_process, peak_memory
from cnnzoo.runtimes.choose import FORMATS

COUNT = 1000


def make_report(wrong):
    """Return a report of a thousand images, of which those in `wrong` are classified wrong."""
    labels = np.arange(COUNT) % 2
    answers = labels.copy()
    answers[list(wrong)] ^= 1
    names = np.array([f"{i}.png" for i in range(COUNT)])
    images = np.zeros((COUNT, 2, 2, 1), "uint8")
    return Report("net", "data", "test", ("a", "b"), names, labels, np.eye(2)[answers] * 0.8 + 0.1, images)


def make_row(format, milliseconds, size, wrong=range(20), precision="float32"):
    report = make_report(wrong)
    comparison = cnnzoo.compare(make_report(range(20)), report, margin=0.01)
    measured = Speed(milliseconds, 2 * milliseconds, 10, 1000 / milliseconds, 1, 10**8, "onnxruntime")
    return BenchmarkRow(format, precision, size, report.accuracy, comparison, measured)


MODEL = BenchmarkRow("keras", "float32", 1000, 0.98, None, Speed(10.0, 11.0, 10, 100.0, 1, 10**9, "keras"))
SLOW, FAST = make_row("onnx", 4.0, 900), make_row("openvino", 2.0, 800)
SMALLER = make_row("litert", 2.05, 200)
BAD = make_row("litert", 0.5, 100, range(60), "int8")
BROKEN = BenchmarkRow("saved_model", "float32", reason="tf2onnx <b> is not installed")


def make_benchmark(*rows):
    return Benchmark("net", (MODEL, *rows), 0.01, "test", COUNT, "data")


def test_the_fastest_that_is_no_worse_is_recommended():
    assert make_benchmark(SLOW, FAST, BROKEN).recommended is FAST
    assert make_benchmark(SLOW, FAST, SMALLER).recommended is SMALLER, "as fast within 5 %, and smaller"
    assert make_benchmark(SLOW, BAD).recommended is SLOW, "the other loses four points"
    text = make_benchmark(SLOW, BAD, FAST).recommendation
    assert text.startswith("Use openvino in float32: one image takes 2.0 ms, 5.0 times as fast as Keras")
    assert "Its accuracy is 98.0 %, +0.0 points" in text
    assert "The rule: the shortest time for one image" in text


def test_nothing_is_recommended_without_evidence():
    benchmark = make_benchmark(BAD, BROKEN)
    assert benchmark.recommended is None
    assert benchmark.recommendation.startswith("No export is recommended")
    assert "no export recommended" in benchmark.to_html()
    assert "0 ms" not in str(benchmark).splitlines()[-1]


def test_an_export_that_makes_no_other_mistake_needs_no_thousand_images():
    """Of 40 images, no test shows a margin of a hundredth; equal predictions are evidence enough."""
    few = [replace_images(make_report(()), 40) for _ in range(2)]
    comparison = cnnzoo.compare(*few, margin=0.01)
    assert not comparison.is_noninferior
    assert replace(FAST, comparison=comparison).is_acceptable


def replace_images(report, count):
    fields = ("names", "labels", "probabilities", "images")
    return replace(report, **{name: getattr(report, name)[:count] for name in fields})


def test_a_row_that_failed_is_shown_with_its_reason(tmp_path):
    benchmark = make_benchmark(FAST, BROKEN)
    for text in (str(benchmark), benchmark.to_json(), benchmark.to_csv()):
        assert "tf2onnx <b> is not installed" in text
    page, summary = benchmark.to_html(), benchmark._repr_html_()
    assert "tf2onnx &lt;b&gt; is not installed" in page
    assert "tf2onnx &lt;b&gt; is not installed" in summary
    assert "openvino" in Page(page).text
    for name in ("benchmark.html", "benchmark.csv", "benchmark.json"):
        benchmark.save(tmp_path / name)
    rows = list(csv.DictReader((tmp_path / "benchmark.csv").read_text().splitlines()))
    assert [row["format"] for row in rows] == ["keras", "openvino", "saved_model"]
    assert float(rows[1]["median_ms"]) == 2
    assert json.loads((tmp_path / "benchmark.json").read_text()) == benchmark.to_dict()
    with pytest.raises(InputError, match=r"must be a file that ends in .html, .json, .csv"):
        benchmark.save(tmp_path / "benchmark.txt")


def test_memory_of_this_process_is_known():
    assert peak_memory() > 10**7


def test_what_fails_in_the_process_is_told(tmp_path):
    with pytest.raises(InputError, match="nothing"):
        measure_in_process(tmp_path / "nothing", "auto")


def test_a_process_that_says_nothing_is_told(tmp_path, monkeypatch):
    """As where a library of a runtime ends the process."""
    monkeypatch.setattr(sys, "executable", "true")
    with pytest.raises(InputError, match="the measured speed cannot be read"):
        measure_in_process(tmp_path / "nothing", "auto")


def test_all_precisions_of_the_formats_are_offered():
    assert EXPORT_PRECISIONS == ("float32", "float16", "int8")
    assert {name for row in FORMATS.values() for name in row.precisions} == set(EXPORT_PRECISIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"formats": "onxx"}, "Unknown format. Did you mean onnx?"),
        ({"formats": []}, "formats must be one or several of"),
        ({"precisions": ("int4",)}, "Unknown precision. Did you mean int8?"),
        ({"formats": "onnx", "precisions": "float16"}, "onnx cannot be exported in float16"),
        ({"margin": 1.5}, "margin must be a share"),
        ({"split": "tests"}, "Unknown split. Did you mean test?"),
        ({"export_dir": "."}, r"export_dir \(--export-dir\) must be a new or an empty folder"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_opened(arguments, message, data):
    with pytest.raises(InputError, match=message):
        cnnzoo.benchmark("no/such/model", data, **arguments)


def test_what_is_no_model_is_refused(tmp_path, data):
    with pytest.raises(InputError, match="model must be a Keras model"):
        cnnzoo.benchmark(3)
    with pytest.raises(InputError, match="data must come from cnnzoo.load_data"):
        cnnzoo.benchmark("runs/a", "photos/")


def test_the_model_of_a_search_is_that_of_its_best_run(tmp_path):
    winner = tmp_path / "final" / "0" / "run"
    winner.mkdir(parents=True)
    (winner / "model.keras").write_bytes(b"")
    (winner / "run.json").write_text('{"status": "done"}')
    (tmp_path / "run.json").write_text('{"status": "done", "winner": "final/0/run"}')
    assert find_model_file(tmp_path) == find_model_file(winner) == winner / "model.keras"
    assert find_model_file(winner / "model.keras") == winner / "model.keras"


@pytest.mark.slow
def test_exports_are_measured(trained, data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        FORMATS["openvino"].__class__, "writer_modules", ("a_module_that_is_not_installed",)
    )  # a real reason
    monkeypatch.setattr(speed, "BATCH_SECONDS", 0.02)
    evaluations = len(read_evaluations(trained.folder))
    result = cnnzoo.benchmark(
        trained.folder,
        data,
        formats=("litert", "openvino"),
        precisions=("float32", "int8"),
        export_dir=tmp_path / "exports",
        margin=0.2,
        verbose=False,
    )
    assert len(read_evaluations(trained.folder)) == evaluations + 1  # of the run itself
    rows = {(row.format, row.precision): row for row in result.rows}
    assert list(rows) == [("keras", "float32")] + [(f, p) for f in ("openvino", "litert") for p in ("float32", "int8")]
    assert "a_module_that_is_not_installed" in rows["openvino", "float32"].reason
    for key in (("litert", "float32"), ("litert", "int8")):
        row = rows[key]
        assert not row.reason
        assert row.accuracy == cnnzoo.evaluate(row.path, data, verbose=False).accuracy
        assert 0 < row.speed.median_ms <= row.speed.p95_ms
        assert row.speed.images_per_second > 0
        assert row.speed.runtime == "litert"
        assert row.speed.memory_bytes > 10**7
    # TensorFlow is in the memory of the model's process, and not in those of the exports.
    assert rows["keras", "float32"].speed.memory_bytes > 2 * rows["litert", "float32"].speed.memory_bytes
    assert rows["litert", "int8"].size < rows["litert", "float32"].size
    assert len(rows["litert", "float32"].comparison.losses) == 0
    assert result.recommended.format == "litert"
    assert (tmp_path / "exports" / "litert-int8" / "cnnzoo.json").exists()
    assert rows["keras", "float32"].accuracy == trained.report.accuracy
