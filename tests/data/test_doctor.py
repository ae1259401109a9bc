"""The doctor finds each kind of problem, and none in a healthy folder."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest
from helpers.image_files import broken_files, make_scene, valid_files, write_class_folders, write_files
from PIL import Image

import cnnzoo
from cnnzoo.data.diagnose import diagnose_source
from cnnzoo.data.findings import FINDING_KINDS
from cnnzoo.data.fix_list import Fix, FixList, read_fix_list


def diagnose(root, **options):
    return diagnose_source(root, **options)


def test_a_healthy_folder_has_no_findings(tmp_path):
    diagnosis = diagnose(write_class_folders(tmp_path / "p", {"a": 12, "b": 12}))
    assert not diagnosis.findings
    assert "No problems found" in diagnosis.to_html()
    assert str(diagnosis).splitlines() == ["p: 24 images in 2 classes; 24 files, none set aside", "No problems found."]
    assert not diagnosis.fix_list().fixes


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
    with Image.open(train / "b" / "b_6.png") as image:
        image.convert("RGB").save(train / "a" / "nearly b.jpg", quality=90)
    with Image.open(test / "b" / "b_5.png") as image:
        image.convert("RGB").save(train / "b" / "nearly leaked.jpg", quality=90)
    Image.fromarray((make_scene(seed=909)[..., 0] > 99).astype("uint8") * 255).convert("P").save(
        train / "b" / "icon.gif"
    )
    Image.fromarray(make_scene(seed=911)[..., 0].astype("uint16") * 16).save(train / "b" / "dim.png")
    Image.fromarray(make_scene(seed=915)).save(train / "b" / "b_7_mask.png")
    pages = [Image.fromarray(make_scene(seed=seed)) for seed in (920, 921)]
    pages[0].save(train / "b" / "pages.tif", save_all=True, append_images=pages[1:])
    write_files(train / "b", {"endless.jpg": valid_files(seed=912)["a.jpg"][0][:-2]})
    (root / "train" / "readme.txt").write_text("a stray")
    return root


@pytest.fixture(scope="module")
def sick(tmp_path_factory):
    """The diagnosis of a folder with one finding of each kind."""
    return diagnose(write_sick_folder(tmp_path_factory.mktemp("sick") / "p"))


def test_each_kind_is_found(sick, tmp_path):
    diagnosis = sick
    expected = {
        ("unreadable", ("train/a/torn.jpg",)),
        ("constant", ("train/a/wall.png",)),
        ("tiny", ("train/a/small.png",)),
        ("suffix", ("train/a/lies.bmp",)),
        ("duplicate", ("train/a/a_1.png", "train/a/again.png")),
        ("conflict", ("train/a/a_2.png", "train/b/torn between.png")),
        ("leak", ("train/a/leaked.png", "test/a/a_3.png")),
        ("near duplicate", ("train/b/b_4.png", "train/b/nearly.jpg")),
        ("near conflict", ("train/a/nearly b.jpg", "train/b/b_6.png")),
        ("near leak", ("test/b/b_5.png", "train/b/nearly leaked.jpg")),
        ("drawing", ("train/b/icon.gif",)),
        ("levels", ("train/b/dim.png",)),
        ("pages", ("train/b/pages.tif",)),
        ("mask", ("train/b/b_7.png", "train/b/b_7_mask.png")),
        ("damage", ("train/b/endless.jpg",)),
        ("note", ("train/readme.txt",)),
        ("imbalance", ()),
        ("one split", ()),
    }
    findings = {(finding.kind, tuple(sorted(finding.images))) for finding in diagnosis.findings}
    assert findings == {(kind, tuple(sorted(names))) for kind, names in expected}
    assert {kind for kind, _ in expected} == set(FINDING_KINDS) - {"few", "stray", "shortcut"}  # in other tests
    few = diagnose(write_class_folders(tmp_path / "few", {"a": 9, "b": 2}, seed=7000))
    assert [(f.kind, f.reason) for f in few.findings] == [("few", "b: 2 images, but three splits need at least 3")]

    one = diagnose(write_class_folders(tmp_path / "one", {"a": 9}, seed=7000))
    assert [(f.kind, f.reason) for f in one.findings] == [("few", "a is the only class; a classifier needs two")]
    assert {f.kind for f in diagnosis.set_aside} == {"unreadable", "leak", "drawing", "note"}
    assert "rare: 2 images, the largest class has" in str(diagnosis) + diagnosis.to_json()
    assert "rare is not in test" in diagnosis.to_html()


def test_images_that_load_data_refuses_by_default_are_reported(tmp_path):
    """Each class has enough for three splits, but a tenth of all images is less than one per class."""
    root = write_class_folders(tmp_path / "few", {"a": 4, "b": 4, "c": 4}, seed=7000)
    with pytest.raises(cnnzoo.InputError) as refused:
        cnnzoo.load_data(root)
    assert "These shares work: splits=(0.6, 0.2, 0.2) (--splits 0.6,0.2,0.2)" in str(refused.value)
    (finding,) = diagnose(root).findings
    assert (finding.kind, finding.needs_decision, str(refused.value) in finding.reason) == ("few", True, True)
    assert min(np.bincount(cnnzoo.load_data(root, splits=(0.6, 0.2, 0.2)).test.labels)) == 1
    assert not diagnose(write_class_folders(tmp_path / "enough", {"a": 8, "b": 8, "c": 8}, seed=7000)).findings


def test_the_command_writes_a_page_and_json(tmp_path, cli):
    write_sick_folder(tmp_path / "p")
    result = cli("doctor", tmp_path / "p", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert "4 set aside" in result.out
    content = json.loads((tmp_path / "out" / "doctor.json").read_text())
    assert content["files"] == 138
    assert {finding["kind"] for finding in content["findings"]} == set(FINDING_KINDS) - {"few", "stray", "shortcut"}
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
            picture[0, 0] = i, label == "b", 0
            Image.fromarray(picture).save(tmp_path / "p" / label / f"{i}.png")
    monkeypatch.setattr("cnnzoo.data.doctor.MAX_NEAR_PAIRS", 50)
    assert sum(f.kind in ("near duplicate", "near conflict") for f in diagnose(tmp_path / "p").findings) == 50


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


# Copies


def copy_photos(root, copies):
    """Write two classes of six photos each, and copies {new name: old name}."""
    write_class_folders(root, {"a": 6, "b": 6}, seed=3000)
    for new, old in copies.items():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / old, root / new)
    return root


def found(root, kinds=("conflict", "duplicate", "leak", "near duplicate", "near conflict", "near leak")):
    return [(f.kind, *f.images) for f in diagnose(root).findings if f.kind in kinds]


def test_a_group_of_copies_is_one_finding(tmp_path):
    root = copy_photos(tmp_path / "p", {"a/x.png": "a/a_0.png", "b/y.png": "a/a_0.png", "b/z.png": "b/b_1.png"})
    assert found(root) == [("conflict", "a/a_0.png", "a/x.png", "b/y.png"), ("duplicate", "b/b_1.png", "b/z.png")]


def test_the_verdict_counts_what_a_person_has_to_look_at(tmp_path):
    root = write_class_folders(tmp_path / "p", {"a": 8, "b": 8}, seed=3100)
    (root / "README.md").write_text("notes")
    assert diagnose(root).verdict() == "No problems found."
    shutil.copy(root / "a" / "a_0.png", root / "a" / "x.png")
    assert diagnose(root).verdict() == "Nothing needs a decision."
    assert "<b>Look at the findings</b>" in diagnose(root).to_html(), "and not: and decide"
    shutil.copy(root / "a" / "a_1.png", root / "b" / "y.png")
    assert diagnose(root).verdict() == "1 finding needs a decision: 1 conflict."


def test_a_near_copy_of_copies_is_one_finding(tmp_path):
    root = copy_photos(tmp_path / "p", {"a/x.png": "a/a_0.png"})
    with Image.open(root / "a" / "a_0.png") as image:
        image.convert("RGB").save(root / "a" / "y.jpg", quality=90)
    assert found(root) == [("duplicate", "a/a_0.png", "a/x.png"), ("near duplicate", "a/a_0.png", "a/y.jpg")]


def test_a_leak_with_another_label_is_a_leak_only(tmp_path):
    write_class_folders(tmp_path / "p" / "train", {"a": 8, "b": 8}, seed=3000)
    write_class_folders(tmp_path / "p" / "test", {"a": 3, "b": 3}, seed=4000)
    shutil.copy(tmp_path / "p/test/a/a_0.png", tmp_path / "p/train/b/x.png")
    assert found(tmp_path / "p") == [("leak", "train/b/x.png", "test/a/a_0.png")]
    (leak,) = diagnose(tmp_path / "p").findings
    assert leak.reason == "the same file is in test, as a: 'test/a/a_0.png'"


# The fix list


def test_the_fix_list_excludes_what_is_certain_and_asks_for_the_rest(sick):
    fixes = {fix.path: fix for fix in sick.fix_list().fixes}
    excluded = {path for path, fix in fixes.items() if fix.action == "exclude"}
    assert excluded == {
        "train/a/torn.jpg",
        "train/b/icon.gif",
        "train/a/leaked.png",
        "train/a/again.png",
        "train/b/b_7_mask.png",
    }
    assert not any(fix.action == "relabel" for fix in fixes.values())
    conflict = fixes["train/b/torn between.png"]
    assert (conflict.action, conflict.label, conflict.finding) == ("keep", "a", "conflict")
    assert "train/a/a_2.png (a)" in conflict.reason
    assert fixes["train/b/nearly leaked.jpg"].action == "keep"
    assert "test/b/b_5.png" not in fixes  # of two splits, the one in training is listed
    assert {fix.finding for fix in fixes.values()} == {name for name, kind in FINDING_KINDS.items() if kind.fix}


def test_a_fix_list_that_was_applied_leaves_fewer_findings(sick, tmp_path):
    root = write_sick_folder(tmp_path / "p")
    before = diagnose(root)
    before.fix_list().save(tmp_path / "fixes.csv")
    after = diagnose(root, fix_list=read_fix_list(tmp_path / "fixes.csv"))
    gone = {f.kind for f in before.findings} - {f.kind for f in after.findings}
    assert gone == {"unreadable", "leak", "duplicate", "drawing", "mask"}
    assert {f.kind for f in after.set_aside} == {"note"}


def test_a_drawing_is_kept_on_request(tmp_path):
    root = write_sick_folder(tmp_path / "p")
    kept = FixList((Fix("train/b/icon.gif", "keep"),))
    assert not any(f.kind == "drawing" for f in diagnose(root, fix_list=kept).findings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of all the other findings
        data = cnnzoo.load_data(root, split="all", fix_list=kept)
    assert "train/b/icon.gif" in data.test.names


def test_the_command_writes_a_fix_list(tmp_path, cli):
    root = copy_photos(tmp_path / "p", {"a/x.png": "a/a_0.png"})
    done = cli("doctor", root, "--out", tmp_path / "out", "--fix-list", tmp_path / "fixes.csv")
    assert done.code == 0, done.err
    assert "1 image to exclude, 0 images to decide on" in done.out
    again = cli("doctor", root, "--out", tmp_path / "out", "--fix-list", tmp_path / "fixes.csv")
    assert (again.code, "--overwrite" in again.err) == (2, True)
    assert cli("doctor", root, "--out", tmp_path / "out", "--fix-list", tmp_path / "fixes.csv", "--overwrite").code == 0
    done = cli("doctor", root, "--out", tmp_path / "out", "--apply-fix-list", tmp_path / "fixes.csv")
    assert "No problems found" in done.out
    assert "Fix list fixes.csv: 1 image excluded, 0 relabeled." in done.out


# Levels


def write_deep_images(root, highest):
    """Write 16-bit images whose levels end at those given."""
    for label in "ab":
        (root / label).mkdir(parents=True)
        for i, high in enumerate(highest):
            scene = make_scene(seed=ord(label) * 100 + i)[..., 0].astype("float64")
            scene = (scene - scene.min()) / (scene.max() - scene.min()) * high
            Image.fromarray(scene.astype("uint16")).save(root / label / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("highest", "reason"),
    [
        ([4000] * 4, r"levels to 4,000 of 65,535 in 8 images: 12 bits\? levels=4095 .*"),
        ([4000] * 3 + [65_000] * 2, r".* in 6 images: 12 bits\? But 4 others have levels to 65,000, so that no one.*"),
        ([4000] + [65_000] * 3, None),  # two dark pictures of eight
        ([65_000] * 4, None),
    ],
)
def test_levels_are_proposed_if_they_fit_all_images(tmp_path, highest, reason):
    reasons = [f.reason for f in diagnose(write_deep_images(tmp_path / "p", highest)).findings if f.kind == "levels"]
    assert len(reasons) == bool(reason)
    assert not reason or re.fullmatch(reason, reasons[0])


def test_only_pages_of_their_own_are_counted(tmp_path):
    """A preview in a TIFF file is no page; an animation is named."""
    root = copy_photos(tmp_path / "p", {})
    scene = Image.fromarray(make_scene(seed=1))
    preview = Image.fromarray(make_scene(30, 40, seed=1))
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    scene.save(root / "a" / "preview.tif", save_all=True, append_images=[preview])
    scene.save(root / "a" / "film.gif", save_all=True, append_images=[Image.fromarray(make_scene(seed=2))])
    reasons = {f.images[0]: f.reason for f in diagnose(root).findings if f.kind == "pages"}
    assert reasons == {"a/film.gif": "an animation, of which the first frame is used"}


def test_masks_beside_their_images_are_named(tmp_path):
    """A name alone is no reason: the image of that name has to be there, in the same folder."""
    names = ("a/1.png", "a/1_mask.png", "a/benign (2).png", "a/benign (2)_mask_1.png", "b/face mask.png", "b/2-gt.png")
    root = copy_photos(tmp_path / "p", {})
    for i, name in enumerate(names):
        Image.fromarray(make_scene(seed=8000 + i)).save(root / name)
    masks = [f.images for f in diagnose(root).findings if f.kind == "mask"]
    assert masks == [("a/1_mask.png", "a/1.png"), ("a/benign (2)_mask_1.png", "a/benign (2).png")]
    with pytest.warns(
        UserWarning, match="2 images are called like masks of others, such as 'a/1_mask.png', and used as"
    ):
        cnnzoo.load_data(root, split="all")


def test_a_set_of_small_images_is_as_it_should_be(tmp_path):
    """Such as digits: one finding says so, and none of the images is to be decided on."""
    root = write_class_folders(tmp_path / "p", {"a": 4, "b": 4}, size=(28, 28), seed=8100)
    diagnosis = diagnose(root)
    (tiny,) = (finding for finding in diagnosis.findings if finding.kind == "tiny")
    assert tiny.reason.startswith("8 of 8 images have a side under 32 pixels: a network for small images")
    assert tiny not in diagnosis.to_decide
    assert not any("tiny" in fix.finding for fix in diagnosis.fix_list().fixes)
