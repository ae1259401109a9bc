"""Every row and field of the manifest is well formed, and measured again if the data is here."""

import hashlib
import importlib.util
import json
import re
import shutil
import types
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

import cnnzoo
from cnnzoo import preprocessing
from cnnzoo.checkpoints import manifest
from cnnzoo.training import recipes

ROWS = manifest.load_published_weights()
SHIPPED = [row for row in ROWS if not row.url]
HOSTS = {"download.pytorch.org", "huggingface.co", "storage.googleapis.com", "github.com"}
HASHES = {"sha256": "[0-9a-f]{64}", "sha1": "[0-9a-f]{40}", "md5": "[0-9a-f]{32}", "sha256-prefix": "[0-9a-f]{8,9}"}
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.model}-{row.tag}")
each_shipped_row = pytest.mark.parametrize("row", SHIPPED, ids=lambda row: f"{row.model}-{row.tag}")


def test_no_publisher_was_lost():
    """The numbers are those of our networks in the publishers' own listings."""
    floors = {
        "torchvision": 28,  # all of V1 and V2
        "timm": 102,
        "keras": 22,  # eleven networks, with and without the top
        "tf2cv": 22,
        "akamaster/pytorch_resnet_cifar10": 6,
    }
    publishers = [row.source.split(",")[0].split()[0] for row in ROWS]
    for publisher, floor in floors.items():
        assert publishers.count(publisher) >= floor, publisher
    assert {(row.model, row.tag) for row in SHIPPED} == {
        ("lenet5", "digits"),
        ("lenet5", "mnist"),
        ("lenet5_1998", "mnist"),
    }


@each_row
def test_model_is_in_the_registry(row):
    assert row.model in cnnzoo.list_models()


@each_row
def test_file_and_hash_are_well_formed(row):
    assert not set("/\\{}") & set(row.file + row.tag)
    kind, _, digits = row.hash.partition(":")
    if row.hash:
        assert re.fullmatch(HASHES[kind], digits)
    assert row.sha256 == (digits if kind == "sha256" else "")
    if named := re.search(r"-([0-9a-f]{8,})\.", row.file):
        assert digits.startswith(named[1])
    assert row.bytes is None or row.bytes > 10_000
    if row.url:
        url = urlsplit(row.url)
        assert url.scheme == "https"
        assert url.netloc in HOSTS
        assert "{" not in row.url
        assert row.file.removeprefix("timm-").removesuffix(".safetensors") in row.url
    else:
        assert row.sha256 and row.bytes
        assert row.path.is_file()


@each_row
def test_preprocessing_and_sizes_are_plausible(row):
    mean, std = preprocessing.resolve_statistics(row.preprocessing)
    assert len(mean) in (1, 3)
    assert len(std) in (1, 3)
    assert 0 <= row.pad < row.input_size
    assert 28 <= row.input_size <= row.resize + 2 * row.pad <= 1.3 * row.input_size
    assert row.interpolation in ("bilinear", "bicubic", "nearest")
    if row.url and "ImageNet" not in row.data:
        assert row.resize == row.input_size == 32


@each_row
def test_accuracies_and_classes_are_plausible(row):
    assert row.accuracy == row.top1
    if row.include_top:
        assert 0 < row.top1 <= (row.top5 or 100) <= 100
        sizes = {"imagenet": 1000, "cifar10": 10, "cifar100": 100, "svhn": 10, "digits": 10, "mnist": 10}
        assert len(set(row.class_names)) == len(row.class_names) == sizes[row.tag.partition(".")[0]]
    else:
        assert (row.top1, row.top5, row.class_names) == (None, None, ())
    assert row.data
    assert row.source
    if row.url:
        assert (row.recipe, row.seed, row.test_images) == ("", None, None)
        assert row.classes in ((), row.tag.partition(".")[0])
        assert row.verified == bool(row.sha256), "only a file that was here has all its digits known"
    else:
        assert row.recipe.split(",")[0] in recipes.RECIPES
        assert row.seed is not None and row.test_images
        assert row.verified
        assert len(row.classes) == cnnzoo.info(row.model).row.classes


@each_row
def test_license_is_stated_with_its_origin(row):
    assert row.license in {"", "CC-BY-NC-4.0", *manifest.COMMERCIAL_LICENSES}
    assert row.commercial == (row.license not in ("", "CC-BY-NC-4.0"))
    assert row.license_from in (("weights", "repository") if row.license else ("",))
    assert ("fb_" in row.tag) == (row.license == "CC-BY-NC-4.0")


@each_row
def test_card_keeps_the_provenance(row):
    saved = json.loads(json.dumps(row.provenance))
    assert saved["accuracy"] == saved["top1"] == row.top1
    assert (saved["license"], saved["license_from"]) == (row.license, row.license_from)
    for key in ("tag", "file", "url", "hash", "source", "verified"):
        assert saved[key] == getattr(row, key)


