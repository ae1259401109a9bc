"""Text files and tables of paths in the place of images."""

import json

import pytest

import cnnzoo
from cnnzoo.inference.inputs import count_images, is_single_image, iter_images

NAMES = ["b/0.png", "a/1.png", "b/7 über.jpg", "gone.png"]


@pytest.fixture(params=["txt", "csv", "bare.csv", "tsv", "jsonl", "parquet"])
def path_list(request, photos, tmp_path):
    """A list of four images in a folder of its own: relative to that of the photos, which is the current one."""
    path, kind = tmp_path / f"list.{request.param}", request.param.rpartition(".")[2]
    if kind == "parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.table({"label": ["x"] * 4, "path": NAMES}), path)
        return path
    lines = {
        "txt": [*NAMES[:2], "", *NAMES[2:]],
        "csv": NAMES if "bare" in request.param else ["label,path", *(f'x,"{name}"' for name in NAMES)],
        "tsv": ["Image\tlabel", *(f"{name}\tx" for name in NAMES)],
        "jsonl": [json.dumps({"label": "x", "file": name}, ensure_ascii=False) for name in NAMES],
    }[kind]
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


def test_listed_images_are_classified(classifier, photos, path_list, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    assert [name for name, _ in iter_images(path_list)] == NAMES
    assert count_images([path_list, "a"], verbose=False) == 4 + 15
    assert not is_single_image(path_list)
    with pytest.warns(UserWarning, match="2 of 4 images cannot be read"):
        predictions = classifier.predict(str(path_list), verbose=False)
    assert [bool(prediction.error) for prediction in predictions] == [False, False, True, True]
    for number in (1, 2):
        classifier.predict_to(tmp_path / "answers.csv", path_list, shard=(number, 2), verbose=False)
    assert cnnzoo.merge_predictions(tmp_path / "answers.csv").errors == 2


def test_paths_are_relative_to_the_list(photos, tmp_path):
    (tmp_path / "list.txt").write_text("1.png\n2.png\n")
    (tmp_path / "1.png").touch()
    assert [name for name, _ in iter_images(tmp_path / "list.txt")] == [
        str(tmp_path / "1.png"),
        str(tmp_path / "2.png"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "lists no images"),
        ("a.txt", "gone.png\n", "its first path is 'gone.png', and there is no such file"),
        ("a.csv", "label,split\ncat,train\n", "no column for paths"),
        ("a.csv", "label,path\ncat,1.png\ndog\n", "line 3 has 1 values for 2 columns"),
        ("a.jsonl", '{"path": "1.png"}\n[1]\n', "line 2 of the list of images must be a record"),
        ("a.csv", "label,path\ncat,1.png\ndog,\n", r"line 3 of '.*a.csv' has no path. Received: ''"),
        ("a.jsonl", '{"path": "1.png"}\n{"path": null}\n', "line 2 of the list of images has no path. Received: None"),
        ("a.parquet", "PAR1", "Cannot read .* as a list of images"),
    ],
)
def test_lists_that_cannot_be_read_are_named(name, content, message, tmp_path, classifier):
    (tmp_path / "1.png").touch()
    (tmp_path / name).write_text(content)
    with pytest.raises(cnnzoo.InputError, match=message):
        list(iter_images(tmp_path / name))
    if "line" not in message:  # a wrong list among other images costs its own row only
        named = list(iter_images([str(tmp_path / "1.png"), str(tmp_path / name)]))
        assert [name for name, _ in named] == [str(tmp_path / "1.png"), str(tmp_path / name)]


def test_tables_with_rows_without_a_path_are_refused(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "1.png").touch()
    for value in (None, ""):
        parquet.write_table(arrow.table({"path": ["1.png", value]}), tmp_path / "a.parquet")
        with pytest.raises(cnnzoo.InputError, match=r"row 2 of '.*a.parquet' has no path"):
            list(iter_images(tmp_path / "a.parquet"))


def test_parquet_files_with_text_that_is_not_utf8_are_refused(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "1.png").touch()
    parquet.write_table(arrow.table({"path": ["1.png", "zzz.png"]}), tmp_path / "a.parquet", compression="none")
    content = (tmp_path / "a.parquet").read_bytes()
    for old, new in ((b"zzz.png", b"z\xfaz.png"), (b"path", b"p\xfath")):
        (tmp_path / "a.parquet").write_bytes(content.replace(old, new))
        with pytest.raises(cnnzoo.InputError, match="Cannot read .*a.parquet"):
            list(iter_images(tmp_path / "a.parquet"))
