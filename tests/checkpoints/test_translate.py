"""Published layouts: recognized by their names, translated without loss, refused if they do not fit."""

import os
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from helpers.golden import GOLDEN, GoldenLogits, draw
from helpers.small_models import shrink_checkpoint
from keras.ops import convert_to_numpy
from safetensors.numpy import save_file

import cnnzoo
from cnnzoo.cards import attach_card
from cnnzoo.checkpoints import manifest
from cnnzoo.checkpoints.layouts import LAYOUTS, fill_template
from cnnzoo.checkpoints.tensors import adapt_first_kernel, named_variables
from cnnzoo.checkpoints.weight_sets import clean_names, find_layouts

pytestmark = pytest.mark.usefixtures("small_models", "fast_variables")


def small_golden(stem):
    return shrink_checkpoint(GoldenLogits(GOLDEN / "logits" / f"{stem}.npz"))


@pytest.fixture(scope="module")
def resnet18():
    """The drawn tensors of a small ResNet-18 in the layout of torchvision."""
    golden = small_golden("resnet18-torchvision")
    return draw.weights(golden.tensors, golden.shapes, 1.0)


@pytest.fixture(scope="module")
def resnet18_file(resnet18, tmp_path_factory):
    return write_safetensors(resnet18, tmp_path_factory.mktemp("resnet18"))


@pytest.fixture(scope="module")
def loaded(resnet18_file):
    """The small ResNet-18 with the weights of the file; tests leave it as it is."""
    return load(resnet18_file)


def write_safetensors(tensors, folder, name="w.safetensors"):
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, folder / name)
    return folder / name


def load(path, **options):
    return cnnzoo.get("small_resnet18", weights=path, **{"input_shape": (64, 64, 3), **options})


def test_every_golden_file_has_one_layout_only():
    for path in (GOLDEN / "logits").glob("*.npz"):
        golden = GoldenLogits(path)
        names = clean_names(golden.tensors)
        matches = [layout for layout in LAYOUTS if any(re.search(layout.marker, name) for name in names)]
        assert find_layouts(names) == {"": matches[0]}
        publisher = {"keras": "keras.applications", "tf2cv": "pytorchcv"}.get(golden.publisher)
        shared = {"torchvision", "timm"}  # one layout serves both if they agree
        assert matches[0].publisher == publisher or golden.publisher in {*shared, matches[0].publisher}


def test_templates_fill_in_groups_and_neighboring_numbers():
    match = re.match(r"stage(\d+)\.unit(\d+)", "stage2.unit10")
    assert fill_template("layer{1}.{2-1}", match) == "layer2.9"
    assert fill_template("a{1+1}b", match) == "a3b"


@pytest.mark.parametrize("prefix", ["module.", "module.model.", "_orig_mod.", "net."])
def test_prefixes_of_wrappers_are_removed(resnet18, loaded, prefix, tmp_path):
    prefixed = load(write_safetensors({f"{prefix}{name}": value for name, value in resnet18.items()}, tmp_path))
    for expected, weight in zip(loaded.get_weights(), prefixed.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    counters = [name for name in resnet18 if name.endswith("num_batches_tracked")]
    assert len(cnnzoo.card(prefixed).receipt.dropped) == len(counters) > 0


def test_a_new_head_leaves_all_other_weights_unchanged(resnet18_file):
    for classes in (5, ["cat", "dog"]):
        receipt = cnnzoo.card(load(resnet18_file, classes=classes)).receipt
        assert receipt.initialized == ("fc.bias", "fc.kernel")
        assert {"fc.bias", "fc.kernel"} <= set(receipt.dropped)
    features = load(resnet18_file, include_top=False, pooling="avg")
    assert cnnzoo.card(features).receipt.dropped[:2] == ("fc.bias", "fc.kernel")


def test_the_number_of_classes_comes_from_the_file(resnet18, tmp_path):
    seven_classes = {"fc.weight": resnet18["fc.weight"][:7], "fc.bias": resnet18["fc.bias"][:7]}
    path = write_safetensors(resnet18 | seven_classes, tmp_path)
    model = load(path)
    assert model.output_shape == (None, 7)
    assert cnnzoo.card(model).classes == tuple("0123456")
    assert not cnnzoo.card(model).receipt.initialized
    assert not cnnzoo.card(load(path, classes=list("abcdefg"))).receipt.initialized
    assert cnnzoo.card(load(path, classes=1000)).receipt.initialized == ("fc.bias", "fc.kernel")


def test_names_of_a_list_keep_the_head_of_a_file_without_names(resnet18_file):
    card = cnnzoo.card(load(resnet18_file, classes="imagenet"))
    assert card.classes[0] == "tench"
    assert not card.receipt.initialized


def test_first_kernel_is_adapted_to_gray_and_multispectral_images(resnet18, resnet18_file, tmp_path):
    gray = load(resnet18_file, input_shape=(64, 64, 1), preprocessing="unit")
    color = load(resnet18_file, preprocessing="unit")
    assert cnnzoo.card(gray).receipt.adapted == ("conv1.kernel",)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 1))
    expected = convert_to_numpy(color(images.repeat(3, axis=3)))
    np.testing.assert_allclose(convert_to_numpy(gray(images)), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())

    kernel = np.random.default_rng(0).normal(size=(7, 7, 3, 8)).astype("float32")
    six_channels = adapt_first_kernel(kernel, (7, 7, 6, 8))
    np.testing.assert_allclose(six_channels.sum(axis=2), kernel.sum(axis=2), rtol=1e-4, atol=1e-5)
    assert adapt_first_kernel(kernel, (5, 5, 6, 8)) is kernel
    with pytest.raises(cnnzoo.InputError, match="wrong shape: conv1.kernel"):
        load(write_safetensors(resnet18 | {"conv1.weight": np.zeros((8, 3, 5, 5), "float32")}, tmp_path))


