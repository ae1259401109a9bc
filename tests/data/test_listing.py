"""Tables, TensorFlow Datasets, tf.data and PyDataset: what each says of its images is what is loaded."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from helpers.image_files import make_scene, write_class_folders

import cnnzoo


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def root(tmp_path):
    return write_class_folders(tmp_path / "p", {"a": 10, "b": 10})


def lines(root):
    return [(str(path.relative_to(root)), path.parent.name) for path in sorted(root.rglob("*.png"))]


def write(root, rows, header="path,label", name="t.csv"):
    separator = max(",;\t|", key=header.count)
    text = "\n".join([header, *(separator.join(row) for row in rows)])
    (root / name).write_text(text + "\n", encoding="utf-8")
    return root / name


@pytest.mark.parametrize("header", ["path,label", "file;class", "FileName\tTarget", "image|category"])
def test_tables(root, header):
    data = cnnzoo.load_data(write(root, lines(root), header), splits=(0.6, 0.2, 0.2))
    assert data.classes == ("a", "b")
    assert [len(split) for split in data.splits.values()] == [12, 4, 4]


def test_numbers_for_labels(root):
    rows = [(path, "ab".index(label)) for path, label in lines(root)]
    table = write(root, [(path, str(label)) for path, label in rows])
    assert cnnzoo.load_data(table).classes == ("0", "1")
    named = cnnzoo.load_data(table, classes=["bee", "ant"])
    assert named.classes == ("bee", "ant")
    assert {name[0] for name in named.train.names[named.train.labels == 0]} == {"a"}


def test_splits_and_groups_of_a_table(root):
    rows = [(path, label, ("train", "val", "test")[i % 3]) for i, (path, label) in enumerate(lines(root))]
    data = cnnzoo.load_data(write(root, rows, "path,label,split"))
    assert {name: list(split.names) for name, split in data.splits.items()} == {
        name: [path for path, _, split_name in rows if split_name == name[:3] or split_name == name]
        for name in ("train", "validation", "test")
    }
    people = [(path, label, f"person {i % 6}") for i, (path, label) in enumerate(lines(root))]
    table = write(root, people, "path,label,person")
    who = {path: person for path, _, person in people}
    for seed in range(3):
        data = cnnzoo.load_data(table, group_column="person", splits=(0.5, 0.25, 0.25), seed=seed)
        sides = [{who[name] for name in split.names} for split in data.splits.values()]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & sides[2]
        assert sum(map(len, sides)) == 6
    assert cnnzoo.load_data(table, label_column="person", splits=(0.34, 0.33, 0.33)).classes == tuple(
        f"person {i}" for i in range(6)
    )


def test_groups_that_cannot_be_split_as_asked(root):
    rows = [(path, label, "all" if i % 10 else f"one {i}") for i, (path, label) in enumerate(lines(root))]
    with pytest.raises(cnnzoo.InputError, match="split"):
        cnnzoo.load_data(write(root, rows, "path,label,who"), group_column="who")
    given = [(path, label, ("train", "val", "test")[i % 3], f"P{i % 2}") for i, (path, label) in enumerate(lines(root))]
    with pytest.raises(cnnzoo.InputError, match="The group 'P1' is in the splits train and validation|The group 'P0'"):
        cnnzoo.load_data(write(root, given, "path,label,split,who"), group_column="who")
    alone = [(path, label, "" if i % 2 else f"P{i}") for i, (path, label) in enumerate(lines(root))]
    data = cnnzoo.load_data(write(root, alone, "path,label,who"), group_column="who", splits=(0.6, 0.2, 0.2))
    assert [len(split) for split in data.splits.values()] == [12, 4, 4]


def test_column_options_are_for_tables_only(root):
    for options in ({"group_column": "patient"}, {"label_column": "kind"}):
        for source in (root, "digits", Pictures(40)):
            with pytest.raises(cnnzoo.InputError, match="are of tables"):
                cnnzoo.load_data(source, **options)


def test_parquet_takes_the_columns_it_needs(root):
    import pyarrow
    from pyarrow import parquet

    paths, labels = zip(*lines(root), strict=True)
    columns = {"path": paths, "label": labels, "image": [{"bytes": b"x" * 99, "path": "y"}] * 20}
    parquet.write_table(pyarrow.table(columns), root / "t.PARQUET")
    assert cnnzoo.load_data(root / "t.PARQUET").classes == ("a", "b")
    parquet.write_table(pyarrow.table({"image": columns["image"], "label": labels}), root / "s.parquet")
    with pytest.raises(cnnzoo.InputError, match="no column for the path.*Received: label"):
        cnnzoo.load_data(root / "s.parquet")


def test_parquet(root):
    import pyarrow
    from pyarrow import parquet

    rows = lines(root)
    table = pyarrow.table({"path": [path for path, _ in rows], "label": [label for _, label in rows]})
    parquet.write_table(table, root / "t.parquet")
    one, other = cnnzoo.load_data(root / "t.parquet"), cnnzoo.load_data(write(root, rows))
    assert one.fingerprints == other.fingerprints
    (root / "torn.parquet").write_bytes((root / "t.parquet").read_bytes()[:99])
    with pytest.raises(cnnzoo.InputError, match="Cannot read .*torn.parquet"):
        cnnzoo.load_data(root / "torn.parquet")


def test_imagenet_100(test_data):
    with pytest.raises(cnnzoo.InputError, match=r"no column for the label. .*Received: file, imagenet_class"):
        cnnzoo.load_data(test_data("imagenet_100") / "labels.csv")
    with pytest.raises(cnnzoo.InputError, match="too few images of"):
        cnnzoo.load_data(test_data("imagenet_100") / "labels.csv", label_column="imagenet_class")


BAD = {
    "no label column": ("path,lable", [("a/a_1.png", "a")], "no column for the label"),
    "two path columns": ("path,file,label", [("a", "b", "c")], "several columns for the path: path, file"),
    "mixed separators": ("path,label", [("a/a_1.png;a",)], r"line 2 has 1 values for 2 columns.*separates by ','"),
    "no label": ("path,label", [("a/a_1.png", "")], "line 2 has no label"),
    "twice": ("path,label", [("a/a_1.png", "a"), ("a/a_1.png", "b")], "line 3 names 'a/a_1.png', as line 2 does"),
    "a strange split": ("path,label,split", [("a/a_1.png", "a", "dev")], "line 2: the split is one of train"),
    "some splits": ("path,label,split", [("a/a_1.png", "a", "train"), ("a/a_2.png", "a", "")], "line 3 has no split"),
    "no rows": ("path,label", [], "no rows"),
    "no files": ("path,label", [("x.png", "a"), ("y.png", "b")], "there is no such file"),
    "a quote": ("path,label", [('"a/a_1.png', "a")], "Cannot read .*as a table"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_named(root, case):
    header, rows, message = BAD[case]
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.load_data(write(root, rows, header))


def test_more_bad_tables(root):
    (root / "latin.csv").write_bytes("path,label\ncaf\xe9.png,a\n".encode("latin-1"))
    with pytest.raises(cnnzoo.InputError, match="in UTF-8"):
        cnnzoo.load_data(root / "latin.csv")
    with pytest.raises(cnnzoo.InputError, match="Did you mean label"):
        cnnzoo.load_data(write(root, lines(root)), group_column="labl")
    with pytest.raises(cnnzoo.InputError, match=r"Received: '.*notes.md'"):
        (root / "notes.md").write_text("x")
        cnnzoo.load_data(root / "notes.md")
    with pytest.raises(cnnzoo.InputError, match="outside the 2 classes a, c: b"):
        cnnzoo.load_data(write(root, lines(root)), classes=["a", "c"])


def test_tensorflow_datasets(tmp_path):
    """A set that TFDS' own builder prepared, by its folder."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """Two kinds of pictures."""

        name = "tiny"
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
            label = tfds.features.ClassLabel(names=["moon", "sun"])
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({"image": image, "label": label})
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples(0, 20), "test": self._generate_examples(100, 6)}

        def _generate_examples(self, start, count):
            for i in range(count):
                yield i, {"image": make_scene(seed=start + i), "label": i % 2}

    builder = Tiny(data_dir=tmp_path)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(verify_ssl=False))
    for source in (builder.data_dir, f"tfds:{builder.data_dir}"):
        data = cnnzoo.load_data(source, image_size=(60, 80))
        assert data.classes == ("moon", "sun")
        assert [len(split) for split in data.splits.values()] == [18, 2, 6]
        for image, name in zip(data.test.images, data.test.names, strict=True):
            assert name.startswith("test[")
            assert image.shape == (60, 80, 3)
    pictures = {make_scene(seed=100 + i).tobytes() for i in range(6)}
    original = cnnzoo.load_data(builder.data_dir)
    assert {image.tobytes() for image in original.test.images} == pictures
    with pytest.raises(cnnzoo.InputError, match="TensorFlow Datasets cannot load 'no_such_set'"):
        cnnzoo.load_data("tfds:no_such_set")


