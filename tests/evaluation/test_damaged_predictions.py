"""Files of predictions and tables of images that hold what nobody expects: each is refused in one line."""

import json
import os
from pathlib import Path

import pytest

import cnnzoo
from cnnzoo.core.errors import InputError
from cnnzoo.evaluation.slices import group_values
from cnnzoo.inference.answers import PredictionWriter, progress_path

HEADER = "image,true,predicted,probability,p(a),p(b)\n"
NAMES = [f"a/{i}.png" for i in range(12)]
ANSWER = {"path": "a/3.png", "class_1": "a", "probability_1": 0.9}


def write_table(file, names=NAMES, wrong=0):
    """Write the predictions of a model that is wrong on the first images."""
    rows = [f"{name},a,{'b,0.9,0.1,0.9' if i < wrong else 'a,0.9,0.9,0.1'}\n" for i, name in enumerate(names)]
    file.write_text(HEADER + "".join(rows), encoding="utf-8")
    return file


def write_answers(file, **changes):
    answers = [ANSWER | {"path": name} for name in NAMES]
    answers[3] |= changes
    file.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    return file


@pytest.fixture
def good(tmp_path):
    return write_table(tmp_path / "good.csv")


@pytest.mark.parametrize("value", [None, 0, False, [], ["a"], {}], ids=repr)
@pytest.mark.parametrize("field", ["class_1", "path"])
def test_a_name_that_is_no_text_is_refused(good, tmp_path, field, value):
    file = write_answers(tmp_path / "b.jsonl", **{field: value})
    with pytest.raises(InputError, match=r"b\.jsonl was changed: .* is not a text; evaluate the model again"):
        cnnzoo.compare(good, file)


@pytest.mark.parametrize("value", [None, "x", [1], 10**400, float("nan"), -0.5], ids=lambda value: f"{value!r:.9}")
def test_a_probability_that_is_no_number_is_refused(good, tmp_path, value):
    file = write_answers(tmp_path / "b.jsonl", probability_1=value)
    with pytest.raises(InputError, match=r"the probability of 'a/3\.png' is .*; probabilities are from 0 to 1"):
        cnnzoo.compare(good, file)


@pytest.mark.parametrize("line", ["[1]", "5", '"path"', "null", '{"path": ' + "1" * 5000 + "}"])
def test_a_line_that_is_no_object_is_refused(good, tmp_path, line):
    file = tmp_path / "b.jsonl"
    file.write_text(f"{line}\n")
    with pytest.raises(InputError, match="was changed or cut off, line 1: "):
        cnnzoo.compare(good, file)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,1.5,1.5,-0.5", r"'a/0\.png' has probabilities from -0\.5 to 1\.5, not from 0 to 1 \(1 such row\)"),
        ("a,1e308,1e308,1e308", r"has probabilities from 1e\+308 to 1e\+308, not from 0 to 1"),
        ("a,0.6,0.6,0.1", r"add up to 0\.7, not 1"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_probabilities_beyond_their_range_are_named(good, tmp_path, row, message):
    file = write_table(tmp_path / "b.csv")
    file.write_text(file.read_text().replace("a,0.9,0.9,0.1", row, 1))
    with pytest.raises(InputError, match=message):
        cnnzoo.compare(good, file)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("p(b)", f"p({'b' * 200_000})"), "was changed, line 1: field larger than field limit"),
        (HEADER.replace("p(b)", "p(a)"), r"it has the column 'p\(a\)' twice; evaluate"),
    ],
)
def test_a_changed_header_is_refused(good, tmp_path, header, message):
    file = write_table(tmp_path / "b.csv")
    file.write_text(file.read_text().replace(HEADER, header))
    with pytest.raises(InputError, match=message):
        cnnzoo.compare(good, file)


