"""compare: figures against counts by hand, the same images in any order, changed files, slices, and the page."""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.pages import Page
from PIL import Image

import cnnzoo
from cnnzoo.core.errors import InputError
from cnnzoo.evaluation import compare as compare_file
from cnnzoo.evaluation.calibration import log_losses, measure_calibration
from cnnzoo.evaluation.comparison import Comparison
from cnnzoo.evaluation.paired_statistics import difference_interval, mcnemar_p
from cnnzoo.evaluation.report import Report
from cnnzoo.evaluation.report_tables import digest_names_and_images, write_predictions
from cnnzoo.evaluation.slices import group_values

CLASSES = ("ant", "bee", "=cat")
COUNT = 60
HOSTILE = "</td><script>alert('x')</script>\x1b[2J\u202e\n"


def make_probabilities(labels, right, seed):
    """Return probabilities (N, 3) whose largest is that of the label where `right`, else that of another class."""
    rng = np.random.default_rng(seed)
    answers = np.where(right, labels, (labels + 1) % 3)
    p = rng.uniform(0.1, 0.2, (len(labels), 3))
    p[np.arange(len(labels)), answers] = rng.uniform(0.5, 0.9, len(labels))
    return p / p.sum(axis=1, keepdims=True)


def write(file, table, order=None, classes=None):
    """Write predictions as a report does, perhaps with other orders of the images and of the classes."""
    order = np.arange(len(table.labels)) if order is None else order
    columns = [table.classes.index(name) for name in classes or table.classes]
    place = {old: new for new, old in enumerate(columns)}
    labels = np.array([place[label] for label in table.labels[order]])
    with file.open("w", newline="", encoding="utf-8") as out:
        write_predictions(
            out, classes or table.classes, table.names[order], labels, table.probabilities[order][:, columns]
        )
    return file


@pytest.fixture(scope="module")
def tables():
    """The predictions of two models: of 60 images, B alone is right on 12, A alone on 3, both on 30, none on 15."""
    labels = np.arange(COUNT) % 3
    names = np.array([f"{'day' if i % 2 else 'night'}/{i:02}.png" for i in range(COUNT)])
    right_a, right_b = np.zeros(COUNT, bool), np.zeros(COUNT, bool)
    right_b[:12], right_a[12:15] = True, True
    right_a[15:45] = right_b[15:45] = True
    return SimpleNamespace(
        a=SimpleNamespace(
            names=names, labels=labels, classes=CLASSES, probabilities=make_probabilities(labels, right_a, 0)
        ),
        b=SimpleNamespace(
            names=names, labels=labels, classes=CLASSES, probabilities=make_probabilities(labels, right_b, 1)
        ),
    )


@pytest.fixture
def files(tables, tmp_path):
    return write(tmp_path / "a.csv", tables.a), write(tmp_path / "b.csv", tables.b)


@pytest.fixture(scope="module")
def photos(tables, tmp_path_factory):
    """The folder of the images, brighter by day, with a table of them."""
    folder = tmp_path_factory.mktemp("photos")
    with (folder / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "weather", "meters"])
        for i, name in enumerate(tables.a.names):
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            side = 8 + i // 20
            Image.fromarray(np.full((side, side + 4, 3), 200 if i % 2 else 40, "uint8")).save(path)
            writer.writerow([name, CLASSES[i % 3], "sun" if i < 20 else "rain", i])
    return folder


def make_report(table, pixels=0, **changes):
    images = np.full((COUNT, 4, 4, 1), pixels, "uint8")
    digest = digest_names_and_images(table.names, np.arange(COUNT, dtype="uint64") + pixels)
    return replace(
        Report("net", "data", "test", CLASSES, table.names, table.labels, table.probabilities, images),
        images_digest=digest,
        **changes,
    )


def edit(file, old, new, count=1):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, count), encoding="utf-8")


# ---- Figures