def test_tags_and_files_are_unique():
    assert len({(row.model, row.tag) for row in ROWS}) == len(ROWS)
    assert len({row.url for row in ROWS}) == len(ROWS) - len(SHIPPED) + 1
    assert len({row.file for row in ROWS}) == len(ROWS)


def test_tags_name_the_data_and_the_publisher():
    for row in ROWS:
        assert re.fullmatch(r"(imagenet|cifar100?|svhn)\.[a-z0-9_]+" if row.url else "digits|mnist", row.tag)
    assert manifest.list_tags("alexnet") == ["imagenet.tv_v1"]
    assert manifest.list_tags("preresnet164") == ["cifar10.tf2cv", "cifar100.tf2cv", "svhn.tf2cv"]
    assert manifest.list_tags("nothing") == []


@pytest.mark.parametrize(
    ("model", "tag", "default"),
    [
        ("resnet50", "imagenet", "imagenet.tv_v2"),  # Facebook's timm_fb_swsl_ig1b_ft is better, and not permissive
        ("resnet18", "imagenet", "imagenet.timm_a1"),
        ("inception_resnet_v2", "imagenet", "imagenet.timm_tf"),
        ("resnet50_v1", "imagenet", "imagenet.keras"),  # no license is stated, and there is no other
        ("resnet20_b", "cifar100", "cifar100.tf2cv"),
        ("lenet5", "mnist", "mnist"),
        ("resnet50", "imagenet.timm_fb_swsl_ig1b_ft", "imagenet.timm_fb_swsl_ig1b_ft"),
        ("vgg16", "imagenet.keras_notop", "imagenet.keras_notop"),
    ],
)
def test_a_data_set_names_its_best_permissive_weights(model, tag, default):
    assert manifest.find_weights(model, tag).tag == default


def test_default_prefers_license_then_accuracy_then_order(monkeypatch):
    """Permissive before stated before unknown; then the most accurate; then the first; never without a head."""
    one = manifest.find_weights("resnet50", "imagenet.tv_v1")

    def default(*rows):
        changed = [replace(one, tag=f"imagenet.{i}", **fields) for i, fields in enumerate(rows)]
        monkeypatch.setattr(manifest, "load_published_weights", lambda: changed)
        return manifest.find_weights("resnet50", "imagenet").tag

    permissive, restricted, unknown = {"license": "MIT"}, {"license": "CC-BY-NC-4.0"}, {"license": ""}
    assert default(restricted | {"top1": 90.0}, unknown | {"top1": 91.0}, permissive | {"top1": 60.0}) == "imagenet.2"
    assert default(unknown | {"top1": 91.0}, restricted | {"top1": 90.0}) == "imagenet.1"
    assert default(unknown | {"top1": 70.0}, unknown | {"top1": 71.0}) == "imagenet.1"
    assert (
        default(permissive | {"top1": None}, permissive | {"top1": 70.0}, permissive | {"top1": 70.0}) == "imagenet.1"
    )
    assert default(permissive | {"include_top": False}, unknown) == "imagenet.1"
    with pytest.raises(cnnzoo.InputError):
        default(permissive | {"include_top": False})


@pytest.mark.parametrize(
    ("model", "tag", "message"),
    [
        ("resnet50", "imagenet.tv_v3", "Did you mean imagenet.tv_v2 or"),
        ("resnet50", "imagnet", "Did you mean imagenet or"),
        ("preresnet1001", "svhn", "Allowed: cifar10, cifar10.tf2cv, cifar100, cifar100.tf2cv. Received: 'svhn'"),
        ("vgg11_lrn", "imagenet", "No weights of vgg11_lrn are published. vgg11:imagenet is published"),
        ("resnet50", "", "Received: ''"),
    ],
)
def test_unknown_tag_raises_with_the_nearest_ones(model, tag, message):
    with pytest.raises(cnnzoo.InputError, match=re.escape(message)):
        manifest.find_weights(model, tag)


def test_classes_of_imagenet(test_data):
    names, wnids = manifest.load_class_names("imagenet"), manifest.load_wordnet_ids()
    assert len(names) == len({name.lower() for name in names}) == len(set(wnids)) == 1000
    assert all(name == name.strip() for name in names)
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in wnids)
    assert list(wnids) == sorted(wnids)
    examples = {
        0: "tench",
        134: "crane (bird)",
        281: "tabby",
        517: "crane",
        639: "maillot (tank suit)",
        999: "toilet tissue",
    }
    assert {index: names[index] for index in examples} == examples
    folders = sorted(path.name for path in test_data("imagenette144/val").iterdir())
    assert [wnids.index(wnid) for wnid in folders] == [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]


def test_classes_of_cifar_and_svhn(test_data):
    fine = manifest.load_class_names("cifar100")
    assert len(set(fine)) == 100
    assert list(fine) == sorted(fine)
    assert manifest.load_class_names("svhn") == tuple("0123456789")
    with np.load(test_data("cifar10/cifar10_4k_lossless.npz")) as file:
        assert manifest.load_class_names("cifar10") == tuple(map(str, file["classes"]))


