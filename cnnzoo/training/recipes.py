"""The recipes that come with the package: rows of data that cite their source and state what they reached."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.files import MAX_TOML_BYTES, read_bounded
from cnnzoo.core.paths import check_path, nearest_path
from cnnzoo.training.recipe import DESCRIPTIVE_FIELDS, SETTABLE_FIELDS, Recipe

IMAGENET_COST = "ImageNet: months on two CPU cores, at about 25 images per second for resnet18; use accelerators"
PAPER_RESULT_ONLY = "not run here; the paper's figures are for ImageNet"

RECIPES = {
    "sgd": Recipe(
        epochs=30,
        batch_size=32,
        learning_rate=0.01,
        weight_decay=5e-4,
        source="a simple default for small networks",
        cost="10 s on digits",
        result="lenet5 on 360 digits: 96.72 %, mean of five seeds",
    ),
    "quick": Recipe(
        epochs=5,
        batch_size=32,
        optimizer="adamw",
        learning_rate=2e-3,
        weight_decay=0.05,
        warmup_epochs=0.3,
        label_smoothing=0.1,
        augment="gentle",
        precision="auto",
        source="a few epochs from scratch: a short form of He et al. 2018 (Bag of tricks, arXiv:1812.01187) with AdamW",
        cost="34 minutes on Imagenette at 128 pixels, resnet34d",
        result="resnet34d on Imagenette's 3,925 photos: 78.85 % after 5 epochs, one seed",
    ),
    "imagenette": Recipe(
        epochs=5,
        batch_size=64,
        optimizer="muon",
        learning_rate=4e-3,
        momentum=0.95,
        weight_decay=0.05,
        schedule="flat_cosine",
        warmup_epochs=0.3,
        label_smoothing=0.1,
        augment="gentle",
        precision="auto",
        bn_momentum=0.9,
        keep="last",
        source="fastai's leaderboard for Imagenette: all photos, a flat rate, then a cosine; Muon: Jordan et al. 2024",
        cost="40 minutes on Imagenette at 128 pixels, resnet18d, beside other programs",
        result="resnet18d on Imagenette's 3,925 photos: 86.75 % after 5 epochs of all 9,469 others, one seed",
    ),
    "finetune": Recipe(
        epochs=10,
        batch_size=16,
        optimizer="adamw",
        learning_rate=3e-4,
        clip=1.0,
        augment="gentle",
        label_smoothing=0.1,
        precision="auto",
        bn="frozen",
        stages=3,
        source="Kumar et al. 2022, arXiv:2202.10054: linear probe, then fine-tune; rates chosen on validation",
        cost="about 5 minutes on 900 photos at 224 pixels, googlenet_2014",
        result="gain over the probe, means of five seeds: flowers128 9.2, sign_digits 8.6, hymenoptera 0.0 points",
    ),
    "digits": Recipe(
        epochs=30,
        batch_size=32,
        learning_rate=0.05,
        label_smoothing=0.1,
        augment="shift",
        source="chosen on validation, for LeNets on scikit-learn's digits",
        cost="15 s on digits",
        result="lenet5 on 360 digits: 98.83 %, mean of five seeds",
    ),
    "mnist": Recipe(
        epochs=20,
        batch_size=64,
        learning_rate=0.1,
        augment="shift",
        source="chosen on validation, for LeNets on MNIST",
        cost="3 to 4 minutes on MNIST",
        result="lenet5 on MNIST's test set: 99.18 %",
    ),
    "fashion": Recipe(
        epochs=20,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=5e-3,
        augment="gentle",
        precision="auto",
        source="He et al. 2015, section 4.2, with fewer epochs and a cosine schedule; shifts and flips",
        cost="34 minutes on Fashion-MNIST, resnet20",
        result="resnet20 on Fashion-MNIST's test set: 93.61 %, one seed",
    ),
    "lenet_1998": Recipe(
        epochs=20,
        batch_size=64,
        learning_rate=0.005,
        weight_decay=0.005,
        rubbish=1.0,
        source="LeCun et al. 1998: equation 9, 20 epochs, no distortions; momentum instead of second-order steps",
        cost="3 to 4 minutes on MNIST",
        result="lenet5_1998 on MNIST's test set: 98.85 %; with augment=shift 99.09 %",
    ),
    # The papers use coupled weight decay. At momentum 0.9, decoupled decay of the same strength is ten times as large.
    "alexnet_2012": Recipe(
        epochs=90,
        batch_size=128,
        learning_rate=0.01,
        nesterov=False,
        weight_decay=5e-3,
        schedule="step",
        drops=(0.25, 0.5, 0.75),
        warmup_epochs=0.0,
        augment="basic",
        source="Krizhevsky et al. 2012, section 5: the rate falls three times, here at even intervals; no color shifts",
        cost=IMAGENET_COST,
        result=PAPER_RESULT_ONLY,
    ),
    "vgg_2014": Recipe(
        epochs=74,
        batch_size=256,
        learning_rate=0.01,
        nesterov=False,
        weight_decay=5e-3,
        schedule="step",
        drops=(0.25, 0.5, 0.75),
        warmup_epochs=0.0,
        augment="basic",
        source="Simonyan, Zisserman 2014, section 3.1: the rate falls three times, here at even intervals",
        cost=IMAGENET_COST,
        result=PAPER_RESULT_ONLY,
    ),
    "googlenet_2014": Recipe(
        epochs=96,
        batch_size=32,
        learning_rate=0.01,
        nesterov=False,
        schedule="step",
        drops=tuple(i / 12 for i in range(1, 12)),
        drop=0.96,
        warmup_epochs=0.0,
        augment="basic",
        ema=0.9999,
        aux_weight=0.3,
        source="Szegedy et al. 2014, section 6: rate falls 4 % every 8 epochs; averaged weights; initial rate unstated",
        cost=IMAGENET_COST,
        result=PAPER_RESULT_ONLY,
    ),
    "resnet_2015": Recipe(
        epochs=120,
        batch_size=256,
        learning_rate=0.1,
        nesterov=False,
        weight_decay=1e-3,
        schedule="step",
        drops=(0.25, 0.5, 0.75),
        warmup_epochs=0.0,
        augment="basic",
        source="He et al. 2015, section 3.4: the rate falls at plateaus, here at even intervals",
        cost=IMAGENET_COST,
        result=PAPER_RESULT_ONLY,
    ),
    "resnet_cifar_2015": Recipe(
        epochs=164,
        batch_size=128,
        learning_rate=0.1,
        nesterov=False,
        weight_decay=1e-3,
        schedule="step",
        drops=(0.5, 0.75),
        warmup_epochs=0.0,
        augment="basic",
        source="He et al. 2015, section 4.2: 64,000 steps, the rate falls after 32,000 and 48,000",
        cost="about 4 hours for resnet20 on 50,000 images, extrapolated from `fashion`",
        result="not run here; the paper's figures are for CIFAR-10",
    ),
    "torchvision_v1": Recipe(
        epochs=90,
        batch_size=256,
        learning_rate=0.1,
        nesterov=False,
        weight_decay=1e-3,
        schedule="step",
        drops=(1 / 3, 2 / 3),
        warmup_epochs=0.0,
        augment="basic",
        source="torchvision's references/classification, weights IMAGENET1K_V1",
        cost=IMAGENET_COST,
        result="not run here; `cnnzoo info` shows the publisher's figures",
    ),
    "torchvision_v2": Recipe(
        epochs=600,
        batch_size=1024,
        learning_rate=0.5,
        nesterov=False,
        weight_decay=2e-4,
        warmup_epochs=5.0,
        label_smoothing=0.1,
        augment="trivial+erase+mixup+cutmix",  # torchvision erases a tenth of the images, to gray; the paper half
        ema=0.99997,  # per step; torchvision uses 0.99998 per 32 steps of 600 epochs
        source="torchvision's references/classification, weights IMAGENET1K_V2",
        cost=IMAGENET_COST,
        result="not run here; `cnnzoo info` shows the publisher's figures",
    ),
}


@check_arguments()
def recipe(name: str | PathLike[str] | Recipe, /, **fields: Any) -> Recipe:
    """Return a recipe by name, with fields changed.

    Args:
        name: a name in `cnnzoo.training.recipes.RECIPES` (`cnnzoo recipes` lists them), the path of a .toml file whose
            keys are fields of a recipe, or a `Recipe`.
        **fields: the fields to change; `Recipe` documents all of them.

    Returns:
        The recipe, to be passed to `fit_and_evaluate`, `fine_tune`, `lr_find` or `tune`.

    Raises:
        InputError: if the name or a field is unknown, or a value is out of range.

    Example:
        >>> short = cnnzoo.recipe("finetune", epochs=2, bn="train")
        >>> short.epochs, short.bn
        (2, 'train')
        >>> cnnzoo.recipe(short, learning_rate=0.01).learning_rate
        0.01
    """
    return resolve_recipe(name, fields)


def resolve_recipe(name: str | PathLike[str] | Recipe, fields: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe of a name or a .toml file, or `name` itself if it is a `Recipe`, with `fields` changed.

    Raises:
        InputError: if the name or a field is unknown, or a value is out of range.
    """
    if isinstance(name, str | PathLike) and Path(name).suffix == ".toml":
        base = _read_toml(check_path(name, "the recipe"))
    elif isinstance(name, str):
        if name not in RECIPES:
            raise unknown_name("recipe", name, RECIPES)
        base = RECIPES[name]
    elif isinstance(name, Recipe):
        base = name
    else:
        raise InputError(f"recipe must be a name ({', '.join(RECIPES)}), a .toml file or a Recipe. Received: {name!r}")
    _check_fields(fields or {})
    return replace(base, **fields or {})