def test_a_file_of_another_model_is_refused(resnet18_file):
    with pytest.raises(cnnzoo.InputError, match=r"w.safetensors does not fit small_resnet34: missing: .* and \d+ more"):
        cnnzoo.get("small_resnet34", weights=resnet18_file)
    with pytest.raises(cnnzoo.InputError, match="does not fit lenet5"):
        cnnzoo.get("lenet5", weights=resnet18_file)


def test_missing_and_unexpected_tensors_are_named(resnet18, tmp_path):
    without_variance = {name: value for name, value in resnet18.items() if name != "bn1.running_var"}
    with pytest.raises(cnnzoo.InputError, match=r"missing: bn1.moving_variance$"):
        load(write_safetensors(without_variance, tmp_path))
    with pytest.raises(cnnzoo.InputError, match="unexpected: extra.kernel"):
        load(write_safetensors(resnet18 | {"extra.weight": np.zeros((2, 2), "float32")}, tmp_path))
    with pytest.raises(cnnzoo.InputError, match="has no known layout.*keras.applications.*a, b"):
        load(write_safetensors({"a": np.zeros(2), "b": np.zeros(2)}, tmp_path))


@pytest.mark.parametrize(("name", "statistics"), [("resnet50_v1", "caffe"), ("resnet50_v2", "tf")])
def test_keras_layouts_imply_their_preprocessing(name, statistics, tmp_path):
    path = small_golden(f"{name}-keras").write(tmp_path)
    model = cnnzoo.get(f"small_{name}", weights=path, input_shape=(64, 64, 3))
    assert cnnzoo.card(model).preprocessing == statistics


def test_a_file_without_top_fits_a_model_without(tmp_path):
    """The publishers of keras.applications leave the last layer out of their "notop" files."""
    path = small_golden("resnet50_v2-keras").write(tmp_path)
    with h5py.File(path, "r+") as file:
        layers = [name for name in file.attrs["layer_names"] if name != b"predictions"]
        del file["predictions"], file.attrs["layer_names"]
        file.attrs["layer_names"] = np.array(layers)
    options = {"weights": path, "input_shape": (64, 64, 3)}
    model = cnnzoo.get("small_resnet50_v2", include_top=False, **options)
    assert len(cnnzoo.card(model).receipt.loaded) == len(model.weights)
    new_head = cnnzoo.get("small_resnet50_v2", classes=3, **options)
    assert cnnzoo.card(new_head).receipt.initialized == ("fc.bias", "fc.kernel")
    with pytest.raises(cnnzoo.InputError, match="missing: fc.kernel, fc.bias"):
        cnnzoo.get("small_resnet50_v2", **options)