class Pictures(keras.utils.PyDataset):
    def __init__(self, count, one_hot=False, start=0):
        super().__init__()
        self.count, self.one_hot, self.start = count, one_hot, start

    def __len__(self):
        return self.count // 5

    def __getitem__(self, index):
        ids = np.arange(index * 5, index * 5 + 5)
        images = np.stack([make_scene(20, 24, seed=self.start + i) for i in ids])
        return images, np.eye(2)[ids % 2] if self.one_hot else ids % 2


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_pydataset_is_read(one_hot):
    data = cnnzoo.load_data(Pictures(40, one_hot), image_size=(20, 24))
    assert data.classes == ("0", "1")
    for split in data.splits.values():
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            i = int(name.removeprefix("stream[").removesuffix("]"))
            assert label == i % 2
            np.testing.assert_array_equal(image, make_scene(20, 24, seed=i))
    parts = cnnzoo.load_data({"train": Pictures(30), "val": Pictures(10, start=100), "test": Pictures(20, start=200)})
    assert len(parts.test) == 20


def test_tf_data():
    import tensorflow as tf

    images = np.stack([make_scene(20, 24, seed=i) for i in range(40)])
    labels = np.array(["cat", "dog"])[np.arange(40) % 2]
    alone = tf.data.Dataset.from_tensor_slices((images, labels))
    one, other = (cnnzoo.load_data(source) for source in (alone, alone.batch(7)))
    assert one.classes == ("cat", "dog")
    assert one.fingerprints == other.fingerprints
    for image, name in zip(one.train.images, one.train.names, strict=True):
        np.testing.assert_array_equal(image, images[int(name[7:-1])])
    with pytest.raises(cnnzoo.InputError, match="never ends"):
        cnnzoo.load_data(alone.repeat())
    with pytest.raises(cnnzoo.InputError, match="pairs"):
        cnnzoo.load_data(tf.data.Dataset.from_tensor_slices(images))


