"""Checkpoints as other tools write them, and files that were damaged or made to harm."""

import argparse
import collections
import datetime
import io
import json
import pathlib
import pickle
import random
import re
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from helpers.cases import Case, parametrize_cases
from helpers.golden import GOLDEN, GoldenLogits, draw
from helpers.hdf5 import add_layers, write_hdf5
from helpers.small_models import shrink_checkpoint, shrink_resnet, small_models_registered
from helpers.torch_files import Foreign, RealArray, dump_torch
from safetensors.numpy import save_file

import cnnzoo
from cnnzoo.checkpoints import readers
from cnnzoo.checkpoints.tensors import named_variables

pytestmark = pytest.mark.usefixtures("fast_variables")


@pytest.fixture(scope="module", autouse=True)
def small_models():
    with small_models_registered():
        yield


def draw_small(stem: str, **changes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return drawn tensors of a small network in a publisher's layout; `changes` replaces shapes."""
    golden = shrink_checkpoint(GoldenLogits(GOLDEN / "logits" / f"{stem}.npz"))
    shapes = [changes.get(name, shape) for name, shape in zip(golden.tensors, golden.shapes, strict=True)]
    return {name: np.ascontiguousarray(value) for name, value in draw.weights(golden.tensors, shapes, 1.0).items()}


# A small ResNet-18 in the layout of torchvision, with six classes.
RESNET = draw_small("resnet18-torchvision", **{"fc.weight": (6, 64), "fc.bias": (6,)})
BODY = {name: value for name, value in RESNET.items() if not name.startswith("fc.")}
HEAD = {name: value for name, value in RESNET.items() if name.startswith("fc.")}
NAMES = ["ant", "bee", "cat", "dog", "elk", "fox"]


def load(path, name="small_resnet18", **options):
    return cnnzoo.get(name, weights=path, **{"input_shape": (32, 32, 3), **options})


@pytest.fixture(scope="module")
def expected(small_models, tmp_path_factory):
    """The variables of a model with the weights of `RESNET`, by their names."""
    path = tmp_path_factory.mktemp("resnet") / "plain.safetensors"
    save_file(RESNET, path)
    return {name: np.array(variable) for name, variable in named_variables(load(path)).items()}


def check_weights(model, expected, without_head=False):
    for name, variable in named_variables(model).items():
        if not (without_head and name.startswith("fc.")):
            np.testing.assert_array_equal(np.array(variable), expected[name], err_msg=name)


def add_prefix(prefix, tensors):
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def write_torch(obj, name="checkpoint.pth", **options):
    """Return a function that writes an object as torch.save does."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(dump_torch(obj, **options))
        return folder / name

    return write


# ---------------------------------------------------------------- what lies beside the tensors

BESIDE = {
    "argparse": argparse.Namespace(lr=0.1, arch="resnet18"),
    "numpy scalar": np.float64(76.1),
    "numpy array": RealArray(np.arange(6.0).reshape(2, 3)),
    "rng state": random.getstate(),
    "defaultdict": collections.defaultdict(list, {"loss": [1.0]}),
    "counter": collections.Counter("abca"),
    "set": {1, 2},
    "frozenset": frozenset("ab"),
    "range": range(3),
    "datetime": datetime.datetime(2024, 5, 1),
    "path": pathlib.PurePosixPath("/data/train"),
    "device": Foreign("torch.device", ("cuda", 0)),
    "dtype": Foreign("torch.distributions.Normal", new=True, state={"loc": np.zeros(2, "float32")}),
    "bytes": b"abc",
    "bytearray": bytearray(b"abc"),
    "complex": 1j,
    "deque": collections.deque([1, 2], maxlen=3),
    "AttributeDict": Foreign("lightning.fabric.utilities.data.AttributeDict", new=True, items={"lr": 1, "n": None}),
    "scheduler": Foreign("torch.optim.lr_scheduler.StepLR", new=True, state={"gamma": 0.1, "optimizer": [1]}),
    "criterion": Foreign("torch.nn.modules.loss.CrossEntropyLoss", new=True, state={"weight": np.ones(6, "float32")}),
    "enum": Foreign("enum_module.Mode", (1,)),
    "partial": Foreign("functools.partial", (Foreign("builtins.getattr", ("x", "y")),), state=("f", (), {}, None)),
    "keys": {1.5: 1, None: 2, True: 3, (1, 2): 4, b"x": 5, 2**70: 6, frozenset([1]): 7},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", BESIDE)
def test_python_objects_beside_the_tensors_are_placeholders(name, legacy):
    """torchvision's and timm's training scripts write such files (nomeroff-net#319, YOLOv5-Lite#277)."""
    state = {"model": {"conv1.weight": RESNET["conv1.weight"]}, "epoch": 3, "other": BESIDE[name]}
    for obj in (state, {"other": BESIDE[name], **state}):
        for protocol in (2, 4, 5):
            tensors = readers.read_checkpoint(dump_torch(obj, legacy, protocol), "checkpoint.pth").tensors
            np.testing.assert_array_equal(tensors.pop("conv1.weight"), RESNET["conv1.weight"])
            assert not tensors


UNREADABLE = [
    Case("the state dict is an object", "torch.save(net)", {"state_dict": Foreign("mine.Net", new=True)}, "mine.Net"),
    Case(
        "a quantized weight",
        "torch.ao",
        {"model": {"a.weight": Foreign("torch._utils._rebuild_qtensor"), "b.weight": np.zeros((2, 2), "float32")}},
        "a.weight is made by torch._utils._rebuild_qtensor",
    ),
    Case("only an optimizer", "torch.save(opt)", {"optimizer": {"state": {"a": np.zeros((2, 2), "f4")}}}, "optimizer"),
]


@parametrize_cases(UNREADABLE)
def test_weights_that_need_an_object_are_refused_by_its_name(case):
    with pytest.raises(cnnzoo.InputError, match=case.expected):
        readers.read_checkpoint(dump_torch(case.make), "checkpoint.pth")


# ---------------------------------------------------------------- names of files, keys and prefixes

LIGHTNING = {"state_dict": {**add_prefix("model.", RESNET), "criterion.weight": np.ones(6, "float32")}, "epoch": 1}
FOUND = [
    Case("criterion", "pytorch-lightning#2617", write_torch(LIGHTNING, "last.ckpt"), "dropped.*criterion.weight"),
    Case(
        "metrics",
        "superpoint_transformer#12",
        write_torch({"state_dict": {**add_prefix("net.", RESNET), "train_acc.confmat": np.ones((6, 6), "float32")}}),
        "train_acc.confmat",
    ),
    Case(
        "criterion without a prefix",
        "OML#430",
        write_torch({**RESNET, "criterion.pos_weight": np.ones(6, "float32"), "val_acc.tp": np.ones(6, "float32")}),
        "criterion.pos_weight, val_acc.tp",
    ),
    Case("encoder", "swav#43", write_torch({"model": add_prefix("encoder.", RESNET)}, "swav.pth.tar"), ""),
    Case("feature extractor", "lightning", write_torch(add_prefix("feature_extractor.", RESNET), "epoch=3.ckpt"), ""),
    Case("deep prefix", "sibling", write_torch(add_prefix("a.b.c.resnet.", RESNET), "weights"), ""),
    Case("compiled", "torch.compile", write_torch({"model": add_prefix("model._orig_mod.module.", RESNET)}), ""),
    Case(
        "moco",
        "moco#84",
        write_torch(
            {
                "state_dict": {
                    **add_prefix("module.encoder_k.", {name: value + 1 for name, value in RESNET.items()}),
                    **add_prefix("module.encoder_q.", RESNET),
                    "module.queue": np.zeros((8, 8), "float32"),
                }
            },
            "moco_v2.pth.tar",
        ),
        "called state_dict.encoder_q; there are also state_dict.encoder_k",
    ),
    Case("nested wrapper", "sibling", write_torch({"model": {"state_dict": RESNET}, "iteration": 5}, "a.bin"), ""),
    Case("weights", "field R11", write_torch({"weights": RESNET}, "best.pkl"), ""),
    Case("network", "field R11", write_torch({"network": RESNET, "optimizer": {}}, "best"), ""),
    Case("unusual key", "sibling", write_torch({"my_net_v2": RESNET, "mean": RealArray(np.zeros((1, 3)))}), ""),
    Case("misleading suffix", "sibling", write_torch(RESNET, "weights.h5"), ""),
    Case("legacy", "resnet on CIFAR", write_torch({"net": add_prefix("module.", RESNET)}, "ckpt.t7", legacy=True), ""),
    Case("swa", "AveragedModel",
        write_torch({**add_prefix("module.", RESNET), "n_averaged": np.array(3)}), "n_averaged"),
    Case(
        "numpy in a plain pickle",
        "sibling",
        lambda folder: write_pickle(folder, {"model": {name: RealArray(value) for name, value in RESNET.items()}}),
        "",
    ),
    Case("mmpretrain", "mmpretrain#1411", write_torch({"state_dict": {**add_prefix("backbone.", BODY),
        **{name.replace("fc.", "head.fc."): value for name, value in HEAD.items()}}}), "the head is taken from head"),
    Case("lightning flash", "sibling", write_torch({"state_dict": {**add_prefix("backbone.", BODY),
        **{name.replace("fc.", "head."): value for name, value in HEAD.items()}}}), "the head is taken from head"),
    Case("dropout in the head", "field R12", write_torch({**BODY, "fc.1.weight": HEAD["fc.weight"],
        "fc.1.bias": HEAD["fc.bias"]}), ""),
    Case("sequential", "sibling", write_torch({**add_prefix("0.", BODY), "1.weight": HEAD["fc.weight"],
        "1.bias": HEAD["fc.bias"]}), "the head is taken from 1"),
]  # fmt: skip


def write_pickle(folder: Path, obj) -> Path:
    (folder / "w.pkl").write_bytes(pickle.dumps(obj, 4))
    return folder / "w.pkl"


@parametrize_cases(FOUND)
def test_the_network_is_found_in_the_file(case, expected, tmp_path):
    model = load(case.make(tmp_path))
    check_weights(model, expected)
    receipt = str(cnnzoo.card(model).receipt)
    assert case.expected.removeprefix("dropped.*") in receipt
    assert model.output_shape == (None, 6)


# ---------------------------------------------------------------- layouts of other publishers


def rename(tensors, *rules):
    """Return tensors whose names are changed by regular expressions, one after the other."""
    renamed = {}
    for name, value in tensors.items():
        for pattern, template in rules:
            name = re.sub(pattern, template, name)
        renamed[name] = value
    return renamed


TRANSFORMERS = rename(
    RESNET,
    (r"^layer(\d)\.(\d)\.", lambda match: f"resnet.encoder.stages.{int(match[1]) - 1}.layers.{match[2]}."),
    (r"\.conv(\d)\.", lambda match: f".layer.{int(match[1]) - 1}.convolution."),
    (r"\.bn(\d)\.", lambda match: f".layer.{int(match[1]) - 1}.normalization."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
    (r"^conv1\.", "resnet.embedder.embedder.convolution."),
    (r"^bn1\.", "resnet.embedder.embedder.normalization."),
    (r"^fc\.", "classifier.1."),
)
FASTAI = rename(
    BODY, (r"^conv1\.", "0.0."), (r"^bn1\.", "0.1."), (r"^layer(\d)\.", lambda match: f"0.{int(match[1]) + 3}.")
)
CONCAT_HEAD = {  # of fastai: batch norm and linear layers after a pooling of two kinds
    "1.2.weight": np.ones(128, "float32"),
    "1.4.weight": np.ones((8, 128), "float32"),
    "1.6.bias": np.ones(8, "float32"),
    "1.8.weight": np.ones((6, 8), "float32"),
}


def write_hub(tensors, **config):
    """Return a function that writes a checkpoint as the Hugging Face hub has it."""

    def write(folder):
        save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config))
        return folder / "model.safetensors"

    return write


@parametrize_cases(
    [
        Case("transformers", "field R12", write_hub(TRANSFORMERS, id2label=dict(enumerate(NAMES))), NAMES),
        Case("transformers as bin", "sibling", write_torch(TRANSFORMERS, "pytorch_model.bin"), list("012345")),
        Case(
            "children in a Sequential",
            "sibling",
            write_torch(FASTAI | {"1.weight": HEAD["fc.weight"], "1.bias": HEAD["fc.bias"]}),
            list("012345"),
        ),
    ]
)
def test_layouts_of_other_publishers_are_read(case, expected, tmp_path):
    model = load(case.make(tmp_path))
    check_weights(model, expected)
    assert list(cnnzoo.card(model).classes) == case.expected


@pytest.mark.parametrize("conv_modules", [True, False])
def test_the_deep_stem_of_mmpretrain_is_that_of_timm(conv_modules, tmp_path):
    """mmpretrain's ResNetV1d, with its stem in modules of a convolution and a batch norm, or in one Sequential."""
    timm = draw_small("resnet18d-timm")
    places = {0: "stem.0.conv.", 1: "stem.0.bn.", 3: "stem.1.conv.", 4: "stem.1.bn.", 6: "stem.2.conv."}
    theirs = rename(
        timm,
        (r"^conv1\.(\d)\.", lambda match: places[int(match[1])] if conv_modules else f"stem.{match[1]}."),
        (r"^bn1\.", "stem.2.bn." if conv_modules else "stem.7."),
        (r"^(?!fc\.)", "backbone."),
        (r"^fc\.", "head.fc."),
    )
    row = replace(shrink_resnet("resnet18d"), input_shape=(32, 32, 3))
    # The first two convolutions of the stem keep their 32 filters.
    stem = {"conv1.0.weight": (32, 3, 3, 3), "conv1.3.weight": (32, 32, 3, 3), "conv1.6.weight": (8, 32, 3, 3)}
    stem |= {f"conv1.{i}.{leaf}": (32,) for i in (1, 4) for leaf in ("weight", "bias", "running_mean", "running_var")}
    timm = draw_small("resnet18d-timm", **stem)
    theirs = dict(zip(theirs, timm.values(), strict=True))
    models = [cnnzoo.get(row, weights=write_torch(tensors)(tmp_path)) for tensors in (timm, theirs)]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


OTHER_HEADS = [
    Case("fastai", "fastai#3811", write_torch({"model": FASTAI | CONCAT_HEAD, "opt": None}), "1.2.weight"),
    Case(
        "two layers",
        "field R12",
        write_torch({**BODY, "fc.0.weight": np.ones((8, 64), "float32"), "fc.3.weight": np.ones((6, 8), "float32")}),
        "fc.0.weight, fc.3.weight",
    ),
    Case(
        "beside the backbone",
        "sibling",
        write_torch({**add_prefix("backbone.", BODY), "head.0.weight": np.ones((8, 64), "float32"),
            "head.2.weight": np.ones((6, 8), "float32")}),
        "head.0.weight, head.2.weight",
    ),
    Case(
        "after the network's own",
        "sibling",
        write_torch({**add_prefix("0.", RESNET), "1.weight": np.ones((2, 6), "float32")}),
        "1.weight",
    ),
]  # fmt: skip


@parametrize_cases(OTHER_HEADS)
def test_another_head_goes_where_the_head_goes(case, expected, tmp_path):
    path = case.make(tmp_path)
    if case.name != "after the network's own":
        with pytest.raises(
            cnnzoo.InputError, match=rf"does not fit.*other layers \({case.expected}.*include_top=False"
        ):
            load(path)
    for options in ({"classes": ["x", "y"]}, {"include_top": False}):
        model = load(path, **options)
        check_weights(model, expected, without_head=True)
        assert set(case.expected.split(", ")) <= set(cnnzoo.card(model).receipt.dropped)


@pytest.mark.slow
def test_a_vgg_for_cifar_gives_its_features(tmp_path):
    """bearpaw/pytorch-classification#34: one linear layer after the convolutions, and wrappers within names."""
    golden = GoldenLogits(GOLDEN / "logits" / "vgg11-torchvision.npz")
    shapes = {name: shape for name, shape in zip(golden.tensors, golden.shapes, strict=True) if "features" in name}
    body = draw.weights(shapes, shapes.values(), 1.0)
    body = rename(body, (r"^features\.", "features.module."))
    path = write_torch(body | {"classifier.weight": np.ones((10, 512), "f4"), "classifier.bias": np.ones(10, "f4")})(
        tmp_path
    )
    with pytest.raises(cnnzoo.InputError, match="classifier.weight.*include_top=False"):
        cnnzoo.get("vgg11", weights=path, input_shape=(32, 32, 3))
    model = cnnzoo.get("vgg11", weights=path, input_shape=(32, 32, 3), include_top=False)
    kernel = np.array(model.get_layer("conv1_1").kernel)
    np.testing.assert_array_equal(kernel, body["features.module.0.weight"].transpose(2, 3, 1, 0))


# ---------------------------------------------------------------- files of Keras users

KERAS_RESNET = draw_small("resnet50_v1-keras", **{"predictions/kernel": (256, 6), "predictions/bias": (6,)})
KERAS_BODY = {name: value for name, value in KERAS_RESNET.items() if "predictions" not in name}
KERAS_HEAD = {name.partition("/")[2]: value for name, value in KERAS_RESNET.items() if "predictions" in name}


def write_keras_2(folder: Path, groups: dict[str, dict[str, np.ndarray]]) -> Path:
    """Write the weights of a whole model as Keras 2 does: for each layer, or nested model, the names of its weights."""
    with h5py.File(folder / "model.h5", "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = np.array(list(groups), "S")
        for layer, weights in groups.items():
            group = root.create_group(layer)
            names = [f"{name}:0" for name in weights]
            for start in range(0, len(names), 100):
                group.attrs[f"weight_names{start // 100}"] = np.array(names[start : start + 100], "S")
            for name, value in weights.items():
                group[f"{name}:0"] = value
    return folder / "model.h5"


def split_layers(tensors: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        layers.setdefault(name.partition("/")[0], {})[name] = value
    return layers


def write_keras_3(folder: Path, suffix: str, named: bool = True) -> Path:
    """Write a nested base and a head as Keras 3 does: by class and number, with the names as attributes or not."""
    content, config = io.BytesIO(), []
    with h5py.File(content, "w") as file:
        counts: collections.Counter[str] = collections.Counter()
        base = file.create_group("layers/functional")
        for layer, weights in split_layers(KERAS_BODY).items():
            kind = "conv2d" if f"{layer}/kernel" in weights else "batch_normalization"
            group = base.create_group(f"layers/{kind}_{counts[kind]}/vars" if counts[kind] else f"layers/{kind}/vars")
            counts[kind] += 1
            class_name = {"conv2d": "Conv2D", "batch_normalization": "BatchNormalization"}[kind]
            config.append({"class_name": class_name, "config": {"name": layer}})
            for i, value in enumerate(weights.values()):
                group[str(i)] = value
            if named:
                group.attrs["name"] = layer
        group = file.create_group("layers/dense/vars")
        group["0"], group["1"] = KERAS_HEAD["kernel"], KERAS_HEAD["bias"]
        if named:
            base.create_group("vars").attrs["name"] = "resnet50"
            group.attrs["name"] = "out"
        file.create_group("optimizer/vars")["0"] = np.ones((64, 6), "float32")
    path = folder / f"model{suffix}"
    if suffix == ".keras":
        layers = [
            {"class_name": "Functional", "config": {"name": "resnet50", "layers": config}},
            {"class_name": "Dense", "config": {"name": "out"}},
        ]
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps({"class_name": "Functional", "config": {"layers": layers}}))
            archive.writestr("model.weights.h5", content.getvalue())
    else:
        path.write_bytes(content.getvalue())
    return path


KERAS_FILES = [
    Case("plain", "keras.applications", lambda folder: write_keras_2(folder, split_layers(KERAS_RESNET)), ""),
    Case("custom top", "keras#11733", lambda folder: write_keras_2(folder, split_layers(KERAS_BODY)
        | {"out": {f"out/{name}": value for name, value in KERAS_HEAD.items()}}), "the head is taken from out"),
    Case("nested base", "AI_Startup_Prototype#11", lambda folder: write_keras_2(folder, {"resnet50": KERAS_BODY,
        "dense_7": {f"dense_7/{name}": value for name, value in KERAS_HEAD.items()}}), "taken from dense_7"),
    Case("nested Sequential", "pictor-ppe#10", lambda folder: write_keras_2(folder, {
        "sequential": {f"resnet50/{name}": value for name, value in KERAS_BODY.items()},
        "dense": {f"sequential_1/dense/{name}": value for name, value in KERAS_HEAD.items()}}), "the head is taken"),
    Case("keras 3", "field R13", lambda folder: write_keras_3(folder, ".keras"), "the head is taken from out"),
    Case("early keras 3", "sibling", lambda folder: write_keras_3(folder, ".keras", named=False), "taken from out"),
    Case("weights.h5", "field R13", lambda folder: write_keras_3(folder, ".weights.h5"), "the head is taken from out"),
]  # fmt: skip


@parametrize_cases(KERAS_FILES)
def test_files_of_transfer_learning_in_keras_are_read(case, tmp_path):
    path = case.make(tmp_path)
    model = load(path, "small_resnet50_v1")
    np.testing.assert_array_equal(np.array(model.get_layer("fc").kernel), KERAS_HEAD["kernel"])
    kernel = KERAS_BODY["conv2_block1_1_conv/kernel"]
    np.testing.assert_array_equal(np.array(model.get_layer("layer1_0_conv1").kernel), kernel)
    card = cnnzoo.card(model)
    assert case.expected in str(card.receipt)
    assert not card.receipt.initialized
    assert card.preprocessing == "caffe"
    assert ("pixels are assumed" in str(card.receipt)) == bool(case.expected)
    if case.name == "keras 3":
        assert cnnzoo.card(load(path, "small_resnet50_v1", classes=2)).receipt.initialized == ("fc.bias", "fc.kernel")
    with pytest.raises(cnnzoo.InputError, match=r"Use cnnzoo.get\('small_resnet50_v1'"):
        load(path, "small_resnet50")


def test_early_weights_files_of_keras_3_name_nothing(tmp_path):
    with pytest.raises(cnnzoo.InputError, match=r"does not name its weights.*model\.load_weights"):
        load(write_keras_3(tmp_path, ".weights.h5", named=False), "small_resnet50_v1")


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998"])
def test_our_models_saved_by_keras_come_back(name, suffix, tmp_path):
    model = cnnzoo.get(name)
    (model.save_weights if suffix == ".weights.h5" else model.save)(tmp_path / f"m{suffix}")
    again = cnnzoo.get(name, weights=tmp_path / f"m{suffix}")
    for before, after in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)
    # A whole model has its card inside.
    assert ("the file has no card" in str(cnnzoo.card(again).receipt)) == (suffix == ".weights.h5")


@pytest.mark.slow
def test_a_model_that_keras_wrote_gives_its_logits(tmp_path):
    base = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(base(base.input))
    model = keras.Model(base.input, keras.layers.Dense(5)(keras.layers.Dropout(0.5)(x)))
    model.save(tmp_path / "m.keras")
    ours = load(tmp_path / "m.keras", "resnet50_v1", preprocessing="none")
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(np.array(ours(images)), np.array(model(images)), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- variants of the same shapes


def save_ours(name, **options):
    return lambda folder: cnnzoo.save_weights(cnnzoo.get(name, **options), folder / "ours.safetensors")


def save_keras_lenet(activation, pool, suffix, **numbers):
    """Return a function that saves the LeNet of a Keras user, with numbered layers."""

    def write(folder):
        layers = keras.layers
        pooling = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[pool]
        model = keras.Sequential([
            keras.Input((32, 32, 1)), layers.Conv2D(6, 5, activation=activation, name="conv2d"), pooling(2),
            layers.Conv2D(16, 5, activation=activation, name="conv2d_1"), pooling(2), layers.Flatten(),
            layers.Dense(120, activation=activation, name="dense"),
            layers.Dense(84, activation=activation, name="dense_1"),
            layers.Dense(10, activation="softmax", name="dense_2"),
        ])  # fmt: skip
        (model.save_weights if suffix == ".weights.h5" else model.save)(folder / f"lenet{suffix}")
        return folder / f"lenet{suffix}"

    return write


SMALL = {"input_shape": (32, 32, 3), "classes": 6}
VARIANTS = [
    ("small_resnet50", Case("ours v1", "field R02", save_ours("small_resnet50_v1", **SMALL), "small_resnet50_v1")),
    ("small_resnet50_v1", Case("ours v1.5", "vision#1266", save_ours("small_resnet50", **SMALL), "small_resnet50")),
    ("lenet5_relu", Case("ours tanh", "field R02", save_ours("lenet5"), "lenet5")),
    ("lenet5_relu", Case("ours as .keras", "sibling", lambda folder: save_model(folder), "lenet5")),
    ("lenet5_relu", Case("ours as .h5", "sibling", lambda folder: save_model(folder, ".h5"), "lenet5")),
    ("lenet5", Case("ours relu", "sibling", save_ours("lenet5_relu"), "lenet5_relu")),
    ("small_resnet50_v1", Case("torchvision", "vision#1266", lambda folder: save_torchvision_50(folder),
        "small_resnet50")),
    ("small_resnet50_v1", Case("mmpretrain", "sibling", lambda folder: save_torchvision_50(folder, "backbone."),
        "small_resnet50")),
    ("lenet5", Case("keras relu", "OSDN#8", save_keras_lenet("relu", "max", ".h5"), "lenet5_relu")),
    ("lenet5", Case("keras 3 relu", "sibling", save_keras_lenet("relu", "max", ".keras"), "lenet5_relu")),
    ("lenet5_relu", Case("keras tanh", "sibling", save_keras_lenet("tanh", "average", ".keras"), "lenet5")),
]  # fmt: skip


def save_model(folder, suffix=".keras"):
    cnnzoo.get("lenet5").save(folder / f"m{suffix}")
    return folder / f"m{suffix}"


def save_torchvision_50(folder, prefix=""):
    save_file(add_prefix(prefix, draw_small("resnet50-torchvision")), folder / "resnet50.safetensors")
    return folder / "resnet50.safetensors"


@pytest.mark.parametrize(("name", "case"), VARIANTS, ids=lambda value: getattr(value, "name", value))
def test_weights_of_another_variant_are_refused_with_the_one_that_fits(name, case, tmp_path):
    path = case.make(tmp_path)
    shape = {} if "lenet" in name else {"input_shape": (32, 32, 3)}
    with pytest.raises(cnnzoo.InputError, match=rf"does not fit {name}.*Use cnnzoo\.get\('{case.expected}', "):
        cnnzoo.get(name, weights=path, **shape)
    assert not cnnzoo.card(cnnzoo.get(case.expected, weights=path, **shape)).receipt.initialized
    # Who knows better says so.
    stated = cnnzoo.get(name, weights=f"{path}#{name}", **shape)
    assert cnnzoo.card(stated).name == name
    assert "as stated" in str(cnnzoo.card(stated).receipt)


UNTOLD = [
    (
        "lenet5",
        Case("numbered", "field R02", save_keras_lenet("relu", "max", ".weights.h5"), "does not tell activations"),
    ),
    ("lenet5", Case("no card", "sibling", lambda folder: save_without_card(folder, "lenet5_relu"), "has no card")),
    ("small_resnet20", Case("own row", "sibling", lambda folder: save_row(folder, "small_resnet20"), "of model")),
]


def save_without_card(folder, name):
    variables = named_variables(cnnzoo.get(name))
    save_file({key: np.array(variable) for key, variable in variables.items()}, folder / "w.safetensors")
    return folder / "w.safetensors"


def save_row(folder, name):
    return cnnzoo.save_weights(cnnzoo.get(cnnzoo.info(name).row), folder / "w.safetensors")


@pytest.mark.parametrize(("name", "case"), UNTOLD, ids=lambda value: getattr(value, "name", value))
def test_what_cannot_be_told_is_stated(name, case, tmp_path):
    assert case.expected in str(cnnzoo.card(cnnzoo.get(name, weights=case.make(tmp_path))).receipt)


def test_a_row_of_ones_own_is_only_noted(tmp_path):
    """Someone who changes one field of a row wants the weights in the changed graph."""
    row = replace(cnnzoo.info("small_resnet50").row, stride_in="1x1")
    receipt = cnnzoo.card(cnnzoo.get(row, weights=save_torchvision_50(tmp_path), input_shape=(32, 32, 3))).receipt
    assert "layout of torchvision have stride_in '3x3'" in str(receipt)
    row = replace(cnnzoo.info("lenet5").row, activation="relu")
    receipt = cnnzoo.card(cnnzoo.get(row, weights=save_ours("lenet5")(tmp_path))).receipt
    assert "the file is of lenet5, and this row computes something else" in str(receipt)


def test_rows_that_differ_only_in_name_share_their_weights(tmp_path):
    path = save_ours("small_resnet20")(tmp_path)
    cnnzoo.register("same_resnet20", cnnzoo.info("small_resnet20").row)
    assert not cnnzoo.card(cnnzoo.get("same_resnet20", weights=path)).receipt.notes
    assert not cnnzoo.card(cnnzoo.get(cnnzoo.info("small_resnet20").row, weights=path)).receipt.notes


# ---------------------------------------------------------------- several sets of weights, shards, class names

MORE = {name: value + np.float32(1) if value.dtype == "float32" else value for name, value in RESNET.items()}
SETS = [
    Case("timm", "timm train.py", {"state_dict": RESNET, "state_dict_ema": MORE}, "state_dict_ema"),
    Case("torchvision", "references/classification", {"model": RESNET, "model_ema": MORE}, "model_ema"),
    Case("averaged first", "sibling", {"ema": MORE, "model": RESNET}, "ema"),
    Case("dino", "facebookresearch/dino", {"student": add_prefix("module.backbone.", RESNET),
        "teacher": add_prefix("backbone.", MORE)}, "teacher"),
    Case("one dict", "lightning EMA", {"state_dict": {**add_prefix("net_ema.", MORE), **add_prefix("net.", RESNET)}},
        "net_ema"),
    Case("nested", "sibling", {"model": {"state_dict": RESNET, "ema_state_dict": MORE}}, "model.ema_state_dict"),
]  # fmt: skip


@parametrize_cases(SETS)
def test_the_choice_of_a_set_is_stated_and_can_be_made(case, expected, tmp_path):
    path = write_torch(case.make)(tmp_path)
    model = load(path)
    check_weights(model, expected)
    assert f"{path.name}#" in str(cnnzoo.card(model).receipt)
    assert case.expected in str(cnnzoo.card(model).receipt)
    other = load(f"{path}#{case.expected}" if case.name == "timm" else Path(f"{path}#{case.expected}"))
    np.testing.assert_array_equal(np.array(other.get_layer("conv1").kernel), expected["conv1.kernel"] + 1)
    assert case.expected in cnnzoo.card(other).weights["set"]
    with pytest.raises(cnnzoo.InputError, match=f"no set of weights called 'swa'. There are: .*{path.name}#"):
        load(f"{path}#swa")


def test_of_sets_of_different_networks_the_one_that_fits_is_taken(expected, tmp_path):
    other = draw_small("resnet34-torchvision", **{"conv1.weight": (16, 3, 7, 7)})
    path = write_torch({"generator": other, "model": other, "discriminator": RESNET})(tmp_path)
    check_weights(load(path), expected)


def test_a_file_with_a_number_sign_in_its_name_is_a_file(tmp_path, expected):
    check_weights(load(write_torch(RESNET, "run#3.pth")(tmp_path)), expected)
    with pytest.raises(cnnzoo.InputError, match="has only one"):
        load(f"{write_torch(RESNET)(tmp_path)}#state_dict_ema")


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_read_by_their_index(suffix, tmp_path, expected):
    names, stem = list(RESNET), "model" if suffix == "safetensors" else "pytorch_model"
    files = {name: f"{stem}-0000{1 + i % 2}-of-00002.{suffix}" for i, name in enumerate(names)}
    for file in set(files.values()):
        part = {name: RESNET[name] for name in names if files[name] == file}
        if suffix == "bin":
            write_torch(part, file)(tmp_path)
        else:
            save_file(part, tmp_path / file)
    index = tmp_path / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": dict(enumerate(NAMES))}))
    model = load(index)
    check_weights(model, expected)
    assert cnnzoo.card(model).classes == tuple(NAMES)
    with pytest.raises(cnnzoo.InputError, match=f"one of 2 shards.*{index.name}"):
        load(tmp_path / files[names[0]])
    with pytest.raises(cnnzoo.InputError, match=f"not a file.*{index.name}"):
        load(tmp_path)
    for weight_map, message in (({"a": "../w.bin"}, "not in its folder"), ({"a": "no.bin"}, "no.bin"), ([], "index")):
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(cnnzoo.InputError, match=message):
            load(index)


CARRIED = [
    Case("class_to_idx", "torchvision", {"class_to_idx": {name: i for i, name in enumerate(NAMES)}}, NAMES),
    Case("reversed", "sibling", {"idx_to_class": dict(enumerate(NAMES))}, NAMES),
    Case("order", "sibling", {"class_to_idx": {name: 5 - i for i, name in enumerate(NAMES)}}, NAMES[::-1]),
    Case("meta.CLASSES", "mmpretrain", {"meta": {"CLASSES": NAMES, "epoch": 3}}, NAMES),
    Case("dataset_meta", "mmpretrain 1.x", {"meta": {"dataset_meta": {"classes": tuple(NAMES)}}}, NAMES),
    Case("lightning", "lightning", {"hyper_parameters": Foreign("lightning.AttributeDict", new=True,
        items={"class_names": NAMES})}, NAMES),
    Case("argparse", "sibling", {"args": argparse.Namespace(classes=NAMES)}, NAMES),
    Case("too few", "sibling", {"classes": NAMES[:4]}, list("012345")),
    Case("gaps", "sibling", {"class_to_idx": {name: 2 * i for i, name in enumerate(NAMES)}}, list("012345")),
    Case("no names", "sibling", {"classes": 6}, list("012345")),
]  # fmt: skip


@parametrize_cases(CARRIED)
def test_class_names_that_a_file_carries_are_used(case, tmp_path):
    path = write_torch({"state_dict": RESNET, **case.make})(tmp_path)
    card = cnnzoo.card(load(path))
    assert list(card.classes) == case.expected
    assert not card.receipt.initialized
    if case.name == "too few":
        assert "names 4 classes, and its head has 6" in str(card.receipt)


def test_class_names_of_the_user_keep_the_head(tmp_path):
    path = write_torch({"state_dict": RESNET, "classes": NAMES})(tmp_path)
    card = cnnzoo.card(load(path, classes=list("uvwxyz")))
    assert card.classes == tuple("uvwxyz")
    assert not card.receipt.initialized
    assert "calls its classes ant, bee, cat, dog and 2 more; yours are used" in str(card.receipt)
    assert cnnzoo.card(load(path, classes=6)).classes == tuple(NAMES)
    assert cnnzoo.card(load(path, classes=3)).receipt.initialized


def test_a_tag_is_told_from_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_torch(RESNET, "best")(tmp_path)
    assert cnnzoo.card(load("best")).weights == {"file": "best"}
    (tmp_path / "mnist").write_bytes(b"a data set")
    assert cnnzoo.card(cnnzoo.get("lenet5", weights="mnist")).weights["tag"] == "mnist"
    with pytest.raises(cnnzoo.InputError, match="Cannot read mnist"):
        cnnzoo.get("lenet5", weights="./mnist")
    with pytest.raises(cnnzoo.InputError, match="No such file"):
        load("nowhere/best")
    with pytest.raises(cnnzoo.InputError, match="No weights of small_resnet18 are published"):
        load("nothing")


# ---------------------------------------------------------------- damaged and hostile files


def test_thousands_of_prefixes_and_sets_cost_little_time(tmp_path):
    """Each name could be the mark of a network of its own."""
    one = np.zeros((1, 1), "float32")
    save_file({f"p{i}.layer1.0.conv1.weight": one for i in range(3000)}, tmp_path / "w.safetensors")
    with pytest.raises(cnnzoo.InputError, match="networks under more than 100 prefixes"):
        load(tmp_path / "w.safetensors")
    path = write_torch({f"net{i}": {"layer1.0.conv1.weight": one} for i in range(500)})(tmp_path)
    with pytest.raises(cnnzoo.InputError, match="more than 100 dicts of tensors"):
        load(path)
    path = write_torch({f"net{i}": {"layer1.0.conv1.weight": one} for i in range(50)})(tmp_path)
    with pytest.raises(cnnzoo.InputError, match="no set of weights") as caught:
        load(f"{path}#ema")
    assert len(str(caught.value)) < 2000


def write_h5_with_a_changed_bit(folder: Path, **options) -> Path:
    """Write weights in one chunk, with a checksum, and change one bit of the numbers."""
    content = bytearray(write_hdf5(lambda root: add_layers(root, chunks=(5, 12), **options)))
    with h5py.File(io.BytesIO(content)) as file:
        chunk = file["conv/conv/kernel:0"].id.get_chunk_info(0)
    content[chunk.byte_offset + chunk.size // 2] ^= 1
    (folder / "w.h5").write_bytes(content)
    return folder / "w.h5"


DAMAGED = [
    Case("fletcher", "attack 1.1", lambda folder: write_h5_with_a_changed_bit(folder, fletcher32=True), "Fletcher-32"),
    Case(
        "fletcher after shuffle",
        "sibling",
        lambda folder: write_h5_with_a_changed_bit(folder, fletcher32=True, shuffle=True),
        "Fletcher-32",
    ),
    Case("gzip", "sibling", lambda folder: write_h5_with_a_changed_bit(folder, compression="gzip"), "Cannot read w.h5"),
    Case(
        "fletcher of gzip",
        "sibling",
        lambda folder: write_h5_with_a_changed_bit(folder, compression="gzip", fletcher32=True),
        "Cannot read w.h5",
    ),
]


@parametrize_cases(DAMAGED)
def test_checksums_of_the_format_are_compared(case, tmp_path):
    path = case.make(tmp_path)
    with pytest.raises(cnnzoo.InputError, match=case.expected):
        readers.read_checkpoint(path.read_bytes(), path.name)


def write_keras_archive(folder: Path, **texts: str) -> Path:
    with zipfile.ZipFile(folder / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata", "config"):
            archive.writestr(f"{name}.json", texts.get(name, "{}"))
        archive.writestr("model.weights.h5", write_hdf5(lambda root: root.create_group("layers")))
    return folder / "m.keras"


BOMBS = [
    Case(
        "one long string",
        "attack 1.2",
        lambda folder: write_keras_archive(folder, config='{"a": "' + "x" * 20_000_000 + '"}'),
        "would unpack to",
    ),
    Case(
        "metadata",
        "sibling",
        lambda folder: write_keras_archive(folder, metadata=" " * 20_000_000),
        "would unpack to",
    ),
    Case(
        "a message as long as the configuration",
        "sibling",
        lambda folder: write_keras_archive(folder, config=json.dumps({"class_name": "x" * 100_000, "config": {}})),
        "Cannot load",
    ),
    Case("nested lists", "sibling", lambda folder: write_keras_archive(folder, config="[" * 100_000), "Cannot load"),
]


@parametrize_cases(BOMBS)
def test_the_configuration_of_a_model_file_is_bounded(case, tmp_path):
    path = case.make(tmp_path)
    tracemalloc.start()
    with pytest.raises(cnnzoo.InputError, match=case.expected) as caught:
        cnnzoo.load(path)
    assert len(str(caught.value)) < 3000
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
