"""The registry: list names, describe models, register rows of users and of other packages."""

import math
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from helpers.counting import count_multiply_adds

import cnnzoo
from cnnzoo import registry
from cnnzoo.checkpoints import manifest
from cnnzoo.models import FAMILIES

NAMES = cnnzoo.list_models()


@pytest.fixture
def no_registered_rows(monkeypatch):
    """Forget the names that a test registers."""
    monkeypatch.setattr(registry, "_registered", {})


def test_at_least_65_names_and_families_of_less_than_1100_lines():
    assert len(NAMES) >= 65
    models = Path(registry.__file__).parent / "models"
    files = [file for file in models.glob("*.py") if file.stem not in ("__init__", "variant", "blocks")]
    assert sum(len(file.read_text().splitlines()) for file in files) < 1100


def test_names_can_be_filtered():
    assert cnnzoo.list_models("resnet20*") == ["resnet200", "resnet200d", "resnet20", "resnet20_b"]
    assert set(cnnzoo.list_models(family="lenet")) == set(FAMILIES["lenet"])
    assert set(cnnzoo.list_models(weights=True)) == {row.model for row in manifest.load_published_weights()}
    assert cnnzoo.list_models("vgg1*_bn", weights="imagenet") == ["vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]
    assert set(cnnzoo.list_models(weights=True)) | set(cnnzoo.list_models(weights=False)) == set(NAMES)
    assert cnnzoo.list_models(weights="digits") == ["lenet5"]
    assert cnnzoo.list_models("vit*") == []
    with pytest.raises(cnnzoo.InputError, match="Unknown family"):
        cnnzoo.list_models(family="lenets")


def test_info_prints_size_and_weights():
    text = str(cnnzoo.info("lenet5"))
    assert "61,706" in text
    assert "mnist" in text
    assert "Apache-2.0" in text


def test_users_can_register_rows(no_registered_rows):
    row = replace(cnnzoo.info("resnet20").row, depths=(1, 1, 1), params=75_290, macs=12_239_488)
    cnnzoo.register("resnet8_cifar", row)

    @cnnzoo.register("lenet5_elu")
    def lenet5_elu():
        return replace(cnnzoo.info("lenet5").row, activation="elu")

    for name in ("resnet8_cifar", "lenet5_elu"):
        assert name in cnnzoo.list_models()
        model = cnnzoo.get(name)
        assert sum(math.prod(v.shape) for v in model.trainable_variables) == cnnzoo.info(name).row.params
        assert count_multiply_adds(model) == cnnzoo.info(name).row.macs
    assert cnnzoo.get(row).output_shape == (None, 10)
    with pytest.raises(cnnzoo.InputError, match="taken"):
        cnnzoo.register("lenet5", row)
    with pytest.raises(cnnzoo.InputError, match=r"takes a cnnzoo\.models\.Variant"):
        cnnzoo.register("other", {"depths": 3})


PLUGIN = replace(FAMILIES["lenet"]["lenet5"], units=(60, 30))
PLUGINS = {"lenet5_slim": PLUGIN, "lenet5_slimmer": replace(PLUGIN, units=(30,))}


def test_installed_packages_can_add_rows(monkeypatch):
    points = [
        EntryPoint("slim", "test_registry:PLUGINS", "cnnzoo.models"),
        EntryPoint("lenet5_plugged", "test_registry:PLUGIN", "cnnzoo.models"),
        EntryPoint("lenet5", "test_registry:PLUGIN", "cnnzoo.models"),
        EntryPoint("broken", "no_such_module:ROW", "cnnzoo.models"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    registry._plugin_variants.cache_clear()
    try:
        with pytest.warns(UserWarning) as warned:
            names = cnnzoo.list_models()
        assert {"lenet5_slim", "lenet5_slimmer", "lenet5_plugged"} <= set(names)
        assert [str(w.message).split(" was")[0].split()[-1] for w in warned] == [
            "test_registry:PLUGIN",
            "no_such_module:ROW",
        ]
        assert cnnzoo.get("lenet5_slimmer").get_layer("c5").units == 30
        assert cnnzoo.info("lenet5").row.units == (120, 84), "a plugin cannot replace a row of ours"
    finally:
        registry._plugin_variants.cache_clear()
