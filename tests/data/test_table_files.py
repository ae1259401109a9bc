"""Tables of images: their columns, splits and groups, and the messages for tables that are wrong."""

import os
import re
import sys
from pathlib import Path

import pytest
from helpers.image_files import write_class_folders

import cnnzoo
from cnnzoo.cli.main import main
from cnnzoo.data import table_paths
from cnnzoo.data.labels import describe_combined_labels


@pytest.fixture
def root(tmp_path):
    return write_class_folders(tmp_path / "p", {"a": 10, "b": 10})


def list_rows(root):
    """Return (path, label) of each image."""
    return [(str(path.relative_to(root)), path.parent.name) for path in sorted(root.rglob("*.png"))]


def write_table(root, rows, header="path,label", name="t.csv"):
    separator = max(",;\t|", key=header.count)
    text = "\n".join([header, *(separator.join(row) for row in rows)])
    (root / name).write_text(text + "\n", encoding="utf-8")
    return root / name


@pytest.mark.parametrize("header", ["path,label", "file;class", "FileName\tTarget", "image|category"])
def test_tables_with_other_separators_and_column_names(root, header):
    data = cnnzoo.load_data(write_table(root, list_rows(root), header), splits=(0.6, 0.2, 0.2))
    assert data.classes == ("a", "b")
    assert [len(split) for split in data.splits.values()] == [12, 4, 4]


def test_numeric_labels_are_indices_of_the_class_names(root):
    rows = [(path, "ab".index(label)) for path, label in list_rows(root)]
    table = write_table(root, [(path, str(label)) for path, label in rows])
    assert cnnzoo.load_data(table).classes == ("0", "1")
    named = cnnzoo.load_data(table, classes=["bee", "ant"])
    assert named.classes == ("bee", "ant")
    assert {name[0] for name in named.train.names[named.train.labels == 0]} == {"a"}


def test_splits_of_a_table_are_kept(root):
    rows = [(path, label, ("train", "val", "test")[i % 3]) for i, (path, label) in enumerate(list_rows(root))]
    data = cnnzoo.load_data(write_table(root, rows, "path,label,split"))
    assert {name: list(split.names) for name, split in data.splits.items()} == {
        name: [path for path, _, split in rows if split == name[:3] or split == name]
        for name in ("train", "validation", "test")
    }


def test_groups_stay_on_one_side_of_every_split(root):
    people = [(path, label, f"person {i % 6}") for i, (path, label) in enumerate(list_rows(root))]
    table = write_table(root, people, "path,label,person")
    person_of = {path: person for path, _, person in people}
    for seed in range(3):
        data = cnnzoo.load_data(table, group_column="person", splits=(0.5, 0.25, 0.25), seed=seed)
        sides = [{person_of[name] for name in split.names} for split in data.splits.values()]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & sides[2]
        assert sum(map(len, sides)) == 6
    assert cnnzoo.load_data(table, label_column="person", splits=(0.34, 0.33, 0.33)).classes == tuple(
        f"person {i}" for i in range(6)
    )


def test_groups_that_cannot_be_split(root):
    rows = [(path, label, "all" if i % 10 else f"alone {i}") for i, (path, label) in enumerate(list_rows(root))]
    with pytest.raises(cnnzoo.InputError, match="split"):
        cnnzoo.load_data(write_table(root, rows, "path,label,who"), group_column="who")
    divided = [
        (path, label, ("train", "val", "test")[i % 3], f"P{i % 2}") for i, (path, label) in enumerate(list_rows(root))
    ]
    with pytest.raises(cnnzoo.InputError, match="The group 'P1' is in the splits train and validation|The group 'P0'"):
        cnnzoo.load_data(write_table(root, divided, "path,label,split,who"), group_column="who")


def test_images_without_a_group_are_split_one_by_one(root):
    rows = [(path, label, "" if i % 2 else f"P{i}") for i, (path, label) in enumerate(list_rows(root))]
    data = cnnzoo.load_data(write_table(root, rows, "path,label,who"), group_column="who", splits=(0.6, 0.2, 0.2))
    assert [len(split) for split in data.splits.values()] == [12, 4, 4]


def test_other_sources_have_no_columns(root):
    import tensorflow as tf

    for options in ({"group_column": "patient"}, {"label_column": "kind"}):
        for source in (root, "digits", tf.data.Dataset.from_tensors(0)):
            with pytest.raises(cnnzoo.InputError, match="apply only to tables"):
                cnnzoo.load_data(source, **options)


def test_parquet_columns_of_other_types_are_ignored(root):
    import pyarrow
    from pyarrow import parquet

    paths, labels = zip(*list_rows(root), strict=True)
    columns = {"path": paths, "label": labels, "image": [{"bytes": b"x" * 99, "path": "y"}] * 20}
    parquet.write_table(pyarrow.table(columns), root / "t.PARQUET")
    assert cnnzoo.load_data(root / "t.PARQUET").classes == ("a", "b")
    parquet.write_table(pyarrow.table({"image": columns["image"], "label": labels}), root / "s.parquet")
    with pytest.raises(cnnzoo.InputError, match="no column for the path.*'image' is of type struct.*label .string.$"):
        cnnzoo.load_data(root / "s.parquet")


def test_parquet_equals_csv(root):
    import pyarrow
    from pyarrow import parquet

    rows = list_rows(root)
    table = pyarrow.table({"path": [path for path, _ in rows], "label": [label for _, label in rows]})
    parquet.write_table(table, root / "t.parquet")
    from_parquet, from_csv = cnnzoo.load_data(root / "t.parquet"), cnnzoo.load_data(write_table(root, rows))
    assert from_parquet.fingerprints == from_csv.fingerprints
    (root / "torn.parquet").write_bytes((root / "t.parquet").read_bytes()[:99])
    with pytest.raises(cnnzoo.InputError, match="Cannot read .*torn.parquet"):
        cnnzoo.load_data(root / "torn.parquet")


