"""Folders as people have them: downloads, splits under many names, wrappers, litter of systems and tools."""

import contextlib
import itertools
import os
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.cases import Case, parametrize_cases
from PIL import Image

import cnnzoo
from cnnzoo.data.listing import iter_files


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch):
    """An empty folder in the place of the user's cache."""
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path_factory.mktemp("cache")))


def write_images(folder, count, seed=None):
    """Write some distinct small pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        rng = np.random.default_rng([i, *str(folder).encode()] if seed is None else [seed, i])
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), "uint8")).save(folder / f"{i}.png")


def folders(*paths, count=10):
    """Return a function that writes the same number of images into each of some folders, below root/d.

    Alternatives are in braces: "{train,test}/{cat,dog}" stands for four folders; "=3" at the end is another number.
    """

    def make(root):
        for path in paths:
            pattern, _, number = path.partition("=")
            parts = [part.strip("{}").split(",") if part.startswith("{") else [part] for part in pattern.split("/")]
            for folder in itertools.product(*parts):
                write_images(root / "d" / Path(*folder), int(number or count))
        return root / "d"

    return make


def load(source, **options):
    """Load data without looking at pixels, and without the warnings about what is set aside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return cnnzoo.load_data(source, doctor=False, **options)


def describe(data):
    """Return the classes, and the numbers of images in the splits."""
    return " ".join(data.classes), *map(len, data.splits.values())


# Which folders are classes, and which are splits

