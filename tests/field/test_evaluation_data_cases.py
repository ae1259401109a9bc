"""Data of one's own for evaluation: other folders, missing and unknown classes, images that were trained on."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers.cases import Case, parametrize_cases
from helpers.images import make_blobs
from PIL import Image

import cnnzoo
from cnnzoo.cards import attach_card

NAMES = ("ant", "bee", "cat")


@pytest.fixture(autouse=True, scope="module")
def cache_folder(tmp_path_factory):
    """An empty folder in the place of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNZOO_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def write_classes(folder, names=NAMES, seed=0, suffix="png"):
    """Write the images of `make_blobs` as files in folders of their classes; return `folder`."""
    images, labels = make_blobs(seed=seed)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        if label < len(names) and names[label]:
            (folder / names[label]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.squeeze(image)).save(folder / names[label] / f"{i}.{suffix}")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on photos/, in folders of three classes; tests leave both as they are."""
    root = tmp_path_factory.mktemp("evaluation")
    data = cnnzoo.load_data(write_classes(root / "photos"), splits=(0.6, 0.2, 0.2), seed=3)
    recipe = cnnzoo.Recipe(epochs=2, batch_size=12, learning_rate=0.05)
    model = cnnzoo.get("lenet5", classes=data.classes)
    cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=root / "run", verbose=False)
    return root


@pytest.fixture(scope="module")
def model(run):
    return cnnzoo.load(run / "run").model


# What is evaluated


def make_arrays(root):
    images, labels = make_blobs(seed=9)
    return images, labels


def make_table(root):
    write_classes(root / "t", seed=9)
    rows = [f"{path.relative_to(root / 't')},{path.parent.name},test" for path in sorted((root / "t").rglob("*.png"))]
    (root / "t" / "labels.csv").write_text("\n".join(["path,label,split", *rows]))
    return root / "t" / "labels.csv"


def make_parts(root):
    write_classes(root / "parts" / "train", seed=8)
    write_classes(root / "parts" / "val", seed=7)
    write_classes(root / "parts" / "test", seed=9)
    return root / "parts"


def make_stream(root):
    import tensorflow as tf

    images, labels = make_blobs(seed=9)
    return {"test": tf.data.Dataset.from_tensor_slices((images.reshape(len(images), *images.shape[1:3], 1), labels))}


SOURCES = [
    Case("a folder", "keras#7268", lambda root: write_classes(root / "new", seed=9), "All images are for evaluation."),
    Case(
        "a folder with test only", "report R31", lambda root: write_classes(root / "n/test", seed=9).parent, "60 test"
    ),
    Case(
        "a folder with val only", "sibling", lambda root: write_classes(root / "n/val", seed=9).parent, "60 validation"
    ),
    Case(
        "a folder of parts",
        "sibling",
        make_parts,
        "The test part is for evaluation, 60 images. Not used: 60 validation",
    ),
    Case("a table all of test", "report R31", make_table, "60 test"),
    Case("arrays", "sibling", make_arrays, "All images are for evaluation."),
    Case(
        "arrays with a test part",
        "keras.datasets",
        lambda root: (make_blobs(), make_arrays(root)),
        "Not used: 60 train",
    ),
    Case("a data set", "report R31", make_stream, "60 test"),
]


@parametrize_cases(SOURCES)
def test_all_images_are_evaluated(case, model, tmp_path):
    data = cnnzoo.load_data(case.make(tmp_path), split="test")
    assert [len(split) for split in data.splits.values()] == [0, 0, 60]
    report = cnnzoo.evaluate(model, data)
    assert len(report.labels) == 60
    assert report.classes == NAMES
    assert case.expected in str(report)
    assert case.expected in report.to_json()


def test_all_parts_are_evaluated_together(model, tmp_path):
    for source in (make_parts(tmp_path), {"train": make_arrays(None), "val": make_blobs(), "test": make_blobs(seed=2)}):
        data = cnnzoo.load_data(source, split="all")
        assert [len(split) for split in data.splits.values()] == [0, 0, 180]
        assert "60 test, 60 validation, 60 train" in str(data)
    assert len(cnnzoo.load_data(tmp_path / "parts" / "test", splits=(0, 0, 1)).test) == 60


def test_wrong_uses_are_explained(tmp_path):
    folder = write_classes(tmp_path / "p")
    for options, message in (
        ({"split": "tset"}, "Did you mean test"),
        ({"split": "train"}, r"Otherwise, load_data\(\.\.\.\)\.train"),
        ({"split": "test", "splits": (0.5, 0.2, 0.3)}, "Leave one of them out"),
    ):
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.load_data(folder, **options)
    data = cnnzoo.load_data(folder, split="test")
    with pytest.raises(cnnzoo.InputError, match="The train split of p is empty"):
        data.batches("train")
    with pytest.raises(cnnzoo.InputError, match="train split of p is empty.*for evaluation alone"):
        cnnzoo.fit_and_evaluate(cnnzoo.get("lenet5", classes=3), data)


# Classes

CLASSES = [
    Case("one class", "own_data_cnn#3", ("", "bee", ""), (20, "2 of the 3 classes have no image: ant, cat")),
    Case("two classes", "report R31", ("ant", "", "cat"), (40, "1 of the 3 classes have no image: bee")),
    Case("a class that the model does not have", "sibling", ("ant", "bee", "fox"), (40, "images of fox (20)")),
    Case("other capitals and spaces", "sibling", ("Ant", "BEE ", "cat"), (60, "Ant is ant")),
    Case("indices", "sibling", ("0", "1", "2"), (60, "0 is ant, 1 is bee, 2 is cat")),
    Case("an index is missing", "sibling", ("0", "", "2"), (40, "0 is ant, 2 is cat")),
]


@parametrize_cases(CLASSES)
def test_classes_are_those_of_the_model(case, model, tmp_path):
    count, remark = case.expected
    data = cnnzoo.load_data(write_classes(tmp_path / "p", case.make, seed=9), split="test", doctor=False)
    report = cnnzoo.evaluate(model, data)
    assert len(report.labels) == count
    assert remark in str(report)
    assert report.classes == NAMES
    expected = [i for i, name in enumerate(case.make) if name and name != "fox"]
    assert sorted(set(report.labels.tolist())) == expected
    reference = cnnzoo.evaluate(
        model, cnnzoo.load_data(write_classes(tmp_path / "q", seed=9), split="test", doctor=False)
    )
    by_name = {name.partition("/")[2]: p for name, p in zip(reference.names, reference.probabilities, strict=True)}
    for name, p in zip(report.names, report.probabilities, strict=True):
        np.testing.assert_allclose(p, by_name[name.partition("/")[2]], atol=1e-6)
    report.save(tmp_path / "report")


def test_other_classes_are_refused_with_both_lists(model, tmp_path):
    folder = write_classes(tmp_path / "p", ("x", "y", "z"))
    with pytest.raises(cnnzoo.InputError, match="model's classes are ant, bee, cat; the data's are x, y, z"):
        cnnzoo.evaluate(model, cnnzoo.load_data(folder, split="test"))
    unnamed = cnnzoo.get("lenet5", classes=3)
    assert cnnzoo.evaluate(unnamed, cnnzoo.load_data(folder, split="test")).classes == ("x", "y", "z")
    shutil.rmtree(folder / "y")
    with pytest.raises(cnnzoo.InputError, match="3 classes without names, and the data has 2: x, z"):
        cnnzoo.evaluate(unnamed, cnnzoo.load_data(folder, split="test"))
    named = cnnzoo.load_data(folder, split="test", classes=["x", "y", "z"])
    assert "have no image: y" in str(cnnzoo.evaluate(unnamed, named))


def test_folders_may_be_called_by_identifiers(tmp_path):
    model = cnnzoo.get("lenet5", classes=list(NAMES))
    attach_card(model, replace(cnnzoo.card(model), ids=("n01", "n02", "n03")))
    folder = write_classes(tmp_path / "p", ("n01", "", "n03"))
    report = cnnzoo.evaluate(model, cnnzoo.load_data(folder, split="test"))
    assert sorted(set(report.labels.tolist())) == [0, 2]
    assert "matched by their identifiers (n01, n03)" in str(report)


# Images that the model was trained on


def copy_under_other_names(root, run):
    """Copy all images of the run, and as many new ones, under other names into another folder."""
    for i, path in enumerate(sorted((run / "photos").rglob("*.png"))):
        target = root / "copy" / path.parent.name / f"IMG_{i:04}.PNG"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return write_classes(root / "copy", seed=9)


def test_training_images_are_found_under_other_names(run, model, tmp_path):
    data = cnnzoo.load_data(copy_under_other_names(tmp_path, run), split="test")
    with pytest.warns(UserWarning, match=r"36 of the 120 images \(30\.0 %\) are training images of lenet5"):
        report = cnnzoo.evaluate(model, data)
    assert report.training_images.sum() == 36
    assert "36 of the 120 images" in str(report)
    assert "On the others, the accuracy is" in report.to_html()
    assert '"share": 0.3' in report.to_json()


def test_training_images_are_found_for_copies_of_the_model(run, model, tmp_path):
    photos = cnnzoo.load_data(run / "photos", split="test")
    with pytest.warns(UserWarning, match="36 of the 60"):
        cnnzoo.evaluate(model, photos)
    shutil.copytree(run / "run", tmp_path / "moved")
    with pytest.warns(UserWarning, match="36 of the 60"):
        cnnzoo.evaluate(cnnzoo.load(tmp_path / "moved" / "model.keras").model, photos)


def test_training_images_of_earlier_runs_count(run, model, tmp_path):
    data = cnnzoo.load_data(write_classes(tmp_path / "next", seed=5), splits=(0.6, 0.2, 0.2))
    again = cnnzoo.load(run / "run").model
    recipe = cnnzoo.Recipe(epochs=1, batch_size=12, learning_rate=0.01)
    cnnzoo.fit_and_evaluate(again, data, recipe=recipe, verbose=False)
    for folder in (run / "photos", tmp_path / "next"):
        with pytest.warns(UserWarning, match="36 of the 60"):
            cnnzoo.evaluate(again, cnnzoo.load_data(folder, split="test"))


def test_a_missing_or_damaged_list_is_said(run, tmp_path, monkeypatch):
    from cnnzoo.data import training_images

    monkeypatch.setattr(training_images, "_known", {})
    shutil.copytree(run / "run", tmp_path / "run")
    (tmp_path / "run" / "training_images.npy").write_bytes(b"damaged")
    photos = cnnzoo.load_data(run / "photos", split="test")
    with pytest.warns(UserWarning, match="training images in .* are not used"):
        report = cnnzoo.evaluate(cnnzoo.load(tmp_path / "run").model, photos)
    assert report.training_images is None
    assert "is not known" in str(report)
    np.save(tmp_path / "run" / "training_images.npy", np.arange(5, dtype="uint64"))
    with pytest.warns(UserWarning, match="belongs to another model"):
        cnnzoo.evaluate(cnnzoo.load(tmp_path / "run").model, photos)
    with pytest.warns(UserWarning, match="36 of the 60"):
        cnnzoo.evaluate(cnnzoo.load(run / "run").model, photos)


def test_arrays_of_any_type_are_recognized(tmp_path):
    images, labels = make_blobs()
    data = cnnzoo.load_data((images, labels), splits=(0.6, 0.2, 0.2))
    model = cnnzoo.get("lenet5", classes=3)
    recipe = cnnzoo.Recipe(epochs=1, batch_size=12, learning_rate=0.01)
    cnnzoo.fit_and_evaluate(model, data, recipe=recipe, verbose=False)
    for kind in ("uint8", "int64", "float32"):
        later = cnnzoo.load_data((images[::-1].astype(kind), labels[::-1]), split="test", image_size=(32, 32))
        with pytest.warns(UserWarning, match="36 of the 60"):
            cnnzoo.evaluate(model, later)


# The command


def test_the_command_evaluates_all_of_another_folder(run, cli, tmp_path):
    folder = write_classes(tmp_path / "new", ("ant", "bee", "fox"), seed=9)
    answer = cli("evaluate", run / "run", folder, "--out", tmp_path / "report")
    assert answer.code == 0, answer.err
    assert "lenet5 on new: 40 test images, 3 classes" in answer.out
    for text in ("All images are for evaluation", "images of fox (20)", "1 of the 3 classes have no image: cat"):
        assert text in answer.out
        assert text in (tmp_path / "report" / "report.json").read_text()


def test_the_command_finds_the_test_split_of_a_run(run, cli, tmp_path):
    own = cli("evaluate", run / "run", run / "photos")
    assert "the test split of its training is evaluated" in own.out
    assert "12 test images" in own.out
    assert "training images" not in own.out.partition("\n")[2]
    everything = cli("evaluate", run / "run", run / "photos", "--split", "all")
    assert "36 of the 60 images (60 %) are training images" in everything.out
    divided = cli("evaluate", run / "run", run / "photos", "--splits", "0.6", "0.2", "0.2", "--seed", "3")
    assert "12 test images" in divided.out
    assert (
        "12 validation images"
        in cli(
            "evaluate",
            run / "run",
            run / "photos",
            "--split",
            "validation",
            "--splits",
            "0.6",
            "0.2",
            "0.2",
            "--seed",
            "3",
        ).out
    )
    assert "Did you mean validation" in cli("evaluate", run / "run", run / "photos", "--split", "validatio").err


@pytest.mark.parametrize("outer", ["left right", "indoor"])
def test_the_classes_of_the_model_decide_between_readings(outer, run, cli, tmp_path):
    for i, name in enumerate(outer.split()):
        write_classes(tmp_path / "new" / name, NAMES if " " in outer else ("", "bee", ""), seed=20 + i)
    if " " not in outer:  # new/bee/a, new/bee/b
        (tmp_path / "new" / "bee").mkdir()
        (tmp_path / "new" / "indoor" / "bee").rename(tmp_path / "new" / "bee" / "a")
        (tmp_path / "new" / "indoor").rename(tmp_path / "new" / "bee" / "b")
        write_classes(tmp_path / "new" / "bee", ("", "b", ""), seed=30)
    answer = cli("evaluate", run / "run", tmp_path / "new")
    assert answer.code == 0, answer.err
    assert ("120 test images" if " " in outer else "40 test images") in answer.out
