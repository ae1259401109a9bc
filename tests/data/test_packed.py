"""Packed data gives what its source gives: splits, names, batches, findings, fingerprints, in every kind of process."""

import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from helpers.image_files import encode, make_scene, oriented_files, valid_files, write_class_folders
from PIL import Image

import cnnzoo
from cnnzoo.data import packed_image
from cnnzoo.data.batches import Batches
from cnnzoo.data.decode import decode_image
from cnnzoo.data.diagnose import diagnose_source
from cnnzoo.data.packed import iter_images, read_manifest
from cnnzoo.data.packed_image import BLOCK_BYTES, CONTENT_BYTES, PackedImage, Shard, read_range
from cnnzoo.data.packed_records import encode_example, find_records, open_writer

array_record = pytest.importorskip("array_record.python.array_record_module")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with splits, with files of every format, rotated, torn and stray ones, and a copy."""
    root = write_class_folders(tmp_path_factory.mktemp("photos") / "train", {"a": 12, "b": 11}, size=(40, 30)).parent
    write_class_folders(root / "test", {"a": 4, "b": 3}, size=(30, 40), seed=900)
    for name, (content, *_) in {**valid_files(), **oriented_files(seed=3)}.items():
        (root / "train" / "b" / f"kind_{name}").write_bytes(content)
    (root / "train" / "a" / "torn.jpg").write_bytes(valid_files()["a.jpg"][0][:-400])
    (root / "train" / "a" / "empty.png").touch()
    (root / "train" / "a" / "copy.png").write_bytes((root / "train" / "a" / "a_1.png").read_bytes())
    (root / "train" / "a" / "notes.txt").write_text("of the photographer")
    (root / "stray.png").write_bytes(valid_files()["a.png"][0])
    return root


@pytest.fixture(scope="module")
def packed(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "p"
    with pytest.warns(UserWarning, match="3 images cannot be decoded and not packed"):
        cnnzoo.pack(photos, folder, shards=5)
    return folder


def check_same(first, second):
    """Check that two data sets are equal in everything but where their images lie."""
    assert (first.source, first.classes, first.notes) == (second.source, second.classes, second.notes)
    assert first.fingerprints == second.fingerprints
    for name, split in first.splits.items():
        assert split.names.tolist() == second.splits[name].names.tolist()
        assert split.labels.tolist() == second.splits[name].labels.tolist()
        assert split.image_digests().tolist() == second.splits[name].image_digests().tolist()
    assert first.diagnosis.to_dict() == second.diagnosis.to_dict()
    assert first.diagnosis.fix_list() == second.diagnosis.fix_list()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "options",
    [{}, {"seed": 3}, {"splits": (0.6, 0.2, 0.2)}, {"split": "test"}, {"split": "all"}, {"classes": ["b", "a"]}],
    ids=str,
)
def test_packed_data_is_loaded_as_its_source(photos, packed, options):
    check_same(cnnzoo.load_data(photos, **options), cnnzoo.load_data(packed, **options))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("cache", ["none", "memory"])
def test_batches_are_equal_with_any_number_of_workers(photos, packed, cache):
    expected = take_epochs(cnnzoo.load_data(photos, image_size=24, cache=cache, workers=0))
    for workers in (0, 2):
        batches = take_epochs(cnnzoo.load_data(packed, image_size=24, cache=cache, workers=workers))
        for first, second in zip(expected, batches, strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_photos_give_equal_batches(test_data, tmp_path):
    photos = test_data("hymenoptera")
    cnnzoo.pack(photos, tmp_path / "p", shards=3)
    data = [cnnzoo.load_data(source, image_size=64, cache="none") for source in (photos, tmp_path / "p")]
    check_same(*data)
    for split, options in (("train", {"seed": 4, "augment": "rand"}), ("test", {})):
        first, second = (each.batches(split, 32, **options) for each in data)
        for i in range(2):
            np.testing.assert_array_equal(first[i][0], second[i][0])
            np.testing.assert_array_equal(first[i][1], second[i][1])


def take_epochs(data):
    """Return the arrays of all training batches of two epochs, and of the test split."""
    train = Batches(data.train, 2, 8, 5, "basic")
    parts = []
    for epoch in (0, 1):
        train.set_epoch(epoch)
        parts += [train[i] for i in range(len(train))]
    parts += [data.batches("test", 8)[0]]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def test_worker_processes_read_the_records_themselves(packed, monkeypatch):
    monkeypatch.setattr(PackedImage, "read", lambda self: pytest.fail("read in the process of the training"))
    with pytest.warns(UserWarning, match="5 set aside"):
        data = cnnzoo.load_data(packed, image_size=24, workers=1, cache="none")
    assert data.batches("test", 4)[0][0].shape == (4, 24, 24, 3)


def test_worker_processes_import_neither_tensorflow_nor_array_record():
    code = "import sys, cnnzoo.data.worker; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = process.stdout.split()
    assert "cnnzoo.data.packed_image" in modules
    assert not {"tensorflow", "keras", "jax", "array_record", "etils", "absl"} & {*modules}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_loading_decodes_nothing_and_lists_no_folder(packed, monkeypatch):
    def fail(*_):
        pytest.fail("a folder was listed, or an image was read")

    with monkeypatch.context() as patch:
        for target, name in ((os, "scandir"), (os, "listdir"), (PackedImage, "read")):
            patch.setattr(target, name, fail)
        data = cnnzoo.load_data(packed)
    assert len(data.test) == 7


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_without_the_doctor_headers_are_enough(photos, packed):
    first, second = (cnnzoo.load_data(source, doctor=False) for source in (photos, packed))
    torn = {"train/a/torn.jpg"}  # cannot be decoded, so it is not packed
    assert {*first.train.names, *first.validation.names} - {*second.train.names, *second.validation.names} == torn
    assert second.test.names.tolist() == first.test.names.tolist()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_fix_list_applies(photos, packed, tmp_path):
    diagnose_source(packed).fix_list().save(tmp_path / "fixes.csv")
    data = cnnzoo.load_data(packed, fix_list=tmp_path / "fixes.csv")
    assert data.fix_list.excluded > 0
    check_same(cnnzoo.load_data(photos, fix_list=tmp_path / "fixes.csv"), data)


def test_the_doctor_finds_the_same(photos, packed, tmp_path):
    first, second = diagnose_source(photos), diagnose_source(packed)
    assert first.to_dict() == second.to_dict()
    assert {"unreadable", "copy"} & {finding.kind for finding in second.findings}
    second.save(tmp_path)  # draws pictures of packed images
    assert "data:image" in (tmp_path / "doctor.html").read_text()


def test_facts_of_another_version_are_found_again(packed, monkeypatch):
    manifest = read_manifest(packed)
    images = list(iter_images(replace(manifest, scan_version=manifest.scan_version - 1)))
    assert all(image.facts is None for image in images if not image.source.problem)
    assert all(image.facts for image in images if image.source.problem)


@pytest.mark.slow
def test_a_training_on_the_folder_goes_on_with_packed_data(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "photos", {"a": 20, "b": 20}, size=(20, 24))
    cnnzoo.pack("photos", "packed", shards=3)
    words = ("train", "lenet5", "--epochs", "1", "--batch-size", "8", "--run-dir", "run")
    first = cli(*words[:2], "photos", *words[2:])
    assert first.code == 0, first.err
    report = (tmp_path / "run" / "report.json").read_bytes()
    again = cli(*words[:2], "packed", *words[2:], "--resume")
    assert again.code == 0, again.err
    assert (tmp_path / "run" / "report.json").read_bytes() == report
    result = cli("evaluate", "run", "packed")
    assert result.code == 0, result.err
    assert "packed holds the data that lenet5 was trained on, so the test split" in result.out


# Other sources


def test_tables_keep_their_groups_and_splits(tmp_path):
    root = write_class_folders(tmp_path / "images", {"a": 10, "b": 10}, size=(12, 10))
    files = sorted(root.rglob("*.png"))
    lines = [f"{file.relative_to(tmp_path)},{file.parent.name},{i // 2}" for i, file in enumerate(files)]
    (tmp_path / "t.csv").write_text("\n".join(["file,kind,patient", *lines]))
    options = {"path_column": "file", "label_column": "kind", "group_column": "patient"}
    table = cnnzoo.load_data(tmp_path / "t.csv", **options, splits=(0.6, 0.2, 0.2))
    cnnzoo.pack(tmp_path / "t.csv", tmp_path / "p", shards=3, **options)
    packed = cnnzoo.load_data(tmp_path / "p", splits=(0.6, 0.2, 0.2))
    check_same(table, packed)
    groups = {image.name: image.group for image in iter_images(read_manifest(tmp_path / "p"))}
    splits = [{groups[name] for name in split.names.tolist()} for split in packed.splits.values()]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 10


def test_paths_with_labels_and_numbers_as_classes(tmp_path):
    root = write_class_folders(tmp_path / "images", {"a": 10, "b": 10}, size=(12, 10))
    paths = sorted(map(str, root.rglob("*.png")))
    labels = [i % 2 for i in range(len(paths))]
    cnnzoo.pack((paths, labels), tmp_path / "p")
    for options in ({}, {"classes": ["cat", "dog"]}):
        check_same(cnnzoo.load_data((paths, labels), **options), cnnzoo.load_data(tmp_path / "p", **options))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_packed_data_can_be_packed_again(photos, packed, tmp_path):
    cnnzoo.pack(packed, tmp_path / "p", shards=2)
    check_same(cnnzoo.load_data(photos), cnnzoo.load_data(tmp_path / "p"))


def test_deep_images_need_their_levels_as_before(tmp_path):
    for i in range(10):
        for label in "ab":
            (tmp_path / "d" / label).mkdir(parents=True, exist_ok=True)
            levels = make_scene(12, 10, seed=2 * i + (label == "a"))[..., 0].astype("int32") * 300
            Image.fromarray(levels).save(tmp_path / "d" / label / f"{i}.tif")
    cnnzoo.pack(tmp_path / "d", tmp_path / "p")
    for options in ({"levels": (0, 76_500)}, {}):
        messages = []
        for source in ("d", "p"):
            try:
                messages.append(cnnzoo.load_data(tmp_path / source, **options).fingerprints)
            except cnnzoo.InputError as error:
                messages.append(str(error))
        assert messages[0] == messages[1]


# Records


def test_records_are_examples_that_tensorflow_and_grain_read(photos, packed):
    from array_record.python.array_record_data_source import ArrayRecordDataSource
    from tensorflow.train import Example

    shards = sorted(map(str, packed.glob("*.array_record")))
    source = ArrayRecordDataSource(shards)
    manifest = read_manifest(packed)
    images = [image for image in iter_images(manifest) if not image.source.problem]
    assert len(source) == len(images) == manifest.images
    for i, image in enumerate(images):
        feature = Example.FromString(source[i]).features.feature
        texts = {name: feature[name].bytes_list.value[0].decode() for name in ("class", "name", "split", "group")}
        assert texts == {"class": image.label, "name": image.name, "split": image.split, "group": ""}
        assert feature["index"].int64_list.value[0] == i
        assert list(manifest.classes)[feature["label"].int64_list.value[0]] == image.label
        assert feature["sha256"].bytes_list.value[0].decode() == image.facts.digest
        assert feature["image"].bytes_list.value[0] == (photos / image.name).read_bytes() == image.source.read()


def test_encoded_examples_are_those_of_protobuf():
    from tensorflow.train import Example

    features = {"image": bytes(range(256)) * 90, "label": 300, "negative": -1, "zero": 0, "text": "größer", "empty": ""}
    decoded = Example.FromString(encode_example(features)).features.feature
    assert {*decoded} == {*features}
    assert [decoded[name].int64_list.value[0] for name in ("label", "negative", "zero")] == [300, -1, 0]
    assert decoded["image"].bytes_list.value[0] == features["image"]
    assert [decoded[name].bytes_list.value[0].decode() for name in ("text", "empty")] == ["größer", ""]


def test_records_are_found_wherever_blocks_begin(tmp_path):
    rng = np.random.default_rng(0)
    near = [CONTENT_BYTES + i for i in (-45, -44, -43, -41, -1, 0, 1, 2)]
    sizes = [1, 127, 128, *near, *rng.integers(1, 3 * BLOCK_BYTES, 20).tolist(), BLOCK_BYTES, 3 * CONTENT_BYTES]
    records = [rng.bytes(size) for size in sizes]
    with open_writer(tmp_path / "a") as writer:
        for record in records:
            writer.write(record)
    shard = Shard(str(tmp_path / "a"), "")
    assert [read_range(shard, *place) for place in find_records(shard, len(records))] == records
    assert array_record.ArrayRecordReader(str(tmp_path / "a")).read_all() == records
    with pytest.raises(cnnzoo.InputError, match="records instead of|one record in each chunk"):
        find_records(shard, len(records) + 1)


def test_threads_and_forks_share_open_shards(packed, monkeypatch):
    monkeypatch.setattr(packed_image, "open_shard", lru_cache(maxsize=2)(packed_image.open_shard.__wrapped__))
    before = len(list(Path("/proc/self/fd").iterdir()))
    images = [image for image in iter_images(read_manifest(packed)) if not image.source.problem] * 3
    expected = [image.facts.digest for image in images]
    failures = []

    def read_all():
        try:
            assert [digest(image.source.read()) for image in images] == expected
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    pid = os.fork()
    if not pid:
        read_all()
        os._exit(bool(failures))
    assert os.waitpid(pid, 0)[1] == 0
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2  # of five shards


def digest(content):
    return hashlib.sha256(content).hexdigest()


# Resized images


def test_images_are_resized_once_as_the_decoder_does(tmp_path):
    root = tmp_path / "photos"
    upright = make_scene(200, 300)
    for label in "ab":
        (root / label).mkdir(parents=True)
        for i in range(5):
            scene = Image.fromarray(make_scene(200, 300, seed=10 * i + ord(label)))
            scene.save(root / label / f"{i}.jpg", quality=97, subsampling=0)
    turned = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "a" / "turned.jpg").write_bytes(encode(turned, "JPEG", quality=97, subsampling=0, exif=exif))
    Image.fromarray(upright).convert("L").save(root / "a" / "gray.png")
    small = encode(Image.fromarray(make_scene(20, 30)), "PNG")
    (root / "b" / "small.png").write_bytes(small)
    deep = encode(Image.fromarray(make_scene(300, 200)[..., 0].astype("uint16") * 256), "PNG")
    (root / "b" / "deep.png").write_bytes(deep)

    packed = cnnzoo.pack(root, tmp_path / "p", size=64)
    assert (packed.size, packed.images) == (64, 14)
    images = {image.name: image for image in iter_images(packed)}
    assert images["b/small.png"].source.read() == small
    assert images["b/deep.png"].source.read() == deep
    assert (images["a/turned.jpg"].facts.height, images["a/turned.jpg"].facts.width) == (64, 96)
    assert images["a/gray.png"].facts.mode == "L"
    for name in ("a/0.jpg", "a/turned.jpg", "a/gray.png"):
        exact = cnnzoo.Transform((64, 64), 3, crop=1.0).resize_only(root / name)
        pixels = decode_image(images[name].source.read())
        assert np.abs(pixels.astype(int) - exact).mean() < 2.5
    data = cnnzoo.load_data(tmp_path / "p")
    assert any("shorter side is above 64 pixels" in note for note in data.notes)
    assert data.fingerprints != cnnzoo.load_data(root).fingerprints
