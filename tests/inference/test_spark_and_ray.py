"""The examples for Spark and Ray Data in the docs run as written, where these are installed."""

import re

import pytest
from helpers.paths import ROOT

PAGE = ROOT / "docs" / "large_archives.md"


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["ray", "pyspark"])
def test_example_of_the_docs_runs(framework, trained, photos, classifier, tmp_path, monkeypatch):
    pytest.importorskip(framework, reason=f"needs {framework}, which no extra installs")
    from pyarrow import parquet

    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    snippets = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    snippet = next(text for text in snippets if framework in text)
    for name, path in {
        "/models/a": trained.folder,
        "/data/photos/": photos / "b",
        "/data/answers": tmp_path / "a",
    }.items():
        assert f'"{name}"' in snippet
        snippet = snippet.replace(f'"{name}"', repr(str(path)))
    exec(compile(snippet, str(PAGE), "exec"), {"__name__": "__main__"})

    answers = {row["path"].rpartition("/")[2]: row["answer"] for row in parquet.read_table(tmp_path / "a").to_pylist()}
    expected = list(classifier.stream(photos / "b", top=1))
    assert len(answers) == len(expected) == 16
    assert sum(bool(prediction.error) for prediction in expected) == 1
    for prediction in expected:
        answer = answers[prediction.source.rpartition("/")[2]]
        assert answer == prediction.label if not prediction.error else "as an image" in answer
