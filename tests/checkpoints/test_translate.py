"""Published layouts: recognised by their names, translated without loss, refused where they do not fit."""

import os
from dataclasses import replace

import h5py
import numpy as np
import pytest
from helpers.golden import GOLDEN, GoldenLogits, draw
from keras.ops import convert_to_numpy as array
from safetensors.numpy import save_file

import cnnzoo
from cnnzoo.checkpoints import translate
from cnnzoo.checkpoints.layouts import LAYOUTS, fill_template
from cnnzoo.checkpoints.tensors import adapt_first_kernel, named_variables


def golden(stem):
    return GoldenLogits(GOLDEN / "logits" / f"{stem}.npz")


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory):
    """A torchvision ResNet-18 as a dict of drawn tensors."""
    found = golden("resnet18-torchvision")
    return draw.weights(found.tensors, found.shapes, 1.0)


def written(tensors, folder, name="w.safetensors"):
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, folder / name)
    return folder / name


def get(path, **options):
    return cnnzoo.get("resnet18", weights=path, input_shape=(64, 64, 3), **options)


def test_every_golden_file_names_one_layout_only():
    for path in (GOLDEN / "logits").glob("*.npz"):
        names = translate.clean_names(GoldenLogits(path).tensors)
        marks = [layout for layout in LAYOUTS if any(translate.re.search(layout.marker, name) for name in names)]
        publisher = {"keras": "keras.applications", "tf2cv": "pytorchcv"}.get(GoldenLogits(path).publisher)
        shared = {"torchvision", "timm"}  # one layout serves both where they agree
        assert marks[0].publisher == publisher or GoldenLogits(path).publisher in {*shared, marks[0].publisher}
        assert translate.recognize_layout(GoldenLogits(path).tensors) == marks[0]


def test_templates():
    match = translate.re.match(r"stage(\d+)\.unit(\d+)", "stage2.unit10")
    assert fill_template("layer{1}.{2-1}", match) == "layer2.9"
    assert fill_template("a{1+1}b", match) == "a3b"


