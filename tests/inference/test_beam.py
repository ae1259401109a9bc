"""Files in Apache Beam pipelines, on its DirectRunner. `make test-beam` installs Beam in an environment of its own."""

import re

import pytest
from helpers.paths import ROOT

import cnnzoo

beam = pytest.importorskip("apache_beam", reason="needs the extra beam: make test-beam")

from apache_beam.io.fileio import MatchFiles, ReadMatches

from cnnzoo.inference.beam import ClassifierHandler, Predict, prediction_columns

TORN, EMPTY = "torn.png", "empty.png"


@pytest.fixture(scope="module")
def files(photos, tmp_path_factory):
    """A folder of images, of which one is torn, one is empty and one is no image."""
    folder = tmp_path_factory.mktemp("beam")
    for path in photos.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            (folder / path.name).write_bytes(path.read_bytes())
    content = (folder / "0.png").read_bytes()
    (folder / TORN).write_bytes(content[: len(content) // 2])
    (folder / EMPTY).touch()
    return folder


def run(tmp_path, make_files, transform):
    """Return the rows of a pipeline, by the names of their files."""
    from apache_beam.io import WriteToText

    out = tmp_path / "rows.txt"
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        rows = pipeline | make_files | transform
        rows | beam.Map(repr) | WriteToText(str(out))
    lines = [line for part in tmp_path.glob("rows.txt-*") for line in part.read_text().splitlines()]
    rows = [eval(line) for line in lines]
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row for row in rows}


def test_rows_are_those_of_the_classifier(classifier, trained, files, tmp_path):
    matches = MatchFiles(str(files / "*")) | ReadMatches()
    rows = run(tmp_path, matches, Predict(trained.folder, top=2, min_probability=0.5, max_batch_size=8))
    expected = list(classifier.stream(str(files), top=2, min_probability=0.5))
    assert rows.keys() == {prediction.source for prediction in expected}
    assert sum(bool(row["error"]) for row in rows.values()) == 3
    for prediction in expected:
        row = rows[prediction.source]
        assert list(row) == prediction_columns(2, marks_unsure=True)
        if prediction.error:
            assert (row["class_1"], row["unsure"]) == (None, None)
            continue
        assert (row["class_1"], row["class_2"]) == prediction.classes
        assert (row["probability_1"], row["probability_2"]) == pytest.approx(prediction.probabilities, abs=1e-6)
        assert row["unsure"] == prediction.unsure
    assert "is truncated" in rows[str(files / TORN)]["error"]
    assert "is empty" in rows[str(files / EMPTY)]["error"]


def test_names_of_files_and_classifiers_in_memory(trained, files, tmp_path):
    names = [str(files / "0.png"), str(files / "gone.png"), str(files)]
    rows = run(tmp_path, beam.Create(names), Predict(cnnzoo.Classifier.of(trained.model), top=1))
    assert rows.keys() == set(names)
    assert rows[names[0]]["class_1"]
    assert "No such file" in rows[names[1]]["error"]
    assert "Is a directory" in rows[names[2]]["error"]


def test_columns_are_those_of_parquet_files(classifier, files, tmp_path):
    from pyarrow import parquet

    classifier.predict_to(tmp_path / "a.parquet", files / "0.png", top=2, verbose=False)
    assert Predict("runs/a", top=2).arrow_schema().equals(parquet.read_schema(next((tmp_path / "a.parquet").iterdir())))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gs://bucket/model.keras",), "must be at a path of the workers' own disks"),
        ((7,), "The model must be the path of a run directory.* Received: 7"),
        (("runs/a", 0), "top must be a whole number"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        Predict(*arguments)


def test_options_reach_the_handler():
    predict = Predict("runs/a", max_batch_size=7, large_model=True)
    assert predict.handler.share_model_across_processes()
    assert predict.handler.batch_elements_kwargs()["max_batch_size"] == 7
    with pytest.raises(cnnzoo.InputError, match="Did you mean .*max_batch_size.*Received: 'batch_size'"):
        Predict("runs/a", batch_size=3)


def test_a_model_that_the_worker_lacks_is_named(tmp_path):
    with pytest.raises(cnnzoo.InputError, match="there is none at"):
        ClassifierHandler(tmp_path / "gone.keras").load_model()


def test_the_pipeline_of_the_docs_runs(trained, files, tmp_path, monkeypatch):
    page = (ROOT / "docs" / "large_archives.md").read_text(encoding="utf-8")
    snippet = next(text for text in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "beam" in text)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(trained.folder)
    (tmp_path / "photos").symlink_to(files)
    exec(compile(snippet, "docs/large_archives.md", "exec"), {"__name__": "__main__"})
    from pyarrow import parquet

    rows = parquet.read_table(next(tmp_path.glob("answers*.parquet"))).to_pylist()
    assert {row["path"] for row in rows} == {f"photos/{path.name}" for path in files.iterdir()}