def test_the_figures_are_those_of_the_counts(files):
    comparison = cnnzoo.compare(*files, margin=0.05)
    assert isinstance(comparison, Comparison)
    assert (len(comparison.gains), len(comparison.losses)) == (12, 3)
    assert (comparison.accuracy_a, comparison.accuracy_b) == (33 / 60, 42 / 60)
    assert comparison.difference == pytest.approx(9 / 60)
    assert comparison.p_value == float(mcnemar_p(12, 3)) < 0.05
    assert comparison.interval == tuple(map(float, difference_interval(12, 3, 60)))
    assert comparison.is_better
    assert comparison.is_noninferior
    assert not (comparison.is_worse or comparison.is_equivalent or comparison.fails)
    text = str(comparison)
    assert "Only B is right on 12 images, only A on 3; both on 30, neither on 15." in text
    assert "B is better than A (p = 0.035). B is no worse than A by 5 points" in text
    swapped = cnnzoo.compare(*reversed(files))
    assert swapped.is_worse
    assert swapped.fails
    assert swapped.verdict == "B is worse than A (p = 0.035)."
    assert swapped.interval == pytest.approx([-bound for bound in reversed(comparison.interval)])


def test_flips_are_sorted_by_the_certainty_of_the_wrong_one(files):
    comparison = cnnzoo.compare(*files)
    for flips, wrong in ((comparison.gains, comparison.a), (comparison.losses, comparison.b)):
        assert list(wrong.confidence[flips]) == sorted(wrong.confidence[flips], reverse=True)


def test_calibration_is_that_of_reports(files, tables):
    comparison = cnnzoo.compare(*files)
    for which, table in (("a", tables.a), ("b", tables.b)):
        measured = measure_calibration(table.labels, table.probabilities)
        own = comparison.calibration[which]
        assert own["calibration_error"] == pytest.approx(measured["calibration_error"])
        assert own["log_loss"] == pytest.approx(measured["log_loss"])
    losses = [log_losses(each.labels, each.probabilities) for each in (tables.a, tables.b)]
    assert comparison.calibration["log_loss_difference"] == pytest.approx((losses[1] - losses[0]).mean())
    low, high = comparison.calibration["log_loss_interval_95"]
    half = 1.96 * (losses[1] - losses[0]).std(ddof=1) / np.sqrt(COUNT)
    assert (high - low) / 2 == pytest.approx(half, rel=1e-3)


def test_classes_and_slices_add_up(files):
    comparison = cnnzoo.compare(*files, slices=["folder", "class"])
    for rows in (comparison.per_class, comparison.slices["folder"]):
        assert sum(row["images"] for row in rows) == COUNT
        assert sum(row["gains"] for row in rows) == 12
        assert sum(row["losses"] for row in rows) == 3
        assert all(row["p_holm"] >= row["p"] for row in rows)
    assert [row["name"] for row in comparison.per_class] == list(CLASSES)
    assert [row["name"] for row in comparison.slices["folder"]] == ["day", "night"]
    assert list(comparison.slices) == ["folder"], "the classes are there anyway"


def test_equal_models_do_not_differ(files):
    comparison = cnnzoo.compare(files[0], files[0], margin=0.1)
    assert (comparison.difference, comparison.p_value) == (0, 1)
    assert comparison.is_equivalent
    assert "the same class and the same probabilities. The two are equivalent within 10 points" in str(comparison)
    assert not comparison.fails
    assert "Check that A and B are the models you mean" in comparison.to_html()


def test_models_that_agree_on_all_classes_are_not_taken_for_copies(files, tables, tmp_path):
    softer = np.sqrt(tables.a.probabilities)
    softer /= softer.sum(axis=1, keepdims=True)
    other = write(tmp_path / "softer.csv", SimpleNamespace(**vars(tables.a) | {"probabilities": softer}))
    comparison = cnnzoo.compare(files[0], other)
    assert not comparison.has_same_probabilities
    assert "No difference is shown (p = 1.000). B may still be up to" in comparison.verdict


def test_too_few_images_show_nothing(files):
    comparison = cnnzoo.compare(*files, margin=0.001)
    assert not cnnzoo.compare(files[1], files[1], margin=0.001).is_noninferior
    assert "B may still be up to" not in comparison.verdict


# ---- The same images, in any order and form


def test_the_order_of_images_and_classes_does_not_matter(files, tables, tmp_path):
    shuffled = np.random.default_rng(0).permutation(COUNT)
    other = write(tmp_path / "c.csv", tables.b, shuffled, ("bee", "=cat", "ant"))
    assert cnnzoo.compare(files[0], other).to_dict() | {"b": None} == cnnzoo.compare(*files).to_dict() | {"b": None}


def test_reports_and_their_folders_are_the_same(tables, tmp_path):
    reports = [make_report(table) for table in (tables.a, tables.b)]
    for report, name in zip(reports, "ab", strict=True):
        report.save(tmp_path / name)
    of_reports, of_folders = (
        cnnzoo.compare(*pair).to_dict() for pair in (reports, (tmp_path / "a", tmp_path / "b" / "predictions.csv"))
    )
    assert of_reports["a"]["name"] == "net"
    assert {**of_reports, "a": None, "b": None} == {**of_folders, "a": None, "b": None}
    assert cnnzoo.compare(reports[0], tmp_path / "b").difference == of_folders["difference"]


