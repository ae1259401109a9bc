"""Comparisons of two variants: their rows and layers, in few lines."""

import re
from dataclasses import fields, replace

import pytest

import cnnzoo
from cnnzoo import registry
from cnnzoo.diff import GENERAL_FIELDS, abbreviate_layer_names, describe_difference
from cnnzoo.models import FAMILIES

pytestmark = pytest.mark.usefixtures("fast_variables")


def says(text, line):
    """Return whether a line of the text equals `line`, apart from the widths of its columns."""
    return line in [re.sub(r" +", " ", row.strip()) for row in text.splitlines()]


@pytest.mark.slow
def test_the_stride_is_in_the_stated_convolution():
    text = describe_difference("resnet50", "resnet50_v1")
    assert says(text, "parameters 25,557,032 the same")
    assert says(text, "multiply-adds 4,089,184,256 3,857,973,248")
    assert says(text, "stride_in 3x3 1x1 the convolution of a bottleneck that has the stride")
    assert says(text, "strides 2 1 layer2_0_conv2, layer3_0_conv2, layer4_0_conv2")
    assert says(text, "strides 1 2 layer2_0_conv1, layer3_0_conv1, layer4_0_conv1")
    assert len(text.splitlines()) < 25


@pytest.mark.slow
def test_batch_norm_without_gamma_and_average_pools_with_padding_layers_are_shown():
    text = describe_difference("inception_v3", "inception_v3_keras")
    assert says(text, "scale yes no every BatchNormalization (96)")
    assert says(text, "9 ZeroPadding2D mixed_[5b-7c]_branch_pool_pool_pad")
    assert says(text, "padding valid same mixed_[5b-7c]_branch_pool_pool")


@pytest.mark.slow
def test_differences_of_the_two_googlenets():
    text = describe_difference("googlenet", "googlenet_2014")
    assert says(text, "2 LocalResponseNorm conv1_norm, conv3_norm")
    assert says(text, "kernel size 3 5 inception[3a-5b]_branch3_2")
    assert says(text, "pool size 2 3 maxpool4")
    assert says(text, "use bias no yes every Conv2D (59)")
    assert "aux1_conv_pool" in text, "auxiliary heads are compared too"


@pytest.mark.slow
def test_differences_of_the_two_xceptions():
    text = describe_difference("xception", "xception_timm")
    assert says(text, "epsilon 0.001 1e-05 every BatchNormalization (40)")
    assert says(text, "4 MaxPooling2D block[2,3,4,13]_pool_stride")


@pytest.mark.slow
def test_layers_that_only_one_model_has_are_skipped():
    text = describe_difference("vgg11", "vgg11_bn")
    assert says(text, "8 BatchNormalization bn[1-5]_[1-2] (8)")
    assert "follow different ones" not in text


def test_another_order_of_the_same_layers():
    text = describe_difference("resnet18", "preresnet18")
    assert "layer1_0_conv1 follows maxpool in resnet18, layer1_0_bn1_relu in preresnet18" in text
    assert "preresnet18: Batch norm and activation before each convolution" in text


def test_different_families_have_little_to_compare():
    text = describe_difference("resnet20", "lenet5")
    assert says(text, "input 32x32x3 32x32x1")
    assert "They belong to the families resnet and lenet" in text
    assert "Only" not in text


def test_equal_names_and_equal_graphs_are_recognized(monkeypatch):
    assert describe_difference("lenet5", "lenet5") == "lenet5 and lenet5 are the same model."
    row = replace(cnnzoo.info("lenet5").row, preprocessing="tf")
    monkeypatch.setitem(registry.FAMILIES["lenet"], "lenet5_again", row)
    text = describe_difference("lenet5", "lenet5_again")
    assert says(text, "preprocessing unit tf")
    assert "Their graphs are the same, layer by layer." in text


def test_functions_are_shown_by_name():
    assert says(describe_difference("lenet5", "lenet5_1998"), "activation tanh scaled_tanh c5, f6")


def test_unknown_names():
    with pytest.raises(cnnzoo.InputError, match="Did you mean .*resnet50"):
        describe_difference("resnet50", "resnet5O")


def test_every_field_has_a_description():
    for rows in FAMILIES.values():
        for row in rows.values():
            own_fields = [field for field in fields(row) if field.name not in GENERAL_FIELDS]
            assert own_fields
            assert not [field.name for field in own_fields if not field.metadata.get("says")]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["conv1"], "conv1"),
        (["a_1", "a_3", "b"], "a_1, a_3, b"),
        ([f"layer{i}_0_conv2" for i in (4, 2, 3, 1)], "layer[1-4]_0_conv2"),
        ([f"layer{i}" for i in (1, 2, 3, 9)], "layer[1,2,3,9]"),
        (["m1_1", "m1_2", "m2_1", "m2_3"], "m[1-2]_[1-3] (4)"),
        ([f"mixed_5{i}_branch3x3dbl_1" for i in "bcde"], "mixed_[5b,5c,5d,5e]_branch3x3dbl_1"),
        (["conv1", "conv2", "bn1", "fc", "relu"], "conv[1-2], bn1, fc and 1 more patterns"),
    ],
)
def test_many_layer_names_are_abbreviated_as_a_pattern(names, text):
    assert abbreviate_layer_names(names) == text
