"""Shards of a prediction: who takes which image, how a shard is continued, and how all of them are merged."""

import json
import shutil

import pytest
from test_answers import IMAGES, SUFFIXES, assert_same_rows, interrupt, read_rows, write_once  # noqa: F401

import cnnzoo
from cnnzoo.inference import answers, merge_rows
from cnnzoo.inference.shards import Shard, ShardedImages, hash_name, parse_shard

COUNT = 3


@pytest.fixture(scope="module")
def shards(classifier, photos, tmp_path_factory):
    """A function from a suffix to a file of predictions whose shards are complete, and not merged."""
    folder = tmp_path_factory.mktemp("shards")

    def predict(suffix):
        path = folder / f"answers{suffix}"
        for number in range(1, COUNT + 1):
            classifier.predict_to(path, photos, shard=(number, COUNT), verbose=False)
        return path

    return predict


@pytest.fixture
def copy(shards, tmp_path):
    """A function from a suffix to a copy of these shards that a test may change."""

    def copy_shards(suffix=".csv"):
        path = tmp_path / f"answers{suffix}"
        shutil.copytree(f"{shards(suffix)}.shards", f"{path}.shards")
        return path

    return copy_shards


# ---- Which shard


@pytest.mark.parametrize(
    ("value", "environment", "shard"),
    [
        ("3/16", {}, (3, 16)),
        ((1, 1), {}, (1, 1)),
        (" 2 / 4 ", {}, (2, 4)),
        ("auto", {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (1, 4)),
        ("auto/4", {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, (4, 4)),
        ("auto", {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_ARRAY_TASK_MIN": "1"}, (5, 8)),
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "14",
                "SLURM_ARRAY_TASK_COUNT": "8",
                "SLURM_ARRAY_TASK_MIN": "10",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            (3, 8),
        ),
        (
            "auto",
            {
                "SLURM_ARRAY_TASK_ID": "1",
                "SLURM_ARRAY_TASK_COUNT": "2",
                "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_PROCID": "2",
                "SLURM_NTASKS": "4",
            },
            (7, 8),
        ),
        ("auto/16", {"JOB_COMPLETION_INDEX": "2"}, (3, 16)),
        ("auto", {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (2, 2)),
        ("auto", {"CLOUD_RUN_TASK_INDEX": "9", "CLOUD_RUN_TASK_COUNT": "10"}, (10, 10)),
    ],
)
def test_shard_is_read(value, environment, shard):
    parsed = parse_shard(value, environment)
    assert parsed == Shard(*shard)
    assert all(f"{name}={text}" in parsed.origin for name, text in environment.items())


@pytest.mark.parametrize(
    ("value", "environment", "message"),
    [
        ("0/0", {}, "number of shards must be from 1 to 1,000. Received: '0/0'"),
        ("5/4", {}, "from 1/4 to 4/4. Received: '5/4'"),
        ((0, 4), {}, r"counted from 1.*Received: \(0, 4\)"),
        ("1/1001", {}, "must be from 1 to 1,000"),
        ("three of four", {}, 'must be NUMBER/COUNT.*"3/16".*Received'),
        ("3", {}, "must be NUMBER/COUNT"),
        ("-1/4", {}, "must be NUMBER/COUNT"),
        ((1, 2, 3), {}, "must be NUMBER/COUNT"),
        (0.5, {}, "must be NUMBER/COUNT"),
        ("auto", {}, "none of these variables is set: .*SLURM_PROCID.*JOB_COMPLETION_INDEX"),
        ("auto", {"JOB_COMPLETION_INDEX": "2"}, r"not how many there are.*--shard auto/16"),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}, "counted from 1.*Received: auto/2 with JOB_COMPLETION_INDEX=2"),
        ("auto/8", {"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}, r"contradicts SLURM_PROCID=1, SLURM_NTASKS=4"),
        ("auto", {"SLURM_PROCID": "first", "SLURM_NTASKS": "4"}, "SLURM_PROCID must be a whole number"),
    ],
)
def test_wrong_shards_are_refused(value, environment, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        parse_shard(value, environment)


def test_shards_divide_the_images_by_their_names_alone():
    names = [f"photos/{i}.jpg" for i in range(1000)]

    def divide(names):
        images = [ShardedImages(lambda: ((name, name) for name in names), Shard(i, 4)) for i in range(1, 5)]
        return [[name for name, _ in each.iter_images()] for each in images], images

    shares, images = divide(names)
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert all(200 < len(share) < 300 for share in shares)
    assert [each.count for each in images[0].listed] == [len(share) for share in shares]
    assert [images[2].take_index() for _ in shares[2]] == [names.index(name) for name in shares[2]]
    changed, _ = divide(["photos/new.jpg", *names])
    assert [len(after) - len(before) for before, after in zip(shares, changed, strict=True)].count(0) == 3
    assert hash_name("photos/1.jpg") == 16393663514986927874, "other versions must divide the same way"


# ---- Predict and merge


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_merged_shards_are_what_one_process_writes(copy, suffix, write_once):  # noqa: F811
    path = copy(suffix)
    result = cnnzoo.merge_predictions(path, verbose=False)
    assert result == (path, IMAGES, 1, 0)
    assert list(read_rows(path)[0]) == list(read_rows(write_once(suffix))[0]), "the column of the order is gone"
    assert_same_rows(path, write_once(suffix))
    with pytest.raises(cnnzoo.InputError, match="already exists; overwrite=True"):
        cnnzoo.merge_predictions(path)
    assert cnnzoo.merge_predictions(f"{path}.shards", overwrite=True).images == IMAGES


def test_few_rows_of_large_shards_are_in_memory(copy, write_once, monkeypatch):  # noqa: F811
    monkeypatch.setattr(merge_rows, "BATCH_ROWS", 2)
    monkeypatch.setattr(merge_rows, "PARQUET_PART_ROWS", 7)
    path = copy(".parquet")
    cnnzoo.merge_predictions(path)
    assert [part.name for part in sorted(path.iterdir())] == [f"part-{7 * i:012}.parquet" for i in range(5)]
    assert_same_rows(path, write_once(".parquet"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupted_shard_is_continued(classifier, photos, tmp_path, suffix, write_once, monkeypatch):  # noqa: F811
    path, predict_batches = tmp_path / f"answers{suffix}", type(classifier)._predict_batches

    def stop(*arguments):
        for i, prediction in enumerate(predict_batches(classifier, *arguments)):
            if i == 9:
                raise KeyboardInterrupt
            yield prediction

    with monkeypatch.context() as patch:
        patch.setattr(answers, "RECORD_INTERVAL", 0.0)
        patch.setattr(answers, "PARQUET_PART_ROWS", 4)
        patch.setattr(answers, "TEXT_CHUNK_ROWS", 2)
        patch.setattr(classifier, "_predict_batches", stop)
        with pytest.raises(cnnzoo.Interrupted, match=r"\d predictions are kept in .*00002-of-00002"):
            classifier.predict_to(path, photos, shard="2/2", verbose=False)
    classifier.predict_to(path, photos, shard="1/2", verbose=False)
    with pytest.raises(cnnzoo.InputError, match=r"1 shard of 2 is missing: 2/2 \(unfinished\).*shard='2/2'"):
        cnnzoo.merge_predictions(path)
    classifier.predict_to(path, photos, shard="2/2", verbose=False)
    cnnzoo.merge_predictions(path, verbose=False)
    assert_same_rows(path, write_once(suffix))


def test_a_complete_shard_is_not_predicted_again(classifier, photos, copy, monkeypatch):
    path = copy()
    file = path.with_name("answers.csv.shards") / "00001-of-00003.csv"
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(classifier, "_predict_batches", lambda *_: pytest.fail("predicted again"))
        assert classifier.predict_to(path, photos, shard="1/3").path == file
        with pytest.raises(cnnzoo.InputError, match="was predicted with other settings: top: 3 then, 1 now"):
            classifier.predict_to(path, photos, top=1, shard="1/3")
        with pytest.raises(cnnzoo.InputError, match=r"holds shards of a division into 3. Received: shard 1/4"):
            classifier.predict_to(path, photos, shard="1/4")
    assert file.read_bytes() == before
    classifier.predict_to(path, photos, top=1, shard="1/3", overwrite=True, verbose=False)
    assert "class_2" not in file.read_text()


def test_shards_without_images_and_arrays_are_merged(classifier, data, tmp_path):
    images = data.test.images[:3]
    for number in range(1, 9):
        classifier.predict_to(tmp_path / "a.jsonl", images, shard=(number, 8), verbose=False)
        classifier.predict_to(tmp_path / "a.parquet", images, shard=(number, 8), verbose=False)
    assert cnnzoo.merge_predictions(tmp_path / "a.parquet").images == 3
    assert cnnzoo.merge_predictions(tmp_path / "a.jsonl").images == 3
    assert [row["path"] for row in read_rows(tmp_path / "a.jsonl")] == ["0", "1", "2"]
    with pytest.raises(cnnzoo.InputError, match="There are no files"):
        classifier.predict_to(tmp_path / "b.csv", str(tmp_path / "*.png"), shard="1/2")


def test_changed_folders_are_noticed(classifier, photos, tmp_path):
    folder, path = tmp_path / "photos", tmp_path / "answers.csv"
    shutil.copytree(photos / "a", folder)
    for number in (1, 2):
        classifier.predict_to(path, folder, shard=(number, 2), verbose=False)
    name = next(f"new{i}.png" for i in range(99) if hash_name(str(folder / f"new{i}.png")) % 2 == 0)
    shutil.copyfile(folder / "1.png", folder / name)

    # The new image belongs to shard 1, and the other shard stays as it is.
    assert classifier.predict_to(path, folder, shard="2/2", verbose=False)
    with pytest.raises(cnnzoo.InputError, match=r"images of shard 1/2 have changed since .*; predict this shard again"):
        classifier.predict_to(path, folder, shard="1/2")
    classifier.predict_to(path, folder, shard="2/2", overwrite=True, verbose=False)
    with pytest.raises(cnnzoo.InputError, match=r"images of shard 1/2 have changed: .*shard 2/2, which ended last"):
        cnnzoo.merge_predictions(path)
    classifier.predict_to(path, folder, shard="1/2", overwrite=True, verbose=False)
    assert cnnzoo.merge_predictions(path).images == 16
    assert sorted(row["path"] for row in read_rows(path)) == sorted(map(str, folder.iterdir()))


# ---- What merging refuses


def edit_record(path, **changes):
    record = json.loads(path.read_text())
    record.pop("sha256", None)
    path.write_text(json.dumps(record | changes))


def test_merging_names_what_is_wrong_and_writes_nothing(copy, tmp_path):
    path = copy()
    folder = path.with_name("answers.csv.shards")
    records = sorted(folder.glob("*.json"))

    def refused(message, *arguments, **options):
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.merge_predictions(*(arguments or [path]), **options)
        assert not path.exists()
        assert not list(tmp_path.glob(".*scratch"))

    # Nothing there, other kinds, and names that are missing
    refused("There are no shards of predictions at .*typo", tmp_path / "typo.csv")
    refused("Unknown kind of file", tmp_path / "answers.txt")
    refused(r"are \.csv files, and cannot be merged into a \.jsonl file", path, tmp_path / "a.jsonl")
    refused(r"out \(--out\) must name the file to write. Received: 2 files", [path, path])

    # A shard that is missing, there twice, or of another division
    records[1].rename(tmp_path / "aside")
    refused("1 shard of 3 is missing: 2/3. Repeat the prediction with shard='2/3'")
    (tmp_path / "aside").rename(records[1])
    other = tmp_path / "host2"
    shutil.copytree(folder, other / folder.name)
    refused("Shard 1/3 is there 2 times: .*host2", [path, other / folder.name], path)
    refused("Shard 2/3 is there 2 times", [path, other / folder.name / "00002-of-00003.csv"], path)
    shutil.copyfile(records[0], folder / "00001-of-00002.json")
    refused("overlap: they are of divisions into 2 and 3")
    (folder / "00001-of-00002.json").unlink()

    # Another model, other images, and a damaged file
    record = json.loads(records[2].read_text())
    text = records[2].read_text()
    for setting in ("weights", "images", "precision"):
        edit_record(records[2], plan=record["plan"] | {setting: "another"})
        refused(f"of another model, other images or other settings .*: {setting}: '.* in shard 1/3, 'another' in shard")
    records[2].write_text(text)
    file = folder / "00003-of-00003.csv"
    content = file.read_bytes()
    lines = content.splitlines(keepends=True)
    damages = (lines[:-1], [*lines, lines[-1]], [lines[0], *lines[2:], lines[1]], [content[:-9]], [b"\xff" + content])
    for damage in damages:
        file.write_bytes(b"".join(damage))
        refused(r"00003-of-00003.csv is damaged or was replaced: .*; predict this shard again")
        edit_record(records[2], digests={})
        if damage != damages[3]:
            refused("is damaged or was changed: it does not hold the .* rows that shard 3/3 has written")
        records[2].write_text(text)
    file.unlink()
    refused("The file of shard 3/3 is missing, or was renamed")
    file.write_bytes(content)

    # The shards of two hosts
    shutil.rmtree(other)
    other.mkdir()
    for name in (records[2], file):
        name.rename(other / name.name)
    result = cnnzoo.merge_predictions([folder, other / file.name], path)
    assert result.images == IMAGES
    with pytest.raises(cnnzoo.InputError, match="already exists, so shards cannot be merged into it"):
        parse = cnnzoo.inference.shard_files.check_shard_file
        parse(path, Shard(1, 3), overwrite=False)


def test_damaged_parquet_shards_are_refused(copy):
    path = copy(".parquet")
    part = next((path.with_name("answers.parquet.shards") / "00002-of-00003.parquet").iterdir())
    part.write_bytes(part.read_bytes()[:-40])
    with pytest.raises(cnnzoo.InputError, match="is damaged or was replaced"):
        cnnzoo.merge_predictions(path)
    part.unlink()
    with pytest.raises(cnnzoo.InputError, match=r"part-000000000000.parquet cannot be read"):
        cnnzoo.merge_predictions(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "../secret.csv"}, "it names the file '../secret.csv'"),
        ({"file": "00002-of-00003.csv"}, "it names the file '00002-of-00003.csv'"),
        ({"file": "00001-of-00003.exe"}, "it names the file"),
        ({"shard": [4, 3], "file": "00004-of-00003.csv"}, "numbers of images cannot be"),
        ({"listed": []}, "numbers of images cannot be"),
        ({"rows": 10**15}, "numbers of images cannot be"),
        ({"errors": -1}, "numbers of errors cannot be"),
        ({"unsure": 10**15}, "numbers of errors cannot be"),
        ({"ended_at": float("inf")}, "must be a finite number"),
        ({"digests": {"../../secret": {"size": 1, "sha256": ""}}}, "must lie in it. Received: '../../secret'"),
    ],
    ids=str,
)
def test_records_that_cannot_be_are_refused(copy, changes, message):
    path = copy()
    edit_record(path.with_name("answers.csv.shards") / "00001-of-00003.json", **changes)
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.merge_predictions(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".csv", lambda text: text.replace("path,", "paths,", 1)),
        (".csv", lambda text: text.replace(",error,", ",reason,", 1)),
        (".csv", lambda text: text + "9" * 5000 + text.splitlines()[-1].lstrip("0123456789") + "\n"),
        (".csv", lambda text: text + '"' + "x" * 2**18),
        (".jsonl", lambda text: text + "[" * 100_000),
        (".jsonl", lambda text: text + "{}"),
    ],
    ids=["path", "column", "number", "cell", "depth", "fields"],
)
def test_rows_that_no_shard_has_written_are_refused(copy, suffix, damage):
    path = copy(suffix)
    folder = path.with_name(f"{path.name}.shards")
    file = folder / f"00003-of-00003{suffix}"
    file.write_text(damage(file.read_text()))
    edit_record(folder / "00003-of-00003.json", digests={})  # somebody who knows the format
    with pytest.raises(cnnzoo.InputError, match="does not hold the .* rows that shard 3/3 has written"):
        cnnzoo.merge_predictions(path)
    assert not path.exists()


def test_parquet_shards_with_other_columns_are_refused(copy):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = copy(".parquet")
    folder = path.with_name("answers.parquet.shards")
    part = next((folder / "00002-of-00003.parquet").iterdir())
    table = parquet.read_table(part)
    numbers = arrow.array([None] * len(table), "int64")
    for changed in (table.rename_columns([*table.column_names[:-1], "x"]), table.set_column(0, "index", numbers)):
        parquet.write_table(changed, part)
        edit_record(folder / "00002-of-00003.json", digests={})
        with pytest.raises(cnnzoo.InputError, match="rows that shard 2/3 has written"):
            cnnzoo.merge_predictions(path)
    parquet.write_table(table, part, compression="none")
    part.write_bytes(part.read_bytes().replace(b"class_2", b"clas\xfa_2"))  # a name that is not UTF-8
    with pytest.raises(cnnzoo.InputError, match="rows that shard 2/3 has written"):
        cnnzoo.merge_predictions(path)


def test_the_fields_of_other_cards_are_named(copy):
    path = copy()
    record = path.with_name("answers.csv.shards") / "00002-of-00003.json"
    plan = json.loads(record.read_text())["plan"]
    card = json.loads(plan["model"]) | {"pad": 7}
    edit_record(record, plan=plan | {"model": json.dumps(card), "later": 1})
    with pytest.raises(cnnzoo.InputError, match=r": model.pad: 0 in shard 1/3, 7 in shard 2/3; later: None in .*1 in"):
        cnnzoo.merge_predictions(path)