LAYOUTS = [
    Case("classes", "Keras guide", folders("{cat,dog}"), ("cat dog", 16, 2, 2)),
    Case("splits of usual names", "PyTorch tutorial", folders("{train,val,test}/{cat,dog}"), ("cat dog", 20, 20, 20)),
    Case(
        "training_set and test_set",
        "Kaggle cats and dogs",
        folders("{training_set,test_set}/{cat,dog}"),
        ("cat dog", 18, 2, 20),
    ),
    Case(
        "twice in each other",
        "Kaggle cats and dogs",
        folders("training_set/training_set/{cat,dog}", "test_set/test_set/{cat,dog}"),
        ("cat dog", 18, 2, 20),
    ),
    Case(
        "Intel scenes",
        "Kaggle Intel image classification",
        folders("seg_train/seg_train/{sea,street}", "seg_test/seg_test/{sea,street}", "seg_pred/seg_pred"),
        ("sea street", 18, 2, 20),
    ),
    Case("dev", "keras#14042", folders("{train,dev,test}/{cat,dog}"), ("cat dog", 20, 20, 20)),
    Case(
        "development and holdout", "sibling", folders("{Train,Development,hold-out}/{cat,dog}"), ("cat dog", 20, 20, 20)
    ),
    Case("valid", "huggingface/datasets#4839", folders("{train,valid}/{cat,dog}"), ("cat dog", 18, 2, 20)),
    Case(
        "eval beside test is validation",
        "sibling",
        folders("{train,test}/{cat,dog}", "eval/{cat,dog}=4"),
        ("cat dog", 20, 8, 20),
    ),
    Case(
        "eval beside val is test",
        "sibling",
        folders("{train,val}/{cat,dog}", "eval/{cat,dog}=4"),
        ("cat dog", 20, 20, 8),
    ),
    Case(
        "names in capitals and words",
        "sibling",
        folders("{TrainImages,Test Images,validation-data}/{cat,dog}"),
        ("cat dog", 20, 20, 20),
    ),
    Case("years in names", "COCO layout", folders("{train2017,val2017}/{cat,dog}"), ("cat dog", 18, 2, 20)),
    Case(
        "names of a data set",
        "ILSVRC",
        folders("{ILSVRC2012_img_train,ILSVRC2012_img_val}/{n01,n02}"),
        ("n01 n02", 18, 2, 20),
    ),
    Case("one wrapper", "zip of GitHub", folders("flowers-master/{rose,tulip}"), ("rose tulip", 16, 2, 2)),
    Case("several wrappers", "report R04", folders("one/wrapper/around/{cat,dog}"), ("cat dog", 16, 2, 2)),
    Case("wrapper around splits", "Kaggle", folders("archive/data/{train,test}/{cat,dog}"), ("cat dog", 18, 2, 20)),
    Case(
        "wrapper in one split only",
        "sibling",
        folders("train/{cat,dog}", "test/images/{cat,dog}"),
        ("cat dog", 18, 2, 20),
    ),
    Case("images and annotations", "Stanford dogs", lambda root: annotated(root), ("cat dog", 16, 2, 2)),
    Case("splits in the classes", "MVTec AD", folders("{cat,dog}/{train,test}"), ("cat dog", 18, 2, 20)),
    Case("a class called train", "COCO classes", folders("{car,train}"), ("car train", 16, 2, 2)),
    Case(
        "classes called like splits",
        "sibling",
        folders("{bullet_train,steam_train,crash_test}"),
        ("bullet_train crash_test steam_train", 24, 3, 3),
    ),
    Case("kinds in a class", "sibling", folders("cat", "dog/{big,small}=5"), ("cat dog", 16, 2, 2)),
    Case(
        "classes of classes",
        "sibling",
        folders("animals/{cat,dog}=5", "plants/{fern,moss}=5"),
        ("animals plants", 16, 2, 2),
    ),
    Case("dates in the classes", "sibling", folders("{cat,dog}/{2020,2021-05,2021-05-17}=4"), ("cat dog", 18, 3, 3)),
    Case("the same single folder in each class", "Tiny ImageNet", folders("{n01,n02}/images"), ("n01 n02", 16, 2, 2)),
    Case("batches of all classes", "sibling", folders("{batch_1,batch_2,batch_3}/{cat,dog}=4"), ("cat dog", 18, 3, 3)),
    Case(
        "unlabeled test images", "Kaggle plant seedlings", folders("train/{cat,dog}", "test=5"), ("cat dog", 16, 2, 2)
    ),
    Case("unlabeled in a folder", "Kaggle", folders("train/{cat,dog}", "test/unknown"), ("cat dog", 16, 2, 2)),
    Case("images and masks", "CUB-200", folders("CUB/{images,segmentations}/{a,b}"), ("a b", 16, 2, 2)),
    Case(
        "competition with nested copies",
        "Kaggle chest X-rays",
        folders("x/{train,test}/{a,b}", "x/x/train/{a,b}"),
        ("a b", 18, 2, 20),
    ),
    Case(
        "flat test images in a wrapper",
        "Kaggle ASL alphabet",
        folders("asl_train/asl_train/{A,B}", "asl_test/asl_test"),
        ("A B", 16, 2, 2),
    ),
    Case("an unlabeled folder beside classes", "sibling", folders("{cat,dog}", "test"), ("cat dog test", 24, 3, 3)),
    Case(
        "different kinds in each class",
        "BreakHis",
        folders("benign/SOB/{a,b}=5", "malignant/SOB/{c,d}=5"),
        ("benign malignant", 16, 2, 2),
    ),
    Case(
        "accents of two systems",
        "zip of macOS",
        lambda root: written_by_two_systems(root),
        ("bar caf\N{LATIN SMALL LETTER E WITH ACUTE}", 18, 2, 20),
    ),
    Case("no images in val", "sibling", folders("{train,test}/{cat,dog}", "val=0"), ("cat dog", 18, 2, 20)),
]