@pytest.mark.parametrize("prefix", ["module.", "module.model.", "_orig_mod.", "net."])
def test_prefixes_of_wrappers_are_taken_off(resnet18, prefix, tmp_path):
    plain = get(written(resnet18, tmp_path))
    other = get(written({f"{prefix}{name}": value for name, value in resnet18.items()}, tmp_path, "p.safetensors"))
    for a, b in zip(plain.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(cnnzoo.card(other).receipt.dropped) == 20, "torch's counters of batches"


def test_a_new_head_keeps_all_else(resnet18, tmp_path):
    path = written(resnet18, tmp_path)
    for classes in (5, ["cat", "dog"]):
        receipt = cnnzoo.card(get(path, classes=classes)).receipt
        assert receipt.initialised == ("fc.bias", "fc.kernel")
        assert {"fc.bias", "fc.kernel"} <= set(receipt.dropped)
    features = get(path, include_top=False, pooling="avg")
    assert cnnzoo.card(features).receipt.dropped[:2] == ("fc.bias", "fc.kernel")


def test_a_file_of_one_s_own_classes_says_how_many(resnet18, tmp_path):
    own = resnet18 | {"fc.weight": resnet18["fc.weight"][:7], "fc.bias": resnet18["fc.bias"][:7]}
    path = written(own, tmp_path)
    model = get(path)
    assert model.output_shape == (None, 7)
    assert cnnzoo.card(model).classes == tuple("0123456")
    assert not cnnzoo.card(model).receipt.initialised
    named_ones = get(path, classes=list("abcdefg"))
    assert not cnnzoo.card(named_ones).receipt.initialised
    assert cnnzoo.card(get(path, classes=1000)).receipt.initialised == ("fc.bias", "fc.kernel")


def test_gray_and_multi_spectral_images(resnet18, tmp_path):
    path = written(resnet18, tmp_path)
    gray = cnnzoo.get("resnet18", weights=path, input_shape=(64, 64, 1), preprocessing="unit")
    colour = get(path, preprocessing="unit")
    assert cnnzoo.card(gray).receipt.adapted == ("conv1.kernel",)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 1))
    expected = array(colour(images.repeat(3, axis=3)))
    np.testing.assert_allclose(array(gray(images)), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    kernel = np.random.default_rng(0).normal(size=(7, 7, 3, 8)).astype("float32")
    wide = adapt_first_kernel(kernel, (7, 7, 6, 8))
    np.testing.assert_allclose(wide.sum(axis=2), kernel.sum(axis=2), rtol=1e-4, atol=1e-5)
    assert adapt_first_kernel(kernel, (5, 5, 6, 8)) is kernel
    with pytest.raises(cnnzoo.InputError, match="wrong shape: conv1.kernel"):
        get(written(resnet18 | {"conv1.weight": np.zeros((64, 3, 5, 5), "float32")}, tmp_path, "five.safetensors"))


def test_what_does_not_fit_is_named(resnet18, tmp_path):
    with pytest.raises(cnnzoo.InputError, match=r"w.safetensors does not fit resnet34: missing: .* and \d+ more"):
        cnnzoo.get("resnet34", weights=written(resnet18, tmp_path))
    with pytest.raises(cnnzoo.InputError, match="does not fit vgg11"):
        cnnzoo.get("vgg11", weights=written(resnet18, tmp_path), classes=10, input_shape=(32, 32, 3))
    without = {name: value for name, value in resnet18.items() if name != "bn1.running_var"}
    with pytest.raises(cnnzoo.InputError, match=r"missing: bn1.moving_variance$"):
        get(written(without, tmp_path))
    with pytest.raises(cnnzoo.InputError, match="unexpected: extra.kernel"):
        get(written(resnet18 | {"extra.weight": np.zeros((2, 2), "float32")}, tmp_path))
    with pytest.raises(cnnzoo.InputError, match="has no known layout.*keras.applications.*a, b"):
        get(written({"a": np.zeros(2), "b": np.zeros(2)}, tmp_path))


def test_keras_layouts_bring_their_statistics(tmp_path):
    for stem, statistics in (("resnet50_v1-keras", "caffe"), ("resnet50_v2-keras", "tf")):
        found = golden(stem)
        model = cnnzoo.get(found.name, weights=found.write(tmp_path), input_shape=(64, 64, 3))
        assert cnnzoo.card(model).preprocessing == statistics


def test_a_file_without_top_fits_a_model_without(tmp_path):
    """The publishers of keras.applications leave the last layer out of their "notop" files."""
    found = golden("resnet50_v2-keras")
    path = found.write(tmp_path)
    with h5py.File(path, "r+") as file:
        layers = [name for name in file.attrs["layer_names"] if name != b"predictions"]
        del file["predictions"], file.attrs["layer_names"]
        file.attrs["layer_names"] = np.array(layers)
    model = cnnzoo.get("resnet50_v2", weights=path, include_top=False, input_shape=(64, 64, 3))
    assert len(cnnzoo.card(model).receipt.loaded) == len(model.weights)
    head = cnnzoo.get("resnet50_v2", weights=path, classes=3, input_shape=(64, 64, 3))
    assert cnnzoo.card(head).receipt.initialised == ("fc.bias", "fc.kernel")
    with pytest.raises(cnnzoo.InputError, match="missing: fc.kernel, fc.bias"):
        cnnzoo.get("resnet50_v2", weights=path, input_shape=(64, 64, 3))


def test_converted_weights_are_the_same(resnet18, tmp_path):
    model = get(written(resnet18, tmp_path))
    again = get(cnnzoo.save_weights(model, tmp_path / "ours.safetensors"))
    for (name, a), b in zip(named_variables(model).items(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(array(a), b, err_msg=name)
    assert cnnzoo.card(again).preprocessing == "torch"


def test_licences(tmp_path, monkeypatch):
    for name, tag, message in (
        ("resnet50", "imagenet.timm_fb_swsl_ig1b_ft", "license is CC-BY-NC-4.0"),
        ("resnet50_v1", "imagenet.keras", "their publisher states no license"),
        ("resnet50_v1", "imagenet", "their publisher states no license"),
    ):
        with pytest.raises(cnnzoo.InputError, match=message):
            cnnzoo.get(name, weights=tag, licence="commercial")
    # a copy stays under the licence of what it is a copy of
    model = cnnzoo.get("lenet5", weights="mnist")
    card = cnnzoo.card(model)
    for licence, allowed in (("CC-BY-NC-4.0", False), ("", False), ("MIT", True)):
        object.__setattr__(card, "weights", card.weights | {"licence": licence})
        path = cnnzoo.save_weights(model, tmp_path / "copy.safetensors")
        if allowed:
            cnnzoo.get("lenet5", weights=path, licence="commercial")
        else:
            with pytest.raises(cnnzoo.InputError, match="may not be used commercially"):
                cnnzoo.get("lenet5", weights=path, licence="commercial")


def test_published_weights_are_fetched_checked_and_loaded(test_data, tmp_path, monkeypatch):
    """Through the manifest, the cache and offline mode: a real checkpoint, put in place by hand."""
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    with pytest.raises(cnnzoo.InputError, match=r"resnet20-12fca82f\.th"):
        cnnzoo.get("resnet20", weights="cifar10")
    real = test_data("checkpoints/resnet20-12fca82f.th")
    (tmp_path / "weights").mkdir(exist_ok=True)
    placed = tmp_path / "weights" / real.name
    placed.write_bytes(real.read_bytes())
    card = cnnzoo.card(cnnzoo.get("resnet20", weights="cifar10"))
    assert card.classes[:3] == ("airplane", "automobile", "bird")
    assert card.weights["tag"] == "cifar10.akamaster"
    placed.write_bytes(real.read_bytes()[:-1] + b"x")
    with pytest.raises(cnnzoo.InputError, match="sha256"):
        cnnzoo.get("resnet20", weights="cifar10")


def test_imagenet_s_classes_have_names_and_wordnet_ids(test_data, tmp_path, monkeypatch):
    """As a tag of the manifest gives them: here the drawn weights stand in for a published file."""
    from cnnzoo.checkpoints import manifest

    found = golden("resnet18-torchvision")
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    row = manifest.find_weights("resnet18", "imagenet.tv_v1")
    monkeypatch.setattr(manifest, "find_weights", lambda *_: replace(row, hash="", file="w.safetensors"))
    (tmp_path / "weights").mkdir()
    written(draw.weights(found.tensors, found.shapes, 1.0), tmp_path / "weights")
    with pytest.warns(UserWarning, match="No hash"):
        model = cnnzoo.get("resnet18", weights="imagenet")
    assert cnnzoo.card(model).classes[:2] == ("tench", "goldfish")
    assert not cnnzoo.card(cnnzoo.get("resnet18", weights="imagenet", classes=["a", "b"])).ids
    cnnzoo.save(model, tmp_path / "m.keras")
    images = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), "uint8")
    ((wnid, name, probability), *_) = cnnzoo.load(tmp_path / "m.keras").predict(images)[0].decoded()
    assert manifest.load_wordnet_ids()[manifest.load_class_names("imagenet").index(name)] == wnid
    assert 0 < probability <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv1.bias": np.zeros(7, "float32")}, "unexpected: conv1.bias"),
        ({"conv1.bias": np.zeros((), "float32")}, "unexpected: conv1.bias"),
        ({"fc.bias": np.zeros((), "float32")}, "does not fit resnet18"),
        ({"fc.bias": np.zeros(900_000, "float32")}, "wrong shape: fc.bias"),
        ({"bn1.running_mean": np.full(64, np.nan, "float32")}, "unusable values: bn1.moving_mean"),
        ({"bn1.running_mean": np.full(64, 1e300)}, "unusable values: bn1.moving_mean"),
        ({"bn1.running_var": np.full(64, -1, "float32")}, "unusable values: bn1.moving_variance"),
        ({"bn1.bias": np.zeros(64, bool)}, "unusable values: bn1.beta"),
        ({"x" * 2000 + ".weight": np.zeros(1, "float32")}, "2007 characters"),
        ({"x\n.weight": np.zeros(1, "float32")}, "a tensor is named"),
    ],
)
def test_hostile_tensors_are_named(changes, message, resnet18, tmp_path):
    with pytest.raises(cnnzoo.InputError, match=message):
        get(written(resnet18 | changes, tmp_path))