def test_converted_weights_are_the_same(loaded, tmp_path):
    copy = load(cnnzoo.save_weights(loaded, tmp_path / "ours.safetensors"))
    for (name, expected), weight in zip(named_variables(loaded).items(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(convert_to_numpy(expected), weight, err_msg=name)
    assert cnnzoo.card(copy).preprocessing == "torch"


@pytest.mark.parametrize(
    ("name", "tag", "message"),
    [
        ("resnet50", "imagenet.timm_fb_swsl_ig1b_ft", "license is CC-BY-NC-4.0"),
        ("resnet50_v1", "imagenet.keras", "their publisher states no license"),
        ("resnet50_v1", "imagenet", "their publisher states no license"),
    ],
)
def test_a_commercial_license_can_be_required(name, tag, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.get(name, weights=tag, license="commercial")


@pytest.mark.parametrize("key", ["license", "licence"])  # cards of versions before 0.7 have the second
@pytest.mark.parametrize(("stated", "allowed"), [("CC-BY-NC-4.0", False), ("", False), ("MIT", True)])
def test_a_copy_of_published_weights_keeps_their_license(key, stated, allowed, tmp_path):
    model = cnnzoo.get("lenet5", weights="mnist")
    attach_card(model, replace(cnnzoo.card(model), weights={"tag": "mnist", key: stated}))
    path = cnnzoo.save_weights(model, tmp_path / "copy.safetensors")
    if allowed:
        cnnzoo.get("lenet5", weights=path, license="commercial")
    else:
        with pytest.raises(cnnzoo.InputError, match="may not be used commercially"):
            cnnzoo.get("lenet5", weights=path, license="commercial")


def test_published_weights_are_fetched_checked_and_loaded(test_data, tmp_path, monkeypatch):
    """Through the manifest, the cache and offline mode: a real checkpoint, put in place by hand."""
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    with pytest.raises(cnnzoo.InputError, match=r"resnet20-12fca82f\.th"):
        cnnzoo.get("resnet20", weights="cifar10")
    published = test_data("checkpoints/resnet20-12fca82f.th")
    (tmp_path / "weights").mkdir(exist_ok=True)
    cached = tmp_path / "weights" / published.name
    cached.write_bytes(published.read_bytes())
    card = cnnzoo.card(cnnzoo.get("resnet20", weights="cifar10"))
    assert card.classes[:3] == ("airplane", "automobile", "bird")
    assert card.weights["tag"] == "cifar10.akamaster"
    cached.write_bytes(published.read_bytes()[:-1] + b"x")
    with pytest.raises(cnnzoo.InputError, match="sha256"):
        cnnzoo.get("resnet20", weights="cifar10")


def test_classes_of_imagenet_have_names_and_wordnet_ids(resnet18, tmp_path, monkeypatch):
    """As a tag of the manifest gives them: here drawn weights stand in for a published file."""
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    row = manifest.find_weights("resnet18", "imagenet.tv_v1")
    monkeypatch.setattr(manifest, "find_weights", lambda *_: replace(row, hash="", file="w.safetensors"))
    (tmp_path / "weights").mkdir()
    write_safetensors(resnet18, tmp_path / "weights")
    with pytest.warns(UserWarning, match="No hash"):
        model = load("imagenet")
    assert cnnzoo.card(model).classes[:2] == ("tench", "goldfish")
    assert not cnnzoo.card(load("imagenet", classes=["a", "b"])).ids
    cnnzoo.save(model, tmp_path / "m.keras")
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), "uint8")
    (prediction,) = cnnzoo.load(tmp_path / "m.keras", runtime="keras").predict(images)
    ((wnid, name, probability), *_) = prediction.decoded()
    assert manifest.load_wordnet_ids()[manifest.load_class_names("imagenet").index(name)] == wnid
    assert 0 < probability <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv1.bias": np.zeros(7, "float32")}, "unexpected: conv1.bias"),
        ({"conv1.bias": np.zeros((), "float32")}, "unexpected: conv1.bias"),
        ({"fc.bias": np.zeros((), "float32")}, "does not fit small_resnet18"),
        ({"fc.bias": np.zeros(900_000, "float32")}, "wrong shape: fc.bias"),
        ({"bn1.running_mean": np.full(8, np.nan, "float32")}, "unusable values: bn1.moving_mean"),
        ({"bn1.running_mean": np.full(8, 1e300)}, "unusable values: bn1.moving_mean"),
        ({"bn1.running_var": np.full(8, -1, "float32")}, "unusable values: bn1.moving_variance"),
        ({"bn1.bias": np.zeros(8, bool)}, "unusable values: bn1.beta"),
        ({"x" * 2000 + ".weight": np.zeros(1, "float32")}, "2007 characters"),
        ({"x\n.weight": np.zeros(1, "float32")}, "a tensor is named"),
    ],
)
def test_hostile_tensors_raise_an_error_that_names_them(changes, message, resnet18, tmp_path):
    with pytest.raises(cnnzoo.InputError, match=message):
        load(write_safetensors(resnet18 | changes, tmp_path))


def test_files_without_tensors_and_paths_that_are_not_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.attrs["layer_names"] = np.array([], "S1")
    save_file({}, tmp_path / "empty.safetensors")
    for name in ("empty.h5", "empty.safetensors"):
        with pytest.raises(cnnzoo.InputError, match=f"{name} holds no tensors"):
            cnnzoo.get("lenet5", weights=tmp_path / name)
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "folder.pth").mkdir()
    for name in ("pipe.pth", "folder.pth"):
        with pytest.raises(cnnzoo.InputError, match="it is not a file"):
            cnnzoo.get("lenet5", weights=tmp_path / name)
    with pytest.raises(cnnzoo.InputError, match="null"):
        cnnzoo.get("lenet5", weights="a\0b.pth")
    (tmp_path / "w.tar").write_bytes(b"x")
    with pytest.raises(cnnzoo.InputError, match=r"Cannot read w.tar as a checkpoint of PyTorch: it has 1 bytes"):
        cnnzoo.get("lenet5", weights=str(tmp_path / "w.tar"))


def test_a_card_with_more_classes_than_the_tensors_is_refused(resnet18, tmp_path):
    card = cnnzoo.Card("small_resnet18", tuple(map(str, range(500_000)))).to_json()
    arrays = {key: np.ascontiguousarray(value) for key, value in resnet18.items()}
    save_file(arrays, tmp_path / "c.safetensors", {"cnnzoo": card})
    with pytest.raises(cnnzoo.InputError, match=r"c.safetensors names 500000 classes, but none of its tensors"):
        load(tmp_path / "c.safetensors")