def written_by_two_systems(root):
    """Write a class whose name has its accent as a character of its own in one split, as macOS writes it."""
    for split, name in (
        ("train", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("test", "cafe\N{COMBINING ACUTE ACCENT}"),
    ):
        write_images(root / "d" / split / name, 10)
        write_images(root / "d" / split / "bar", 10)
    return root / "d"


def annotated(root):
    """Write a folder Images with classes, and Annotation with one text for each image."""
    folder = folders("Images/{cat,dog}")(root)
    for label in ("cat", "dog"):
        (folder / "Annotation" / label).mkdir(parents=True)
        (folder / "Annotation" / label / "0").write_text("<annotation>")
    return folder


@parametrize_cases(LAYOUTS)
def test_classes_and_splits_are_found(case, tmp_path):
    assert describe(load(case.make(tmp_path))) == case.expected


DECISIONS = {
    "{training_set,test_set}/{cat,dog}": "Splits: train from 'training_set', test from 'test_set'.",
    "wrapper/{cat,dog}": "Everything is in 'wrapper'",
    "{cat,dog}/{train,test}": "Splits in each class: train from 'train', test from 'test'.",
    "{cat,dog,test}": "test is taken as a class",
    "{batch_1,batch_2}/{cat,dog}": "The folders batch_1, batch_2 hold the classes; their images are pooled.",
    "{cat,dog}/{2020,2021}": "the folder of a class count for that class: cat/2020, cat/2021, dog/2020 and 1 more.",
}


@pytest.mark.parametrize("pattern", DECISIONS)
def test_what_was_decided_is_printed(pattern, tmp_path):
    assert DECISIONS[pattern] in str(load(folders(pattern)(tmp_path)))


AMBIGUOUS = [
    Case(
        "cameras",
        "report R04",
        folders("{left,right}/{cat,dog}=4"),
        r"two ways.*left, right.*class_folders='outer'.*cat, dog.*'inner'.*split_folders={'left'.*load it: '.*left'",
    ),
    Case("day and night", "sibling", folders("{cat,dog}/{day,night}=4"), r"two ways.*--class-folders inner"),
    Case(
        "nearly the same folders",
        "sibling",
        folders("left/{cat,dog,owl}=4", "right/{cat,dog}=4"),
        r"two ways.*cat, dog, owl",
    ),
    Case(
        "train beside an unknown name",
        "report R04",
        folders("{train,other}/{cat,dog}=4"),
        r"two ways.*train is a split.*--split-folder train=train",
    ),
    Case(
        "two validation splits",
        "sibling",
        folders("{train,val,valid}/{cat,dog}=4"),
        r"two folders for the validation split: val, valid.*split_folders={'train': 'train'",
    ),
    Case(
        "two training splits",
        "sibling",
        folders("{train_1,train_2,test}/{cat,dog}=4"),
        r"two folders for the train split: train_1, train_2",
    ),
    Case("only test", "report R31", folders("test/{cat,dog}=4"), r"no training images.*split='test'"),
    Case("one class", "sibling", folders("cat=4"), r"two classes.*only cat"),
]


@parametrize_cases(AMBIGUOUS)
def test_other_layouts_are_refused_with_the_remedy(case, tmp_path):
    with pytest.raises(cnnzoo.InputError, match=case.expected):
        load(case.make(tmp_path))


CHOICES = [
    ("{left,right}/{cat,dog}", {"class_folders": "outer"}, ("left right", 32, 4, 4)),
    ("{left,right}/{cat,dog}", {"class_folders": "inner"}, ("cat dog", 32, 4, 4)),
    ("{left,right}/{cat,dog}", {"split_folders": {"left": "train", "right": "test"}}, ("cat dog", 18, 2, 20)),
    ("{left,right}/{cat,dog}", {"split_folders": {}}, ("left right", 32, 4, 4)),
    ("{left,right}/{cat,dog}", {"classes": ["dog", "cat"]}, ("dog cat", 32, 4, 4)),
    ("{left,right}/{cat,dog}", {"classes": ["right", "left"]}, ("right left", 32, 4, 4)),
    ("{train,other}/{cat,dog}", {"class_folders": "outer"}, ("other train", 32, 4, 4)),
    ("{train,other}/{cat,dog}", {"split_folders": {"train": "train"}}, ("cat dog", 16, 2, 2)),
    (
        "w/{train,extra,test}/{cat,dog}",
        {"split_folders": {"train": "train", "extra": "train", "test": "test"}},
        ("cat dog", 36, 4, 20),
    ),
    ("{train,val}/{cat,dog}", {"class_folders": "outer"}, ("train val", 32, 4, 4)),
]


@pytest.mark.parametrize(("pattern", "options", "expected"), CHOICES)
def test_the_arguments_choose_the_reading(pattern, options, expected, tmp_path):
    assert describe(load(folders(pattern)(tmp_path), **options)) == expected


def test_wrong_arguments_are_explained(tmp_path, cli):
    root = folders("{left,right}/{cat,dog}=4")(tmp_path)
    for options, message in (
        ({"class_folders": "iner"}, "Did you mean inner"),
        ({"split_folders": {"leff": "train"}}, "Did you mean left"),
        ({"split_folders": {"left": "trian"}}, "Did you mean train"),
        ({"split_folders": ["left"]}, "must be a dict such as"),
    ):
        with pytest.raises(cnnzoo.InputError, match=message):
            load(root, **options)
    with pytest.raises(cnnzoo.InputError, match="apply only to folders"):
        load("digits", class_folders="inner")
    assert "FOLDER=SPLIT" in cli("doctor", root, "--split-folder", "left").err
    out = ("--out", tmp_path / "out")
    chosen = cli("doctor", root, "--split-folder", "left=train", "--split-folder", "right=test", *out)
    assert "2 classes" in chosen.out
    assert "train from 'left', test from 'right'" in chosen.out
    assert "two ways" in cli("doctor", root, *out).err


# Litter and notes

LITTER = [
    ".DS_Store", "._0.png", "Thumbs.db", "THUMBS.DB", "ehthumbs.db", "desktop.ini", "Desktop.ini", "Icon\r",
    ".picasa.ini", "@eaDir/0.png@SynoEAStream", "@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "#recycle/0.png",
    "#snapshot/0.png", "@Recycle/0.png", "lost+found/0.png", "LOST.DIR/0", "__MACOSX/._0.png",
    ".ipynb_checkpoints/0-checkpoint.png", "$RECYCLE.BIN/0.png", "System Volume Information/WPSettings.dat",
    ".Trash-1000/files/0.png", ".git/HEAD", "__pycache__/a.pyc", "~$cats.docx", "0.png@SynoResource", ".nfs000001",
    ".thumbnails/0.jpg", "ZbThumbnail.info", "found.000/file0000.chk",
]  # fmt: skip


@pytest.mark.parametrize("place", ["", "cat", "train", "train/cat"])
def test_litter_is_ignored(place, tmp_path):
    root = folders("{train,test}/{cat,dog}" if "train" in place else "{cat,dog}")(tmp_path)
    before = load(root)
    for name in LITTER:
        path = root / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"litter")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = cnnzoo.load_data(root, strict=True)
    assert data.fingerprints == before.fingerprints
    assert not data.diagnosis.set_aside


