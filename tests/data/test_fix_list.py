"""Fix lists: written, edited in a spreadsheet, read back, and applied to folders and tables."""

import csv
import shutil

import numpy as np
import pytest
from helpers.image_files import write_class_folders

import cnnzoo
from cnnzoo.data.fix_list import Fix, FixList, merge_fixes, read_fix_list

FIXES = FixList((Fix("a/a_0.png", "exclude"), Fix("b/b_1.png", "relabel", "a"), Fix("b/b_2.png", "keep", "a")))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_class_folders(tmp_path_factory.mktemp("fixes") / "p", {"a": 12, "b": 12})


def labels_of(data):
    """Return {name: class} of all images."""
    return {
        str(name): data.classes[label]
        for split in data.splits.values()
        for name, label in zip(split.names, split.labels, strict=True)
    }


def write_fixes(file, *lines, head="path,action,label"):
    file.write_text("\n".join([head, *lines]))
    return file


def test_images_are_excluded_and_relabeled(photos, tmp_path):
    FIXES.save(tmp_path / "fixes.csv")
    data = cnnzoo.load_data(photos, fix_list=tmp_path / "fixes.csv")
    labels = labels_of(data)
    assert len(labels) == 23
    assert "a/a_0.png" not in labels
    assert (labels["b/b_1.png"], labels["b/b_2.png"]) == ("a", "b")
    assert "Fix list fixes.csv: 1 image excluded, 1 relabeled." in data.notes
    assert "24 files, 1 excluded by the fix list, none set aside." in data.notes
    assert (data.fix_list.excluded, data.fix_list.relabeled) == (1, 1)
    assert cnnzoo.load_data(photos).fix_list is None


def test_a_fix_list_works_after_the_data_was_moved(photos, tmp_path):
    FIXES.save(tmp_path / "fixes.csv")
    shutil.copytree(photos, tmp_path / "elsewhere" / "q")
    before = cnnzoo.load_data(photos, fix_list=tmp_path / "fixes.csv")
    after = cnnzoo.load_data(tmp_path / "elsewhere" / "q", fix_list=tmp_path / "fixes.csv")
    assert before.fingerprints == after.fingerprints


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_files_of_spreadsheets_are_read(tmp_path, encoding, separator):
    """Semicolons, a byte order mark, CRLF, empty rows, other columns, capitals."""
    file = tmp_path / "fixes.csv"
    with file.open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, delimiter=separator, lineterminator="\r\n")
        rows = [["a/é 1.png", "Exclude", "", "x, y; z"], ["", "", "", ""], ["b/b.png", " relabel ", "a", ""]]
        writer.writerows([["Path", "Action", "Label", "Comment"], *rows])
    assert read_fix_list(file).fixes == (Fix("a/é 1.png", "exclude"), Fix("b/b.png", "relabel", "a"))


def test_names_that_spreadsheets_take_for_formulas_survive(tmp_path):
    fixes = FixList((Fix("=1.png", "exclude"), Fix("a.png", "relabel", "@b", "conflict", "-x")))
    fixes.save(tmp_path / "fixes.csv")
    assert read_fix_list(tmp_path / "fixes.csv").fixes == fixes.fixes
    assert "'=1.png" in (tmp_path / "fixes.csv").read_text()


def test_data_frames_are_fix_lists(photos):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"path": ["a/a_0.png"], "action": ["exclude"], "label": [None]})
    assert cnnzoo.load_data(photos, fix_list=frame).fix_list.excluded == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a/a_99.png,exclude,"], r"fixes.csv, line 2 names 'a/a_99.png', which is no image.*Did you mean 'a/a_"),
        (["x/a_0.png,exclude,"], r"Did you mean 'a/a_0.png'"),
        (["a/q.png,exclude,", "a/r.png,exclude,"], r"So do fixes.csv, line 3 \('a/r.png'\).*relative to the source"),
        (["a/a_0.png,delete,"], r"Unknown action in fixes.csv, line 2.*keep, relabel"),
        (["a/a_0.png,relabel,"], r"the column label is empty"),
        (["a/a_0.png,relabel,c"], r"Unknown class in fixes.csv, line 2, for 'a/a_0.png'.*Allowed: a, b"),
        (
            ["a/a_0.png,exclude,", "a/a_0.png,keep,"],
            r"Two actions for 'a/a_0.png': exclude in fixes.csv, line 2, and keep in",
        ),
        (
            ["a/a_0.png,exclude,", "./a/a_0.png,relabel,b"],
            r"Two actions for 'a/a_0.png', in fixes.csv, line 2 and fixes.csv, line 3",
        ),
        ([",exclude,"], r"line 2 has no path"),
    ],
)
def test_rows_that_cannot_be_carried_out_are_named(photos, tmp_path, lines, message):
    with pytest.raises(cnnzoo.InputError, match=f"(?s){message}"):
        cnnzoo.load_data(photos, fix_list=write_fixes(tmp_path / "fixes.csv", *lines))


