"""The doctor finds each kind of problem, and none in a healthy folder."""

import json
import shutil

import numpy as np
from helpers.image_files import broken_files, make_scene, valid_files, write_class_folders, write_files
from PIL import Image

from cnnzoo.data.diagnosis import FINDING_KINDS
from cnnzoo.data.doctor import diagnose_images
from cnnzoo.data.load import list_source
from cnnzoo.data.scan import scan_with_progress


def diagnose(root):
    name, (images, left_out, _) = list_source(root)
    return diagnose_images(name, images, scan_with_progress([image.source for image in images]), left_out)[0]


def test_a_healthy_folder_has_no_findings(tmp_path):
    diagnosis = diagnose(write_class_folders(tmp_path / "p", {"a": 12, "b": 12}))
    assert not diagnosis.findings
    assert "No problems found" in diagnosis.to_html()
    assert str(diagnosis).splitlines() == ["p: 24 files, 24 images in 2 classes", "0 set aside"]


def write_sick_folder(root):
    """Write a folder with one finding of each kind."""
    for i, split in enumerate(("train", "test")):
        write_class_folders(root / split, {"a": 30, "b": 30}, seed=1000 * i)
    write_class_folders(root / "train", {"rare": 2}, seed=5000)
    train, test = root / "train", root / "test"
    write_files(train / "a", {"torn.jpg": broken_files()["cut5.jpg"]})
    Image.fromarray(np.full((60, 80, 3), 200, "uint8")).save(train / "a" / "wall.png")
    Image.fromarray(make_scene(20, 20, seed=903)).save(train / "a" / "small.png")
    Image.fromarray(make_scene(seed=904)).save(train / "a" / "lies.bmp", "PNG")
    shutil.copy(train / "a" / "a_1.png", train / "a" / "again.png")
    shutil.copy(train / "a" / "a_2.png", train / "b" / "torn between.png")
    shutil.copy(test / "a" / "a_3.png", train / "a" / "leaked.png")
    with Image.open(train / "b" / "b_4.png") as image:
        image.convert("RGB").save(train / "b" / "nearly.jpg", quality=90)
    with Image.open(test / "b" / "b_5.png") as image:
        image.convert("RGB").save(train / "b" / "nearly leaked.jpg", quality=90)
    Image.fromarray((make_scene(seed=909)[..., 0] > 99).astype("uint8") * 255).convert("P").save(
        train / "b" / "icon.gif"
    )
    Image.fromarray(make_scene(seed=911)[..., 0].astype("uint16") * 16).save(train / "b" / "dim.png")
    write_files(train / "b", {"endless.jpg": valid_files(seed=912)["a.jpg"][0][:-2]})
    (root / "train" / "readme.txt").write_text("a stray")
    return root


def test_each_kind_is_found(tmp_path):
    diagnosis = diagnose(write_sick_folder(tmp_path / "p"))
    expected = {
        ("unreadable", ("train/a/torn.jpg",)),
        ("constant", ("train/a/wall.png",)),
        ("tiny", ("train/a/small.png",)),
        ("suffix", ("train/a/lies.bmp",)),
        ("duplicate", ("train/a/a_1.png", "train/a/again.png")),
        ("duplicate", ("train/a/a_2.png", "train/b/torn between.png")),
        ("conflict", ("train/a/a_2.png", "train/b/torn between.png")),
        ("leak", ("train/a/leaked.png", "test/a/a_3.png")),
        ("near duplicate", ("train/b/b_4.png", "train/b/nearly.jpg")),
        ("near leak", ("test/b/b_5.png", "train/b/nearly leaked.jpg")),
        ("drawing", ("train/b/icon.gif",)),
        ("levels", ("train/b/dim.png",)),
        ("damage", ("train/b/endless.jpg",)),
        ("note", ("train/readme.txt",)),
        ("imbalance", ()),
        ("one split", ()),
    }
    findings = {(finding.kind, tuple(sorted(finding.images))) for finding in diagnosis.findings}
    assert findings == {(kind, tuple(sorted(names))) for kind, names in expected}
    assert {kind for kind, _ in expected} == set(FINDING_KINDS) - {"few", "stray"}  # tested below and in test_load
    few = diagnose(write_class_folders(tmp_path / "few", {"a": 9, "b": 2}, seed=7000))
    assert [(f.kind, f.reason) for f in few.findings] == [("few", "b: 2 images, but three splits need at least 3")]
    assert {f.kind for f in diagnosis.set_aside} == {"unreadable", "leak", "drawing", "note"}
    assert "rare: 2 images, the largest class has 65" in str(diagnosis) + diagnosis.to_json()
    assert "rare is not in test" in diagnosis.to_html()


def test_the_command_writes_a_page_and_json(tmp_path, cli):
    write_sick_folder(tmp_path / "p")
    result = cli("doctor", tmp_path / "p", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert "4 set aside" in result.out
    content = json.loads((tmp_path / "out" / "doctor.json").read_text())
    assert content["files"] == 135
    assert {finding["kind"] for finding in content["findings"]} == set(FINDING_KINDS) - {"few", "stray"}
    page = (tmp_path / "out" / "doctor.html").read_text()
    assert page.count("data:image/jpeg;base64") >= 12
    assert cli("doctor", tmp_path / "p", "--out", tmp_path / "out", "--strict").code == 1
    assert cli("doctor", tmp_path / "none").code == 2


def test_the_number_of_near_duplicates_is_limited(tmp_path, monkeypatch):
    """As for the frames of a film."""
    picture = make_scene(seed=1).copy()
    for label in ("a", "b"):
        (tmp_path / "p" / label).mkdir(parents=True)
        for i in range(30):
            picture[i, i] = 0
            picture[0, 0] = i
            Image.fromarray(picture).save(tmp_path / "p" / label / f"{i}.png")
    monkeypatch.setattr("cnnzoo.data.doctor.MAX_NEAR_PAIRS", 50)
    assert sum(f.kind == "near duplicate" for f in diagnose(tmp_path / "p").findings) == 50


def test_names_are_escaped_on_the_page(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 4, "<b>": 4})
    (root / "a" / "<script>alert(1)<script>.jpg").write_bytes(b"x")
    page = diagnose(root).to_html()
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_drawings_among_drawings_are_kept(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "p" / label).mkdir(parents=True)
        for i in range(5):
            picture = (make_scene(seed=i + 10 * (label == "b"))[..., 0] > 99).astype("uint8") * 255
            Image.fromarray(picture).convert("P").save(tmp_path / "p" / label / f"{i}.gif")
    assert not diagnose(tmp_path / "p").set_aside