def test_names_that_no_file_can_have_have_no_picture(tmp_path):
    names = ["x" * 300 + ".png", "a/" + "y" * 5000, "../a/..", "/a/\0b", "a/1.png"]
    files = [write_table(tmp_path / f"{i}.csv", names, wrong=4 * i) for i in range(2)]
    assert cnnzoo.compare(*files).to_html().count("there is no file to show") == 4
    with pytest.raises(InputError, match="The slice 'size' needs the images, and none of them was found"):
        cnnzoo.compare(*files, slices="size")


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.csv"])
def test_predictions_that_are_still_written_are_refused(good, tmp_path, name):
    """Also those of an interrupted `predict`: so far, both may have the same images."""
    writer = PredictionWriter(tmp_path / name, {})
    file = write_answers(tmp_path / name)
    for is_open in (True, False):
        with pytest.raises(InputError, match=r"answers\..* is not complete: `cnnzoo predict` was interrupted, or is"):
            cnnzoo.compare(good, file)
        if is_open:
            writer.close()
    progress_path(file).unlink()  # as at its end
    if name.endswith("jsonl"):
        assert len(cnnzoo.compare(good, file).labels) == len(NAMES)


@pytest.mark.parametrize("name", ["b.csv", "run/predictions.csv"])
def test_a_pipe_is_not_waited_for(good, tmp_path, name):
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is not a regular file|is no run and no report: it has no predictions.csv"):
        cnnzoo.compare(good, (tmp_path / name) if name == "b.csv" else tmp_path / "run")


# ---- The images of a run, and tables of images


@pytest.mark.parametrize("source", ["empty", "good.csv", "notes.xyz"])
def test_a_source_that_was_changed_leaves_a_note(good, tmp_path, source):
    """The figures are in the predictions; only pictures and slices need the images."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.xyz").write_text("no images")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_table(tmp_path / name / "predictions.csv", wrong=3)
        (tmp_path / name / "run.json").write_text(json.dumps({"source": str(tmp_path / source)}))
    comparison = cnnzoo.compare(tmp_path / "a", tmp_path / "b")
    assert len(comparison.labels) == len(NAMES)
    if source != "good.csv":  # a table without usual columns of paths has no pictures either
        assert "The images are not where the run has found them" in str(comparison)
        assert "data (--data) names the folder" in comparison.to_html()


def test_a_model_that_is_compared_with_itself_is_noted(good, tmp_path):
    assert cnnzoo.compare(good, Path(f"{tmp_path}/./good.csv")).notes == (
        "A and B are the same, so that they cannot differ; name two models.",
    )
    assert cnnzoo.compare(good, write_table(tmp_path / "other.csv")).notes == ()


def test_a_table_that_lists_an_image_twice_must_agree_with_itself(good, tmp_path):
    table = tmp_path / "list.csv"
    rows = "".join(f"{name},a,{i},x\n" for i, name in enumerate(NAMES))
    table.write_text("path,label,number,same\n" + rows + f"{NAMES[2]},b,7,x\n")
    assert cnnzoo.compare(good, good, data=table, slices="same").slices["same"][0]["images"] == len(NAMES)
    with pytest.raises(InputError, match=r"lists the image 'a/2\.png' more than once, and the column 'number' differs"):
        cnnzoo.compare(good, good, data=table, slices="number")
    answers = [write_answers(tmp_path / f"{i}.jsonl") for i in range(2)]
    with pytest.raises(InputError, match=r"and the label differs: 'a' in line 4, 'b' in line 14. Leave one row"):
        cnnzoo.compare(*answers, data=table)


# ---- Groups of values


def test_numbers_that_differ_have_groups_that_differ():
    assert group_values([1_700_000_000 + i for i in range(8)])[0] == [str(1_700_000_000 + i) for i in range(8)]
    times = [1.7e9 + i for i in range(100)]
    assert group_values(times)[0][0] == "1700000000 to 1700000024"
    assert len(group_values(times)[0]) == 4
    assert group_values([0.12345, 0.12346, 123_456.0])[0] == ["0.12345", "0.12346", "123456"]
    assert group_values([0.5, 0.25])[0] == ["0.25", "0.5"]


class NAType:  # as that of pandas, whose comparisons are neither true nor false
    def __eq__(self, other):
        return self

    def __bool__(self):
        raise TypeError

    __hash__ = None


def test_values_of_any_kind_are_grouped():
    assert group_values([True, False, True])[0] == ["False", "True"]
    assert group_values([NAType(), "x"])[0] == ["x", "(missing)"]
    assert len(group_values([10**400, *range(20)])[0]) == 21
    assert group_values([float("inf"), -float("inf"), *range(20)])[0][0] == "-inf to 4"
    assert group_values([[1], {"a": 1}])[0] == ["[1]", "{'a': 1}"]