def test_files_that_are_no_fix_list_are_refused(photos, tmp_path):
    with pytest.raises(cnnzoo.InputError, match="no column 'action'.*cnnzoo doctor DATA --fix-list"):
        cnnzoo.load_data(photos, fix_list=write_fixes(tmp_path / "x.csv", "a/a_0.png,a", head="path,label"))
    with pytest.raises(cnnzoo.InputError, match="does not exist"):
        cnnzoo.load_data(photos, fix_list=tmp_path / "none.csv")
    with pytest.raises(cnnzoo.InputError, match="is a folder"):
        cnnzoo.load_data(photos, fix_list=photos)


def test_arrays_are_fixed_by_the_names_of_their_images():
    x = np.arange(30, dtype="uint8")[:, None, None, None].repeat(8, 1).repeat(8, 2)
    y, weights = np.arange(30) % 3, np.arange(30) / 14.5
    fixes = FixList((Fix("arrays[4]", "exclude"), Fix("arrays[7]", "relabel", "cat"), Fix("arrays[8]", "keep", "cat")))
    classes = ["cat", "dog", "owl"]
    data = cnnzoo.load_data((x, y, weights), classes=classes, fix_list=fixes, splits=(0.6, 0.2, 0.2))
    assert (data.fix_list.excluded, data.fix_list.relabeled) == (1, 1)
    assert "1 image excluded, 1 relabeled" in " ".join(data.notes)
    rows = [
        (str(name), int(image[0, 0, 0]), int(label), float(weight))
        for split in data.splits.values()
        for name, image, label, weight in zip(split.names, split.images, split.labels, split.weights, strict=True)
    ]
    expected = [(f"arrays[{i}]", i, 0 if i == 7 else i % 3, np.float32(i / 14.5)) for i in range(30) if i != 4]
    assert sorted(rows) == sorted((name, i, label, float(weight)) for name, i, label, weight in expected)

    # Parts have names of their own; an emptied class is no class any more
    parts = {"x_train": x, "y_train": y, "x_test": x[:3] + 100, "y_test": y[:3]}
    lost = [Fix(f"train[{i}]", "exclude") for i in range(2, 30, 3)] + [Fix("test[2]", "exclude")]
    data = cnnzoo.load_data(parts, fix_list=FixList(tuple(lost)))
    assert (data.classes, len(data.test)) == (("0", "1"), 2)
    assert "leaves no image of 2" in " ".join(data.notes)

    with pytest.raises(cnnzoo.InputError, match=r"names 'arrays\[99\]', which is no image of the data"):
        cnnzoo.load_data((x, y), fix_list=FixList([Fix("arrays[99]", "exclude")]))
    with pytest.raises(cnnzoo.InputError, match="one number .*30 images"):
        cnnzoo.load_data((x, y, [1.0]), fix_list=fixes, classes=classes)


def test_the_labels_that_a_report_doubts_are_fixed_in_arrays(tmp_path):
    """What a report of arrays writes is read back, once its actions are edited."""
    data = cnnzoo.load_data("digits")
    name, label = str(data.test.names[0]), str(data.test.labels[0])
    other = str((int(label) + 1) % 10)
    file = write_fixes(tmp_path / "labels_to_check.csv", f"{name},relabel,{other}")
    fixed = cnnzoo.load_data("digits", fix_list=file)
    labels = {str(n): int(k) for split in fixed.splits.values() for n, k in zip(split.names, split.labels, strict=True)}
    assert labels[name] == int(other)
    assert len(labels) == 1797