def find_named_recipe(changed: Recipe) -> str:
    """Return the name of the recipe of this package that `changed` was made of, by its source; "" if there is none.

    Example:
        >>> from cnnzoo.training.recipes import find_named_recipe
        >>> find_named_recipe(cnnzoo.recipe("finetune", epochs=3))
        'finetune'
        >>> find_named_recipe(cnnzoo.Recipe(epochs=3, batch_size=32, learning_rate=0.1))
        ''
    """
    return next((name for name, recipe in RECIPES.items() if recipe.source == changed.source), "")


def _read_toml(path: Path) -> Recipe:
    """Return the recipe in a file; epochs, batch_size and learning_rate are required."""
    try:
        values = tomllib.loads(read_bounded(path, MAX_TOML_BYTES).decode())
    except FileNotFoundError:
        near = nearest_path(path)
        hint = f"Did you mean {near}? " if near else ""
        raise InputError(
            f"There is no recipe {str(path)!r}. {hint}`cnnzoo recipes` lists those of the package"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Cannot read the recipe {str(path)!r}: {error}") from None
    _check_fields(name for name in values if name not in DESCRIPTIVE_FIELDS)
    if missing := [name for name in ("epochs", "batch_size", "learning_rate") if name not in values]:
        raise InputError(f"The recipe {str(path)!r} lacks {', '.join(missing)}")
    return Recipe(**values)


def _check_fields(names: Iterable[str]) -> None:
    """Raise `InputError` if a name is not that of a field that can be set."""
    for name in names:
        if name not in SETTABLE_FIELDS:
            raise unknown_name("recipe field", name, SETTABLE_FIELDS)