def test_other_pixels_of_the_same_names_are_refused(tables, tmp_path):
    with pytest.raises(InputError, match="images of the same names, but not the same ones: their fingerprints differ"):
        cnnzoo.compare(make_report(tables.a), make_report(tables.b, pixels=1))


def test_runs_of_earlier_versions_are_told_apart_by_their_fingerprints(files, tmp_path):
    for name, fingerprint, file in (("a", "1", files[0]), ("b", "2", files[1])):
        (tmp_path / name).mkdir()
        shutil.copy(file, tmp_path / name / "predictions.csv")
        data = {"fingerprints": {"test": fingerprint}, "size": "Photos resized by the pipeline"}
        (tmp_path / name / "run.json").write_text(json.dumps({"status": "done", "plan": {"data": data}}))
    with pytest.raises(InputError, match="fingerprints differ"):
        cnnzoo.compare(tmp_path / "a", tmp_path / "b")
    assert cnnzoo.compare(tmp_path / "a", files[1]).difference > 0


def test_different_images_are_named(files, tables, tmp_path):
    some = write(tmp_path / "some.csv", tables.b, np.arange(5, COUNT))
    with pytest.raises(InputError, match=r"different images.* 5 images only in .*a.csv \('night/00.png', .*0 images"):
        cnnzoo.compare(files[0], some)


def test_different_labels_are_named(files, tables, tmp_path):
    labels = tables.b.labels.copy()
    labels[7] = 0
    other = write(tmp_path / "c.csv", SimpleNamespace(**vars(tables.b) | {"labels": labels}))
    with pytest.raises(InputError, match=r"different labels for 1 image, such as 'day/07.png': 'bee' and 'ant'"):
        cnnzoo.compare(files[0], other)


def test_different_classes_are_named(files, tables, tmp_path):
    other = write(tmp_path / "c.csv", SimpleNamespace(**vars(tables.b) | {"classes": ("ant", "bee", "dog")}))
    with pytest.raises(InputError, match=r"different classes \(only in .*a.csv: =cat; only in .*c.csv: dog\)"):
        cnnzoo.compare(files[0], other)


def test_predictions_without_labels_take_those_of_the_data(tables, photos, tmp_path):
    for name, table in (("a", tables.a), ("b", tables.b)):
        answers = table.probabilities.argmax(axis=1)
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "error", "class_1", "probability_1"])
            for image, answer, p in zip(table.names, answers, table.probabilities, strict=True):
                writer.writerow([photos / image, "", f"{'' if answer < 2 else chr(39)}{CLASSES[answer]}", p.max()])
            writer.writerow([photos / "torn.png", "torn", "", ""])
    both = tmp_path / "a.csv", tmp_path / "b.csv"
    comparison = cnnzoo.compare(*both, data=photos / "list.csv", slices="weather")
    assert (len(comparison.gains), len(comparison.losses)) == (12, 3)
    assert "log_loss" not in comparison.calibration["a"]
    assert "has no answer for 1 image that could not be read" in str(comparison)
    assert comparison.slices["weather"][1]["gains"] == 12
    with pytest.raises(InputError, match=r"The true class of .*is not known \(60 of 60 images\).*data \(--data\)"):
        cnnzoo.compare(*both)


def test_parquet_files_are_read(files):
    parquet = pytest.importorskip("pyarrow.parquet")
    from pyarrow import csv as arrow_csv

    table = arrow_csv.read_csv(files[1])
    for name in ("true", "predicted"):
        values = [value.lstrip("'") for value in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, [values])
    parquet.write_table(table, files[1].with_suffix(".parquet"))
    comparison = cnnzoo.compare(files[0], files[1].with_suffix(".parquet"))
    assert comparison.to_dict() | {"b": None} == cnnzoo.compare(*files).to_dict() | {"b": None}


def test_names_with_separators_and_line_ends_are_read(tables, tmp_path):
    names = tables.a.names.astype(object)
    names[[3, 59]] = 'a,"b"\n.png', "x\r\n,y.png"
    odd = [SimpleNamespace(**vars(each) | {"names": names}) for each in (tables.a, tables.b)]
    files = [write(tmp_path / f"{i}.csv", table) for i, table in enumerate(odd)]
    assert 'a,"b"\n.png' in cnnzoo.compare(*files).to_dict()["gains"]


