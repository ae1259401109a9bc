"""The layouts of published checkpoints: how each publisher names the tensors of a design.

A rule is a regular expression and a template that replaces each match: "{1}" stands for the first group, "{1-1}" for
its number minus one. Rules are applied one after the other to the name of a layer. The dots and slashes that are left
in the end become underscores.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Layout:
    """The names that one publisher gives to the tensors of one design."""

    publisher: str
    marker: str  # a regular expression that matches a tensor name in this layout and in no other, from its beginning
    rules: Sequence[tuple[str, str]] = ()
    preprocessing: Any = None  # the pixel statistics that go with the layout, if they differ from the row's
    epsilon: float | None = None  # of the publisher's batch normalization, if it differs from the row's
    module_order: Sequence[str] = ()  # layers have only numbers; in this order of modules they match the model's layers
    numbered_by_keras: bool = False  # layers have the numbers that Keras gave them when they were created
    generic: bool = False  # the marker is no more than the names that Keras gives to all layers
    # Networks with the same shapes can compute differently: fields of the rows that the publisher's networks have.
    fields: Mapping[str, Any] = field(default_factory=dict)
    untold: str = ""  # what the layout does not tell, of the rows that `concerns` allows
    concerns: Mapping[str, Any] = field(default_factory=dict)

    def rename_layer(self, name: str) -> str:
        """Return our name of the layer that the publisher calls `name`."""
        for pattern, template in self.rules:
            name = re.sub(pattern, partial(fill_template, template), name)
        return re.sub(r"[./]", "_", name)


def fill_template(template: str, match: re.Match[str]) -> str:
    """Return the template with the groups of `match`, or numbers one higher or lower, in their places."""

    def fill_place(place: re.Match[str]) -> str:
        text = match[int(place[1])]
        return str(int(text) + int(place[2])) if place[2] else text

    return re.sub(r"\{(\d)([+-]1)?\}", fill_place, template)


def make_module_rules(first: int, names: Iterable[str]) -> list[tuple[str, str]]:
    """Return rules that name the modules of a list, which the publisher counts from `first`."""
    return [(rf"^features\.{i}\b", name) for i, name in enumerate(names, first)]


# ---------------------------------------------------------------- rules that several layouts share

RESNET_BLOCK = (r"stage(\d+)\.unit(\d+)", "layer{1}.{2-1}")
# Our branches count their convolutions from one; these publishers count from zero.
ONE_BASED_UNITS = (r"\.branch(\d)\.(\d+)", ".branch{1}.{2+1}")
# The publisher counts the pool, which has no weights, as number zero.
POOL_BRANCH = (r"\.branch(3)\.1\b", ".branch{1}")
FORKED_BRANCH = (r"\.branch(\d)_(\d)", ".branch{1}.{2+1}")
# In blocks of a convolution and a batch normalization, our convolution has the name of the block.
CONV_NAMED_AS_BLOCK = (r"\.conv$", "")

STRIDE_IN_3X3 = {"stride_in": "3x3"}  # "v1.5"

# ---------------------------------------------------------------- rules of one layout each

PYTORCHCV_RESNET_RULES = (
    (r"^features\.|\.body\b", ""),
    RESNET_BLOCK,
    (r"^init_block\.conv\.conv$|^init_block\.conv$|^init_block$", "conv1"),
    (r"^init_block\.(conv\.)?bn$", "bn1"),
    (r"\.conv(\d)\.conv$", ".conv{1}"),
    (r"\.conv(\d)\.bn$", ".bn{1}"),
    (r"\.identity_conv(\.conv)?$", ".shortcut"),
    (r"\.identity_conv\.bn$", ".shortcut.bn"),
    (r"^post_activ\.bn$", "postact_bn"),
    (r"^output1?$", "fc"),
)
BN_INCEPTION_STAGES = {"stage1": ("3a", "3b"), "stage2": ("3c", "4a", "4b", "4c", "4d"), "stage3": ("4e", "5a", "5b")}
PYTORCHCV_BN_INCEPTION_RULES = (
    *(
        (rf"^features\.{s}\.unit{i}\.", f"inception{m}.")
        for s, ms in BN_INCEPTION_STAGES.items()
        for i, m in enumerate(ms, 1)
    ),
    (r"^features\.init_block\.conv1", "conv1"),
    (r"^features\.init_block\.conv2\.conv(\d)", "conv{1+1}"),
    CONV_NAMED_AS_BLOCK,
    (r"\.branches\.(branch4)\.conv", ".{1}"),
    (r"\.branches\.(branch\d)\.conv(\d)", ".{1}.{2}"),
    (r"\.branches\.", "."),
    (r"^output1?$", "fc"),
)
PYTORCHCV_INCEPTION_RESNET_RULES = (
    (r"^features\.init_block\.conv1", "conv2d_1a"),
    (r"^features\.init_block\.conv2", "conv2d_2a"),
    (r"^features\.init_block\.conv3", "conv2d_2b"),
    (r"^features\.init_block\.conv4", "conv2d_3b"),
    (r"^features\.init_block\.conv5", "conv2d_4a"),
    (r"^features\.init_block\.conv6", "conv2d_4b"),
    (r"^features\.stage2\.unit1\.branches\.branch1\.conv_list\.conv1", "mixed_6a.branch0"),
    (r"^features\.stage2\.unit1\.", "mixed_6a."),
    (r"^features\.stage3\.unit1\.", "mixed_7a."),
    (r"^features\.stage1\.unit(\d+)\.", "block35.{1}."),
    (r"^features\.stage2\.unit(\d+)\.", "block17.{1-1}."),
    (r"^features\.stage3\.unit(\d+)\.", "block8.{1-1}."),
    (r"^(block\d+\.\d+)\.conv$", "{1}_conv"),
    (r"\.branches\.branch(\d)", ".branch{1-1}"),
    (r"\.conv_list\.conv(\d)", ".{1}"),
    (r"(branch\d)\.conv\.", "{1}."),
    CONV_NAMED_AS_BLOCK,
    (r"^output\w*\.fc1$", "fc1"),
    (r"^output\w*\.bn$", "fc1_bn"),
    (r"^output\w*\.fc2$", "fc"),
)
KERAS_HEAD = (r"^(predictions|probs|fc1000)$", "fc")
KERAS_RESNET_RULES = (
    (r"^conv1_(conv|bn)$", "{1}1"),
    (r"^conv(\d)_block(\d+)_", "layer{1-1}_{2-1}_"),
    (r"_0_conv$", "_shortcut"),
    (r"_0_bn$", "_shortcut_bn"),
    KERAS_HEAD,
)
CAFFE_GOOGLENET_RULES = (
    (r"^conv1/7x7_s2$", "conv1"),
    (r"^conv2/3x3_reduce$", "conv2"),
    (r"^conv2/3x3$", "conv3"),
    (r"^inception_(\w\w)/", "inception{1}/"),
    (r"/1x1$", "/branch1"),
    (r"/3x3_reduce$", "/branch2_1"),
    (r"/3x3$", "/branch2_2"),
    (r"/5x5_reduce$", "/branch3_1"),
    (r"/5x5$", "/branch3_2"),
    (r"/pool_proj$", "/branch4"),
    (r"^loss([12])/conv$", "aux{1}_conv"),
    (r"^loss([12])/fc$", "aux{1}_fc1"),
    (r"^loss([12])/classifier$", "aux{1}_fc2"),
    (r"^loss3/classifier$", "fc"),
)
TIMM_XCEPTION_RULES = (
    (r"^conv([12])$", "block1_conv{1}"),
    (r"^bn([12])$", "block1_conv{1}_bn"),
    (r"^bn3$", "block14_sepconv1_bn"),
    (r"^bn4$", "block14_sepconv2_bn"),
    (r"^conv3\b", "block14_sepconv1"),
    (r"^conv4\b", "block14_sepconv2"),
    (r"^block(\d+)\.skip$", "block{1+1}_shortcut"),
    (r"^block(\d+)\.skipbn$", "block{1+1}_shortcut_bn"),
    # The first block has no ReLU before its first convolution, so its numbers are one lower.
    *((rf"^block1\.rep\.{i}\b", f"block2_{name}") for i, name in ((0, "sepconv1"), (1, "sepconv1_bn"))),
    *((rf"^block1\.rep\.{i}\b", f"block2_{name}") for i, name in ((3, "sepconv2"), (4, "sepconv2_bn"))),
    *((rf"^block(\d+)\.rep\.{3 * i - 2}\b", f"block{{1+1}}_sepconv{i}") for i in (1, 2, 3)),
    *((rf"^block(\d+)\.rep\.{3 * i - 1}$", f"block{{1+1}}_sepconv{i}_bn") for i in (1, 2, 3)),
)
INCEPTION_V4_MODULES = ["conv2d_1a", "conv2d_2a", "conv2d_2b", "mixed_3a", "mixed_4a", "mixed_5a"]
INCEPTION_V4_MODULES += ["mixed_5b", "mixed_5c", "mixed_5d", "mixed_5e", *(f"mixed_6{i}" for i in "abcdefgh")]
INCEPTION_V4_MODULES += [f"mixed_7{i}" for i in "abcd"]

LAYOUTS = (
    Layout(
        "timm",
        r"^pre_logits\.fc1\.weight$",
        module_order=("features", "pre_logits", "head"),
        fields={"lrn": False},
    ),
    Layout("torchvision", r"^features\.0\.weight$", module_order=("features", "classifier"), fields={"lrn": False}),
    Layout(
        "timm",  # ResNet-D
        r"^conv1\.0\.weight$",
        (
            *((rf"^conv1\.{i}$", f"conv1_{n}") for n, i in enumerate((0, 3, 6), 1)),
            *((rf"^conv1\.{i}$", f"bn1_{n}") for n, i in enumerate((1, 4), 1)),
            (r"^bn1$", "bn1_3"),
            (r"\.downsample\.1$", ".shortcut"),
            (r"\.downsample\.2$", ".shortcut_bn"),
        ),
        fields=STRIDE_IN_3X3,
    ),
    Layout(
        "mmpretrain",  # ResNet-D
        r"^stem\.0(\.conv)?\.weight$",
        (
            *((rf"^stem\.{i}\.conv$", f"conv1_{i + 1}") for i in range(3)),
            *((rf"^stem\.{i}\.bn$", f"bn1_{i + 1}") for i in range(3)),
            *((rf"^stem\.{i}$", f"conv1_{n}") for n, i in enumerate((0, 3, 6), 1)),
            *((rf"^stem\.{i}$", f"bn1_{n}") for n, i in enumerate((1, 4, 7), 1)),
            (r"\.downsample\.1$", ".shortcut"),
            (r"\.downsample\.2$", ".shortcut_bn"),
            (r"^head\.fc$", "fc"),
        ),
        fields=STRIDE_IN_3X3,
    ),
    Layout(
        "transformers",
        r"^embedder\.embedder\.convolution\.weight$",
        (
            (r"^embedder\.embedder\.convolution$", "conv1"),
            (r"^embedder\.embedder\.normalization$", "bn1"),
            (r"^encoder\.stages\.(\d+)\.layers\.(\d+)\.", "layer{1+1}.{2}."),
            (r"\.layer\.(\d)\.convolution$", ".conv{1+1}"),
            (r"\.layer\.(\d)\.normalization$", ".bn{1+1}"),
            (r"\.shortcut\.convolution$", ".shortcut"),
            (r"\.shortcut\.normalization$", ".shortcut_bn"),
        ),
        fields=STRIDE_IN_3X3,
    ),
    Layout(
        "fastai",  # and any Sequential of the children of torchvision's network
        r"^4\.0\.conv1\.weight$",
        (
            (r"^0$", "conv1"),
            (r"^1$", "bn1"),
            *((rf"^{i}\.", f"layer{i - 3}.") for i in range(4, 8)),
            (r"\.downsample\.0$", ".shortcut"),
            (r"\.downsample\.1$", ".shortcut_bn"),
        ),
        fields=STRIDE_IN_3X3,
    ),
    Layout(
        "torchvision",  # also timm, and akamaster's CIFAR networks
        r"^layer1\.0\.conv1\.weight$",
        ((r"\.downsample\.0$", ".shortcut"), (r"\.downsample\.1$", ".shortcut_bn"), (r"^linear$", "fc")),
        fields=STRIDE_IN_3X3,
    ),
    Layout(
        "torchvision",
        r"^inception3a\.branch1\.conv\.weight$",
        (CONV_NAMED_AS_BLOCK, (r"\.branch(4)\.1\b", ".branch{1}"), ONE_BASED_UNITS),
    ),
    Layout(
        "torchvision",
        r"^Mixed_5b\.branch1x1\.conv\.weight$",
        (
            CONV_NAMED_AS_BLOCK,
            (r"^AuxLogits\.conv(\d)", "aux1_conv_{1+1}"),
            (r"^AuxLogits", "aux1"),
            (r"^Conv2d_", "conv2d_"),
            (r"^Mixed_", "mixed_"),
        ),
        fields={"gamma": True},
    ),
    Layout(
        "timm",
        r"^features\.3\.conv\.conv\.weight$",
        (
            (r"^features\.3\.conv\.", "mixed_3a.branch1."),
            (r"^features\.5\.conv\.", "mixed_5a.branch0."),
            CONV_NAMED_AS_BLOCK,
            *make_module_rules(0, INCEPTION_V4_MODULES),
            POOL_BRANCH,
            ONE_BASED_UNITS,
            FORKED_BRANCH,
            (r"^last_linear$", "fc"),
        ),
    ),
    Layout(
        "timm",
        r"^repeat_1\.0\.conv2d\.weight$",
        (
            CONV_NAMED_AS_BLOCK,
            (r"^block8\.", "block8.10."),
            (r"^repeat\.(\d+)", "block35.{1+1}"),
            (r"^repeat_1\.(\d+)", "block17.{1+1}"),
            (r"^repeat_2\.(\d+)", "block8.{1+1}"),
            (r"\.conv2d$", ".conv"),
            POOL_BRANCH,
            ONE_BASED_UNITS,
            (r"^classif$", "fc"),
        ),
    ),
    Layout("timm", r"^block1\.rep\.0\.conv1\.weight$", TIMM_XCEPTION_RULES, fields={"symmetric_padding": True}),
    Layout("pytorchcv", r"^features\.init_block\.conv2\.conv1\.", PYTORCHCV_BN_INCEPTION_RULES),
    Layout("pytorchcv", r"^features\.stage1\.unit1\.branches\.", PYTORCHCV_INCEPTION_RESNET_RULES),
    Layout(
        "pytorchcv",
        r"^features\.stage1\.unit1\.body\.",
        PYTORCHCV_RESNET_RULES,
        untold="whether the stride is in the 1x1 (pytorchcv's resnet50) or in the 3x3 (its resnet50b)",
        concerns={"bottleneck": True, "stem": "7x7"},
    ),
    Layout(
        "keras.applications",
        r"^conv2_block1_preact_bn/",
        (
            (r"_block(\d+)_preact_bn$", "_block{1}_bn1"),
            (r"_block(\d+)_([12])_bn$", "_block{1}_bn{2+1}"),
            (r"_block(\d+)_([123])_conv$", "_block{1}_conv{2}"),
            *KERAS_RESNET_RULES,
            (r"^post_bn$", "postact_bn"),
        ),
        fields={"stride_last": True},
    ),
    Layout(
        "keras.applications",
        r"^conv2_block1_1_conv/",
        ((r"_block(\d+)_([123])_(conv|bn)$", "_block{1}_{3}{2}"), *KERAS_RESNET_RULES),
        preprocessing="caffe",
        epsilon=1.001e-5,
        fields={"stride_in": "1x1"},
    ),
    Layout(
        "keras.applications",
        r"^block2_sepconv1/",
        (KERAS_HEAD,),
        numbered_by_keras=True,
        fields={"symmetric_padding": False},
    ),
    Layout(
        "keras.applications",
        r"^block3_conv1/",
        (
            (r"^block(\d)_conv(\d)$", "conv{1}_{2}"),
            (r"^fc1$", "fc6"),
            (r"^fc2$", "fc7"),
            (r"^predictions$", "fc8"),
        ),
        preprocessing="caffe",
        fields={"lrn": False},
    ),
    Layout(
        "keras.applications",
        r"^block35_1_conv/",
        ((r"^conv_7b", "conv2d_7b"), KERAS_HEAD),
        numbered_by_keras=True,
    ),
    Layout(
        "keras.applications",  # Inception v3
        r"^batch_normalization(_\d+)?/moving_mean$",
        (KERAS_HEAD,),
        numbered_by_keras=True,
        fields={"gamma": False},
        generic=True,
    ),
    Layout(
        "Keras",
        r"^conv2d(_\d+)?/kernel$",
        module_order=("conv2d", "dense"),
        untold="activations and kinds of pooling",
        generic=True,
    ),
    Layout("Caffe", r"^(inception_3a/1x1|conv1)/weights$", CAFFE_GOOGLENET_RULES, fields={"batch_norm": False}),
)