def test_unknown_list_of_classes_raises():
    with pytest.raises(cnnzoo.InputError, match="Did you mean imagenet"):
        manifest.load_class_names("imagnet")


@pytest.mark.parametrize("model", ["resnet20", "resnet32", "resnet44", "resnet56"])
def test_published_files_have_the_stated_hash(model, test_data):
    row = manifest.find_weights(model, "cifar10")
    content = test_data(f"checkpoints/{row.file}").read_bytes()
    assert hashlib.sha256(content).hexdigest() == row.sha256
    assert len(content) == row.bytes
    assert row.verified


@each_shipped_row
def test_shipped_file_has_the_stated_hash(row):
    content = row.path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == row.sha256
    assert len(content) == row.bytes
    assert b"/" not in content[:2000].split(b'"source": "')[-1].split(b'"')[0], (
        "the source contains a path of some machine"
    )


@each_shipped_row
def test_shipped_weights_load_with_their_provenance(row):
    model = cnnzoo.get(row.model, weights=row.tag, license="commercial")
    card = cnnzoo.card(model)
    assert card.classes == row.class_names
    assert card.pad == row.pad
    assert model.input_shape[1] == row.input_size
    assert card.weights == row.provenance
    assert len(card.receipt.loaded) == len(model.weights)


@pytest.fixture(scope="module")
def mnist_data(mnist):
    """MNIST with all of its test images; the accuracy does not depend on the training images."""
    train, test = (mnist["x_train"][:1000], mnist["y_train"][:1000]), (mnist["x_test"], mnist["y_test"])
    return cnnzoo.load_data((train, test))


@pytest.mark.slow
@each_shipped_row
def test_accuracy_is_measured_again(row, request):
    if row.tag == "digits":
        data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2), seed=row.seed)
    else:
        data = request.getfixturevalue("mnist_data")
    report = cnnzoo.evaluate(cnnzoo.get(row.model, weights=row.tag), data)
    assert len(report.labels) == row.test_images
    assert 100 * report.accuracy == pytest.approx(row.accuracy, abs=0.005 + 100 * 1.01 / row.test_images)
    minimum = {"digits": 98.5, "mnist": 99.05 if row.model == "lenet5_1998" else 99.0}
    assert row.accuracy >= minimum[row.tag]


def test_raw_mnist_images_are_padded_as_in_training(mnist):
    """28x28 images go in; the card knows the border that the weights were trained with."""
    model = cnnzoo.get("lenet5", weights="mnist")
    from cnnzoo.inference.classifier import Classifier

    predictions = Classifier.of(model).predict(mnist["x_test"][:500], top=1)
    assert np.mean([int(p.label) == label for p, label in zip(predictions, mnist["y_test"], strict=False)]) > 0.97


def test_a_replaced_file_is_detected(monkeypatch, tmp_path):
    row = manifest.find_weights("lenet5", "digits")
    content = bytearray(row.path.read_bytes())
    content[-5] ^= 1
    (tmp_path / row.file).write_bytes(content)
    monkeypatch.setattr(manifest, "weights_folder", lambda: tmp_path)
    with pytest.raises(cnnzoo.InputError, match="is not the published file"):
        cnnzoo.get("lenet5", weights="digits")


def test_commercial_license_can_be_required(monkeypatch):
    rows = tuple(replace(row, license="CC-BY-NC-4.0") for row in SHIPPED)
    monkeypatch.setattr(manifest, "load_published_weights", lambda: rows)
    cnnzoo.get("lenet5", weights="digits")
    with pytest.raises(cnnzoo.InputError, match="may not be used commercially: their license is CC-BY-NC"):
        cnnzoo.get("lenet5", weights="digits", license="commercial")


def test_training_again_replaces_its_own_row_only(monkeypatch, tmp_path):
    """Run the part of weights/train.py that writes the manifest."""
    script = Path(__file__).parents[2] / "weights" / "train.py"
    spec = importlib.util.spec_from_file_location("train", script)
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    shutil.copy(script.with_name("manifest.toml"), tmp_path)
    monkeypatch.setattr(train, "WEIGHTS_FOLDER", tmp_path)
    monkeypatch.setattr(manifest, "weights_folder", lambda: tmp_path)

    report = types.SimpleNamespace(accuracy=0.9876, labels=range(360))
    train.publish_weights(train.JOBS["digits"], cnnzoo.get("lenet5"), report, seed=1)
    *others, row = manifest.load_published_weights.__wrapped__()
    assert others == [old for old in ROWS if (old.model, old.tag) != ("lenet5", "digits")]
    assert (row.model, row.tag, row.top1, row.seed, row.test_images) == ("lenet5", "digits", 98.76, 1, 360)
    assert hashlib.sha256(row.path.read_bytes()).hexdigest() == row.sha256
    expected = manifest.find_weights("lenet5", "digits")
    measured = {name: getattr(row, name) for name in ("file", "hash", "bytes", "preprocessing", "top1", "seed")}
    assert replace(expected, **measured) == row