NOTES = [
    "README.md", "README.dataset.txt", "README", "LICENSE", "License.txt", "notes.txt", "_annotations.csv",
    "labels.json", "0.xml", "metadata.jsonl", "classes.yaml", "index.html", "paper.pdf", "0.AAE", "0.xmp",
    "SHA256SUMS", "model.h5", "download.sh",
]  # fmt: skip


def test_notes_are_named_and_are_no_broken_images(tmp_path):
    root = folders("{cat,dog}")(tmp_path)
    for name in NOTES:
        (root / name).write_text("a note")
        (root / "cat" / name).write_text("a note")
    (root / "docs").mkdir()
    (root / "docs" / "paper.txt").write_text("a note")
    (root / "cat" / "broken.png").write_text("no image")
    with pytest.warns(UserWarning, match="1 unreadable") as caught:
        data = cnnzoo.load_data(root)
    assert data.classes == ("cat", "dog")
    kinds = {finding.images[0]: finding.kind for finding in data.diagnosis.findings if finding.set_aside}
    assert {kinds[name] for name in NOTES} | {kinds[f"cat/{name}"] for name in NOTES} == {"note"}
    assert kinds["cat/broken.png"] == "unreadable"
    assert "broken.png" in str(caught[0].message)
    assert "README" not in str(caught[0].message)
    assert f"{2 * len(NOTES) + 1} note" in str(data)
    assert "docs is no class" in str(data)
    (root / "cat" / "broken.png").unlink()
    cnnzoo.load_data(root, strict=True)  # notes are no reason to refuse


