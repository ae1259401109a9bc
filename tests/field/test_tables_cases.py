"""Tables as pandas, Excel, Kaggle, Hugging Face and others write them: read rightly, or refused with the remedy.

All tables are of the same 24 images, whose classes alternate. A case that is read expects the class names, and, as
options of `Outcome`, the images of the test split and the notes; a case that is refused expects the message.
"""

import gzip
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from helpers.cases import Case, parametrize_cases
from helpers.frames import make_frame
from helpers.image_files import make_scene
from PIL import Image

import cnnzoo

COUNT = 24
TEST = tuple(range(16, 24))  # the last images, where a table gives splits
CLASSES = ["a" if i % 2 == 0 else "b" for i in range(COUNT)]
SPLITS = ["train"] * 16 + ["test"] * 8


@dataclass(frozen=True)
class Outcome:
    """What a table that is read must come to."""

    classes: tuple = ("a", "b")
    test: tuple = ()  # the images of the test split, if the table gives it
    note: str = ""  # pattern of a note
    options: dict = field(default_factory=dict)  # of load_data


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(COUNT):
        Image.fromarray(make_scene(20, 24, seed=i)).save(folder / f"img_{i}.png")
    return folder


@pytest.fixture
def folder(pictures, tmp_path, monkeypatch):
    shutil.copytree(pictures, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PIXELS = {make_scene(20, 24, seed=i).tobytes(): i for i in range(COUNT)}


def numbers_of(split):
    return [PIXELS[np.asarray(image).tobytes()] for image in split.images]


# Writers


def names(pattern="img_{}.png"):
    return [pattern.format(i) for i in range(COUNT)]


def columns(path="path", label="label", pattern="img_{}.png", labels=CLASSES, **others):
    return {path: names(pattern), label: list(labels)} | others


def csv(name="t.csv", separator=",", encoding="utf-8", before="", after="", **options):
    """Return a function that writes a text table."""

    def write(folder):
        table = columns(**options)
        rows = [separator.join(map(str, row)) for row in zip(*table.values(), strict=True)]
        text = "\n".join([before + separator.join(table), *rows]) + "\n" + after
        (folder / name).write_text(text, encoding=encoding)
        return folder / name

    return write


def parquet(types=None, **options):
    """Return a function that writes a Parquet file; `types` are pyarrow's types of some columns."""

    def write(folder):
        import pyarrow
        from pyarrow import parquet as writer

        arrays = {}
        for name, values in columns(**options).items():
            kind = (types or {}).get(name)
            array = pyarrow.array(values)
            arrays[name] = array.dictionary_encode() if kind == "dictionary" else array.cast(kind) if kind else array
        writer.write_table(pyarrow.table(arrays), folder / "t.parquet")
        return folder / "t.parquet"

    return write


def write_many_rows(folder):
    import pyarrow
    from pyarrow import parquet as writer

    paths = pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(1_000_000, "int8")), ["img_0.png"])
    writer.write_table(pyarrow.table({"path": paths}), folder / "t.parquet")
    return folder / "t.parquet"


def frame(dtypes=None, **options):
    return lambda folder: make_frame(columns(**options), dtypes)


def json_lines(name="t.jsonl", **options):
    def write(folder):
        table = columns(**options)
        records = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
        (folder / name).write_text("\n".join(map(json.dumps, records)))
        return folder / name

    return write


def json_list(folder):
    (folder / "t.json").write_text(json.dumps([{"file": n, "class": c} for n, c in zip(names(), CLASSES, strict=True)]))
    return folder / "t.json"


def packed(write):
    """Return a function that compresses the table that another writes."""

    def write_packed(folder):
        path = write(folder)
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        return path.with_name(path.name + ".gz")

    return write_packed


def in_folder(name, write, images="*.png"):
    """Return a function that moves the images into a folder beside the table."""

    def move(folder):
        (folder / name).mkdir(parents=True)
        for image in folder.glob(images):
            image.rename(folder / name / image.name)
        return write(folder)

    return move