@pytest.mark.parametrize("action", ["exclude", "keep"])
def test_repeated_rows_with_the_same_action_count_once(photos, tmp_path, action):
    file = write_fixes(tmp_path / "fixes.csv", *[f"a/a_0.png,{action},b"] * 2)
    assert cnnzoo.load_data(photos, fix_list=file).fix_list.excluded == (action == "exclude")


def test_tables_are_fixed_by_their_own_paths(photos, tmp_path):
    """Labels may be names, or indices of `classes`; the list names the classes."""
    rows = [(path.relative_to(photos).as_posix(), path.parent.name) for path in sorted(photos.glob("*/*.png"))]
    for names in (("a", "b"), ("0", "1")):
        with (tmp_path / "t.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *((path, names["ab".index(label)]) for path, label in rows)])
        for fixes in (FIXES, FixList((Fix(str(photos / "a/a_0.png"), "exclude"), *FIXES.fixes[1:]))):
            data = cnnzoo.load_data(tmp_path / "t.csv", image_dir=photos, classes=["a", "b"], fix_list=fixes)
            labels = labels_of(data)
            assert (len(labels), labels["b/b_1.png"], labels["b/b_2.png"]) == (23, "a", "b")


def test_splits_of_the_source_are_kept_and_evaluation_knows_all_classes(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "p" / "train")
    for label, other in (("a", "b"), ("b", "a")):  # no copies of training images of the same class
        write_class_folders(tmp_path / "p" / "test", {label: 3}, seed=7000 + ord(other))
    fixes = FixList((Fix("test/a/a_0.png", "relabel", "b"), Fix("train/a/a_0.png", "exclude")))
    data = cnnzoo.load_data(tmp_path / "p", fix_list=fixes)
    assert (len(data.test), len(data.train) + len(data.validation)) == (6, 23)
    test = cnnzoo.load_data(tmp_path / "p", split="test", fix_list=fixes)
    assert sorted(labels_of(test).values()) == ["a", "a", "b", "b", "b", "b"]


def test_a_class_without_images_is_named(photos):
    write = [Fix(f"b/b_{i}.png", "exclude") for i in range(12)]
    with pytest.raises(cnnzoo.InputError, match="at least two classes"):
        cnnzoo.load_data(photos, fix_list=FixList(write))
    notes = cnnzoo.load_data(photos, fix_list=FixList(write), split="test").notes
    assert "The fix list leaves no image of b, so it is no class." in notes
    with pytest.raises(cnnzoo.InputError, match="excludes all 24 images"):
        cnnzoo.load_data(photos, fix_list=FixList([*write, *(Fix(f"a/a_{i}.png", "exclude") for i in range(12))]))


def test_findings_about_one_image_are_merged():
    merged = merge_fixes(
        [
            Fix("a.png", "keep", "b", "conflict", "also labeled b"),
            Fix("a.png", "exclude", "", "leak", "also in test"),
            Fix("c.png", "keep", "", "tiny", "8x8 pixels"),
        ]
    )
    assert merged.fixes[0] == Fix("a.png", "exclude", "", "conflict; leak", "also labeled b; also in test")
    assert len(merged) == 2


def test_the_digest_states_what_is_changed():
    fixes = FIXES.fixes
    assert FixList(fixes).digest == FixList((*fixes[1::-1], Fix("x.png", "keep"))).digest
    assert FixList(fixes).digest != FixList(fixes[1:]).digest


def test_several_lists_are_one(photos, tmp_path):
    """Such as the doctor's and the report's; what one list keeps, another one may exclude."""
    first = write_fixes(tmp_path / "fixes.csv", "a/a_0.png,exclude,", "a/a_1.png,keep,b", "a/a_2.png,keep,b")
    second = write_fixes(tmp_path / "labels_to_check.csv", "a/a_1.png,relabel,b", "a/a_0.png,keep,b")
    data = cnnzoo.load_data(photos, fix_list=[first, second])
    assert (data.fix_list.excluded, data.fix_list.relabeled) == (1, 1)
    assert "Fix list fixes.csv and labels_to_check.csv: 1 image excluded, 1 relabeled." in data.notes
    third = write_fixes(tmp_path / "third.csv", "a/a_1.png,exclude,")
    with pytest.raises(
        cnnzoo.InputError, match="relabel as b in labels_to_check.csv, line 2, and exclude in third.csv"
    ):
        cnnzoo.load_data(photos, fix_list=[first, second, third])