# Empty, deep and unreadable folders, links


@pytest.mark.parametrize("options", [{}, {"classes": ["cat", "dog"]}])
def test_class_folders_without_images_are_named(options, tmp_path):
    root = folders("{cat,dog}", "{owl,fox}=0")(tmp_path)
    (root / "fox" / "later").mkdir()
    (root / "fox" / "Thumbs.db").write_bytes(b"x")
    data = load(root, **options)
    assert data.classes == ("cat", "dog")
    assert "fox, owl are no classes, as there are no images in them" in str(data)
    with pytest.raises(cnnzoo.InputError, match="No training image has the class owl"):
        load(root, classes=["cat", "dog", "owl"])


def test_the_doctor_names_classes_without_images(tmp_path, cli):
    root = folders("{train,test}/{cat,dog}=4", "train/owl=0")(tmp_path)
    assert "owl is no class" in cli("doctor", root, "--out", tmp_path / "out").out


def test_a_class_of_copies_is_explained(tmp_path):
    root = folders("{cat,dog}")(tmp_path)
    for i in range(10):
        (root / "copies").mkdir(exist_ok=True)
        (root / "copies" / f"{i}.png").write_bytes((root / "cat" / f"{i}.png").read_bytes())
    with pytest.raises(cnnzoo.InputError, match=r"copies \(0, as its images are copies of images of other classes\)"):
        load(root)


@pytest.mark.slow
def test_folders_may_be_nested_at_any_depth(tmp_path):
    root = tmp_path / "d"
    (root / "deep").mkdir(parents=True)
    with contextlib.chdir(root / "deep"):
        for _ in range(1100):
            Path("d").mkdir()
            os.chdir("d")
        write_images(Path(), 10, seed=5)
    try:
        with pytest.raises(cnnzoo.InputError, match="at least two classes"):
            load(root)
        folders("{cat,dog}")(tmp_path)
        assert describe(load(root)) == ("cat deep dog", 24, 3, 3)
        assert len(list(iter_files(root))) == 30
    finally:  # pytest cannot delete such folders
        subprocess.run(["rm", "-rf", root / "deep"], check=True)


def test_links_that_lead_back_end(tmp_path):
    root = folders("w/{cat,dog}")(tmp_path)
    (root / "w" / "cat" / "up").symlink_to(root)
    (root / "w" / "loop").symlink_to("loop")
    (root / "w" / "cat" / "loop.png").symlink_to("loop.png")
    (root / "again").symlink_to(root)
    data = load(root)
    assert describe(data) == ("cat dog", 16, 2, 2)
    reasons = {finding.images[0]: finding.reason for finding in data.diagnosis.set_aside}
    assert "listed already" in reasons["w/cat/up"]
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "self").symlink_to(tmp_path / "self")
    with pytest.raises(cnnzoo.InputError, match="no images in sub-folders"):
        load(tmp_path / "self")


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may open every folder")
def test_a_folder_that_cannot_be_opened_costs_only_its_images(tmp_path):
    root = folders("{cat,dog}", "cat/locked")(tmp_path)
    (root / "cat" / "locked").chmod(0)
    try:
        data = load(root)
    finally:
        (root / "cat" / "locked").chmod(0o700)
    assert describe(data) == ("cat dog", 16, 2, 2)
    assert "Permission denied" in data.diagnosis.set_aside[0].reason