def hugging_face(by_split=False, name="metadata.jsonl"):
    """Return a function that writes an image folder of Hugging Face."""

    def write(folder):
        root = folder / "hf"
        for i, (label, split) in enumerate(zip(CLASSES, SPLITS, strict=True)):
            home = root / split if by_split else root
            home.mkdir(parents=True, exist_ok=True)
            (folder / f"img_{i}.png").rename(home / f"img_{i}.png")
            with (home / name).open("a") as file:
                if name.endswith("csv"):
                    header = "" if file.tell() else "file_name,label\n"
                    file.write(f"{header}img_{i}.png,{label}\n")
                else:
                    file.write(json.dumps({"file_name": f"img_{i}.png", "label": label, "caption": "x"}) + "\n")
        Image.fromarray(make_scene(20, 24, seed=99)).save(home / "extra.png")
        return root

    return write


def text_file(name, text):
    def write(folder):
        (folder / name).write_text(text)
        return folder / name

    return write


def binary_file(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def beside(files, write):
    """Return a function that writes a table and other files: {name: content}."""

    def write_all(folder):
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        return write(folder)

    return write_all


def rows_of(*values):
    return lambda folder: list(zip(*values, strict=True))


WITH_SPLIT = {"split": SPLITS}
INDEX = {"Unnamed: 0": list(range(COUNT))}
NUMBERS = [i % 2 for i in range(COUNT)]

READ = [
    # Types of Parquet and of data frames
    Case("parquet categories", "pandas#60491", parquet({"split": "dictionary"}, **WITH_SPLIT), Outcome(test=TEST)),
    Case(
        "parquet all categories",
        "vaexio/vaex#421",
        parquet(dict.fromkeys(("path", "label", "split"), "dictionary"), **WITH_SPLIT),
        Outcome(test=TEST, note="paths from 'path', labels from 'label', splits from 'split'"),
    ),
    Case("parquet large strings", "dask#5677", parquet({"label": "large_string"}), Outcome()),
    Case("parquet bytes", "polars", parquet({"path": "binary", "label": "binary"}), Outcome()),
    Case("parquet whole floats", "field R03", parquet(labels=[float(n) for n in NUMBERS]), Outcome(("0", "1"))),
    Case("parquet booleans", "field R03", parquet(labels=[bool(n) for n in NUMBERS]), Outcome(("False", "True"))),
    Case(
        "parquet group of categories",
        "field R03",
        parquet({"patient": "dictionary"}, patient=[f"p{i // 2}" for i in range(COUNT)]),
        Outcome(options={"group_column": "patient", "splits": (0.5, 0.25, 0.25)}, note="groups from 'patient'"),
    ),
    Case(
        "parquet group of floats",
        "field R03",
        parquet(patient=[i // 2 + 0.5 for i in range(COUNT)]),
        Outcome(options={"group_column": "patient", "splits": (0.5, 0.25, 0.25)}),
    ),
    Case("frame", "keras-preprocessing#164", frame(**WITH_SPLIT), Outcome(test=TEST)),
    Case(
        "frame of categories",
        "keras-preprocessing#169",
        frame({"label": "category", "split": "category"}, **WITH_SPLIT),
        Outcome(test=TEST),
    ),
    Case("frame of floats", "pandas after a join", frame(labels=[float(n) for n in NUMBERS]), Outcome(("0", "1"))),
    Case(
        "frame by parts",
        "field R21",
        lambda folder: {
            "train": make_frame({k: v[:16] for k, v in columns().items()}),
            "test": make_frame({k: v[16:] for k, v in columns().items()}),
        },
        Outcome(test=TEST, note="all images are for test"),
    ),
    # Sequences
    Case("paths and labels", "keras-preprocessing#92", lambda folder: (names(), CLASSES), Outcome()),
    Case("arrays of text", "field R21", lambda folder: (np.array(names()), np.array(CLASSES)), Outcome()),
    Case("Path objects", "field R21", lambda folder: ([Path(n) for n in names()], NUMBERS), Outcome(("0", "1"))),
    Case("one-hot labels", "keras-io#1549", lambda folder: (names(), np.eye(2)[NUMBERS]), Outcome(("0", "1"))),
    Case("pairs", "field R26", rows_of(names(), CLASSES), Outcome()),
    Case("triples", "field R26", rows_of(names(), CLASSES, SPLITS), Outcome(test=TEST)),
    Case(
        "records",
        "pandas to_dict",
        lambda folder: [{"path": n, "label": c} for n, c in zip(names(), CLASSES, strict=True)],
        Outcome(),
    ),
    Case("dict of columns", "pandas to_dict", lambda folder: columns(**WITH_SPLIT), Outcome(test=TEST)),
    Case("paths, labels, splits", "sibling of R21", lambda folder: (names(), CLASSES, SPLITS), Outcome(test=TEST)),
    Case("a column of paths", "numpy", lambda folder: (np.array(names())[:, None], CLASSES), Outcome()),
    Case(
        "a label column beside another one",
        "sibling of R03",
        csv(other=CLASSES[::-1]),
        Outcome(options={"label_column": "label"}, note="Not used: other"),
    ),
    Case(
        "two pairs",
        "field R26",
        lambda folder: ((names()[:16], CLASSES[:16]), (names()[16:], CLASSES[16:])),
        Outcome(test=TEST),
    ),
    # Names of columns
    Case(
        "id and breed",
        "keras-preprocessing#92",
        csv(path="id", label="breed", pattern="img_{}"),
        Outcome(note="24 paths: the suffix was completed"),
    ),
    Case("image_id", "kaggle", csv(path="image_id", pattern="img_{}"), Outcome(note="paths from 'image_id'")),
    Case("Image", "kaggle", csv(path="Image", label="Class"), Outcome()),
    Case("Image Name", "spreadsheets", csv(path="Image Name", label="Class Name"), Outcome()),
    Case(
        "named columns",
        "field R21",
        csv(path="photo of", label="what"),
        Outcome(options={"path_column": "photo of", "label_column": "what"}),
    ),
    Case("path before id", "kaggle", csv(id=list(range(COUNT))), Outcome(note="paths from 'path'.*Not used: id")),
    Case("index column", "pandas to_csv", csv(**INDEX), Outcome(note="Not used: an index without a name")),
    Case("no splits on request", "sibling of R03", csv(**WITH_SPLIT), Outcome(options={"split_column": ""})),
    Case(
        "is_valid of the data", "sibling of R03", csv(is_valid=[i > 0 for i in range(COUNT)]), Outcome(note="is_valid")
    ),
    Case(
        "several values for one split",
        "sibling of R04",
        csv(split=["train"] * 16 + ["test"] * 4 + ["holdout2"] * 4),
        Outcome(test=TEST, note="The test part is of the values holdout2, test"),
    ),
    Case(
        "labels that differ in case",
        "typed by hand",
        csv(labels=["Cat", "cat "] * 12),
        Outcome(("Cat", "cat"), note="different classes, though nearly alike: 'Cat' and 'cat'"),
    ),
    Case(
        "a label for missing ones",
        "R write.csv",
        csv(labels=["a", "NA"] * 12),
        Outcome(("a", "NA"), note="'NA' is a class; if it marks images without a label"),
    ),
    Case("split beside phase", "sibling of R03", csv(phase=SPLITS[::-1], **WITH_SPLIT), Outcome(test=TEST)),
    Case("mode of transport", "sibling of R03", csv(mode=["car", "train"] * 12), Outcome(note="Not used: mode")),
    Case("File Name beside path", "sibling of R21", csv(**{"File Name": SPLITS}), Outcome(test=TEST)),
    Case("train and eval", "tensorflow", csv(split=["train"] * 16 + ["eval"] * 8), Outcome(test=TEST)),
    Case("phase", "field R03", csv(phase=SPLITS), Outcome(test=TEST, note="splits from 'phase'")),
    Case("fold of names", "field R03", csv(fold=[s.upper() for s in SPLITS]), Outcome(test=TEST)),
    Case(
        "fold of numbers",
        "cross-validation",
        csv(fold=[i % 5 for i in range(COUNT)]),
        Outcome(note="no split column; fold .0, 1, 2, 3 and 1 more. does not name"),
    ),
    Case(
        "is_valid",
        "fastai",
        csv(is_valid=[i >= 16 for i in range(COUNT)]),
        Outcome(test=TEST, note="splits from 'is_valid'"),
    ),
    Case(
        "is_training_image", "CUB-200", csv(is_training_image=[int(i < 16) for i in range(COUNT)]), Outcome(test=TEST)
    ),
    Case("split of another name", "field R03", csv(part_of=SPLITS), Outcome(test=TEST, note="splits from 'part_of'")),
    Case(
        "split_column",
        "field R03",
        csv(what=SPLITS, phase=SPLITS[::-1]),
        Outcome(test=TEST, options={"split_column": "what"}),
    ),
    Case(
        "one-hot columns",
        "ISIC 2018",
        csv(
            label="MEL",
            labels=[float(c == "a") for c in CLASSES],
            NV=[float(c == "b") for c in CLASSES],
            BCC=[0.0] * COUNT,
        ),
        Outcome(("MEL", "NV"), note="one-hot columns MEL, NV, BCC.*No row has the class BCC"),
    ),
    # Paths
    Case(
        "windows paths",
        "abbyy/barcode_detection_benchmark#2",
        in_folder("imgs", csv(pattern=r"imgs\img_{}.png")),
        Outcome(note="24 paths: read as Windows paths"),
    ),
    Case(
        "a windows drive",
        "CellProfiler#1385",
        in_folder("imgs", csv(pattern=r"C:\Users\me\imgs\img_{}.png")),
        Outcome(note="Users/me/ is not here and was left out"),
    ),
    Case(
        "another machine",
        "Colab",
        in_folder("imgs", csv(pattern="/content/drive/imgs/img_{}.png")),
        Outcome(note="content/drive/ is not here"),
    ),
    Case("URL-encoded", "field R22", csv(pattern="img%5F{}.png"), Outcome(note="read as URL-encoded")),
    Case(
        "file address",
        "browsers",
        lambda folder: csv(pattern=f"file://{folder}/img%5F{{}}.png")(folder),
        Outcome(note="read as file: addresses"),
    ),
    Case(
        "images beside", "keras-preprocessing#92", in_folder("images", csv()), Outcome(note="the images are in images/")
    ),
    Case(
        "images beside without suffix",
        "kaggle",
        in_folder("train_images", csv(path="id", pattern="img_{}")),
        Outcome(note="the suffix was completed, the images are in train_images/"),
    ),
    Case(
        "image_dir", "field R21", in_folder("far/off", csv(pattern="img_{}")), Outcome(options={"image_dir": "far/off"})
    ),
    Case("suffix in another case", "cameras", csv(pattern="img_{}.PNG"), Outcome(note="the suffix was completed")),
    Case(
        "folder of the table itself",
        "git clone",
        lambda folder: csv(pattern=f"{folder.name}/img_{{}}.png")(folder),
        Outcome(note="is not here and was left out"),
    ),
    # Dialects
    Case("gzip", "field R22", packed(csv(**WITH_SPLIT)), Outcome(test=TEST)),
    Case("TSV", "field R22", csv("t.tsv", "\t", **WITH_SPLIT), Outcome(test=TEST)),
    Case("sep= of Excel", "field R22", csv(separator=";", before="sep=;\n"), Outcome()),
    Case("UTF-16", "field R22", csv(encoding="utf-16"), Outcome()),
    Case("byte order mark", "Excel", csv(encoding="utf-8-sig"), Outcome()),
    Case("JSON lines", "huggingface/datasets", json_lines(**WITH_SPLIT), Outcome(test=TEST)),
    Case("JSON lines, gzip", "huggingface/datasets", packed(json_lines(labels=NUMBERS)), Outcome(("0", "1"))),
    Case("JSON list", "pandas to_json", json_list, Outcome()),
    Case(
        "metadata.jsonl",
        "huggingface imagefolder",
        hugging_face(),
        Outcome(note="metadata.jsonl|hf: paths from 'file_name'.*Not used: caption"),
    ),
    Case(
        "metadata.jsonl by split",
        "huggingface imagefolder",
        hugging_face(by_split=True),
        Outcome(test=TEST, note="train/metadata.jsonl: "),
    ),
    Case("metadata.csv", "huggingface imagefolder", hugging_face(name="metadata.csv"), Outcome()),
    # Labels
    Case(
        "whole floats",
        "field R22",
        csv(labels=[f"{n}.0" for n in NUMBERS]),
        Outcome(("no", "yes"), options={"classes": ["no", "yes"]}, note="'0.0' are read as whole numbers"),
    ),
    Case(
        "labels from 1",
        "remicres/otbtf#11",
        csv(labels=[n + 1 for n in NUMBERS]),
        Outcome(("1", "2"), note="Labels begin at 1: .*class index 0 is '1'"),
    ),
    Case(
        "labels 10 and 20",
        "field R25",
        csv(labels=[10 + 10 * n for n in NUMBERS]),
        Outcome(("10", "20"), note="the numbers 10, 20"),
    ),
    Case(
        "booleans with names",
        "field R03",
        csv(labels=[bool(n) for n in NUMBERS]),
        Outcome(("no", "yes"), options={"classes": ["no", "yes"]}),
    ),
    Case(
        "names of several words",
        "sibling of tags",
        csv(labels=[["gray fox", "red fox"][n] for n in NUMBERS]),
        Outcome(("gray fox", "red fox")),
    ),
    Case("lists of one label", "huggingface", json_lines(labels=[[c] for c in CLASSES]), Outcome()),
    Case(
        "repeated rows",
        "field R21",
        csv(after="img_0.png,a\nimg_1.png,b\n"),
        Outcome(note=r"2 rows of t.csv repeat earlier ones and count once: line 26 \(line 2\)"),
    ),
    Case(
        "files that are not listed",
        "field R24",
        beside({"z.png": b"x"}, csv()),
        Outcome(note="1 image file beside those of t.csv is not in it and is not used: z.png"),
    ),
]

TAGS = [["haze", "clear", "haze clear"][i % 3] for i in range(COUNT)]
REFUSED = [
    Case(
        "lists written as text",
        "pandas to_csv",
        csv("t.tsv", "\t", labels=["['x', 'y']", "['x']", "['y']"] * 8),
        r"one class only; the label \"\['x', 'y'\]\" looks like a list of several",
    ),
    Case(
        "a column of lists",
        "field R03",
        parquet(labels=[["a", "b"]] * COUNT),
        r"the column 'label' \(list<.*one class only; image 0 has 2 labels \(a, b\)",
    ),
    Case(
        "a column of fractions",
        "field R03",
        parquet(labels=[0.5] * COUNT),
        r"the column 'label' \(double\) cannot be used: labels must be text.*0.5",
    ),
    Case(
        "a column of dates",
        "field R03",
        frame({"label": "datetime64[s]"}, labels=np.array(["2020-01-01"] * COUNT, "M8[s]")),
        r"'label' is of type datetime64",
    ),
    Case(
        "a split of numbers",
        "field R03",
        parquet(split=[i % 2 for i in range(COUNT)]),
        "the split must be one of train.*'0'",
    ),
    Case(
        "an image for a path",
        "huggingface",
        lambda folder: make_frame({"image": [{"bytes": b"x", "path": "y"}] * COUNT, "label": CLASSES}),
        "no column for the path that can be used: 'image' is of type dict",
    ),
    Case(
        "pixels for a path",
        "huggingface",
        lambda folder: make_frame({"image": [b"\x89PNG"] * COUNT, "label": CLASSES}),
        "the column 'image' .*bytes must be UTF-8",
    ),
    Case(
        "a phase that is no split",
        "field R03",
        csv(phase=["train"] * 20 + ["part3"] * 4),
        "line 22: the split must be one of train.*'part3'",
    ),
    Case(
        "two splits",
        "sibling of R03",
        csv(split=SPLITS, subset=SPLITS[::-1]),
        "several columns for the split, which differ: split, subset. split_column='split'",
    ),
    Case("an unknown split_column", "sibling of R03", csv(**WITH_SPLIT), "Unknown column of t.csv. Did you mean split"),
    Case(
        "the same column twice",
        "sibling of R03",
        text_file("t.csv", "path,label,label\nimg_0.png,a,b\n"),
        "has the column 'label' twice; rename one",
    ),
    Case(
        "no header",
        "sklearn",
        text_file("t.csv", "img_0.png,a\nimg_1.png,b\n"),
        "the first line must name the columns, as in path,label",
    ),
    Case(
        "an unknown label",
        "kaggle",
        csv(label="Id", path="Image"),
        "no column for the label.*label_column='Id' .--label-column Id.",
    ),
    Case(
        "tags",
        "Planet, kaggle",
        csv(label="tags", labels=TAGS),
        "'haze clear' looks like 2 labels, separated by ' '.*classes=",
    ),
    Case(
        "tags with bars",
        "NIH chest X-rays",
        csv(labels=[t.replace(" ", "|") for t in TAGS]),
        r"looks like 2 labels, separated by '\|'",
    ),
    Case(
        "tags in lists",
        "field 14.1",
        json_lines(labels=[t.split() for t in TAGS]),
        "one class only; image 2 has 2 labels",
    ),
    Case(
        "multi-hot columns",
        "field 14.1",
        csv(label="MEL", labels=[1] * COUNT, NV=[i % 2 for i in range(COUNT)]),
        "line 3 has several labels: MEL, NV",
    ),
    Case(
        "one image, two labels",
        "field 14.1",
        csv(after="img_0.png,b\n"),
        "line 26 repeats 'img_0.png' of line 2 with another label. An image can have one class",
    ),
    Case(
        "labels from 1 with names",
        "remicres/otbtf#11",
        csv(labels=[n + 1 for n in NUMBERS]),
        "Labels begin at 1; .*subtract 1, so that 1 means 'no'",
    ),
    Case(
        "no image",
        "field R21",
        csv(pattern="cow_{}.png"),
        "no image of its 24 rows is found: there is no such file as 'cow_0.png'.*holds img_0.png.*image_dir",
    ),
    Case(
        "two images of a name",
        "sibling of R21",
        in_folder("one", beside({"two/img_0.png": b"x"}, csv(path="id", pattern="img_{}"))),
        "'img_0' can be '.*one/img_0.png' or '.*two/img_0.png'. image_dir",
    ),
    Case(
        "two suffixes of a name",
        "sibling of R21",
        beside({"img_0.bmp": b"x"}, csv(path="id", pattern="img_{}")),
        "'img_0' can be 'img_0.bmp' or 'img_0.png'; write the suffix",
    ),
    Case("a workbook", "field R22", text_file("t.xlsx", "PK"), "an Excel workbook; save it as CSV, .*read_excel"),
    Case("a pickle", "sibling of R22", text_file("t.pkl", "x"), "a pickle, which can run code"),
    Case("COCO", "sibling of R22", text_file("coco.json", '{"images": [{"id": 1}], "annotations": []}'), "COCO"),
    Case(
        "columns in JSON",
        "pandas to_json",
        text_file("t.json", '{"path": {"0": "img_0.png"}}'),
        r'to_json\(orient="records"',
    ),
    Case(
        "torn JSON lines",
        "sibling of R22",
        text_file("t.jsonl", '{"path": "img_0.png", "label": "a"}\n{"path":'),
        "line 2",
    ),
    Case(
        "torn gzip",
        "sibling of R22",
        binary_file("t.csv.gz", gzip.compress(b"path,label\n" * 99)[:30]),
        "Cannot read .*t.csv.gz",
    ),
    Case(
        "a gzip bomb",
        "attack 7.4",
        binary_file("t.csv.gz", gzip.compress(b"path,label\n" * 2_000_000)),
        "unpacks to more than",
    ),
    Case("a Parquet bomb", "attack 7.4", write_many_rows, "1,000,000 rows in .* cannot all name another image"),
    Case(
        "unequal lengths",
        "sibling of R21",
        lambda folder: (names(), CLASSES[:-1]),
        "one for each of the 24 paths. Received: 23 labels",
    ),
    Case(
        "a group in two splits",
        "sibling of R03",
        csv(patient=["x"] * COUNT, **WITH_SPLIT),
        "The group 'x' is in the splits",
    ),
    Case("paths without labels", "sibling of R21", lambda folder: names(), "paths need labels, as in load_data"),
    Case(
        "paths and nothing",
        "sibling of R21",
        lambda folder: (names(), None),
        "one for each of the 24 paths. Received: None",
    ),
    Case("addresses", "sibling of R22", csv(pattern="https://x.org/cow_{}.png"), "addresses are not downloaded"),
    Case(
        "windows paths of nothing", "sibling of R22", csv(pattern=r"C:\imgs\cow_{}.png"), "read as a Windows path too"
    ),
    Case(
        "a file list of caffe",
        "caffe",
        text_file("t.txt", "img_0.png 0\nimg_1.png 1\n"),
        "the first line must name the columns",
    ),
    Case("a missing label", "pandas", frame(labels=[None, *CLASSES[1:]]), "row 0 has no label"),
]
REFUSED_OPTIONS = {
    "an unknown split_column": {"split_column": "splt"},
    "labels from 1 with names": {"classes": ["no", "yes"]},
    "a group in two splits": {"group_column": "patient"},
}


@pytest.mark.filterwarnings("ignore:.*set aside")
@parametrize_cases(READ)
def test_tables_that_are_read(folder, case):
    source, expected = case.make(folder), case.expected
    data = cnnzoo.load_data(source, **expected.options)
    assert data.classes == expected.classes
    used = []
    for split in data.splits.values():
        numbers = numbers_of(split)
        assert split.labels.tolist() == [i % 2 for i in numbers]
        used += numbers
    assert sorted(used) == list(range(COUNT))
    if expected.test:
        assert tuple(sorted(numbers_of(data.test))) == expected.test
    assert re.search(expected.note, "\n".join(data.notes), re.DOTALL), data.notes


@parametrize_cases(REFUSED)
def test_tables_that_are_refused(folder, case):
    source = case.make(folder)
    with pytest.raises(cnnzoo.InputError, match=f"(?s){case.expected}"):
        cnnzoo.load_data(source, **REFUSED_OPTIONS.get(case.name, {}))


@pytest.mark.filterwarnings("ignore:.*set aside")
def test_files_without_a_row_are_named(folder):
    data = cnnzoo.load_data(hugging_face()(folder))
    assert [(f.images, f.reason) for f in data.diagnosis.set_aside] == [(("extra.png",), "not in metadata.jsonl")]


def test_class_folders_beside_a_table_stay_classes(folder):
    for i, label in enumerate(CLASSES):
        (folder / "d" / label).mkdir(parents=True, exist_ok=True)
        (folder / f"img_{i}.png").rename(folder / "d" / label / f"img_{i}.png")
    (folder / "d" / "metadata.csv").write_text("file_name,label\na/img_0.png,z\n")
    data = cnnzoo.load_data(folder / "d")
    assert data.classes == ("a", "b")
    assert [finding.images for finding in data.diagnosis.set_aside] == [("metadata.csv",)]