def test_a_column_that_is_not_named_label(test_data):
    with pytest.raises(cnnzoo.InputError, match=r"no column for the label. .*Received: file, imagenet_class"):
        cnnzoo.load_data(test_data("imagenet_100") / "labels.csv")
    with pytest.raises(cnnzoo.InputError, match="too few images of"):
        cnnzoo.load_data(test_data("imagenet_100") / "labels.csv", label_column="imagenet_class")


BAD_TABLES = {
    "no label column": ("path,lable", [("a/a_1.png", "a")], "no column for the label"),
    "two path columns": ("path,file,label", [("a", "b", "c")], "several columns for the path: path, file"),
    "mixed separators": ("path,label", [("a/a_1.png;a",)], r"line 2 has 1 values for 2 columns.*separates by ','"),
    "no label": ("path,label", [("a/a_1.png", "")], "line 2 has no label"),
    "twice": ("path,label", [("a/a_1.png", "a"), ("a/a_1.png", "b")], "line 3 repeats 'a/a_1.png' of line 2"),
    "unknown split": ("path,label,split", [("a/a_1.png", "a", "7")], "line 2: the split must be one of train"),
    "some splits": ("path,label,split", [("a/a_1.png", "a", "train"), ("a/a_2.png", "a", "")], "line 3 has no split"),
    "no rows": ("path,label", [], "no rows"),
    "no files": ("path,label", [("x.png", "a"), ("y.png", "b")], "there is no such file"),
    "a quote": ("path,label", [('"a/a_1.png', "a")], "Cannot read .*as a table"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables_are_explained(root, case):
    header, rows, message = BAD_TABLES[case]
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.load_data(write_table(root, rows, header))


def test_other_bad_tables_are_explained(root):
    (root / "latin.csv").write_bytes("path,label\ncaf\xe9.png,a\n".encode("latin-1"))
    with pytest.raises(cnnzoo.InputError, match="in UTF-8"):
        cnnzoo.load_data(root / "latin.csv")
    with pytest.raises(cnnzoo.InputError, match="Did you mean label"):
        cnnzoo.load_data(write_table(root, list_rows(root)), group_column="labl")
    with pytest.raises(cnnzoo.InputError, match=r"Received: '.*notes.md'"):
        (root / "notes.md").write_text("x")
        cnnzoo.load_data(root / "notes.md")
    with pytest.raises(cnnzoo.InputError, match="outside the 2 classes a, c: b"):
        cnnzoo.load_data(write_table(root, list_rows(root)), classes=["a", "c"])


def test_the_command_line_names_columns_and_the_folder_of_images(root, tmp_path, capsys):
    rows = [(Path(path).name.removesuffix(".png"), label, "train") for path, label in list_rows(root)]
    table = write_table(tmp_path, rows, "photo of,what,part", "t.csv")
    for path, _ in list_rows(root):
        (root / path).rename(root / Path(path).name)
    options = [
        "--path-column",
        "photo of",
        "--label-column",
        "what",
        "--split-column",
        "part",
        "--image-dir",
        str(root),
    ]
    main(["doctor", str(table), *options, "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert "t.csv: paths from 'photo of', labels from 'what', splits from 'part'." in out
    assert "20 paths: the suffix was completed" in out


def test_a_few_missing_images_are_not_taken_from_another_folder(root):
    table = write_table(root, list_rows(root))
    (root / "masks" / "a").mkdir(parents=True)
    (root / "a" / "a_1.png").rename(root / "masks" / "a" / "a_1.png")
    with pytest.warns(UserWarning, match="'a/a_1.png' .there is no such file"):
        data = cnnzoo.load_data(table)
    assert sum(map(len, data.splits.values())) == 19


def test_searching_for_files_takes_one_look_at_each_folder(root, monkeypatch):
    looks = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder=".": looks.append(str(folder)) or scandir(folder))
    finder = table_paths.ImageFinder(root, None)
    finder.find_all([rf"C:\x\y\z\{i}" for i in range(50)], ["line"] * 50)
    assert len(finder.missing) == 50
    assert len(looks) == len(set(looks)) <= 10


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (["blue big", "blue small", "red big", "red small"], "The 4 labels are all combinations of blue, red and big,"),
        (["a|x", "a|y", "b|x", "b|y", "c|x", "c|y"], "all combinations of a, b, ... and x, y"),
        (["new jersey", "new york"], ""),
        (["blue big", "red big", "red small"], ""),
        (["cat", "dog"], ""),
    ],
)
def test_labels_that_combine_two_properties_are_named(labels, note):
    notes = describe_combined_labels(labels)
    assert note in "".join(notes)
    assert len(notes) == bool(note)


@pytest.mark.parametrize(
    ("source", "package", "message"),
    [
        ("photos.parquet", "pyarrow", r"read with pyarrow: pip install .*parquet\]"),
        ("tfds:flowers", "tensorflow_datasets", r"needs TensorFlow Datasets: pip install .*tfds\]"),
    ],
)
def test_a_missing_package_is_told_before_the_model_is_checked_further(source, package, message, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr("cnnzoo.load_data", lambda *_, **__: pytest.fail("the data is loaded"))
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "lenet5:digits", source])
    assert end.value.code == 2
    assert re.search(message, capsys.readouterr().err)