def test_bad_streams():
    import tensorflow as tf

    images = np.stack([make_scene(20, 24, seed=i) for i in range(40)])
    for labels, message in (
        (np.zeros((40, 3)), "a single 1 in each row"),
        (np.full(40, 0.5), "class indices, names or one-hot"),
        (np.full(40, np.nan), "class indices, names or one-hot"),
    ):
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load_data(tf.data.Dataset.from_tensor_slices((images, labels)).batch(8))
    with pytest.raises(cnnzoo.InputError, match="multiply them by 255"):
        cnnzoo.load_data(tf.data.Dataset.from_tensor_slices((images / 255, np.arange(40) % 2)))
    with pytest.raises(cnnzoo.InputError, match="one for each split"):
        cnnzoo.load_data({"train": Pictures(20), "val": Pictures(10), "validation": Pictures(10)})


BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "torch"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
import warnings
import numpy as np
import keras
import cnnzoo
assert keras.backend.backend() == "jax"
folder, npz = sys.argv[1:]

class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 6
    def __getitem__(self, i):
        draw = np.random.default_rng(i)
        return draw.integers(0, 256, (5, 12, 12, 1), "uint8"), np.arange(5) % 2

recipe = cnnzoo.Recipe(epochs=1, batch_size=8, learning_rate=0.01, augment="basic")
for source in (folder, npz, Batches()):
    data = cnnzoo.load_data(source, splits=(0.5, 0.25, 0.25))
    model = cnnzoo.get("lenet5", classes=data.classes)
    report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, verbose=False)
    assert np.isfinite(report.metrics["log_loss"])
    assert cnnzoo.Classifier.of(model).predict(np.zeros((2, 20, 20, 1), "uint8"))
assert "tensorflow" not in sys.modules
print("done")
"""


@pytest.mark.slow
def test_training_works_on_jax_without_tensorflow(root, tmp_path):
    pytest.importorskip("jax")
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=draw.integers(0, 256, (40, 12, 12), "uint8"), y=np.arange(40) % 2)
    command = [sys.executable, "-c", textwrap.dedent(BLOCKED), str(root), str(tmp_path / "d.npz")]
    env = os.environ | {"KERAS_BACKEND": "jax"}
    answer = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert answer.stdout == "done\n", answer.stderr