def test_files_without_tensors_and_no_files(tmp_path):
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.attrs["layer_names"] = np.array([], "S1")
    save_file({}, tmp_path / "empty.safetensors")
    for name in ("empty.h5", "empty.safetensors"):
        with pytest.raises(cnnzoo.InputError, match=f"{name} holds no tensors"):
            cnnzoo.get("resnet20", weights=tmp_path / name)
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "folder.pth").mkdir()
    for name in ("pipe.pth", "folder.pth"):
        with pytest.raises(cnnzoo.InputError, match="it is not a file"):
            cnnzoo.get("resnet20", weights=tmp_path / name)
    with pytest.raises(cnnzoo.InputError, match="null"):
        cnnzoo.get("resnet20", weights="a\0b.pth")
    (tmp_path / "w.tar").write_bytes(b"x")
    with pytest.raises(cnnzoo.InputError, match=r"Checkpoints are files of \.safetensors"):
        cnnzoo.get("resnet20", weights=str(tmp_path / "w.tar"))


def test_a_card_with_more_classes_than_the_tensors(resnet18, tmp_path):
    card = cnnzoo.Card("resnet18", tuple(map(str, range(500_000)))).to_json()
    save_file(
        {key: np.ascontiguousarray(value) for key, value in resnet18.items()},
        tmp_path / "c.safetensors",
        {"cnnzoo": card},
    )
    with pytest.raises(cnnzoo.InputError, match="c.safetensors names 500000 classes, but none"):
        get(tmp_path / "c.safetensors")


def test_names_of_a_list_for_a_file_without_names(resnet18, tmp_path):
    card = cnnzoo.card(get(written(resnet18, tmp_path), classes="imagenet"))
    assert card.classes[0] == "tench"
    assert not card.receipt.initialised