# ---- What is no prediction, or was changed


CHANGES = {
    "another answer": (("day/07.png,bee,bee", "day/07.png,bee,ant"), "was changed: 'day/07.png' is predicted as 'ant'"),
    "another class": (("day/07.png,bee", "day/07.png,beee"), "class 'beee' of 'day/07.png' .* Did you mean 'bee'"),
    "a row twice": (("night/06.png", "night/08.png"), "has the image 'night/08.png' twice"),
    "text": ((",0.", ",O."), r"the probability of 'night/00.png' is O\.\d+; .*The file was changed"),
    "a cell too few": (("day/07.png,bee,", "day/07.png,"), "a row has 7 values instead of 8"),
    "a quote": (("day/07.png", '"day/07.png'), "was changed"),
    "no header": (("image,true", "x,y"), "has no predictions. Its columns must be image, true, predicted"),
    "a spreadsheet": ((",", ";"), "a spreadsheet seems to have saved it"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_files_are_refused(files, change):
    (old, new), message = CHANGES[change]
    edit(files[1], old, new, count=-1 if change == "a spreadsheet" else 1)
    with pytest.raises(InputError, match=message):
        cnnzoo.compare(*files)


def test_nan_is_refused_with_the_image(files, tables):
    value = repr(float(tables.b.probabilities[7, 0]))
    edit(files[1], value, "nan")
    with pytest.raises(InputError, match="holds NaN or infinite probabilities for 1 image, such as 'day/07.png'"):
        cnnzoo.compare(*files)
    probabilities = tables.b.probabilities.copy()
    probabilities[7] = np.nan
    broken = replace(make_report(tables.b), probabilities=probabilities)
    with pytest.raises(InputError, match="NaN"):
        cnnzoo.compare(make_report(tables.a), broken)


def test_probabilities_add_up(files, tables):
    edit(files[1], repr(float(tables.b.probabilities[7, 0])), "0.0")
    with pytest.raises(InputError, match=r"probabilities of 'day/07.png' add up to 0\.\d+, not 1"):
        cnnzoo.compare(*files)


def test_a_changed_file_of_a_report_is_noticed(tables, tmp_path):
    """Also where the rows are still plausible: the digest is another, and earlier reports have the matrix."""
    report = make_report(tables.a)
    report.save(tmp_path / "a")
    file = tmp_path / "a" / "predictions.csv"
    edit(file, "day/07.png,bee", "day/07.png,ant")
    with pytest.raises(InputError, match="is not the file that was written with report.json: it was changed"):
        cnnzoo.compare(tmp_path / "a", tmp_path / "a")
    figures = json.loads((tmp_path / "a" / "report.json").read_text())
    assert figures.pop("predictions_sha256")
    (tmp_path / "a" / "report.json").write_text(json.dumps(figures))
    with pytest.raises(InputError, match="it was changed"):
        cnnzoo.compare(tmp_path / "a", tmp_path / "a")


def test_what_is_no_run_is_explained(files, tmp_path):
    (tmp_path / "runs" / "x").mkdir(parents=True)
    cases = {
        tmp_path / "runs": "is no run and no report: it has no predictions.csv",
        tmp_path / "aa.csv": r"There is nothing at .*Did you mean .*/a\.csv",
        tmp_path / "photo.png": "is not a file of predictions: .csv, .jsonl, .parquet",
    }
    (tmp_path / "photo.png").write_bytes(b"")
    for path, message in cases.items():
        with pytest.raises(InputError, match=message):
            cnnzoo.compare(path, files[1])
    (tmp_path / "runs" / "x" / "run.json").write_text('{"status": "running", "plan": {}}')
    with pytest.raises(InputError, match="has no predictions.csv yet: its training has not ended"):
        cnnzoo.compare(tmp_path / "runs" / "x", files[1])
    (tmp_path / "empty.csv").write_text(files[0].read_text().splitlines()[0] + "\n")
    with pytest.raises(InputError, match="it has no rows"):
        cnnzoo.compare(tmp_path / "empty.csv", files[1])
    with pytest.raises(InputError, match="a must be a run, .* Received: ndarray"):
        cnnzoo.compare(np.zeros(3), files[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": 0}, "margin must be a share above 0"),
        ({"margin": 2}, "for 2 points, write 0.02"),
        ({"margin": float("nan")}, "margin must be"),
        ({"margin": "0.1"}, "margin must be"),
        ({"on": "tests"}, "Unknown split in on. Did you mean test?"),
        ({"slices": "wether"}, "Unknown slice. Did you mean weather?"),
        ({"slices": 3}, "slices must be class, folder, size, brightness"),
        ({"data": "nothing/here"}, "there is nothing at 'nothing/here'"),
        ({"data": 3}, "data must be what load_data returns"),
    ],
)
def test_wrong_arguments(files, photos, arguments, message):
    with pytest.raises(InputError, match=message):
        cnnzoo.compare(*files, **{"data": photos / "list.csv"} | arguments)


def test_a_slice_without_a_table_says_how_to_name_it(files):
    with pytest.raises(InputError, match=r"Unknown slice\..*knows no table of the images: data \(--data\)"):
        cnnzoo.compare(*files, slices="weather")
    with pytest.raises(InputError, match=r"'brightness' needs the images, and none of them was found"):
        cnnzoo.compare(*files, slices="brightness")


def test_another_split_than_that_of_the_report(tables):
    reports = [make_report(table, split="validation") for table in (tables.a, tables.b)]
    with pytest.raises(InputError, match=r"predictions on the validation split, and on='test' \(--on test\)"):
        cnnzoo.compare(*reports)
    assert cnnzoo.compare(*reports, on="validation").split == "validation"


# ---- Slices


def test_slices_by_photos_and_columns(files, photos):
    comparison = cnnzoo.compare(*files, slices=("brightness", "size", "weather", "meters"), data=photos / "list.csv")
    names = {key: [row["name"] for row in rows] for key, rows in comparison.slices.items()}
    assert names["brightness"] == ["40", "200"]
    assert names["size"] == ["8", "9", "10"]
    assert names["weather"] == ["rain", "sun"]
    assert names["meters"] == ["0 to 14", "15 to 29", "30 to 44", "45 to 59"]
    assert [row["gains"] for row in comparison.slices["meters"]] == [12, 0, 0, 0]
    assert cnnzoo.compare(*files, slices="brightness", data=photos).slices["brightness"][0]["images"] == 30


def test_a_data_frame_is_a_table(files, tables):
    arrow = pytest.importorskip("pyarrow")
    weather = ["sun" if i < 20 else "rain" for i in range(COUNT)]
    weather[3] = None
    frame = arrow.table({"path": tables.a.names.tolist(), "weather": weather})
    comparison = cnnzoo.compare(*files, slices="weather", data=frame)
    assert [row["name"] for row in comparison.slices["weather"]] == ["rain", "sun", "(missing)"]


def test_slices_of_arrays(tables):
    reports = [make_report(table) for table in (tables.a, tables.b)]
    comparison = cnnzoo.compare(*reports, slices="brightness")
    assert [row["name"] for row in comparison.slices["brightness"]] == ["0"]
    assert "By brightness: all images are in one group, 0." in str(comparison)
    assert "All images are in one group" in comparison.to_html()


def test_the_arrays_of_runs_are_found(tmp_path, monkeypatch):
    """The names and pixels of digits are known, so the two runs are made of their reports and records alone."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 6, 5), "uint8")
    np.savez("own.npz", x=images, y=np.arange(COUNT) % 2)
    own = {"source": str(tmp_path / "own.npz")}
    earlier = {"plan": {"data": {"source": "digits"}}}  # as before 0.13
    for source, record in (("digits", {"source": "digits"}), ("digits", earlier), ("own.npz", own)):
        test = cnnzoo.load_data(source, splits=(0.5, 0.1, 0.4)).test
        for name, right in (("a", 0.5), ("b", 0.9)):
            write_run(tmp_path / name, test, record, right)
        comparison = cnnzoo.compare("a", "b", slices=["brightness", "size"])
        assert [row["name"] for row in comparison.slices["size"]] == [str(min(test.images.shape[1:3]))]
        means = test.images.mean(axis=(1, 2, 3))
        assert comparison.slices["brightness"][0]["name"].startswith(f"{means.min():.4g} to ")
        flips = min(len(comparison.gains), 24) + min(len(comparison.losses), 24)
        assert comparison.to_html().count('src="data:image/png') == flips > 0

    # Other images under the same names are not shown.
    np.savez("own.npz", x=255 - images, y=np.arange(COUNT) % 2)
    page = cnnzoo.compare("a", "b").to_html()
    assert "data:image" not in page
    assert "own.npz&#39; has other images by now" in page
    with pytest.raises(InputError, match=r"brightness.*own\.npz' has other images by now"):
        cnnzoo.compare("a", "b", slices="brightness")
    (tmp_path / "own.npz").unlink()
    assert "The images are not where the run has found them: there is nothing at" in str(cnnzoo.compare("a", "b"))
    with pytest.raises(InputError, match=r"brightness.*there is nothing at .*own\.npz"):
        cnnzoo.compare("a", "b", slices="brightness")


def write_run(folder, split, record, right):
    """Write the report of a model that recognizes a share of a split, with the record of its run."""
    rng = np.random.default_rng(round(10 * right))
    count = split.labels.max() + 1
    is_right = rng.random(len(split.labels)) < right
    p = np.full((len(split.labels), count), 0.3 / (count - 1))
    p[np.arange(len(p)), np.where(is_right, split.labels, (split.labels + 1) % count)] = 0.7
    report = Report("net", "x", "test", tuple(map(str, range(count))), split.names, split.labels, p, split.images)
    replace(report, images_digest=digest_names_and_images(split.names, split.image_digests())).save(folder)
    (folder / "run.json").write_text(json.dumps(record))


def test_values_are_grouped():
    assert group_values([True, False, True])[0] == ["False", "True"]
    assert group_values(["10", "9", ""])[0] == ["9", "10", "(missing)"]
    groups, indices = group_values([f"v{i % 80}" for i in range(200)])
    assert len(groups) == 50
    assert groups[-1] == "(all others)"
    assert np.bincount(indices).sum() == 200
    groups, _ = group_values([*range(20), None, float("nan")])
    assert groups == ["0 to 4", "5 to 9", "10 to 14", "15 to 19", "(missing)"]


# ---- The page, the notebook, and what is imported


def test_the_page_shows_the_flips(files, photos, tmp_path):
    comparison = cnnzoo.compare(*files, data=photos)
    comparison.save(tmp_path / "compare.html")
    page = Page((tmp_path / "compare.html").read_text())
    assert "Gains: only B is right on 12" in page.text
    assert "Losses: only A is right on 3" in page.text
    assert "+15.0 points" in page.text
    assert (tmp_path / "compare.html").read_text().count("data:image/png") == 15
    comparison.save(tmp_path / "compare.json")
    assert json.loads((tmp_path / "compare.json").read_text()) == comparison.to_dict()
    for name in ("compare.txt", "x.html"):
        (tmp_path / "x.html").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="comparison"):
            comparison.save(tmp_path / name)


def test_names_are_escaped(tables, tmp_path):
    names = np.array([f"{HOSTILE}{i}.png" for i in range(COUNT)])
    classes = (HOSTILE, "b & c", "d")
    first, second = (
        replace(make_report(each), names=names, classes=classes, model=HOSTILE) for each in (tables.a, tables.b)
    )
    comparison = cnnzoo.compare(first, second, slices="folder")
    page, summary = comparison.to_html(), comparison._repr_html_()
    for text in (page, summary, str(comparison), repr(comparison)):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "<script>alert" not in page + summary
    assert len(summary) < 100_000
    comparison.save(tmp_path / "page.html")


def test_many_classes_are_folded(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, 400)
    table = SimpleNamespace(
        names=np.array([f"{i}.png" for i in range(400)]),
        labels=labels,
        classes=tuple(f"class {i}" for i in range(40)),
        probabilities=rng.dirichlet(np.ones(40), 400),
    )
    file = write(tmp_path / "a.csv", table)
    comparison = cnnzoo.compare(file, file)
    assert "The 15 groups that differ most" in comparison.to_html()
    assert len(comparison.per_class) == 40


def test_neither_keras_nor_tensorflow_is_imported(files, tmp_path):
    heavy = ("keras", "tensorflow", "sklearn", "scipy.stats", "matplotlib", "torch", "jax")
    code = (
        "import sys; from cnnzoo.cli.main import main; main(sys.argv[1:]); "
        f"print('loaded:', [name for name in {heavy} if name in sys.modules])"
    )
    arguments = ["compare", *map(str, files), "--slices", "folder", "--out", str(tmp_path / "compare.html")]
    process = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "loaded: []"
    assert (tmp_path / "compare.html").exists()


def test_the_splits_are_those_of_data():
    assert set(compare_file.SPLITS) == {"test", "validation", "train"}
