"""Every row gives the logits of a reference implementation for the same generated weights, in the published layout."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from helpers.building import build_without_weights, values_beside_variables
from helpers.designs import design
from helpers.golden import GOLDEN, WITH_HEADS_FOR_ONE_SIZE, GoldenLogits, draw
from helpers.memory import keep_freed_memory
from helpers.rows import check_row
from keras.ops import convert_to_numpy as array

import cnnzoo
from cnnzoo.checkpoints.tensors import named_variables
from cnnzoo.models.inception import googlenet_modules, inception_v3_modules

pytestmark = pytest.mark.usefixtures("free_memory", "kept_memory")


def running_order(path):
    """The VGGs first, and on one worker: each takes 4 GB while it is loaded, and those of a publisher share tensors.

    The others end with the smallest, which fill the time until the last worker is done.
    """
    is_vgg, publisher = path.stem.startswith("vgg"), path.stem.rpartition("-")[2]
    return not is_vgg, publisher if is_vgg else "", -path.stat().st_size, path.name


FILES = sorted((GOLDEN / "logits").glob("*.npz"), key=running_order)
ON_ONE_WORKER = {True: [pytest.mark.xdist_group("vgg")], False: []}
each = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=ON_ONE_WORKER[path.stem.startswith("vgg")]) for path in FILES]
)


def find_representatives():
    """Return one file of each design: with the most logits, then of the fewest tensors."""
    files = {}
    for path in FILES:
        golden = GoldenLogits(path)
        files.setdefault(design(golden.name), []).append((-len(golden.logits), len(golden.tensors), path))
    return {min(of_one_design)[-1] for of_one_design in files.values()}


FILE_OF_ROW = {path.stem.rpartition("-")[0]: path for path in FILES}  # one of each
REPRESENTATIVES = find_representatives()
# Rows that no publisher has: tests/models checks them against their papers, or reads their published weights.
WITHOUT_REFERENCE = {"lenet5", "lenet5_relu", "lenet5_1998", "lenet_caffe", "alexnet_2012", "vgg11_lrn", "vgg16_c"}
WITHOUT_REFERENCE |= {"googlenet_2014", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202"}


@pytest.fixture(scope="module")
def kept_memory():
    """Keep the memory of a network for the next one: to get gigabytes anew takes as long as to compute with them."""
    with keep_freed_memory():
        yield


@values_beside_variables()
def relative_errors(golden, file, row, sizes=None, check_model=lambda model: None):
    """Return the relative error of each head at all or some sizes, with `row` or a changed one as the golden's.

    The network is built for the size of the row, and `check_model` gets it. Its layers compute the other sizes too, as
    they would for open sides (tests/test_build.py compares the two). Those with heads for one size are built again.
    """
    errors, model = {}, None
    for size in sizes or golden.sizes:
        heads = [key.partition("_")[2] for key in golden.logits if key.startswith(f"{size}_")]
        images = draw.images(int(size), int(size))
        options = {"preprocessing": "none", "aux": bool(heads)}
        options |= {"image_size": int(size)} if golden.name in WITH_HEADS_FOR_ONE_SIZE else {}

        if model is None:
            model = cnnzoo.get(row, weights=file, **options)
            check_receipt(model)
        elif isinstance(model.output, dict) or golden.name in WITH_HEADS_FOR_ONE_SIZE:
            values = named_variables(model)
            model = build_without_weights(row, **options)
            for name, variable in named_variables(model).items():
                variable.assign(values[name].value)

        outputs = model.call(images)  # `model(images)` would refuse the other size
        outputs = outputs if heads else {"logits": outputs}
        outputs = {head: array(value) for head, value in outputs.items()}
        errors |= {f"{size}_{head}": golden.error(outputs[head], f"{size}_{head}") for head in heads}
        logits = outputs["logits"]
        errors[size] = golden.error(logits, size)
        assert np.abs(logits[0] - logits[1]).max() > 0.1 * np.abs(logits).max(), "the images make no difference"
    check_model(model)
    return errors


def check_receipt(model):
    """Every variable was loaded, and nothing was dropped but counters and auxiliary heads."""
    receipt = cnnzoo.card(model).receipt
    assert len(receipt.loaded) == len(model.weights)
    assert not receipt.initialized
    assert all("num_batches_tracked" in name or name.startswith("aux") for name in receipt.dropped)


def test_every_model_has_a_reference_implementation():
    assert {GoldenLogits(path).name for path in FILES} == set(cnnzoo.list_models()) - WITHOUT_REFERENCE


@pytest.mark.slow
@each
def test_logits(path, tmp_path):
    """At two sizes, which differ in their padding, for one network of each design, and at the smaller one for the rest.

    Those only repeat more blocks, have more channels, or come from another publisher. What holds for every row is
    checked on the same network; tests/test_build.py builds the other rows.
    """
    golden = GoldenLogits(path)
    sizes = golden.sizes if path in REPRESENTATIVES else [min(golden.sizes, key=int)]
    is_of_row = golden.name not in WITH_HEADS_FOR_ONE_SIZE and FILE_OF_ROW[golden.name] == path
    check_model = check_row if is_of_row else lambda model: None
    errors = relative_errors(golden, golden.write(tmp_path), golden.name, sizes, check_model)
    print(f"{path.stem}: {max(errors.values()):.1e}")
    assert max(errors.values()) <= 1e-4, errors


def change_row(name, **changes):
    return replace(cnnzoo.info(name).row, **changes)


# Each makes a graph that takes the same weights and is wrong in one place.
MUTATIONS = {
    "epsilon": ("googlenet-torchvision", change_row("googlenet", epsilon=1e-5)),
    "stride": ("resnet50-torchvision", change_row("resnet50", stride_in="1x1")),
    "shortcut": ("resnet18d-timm", change_row("resnet18d", shortcut="project")),
    "pool's padding counted": (
        "inception_v3-torchvision",
        change_row("inception_v3", modules=inception_v3_modules("average")),
    ),
    "pool's padding left out": (
        "inception_v3_keras-keras",
        change_row("inception_v3_keras", modules=inception_v3_modules("average_with_padding")),
    ),
    "pool's size": (
        "googlenet-torchvision",
        change_row("googlenet", modules=googlenet_modules(large_kernel=3, last_pool=3)),
    ),
    "pool's sides": ("xception-keras", change_row("xception", symmetric_padding=True)),
}


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_graph_with_one_mistake_is_detected(mutation, tmp_path):
    stem, changed = MUTATIONS[mutation]
    golden = GoldenLogits(GOLDEN / "logits" / f"{stem}.npz")
    file = golden.write(tmp_path)
    assert any(max(relative_errors(golden, file, changed, [size]).values()) > 1e-4 for size in golden.sizes[::-1])


def test_the_padding_of_keras_is_detected(tmp_path, monkeypatch):
    def conv_padded_as_keras(
        x, filters, kernel_size, strides=1, *, name, padding="same", groups=1, use_bias=False, activation=None
    ):
        return keras.layers.Conv2D(
            filters, kernel_size, strides, padding, groups=groups, use_bias=use_bias, name=name, activation=activation
        )(x)

    monkeypatch.setattr("cnnzoo.models.blocks.conv", conv_padded_as_keras)
    golden = GoldenLogits(GOLDEN / "logits" / "resnet18-torchvision.npz")
    assert max(relative_errors(golden, golden.write(tmp_path), "resnet18").values()) > 1e-4
