"""The commands about models and their weights: list, info, diff, fetch and convert."""

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import cnnzoo
from cnnzoo.checkpoints import manifest
from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_weights, is_model_name
from cnnzoo.cli.commands import Choice
from cnnzoo.cli.complete import complete_files, complete_trained_models
from cnnzoo.cli.declare import CheckedPath
from cnnzoo.cli.options import CLASSES, JSON, MODEL
from cnnzoo.cli.output import echo
from cnnzoo.cli.startup import import_keras_quietly
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import path_exists
from cnnzoo.core.tables import align_columns
from cnnzoo.models import FAMILIES
from cnnzoo.preprocessing import STATISTICS
from cnnzoo.registry import ModelInfo


@commands.command("list")
@commands.argument("pattern", default="*", help="A name, in which * stands for any characters.")
@commands.option("--family", metavar="FAMILY", help=f"Only models of this family: {', '.join(FAMILIES)}.")
@commands.option("--weights", is_flag=True, default=None, help="Only models with published weights.")
@commands.option("--json", "as_json", **JSON)
def list_command(pattern: str, family: str | None, weights: bool | None, as_json: bool) -> None:
    """List the models whose names match PATTERN, such as 'resnet*'.

    The table shows input size, parameters, multiply-adds, the published accuracy of the default weights, and the
    number of published weights.

    --json prints a list of objects with the keys name, family, input_shape, parameters, multiply_adds, weights (tags).
    """
    infos = [cnnzoo.info(name) for name in cnnzoo.list_models(pattern, family=family, weights=weights)]
    if not infos:
        longer = f"*{pattern}*"
        hint = f"Did you mean '{longer}'? " if cnnzoo.list_models(longer, family=family, weights=weights) else ""
        raise InputError(f"No model matches {pattern!r}. {hint}`cnnzoo list` shows all models")
    if as_json:
        keys = ("name", "family", "input_shape", "parameters", "multiply_adds")
        rows_as_json = [
            {key: value for key, value in info_to_json(info).items() if key in keys}
            | {"weights": [row.tag for row in info.weights]}
            for info in infos
        ]
        echo(json.dumps(rows_as_json, indent=1))
        return
    rows = [("name", "family", "input", "parameters", "multiply-adds", "top-1", "", "weights")]
    for info in infos:
        size = "x".join(map(str, info.row.input_shape))
        accuracy, data_set = default_accuracy(info.weights)
        parameters, multiply_adds = format_count(info.row.params), format_count(info.row.macs)
        weights_count = str(len(info.weights) or "")
        rows.append((info.name, info.family, size, parameters, multiply_adds, accuracy, data_set, weights_count))
    echo(align_columns(rows, right=(3, 4, 5, 7)))


def format_count(number: int) -> str:
    """Format a count to four digits, in billions (G), millions (M) or thousands (k): 25.56 M."""
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:#.4g} {letter}"
    return f"{number:#.4g} "


def default_accuracy(weights: tuple[manifest.PublishedWeights, ...]) -> tuple[str, str]:
    """Return the published accuracy of a model's default weights, and the name of its data set."""
    if not weights:
        return "", ""
    data_set = default_data_set(weights)
    return f"{manifest.find_weights(weights[0].model, data_set).top1:.2f} %", data_set


def default_data_set(weights: tuple[manifest.PublishedWeights, ...]) -> str:
    """Return the tag of a model's default weights: the first data set that the manifest has for it."""
    return weights[0].tag.partition(".")[0]


@commands.command()
@commands.argument("model", **MODEL)
@commands.option("--json", "as_json", **JSON)
def info(model: str, as_json: bool) -> None:
    """Show input, parameters, paper and published weights of MODEL.

    --json prints one object: name, family, input_shape, smallest, classes, parameters, multiply_adds, preprocessing,
    paper, and weights, a list of objects with tag, default, top1, top5, input_size, license, commercial, bytes, hash,
    url and source.
    """
    if ":" in model and path_exists(model) is False:
        name, _, tag = model.partition(":")
        cnnzoo.info(name)
        check_weights(name, tag)
        raise InputError(f"cnnzoo info takes the name alone, and shows all weights of the model: cnnzoo info {name}")
    details = cnnzoo.info(model)
    echo(json.dumps(info_to_json(details), indent=1, ensure_ascii=False) if as_json else details)


def info_to_json(info: ModelInfo) -> dict[str, Any]:
    """Return the facts about a model as `info --json` prints them."""
    row = info.row

    def is_default(weights: manifest.PublishedWeights) -> bool:
        data_set = weights.tag.partition(".")[0]
        return weights.include_top and manifest.find_weights(info.name, data_set) is weights

    keys = ("tag", "data", "top1", "top5", "input_size", "license", "commercial", "bytes", "hash", "url", "source")
    return {
        "name": info.name,
        "family": info.family,
        "input_shape": list(row.input_shape),
        "smallest": row.min_size,
        "classes": row.classes,
        "parameters": row.params,
        "multiply_adds": row.macs,
        "preprocessing": row.preprocessing,
        "paper": row.paper,
        "weights": [
            {key: getattr(weights, key) for key in keys} | {"default": is_default(weights)} for weights in info.weights
        ],
    }


@commands.command()
@commands.argument("first", metavar="MODEL", **MODEL)
@commands.argument("second", metavar="OTHER", **MODEL | {"help": "Name of the model to compare with."})
def diff(first: str, second: str) -> None:
    """Compare two models: sizes, definitions and layers.

    For example: cnnzoo diff resnet50 resnet50_v1
    """
    if path_exists(first) and path_exists(second) and not is_model_name(first):
        raise InputError(
            "cnnzoo diff compares networks by their names, as in resnet18. For the results of two runs: cnnzoo "
            f"compare {first} {second}"
        )
    for name in (first, second):
        cnnzoo.info(name)  # Fail on an unknown name before anything slow.
    import_keras_quietly()
    from cnnzoo.diff import describe_difference

    echo(describe_difference(first, second))


@commands.command()
@commands.argument(
    "models",
    nargs=-1,
    required=True,
    metavar="NAME[:TAG]...",
    shell_complete=complete_trained_models,
    help="Names of models, for their default weights, or with tags, as in resnet50:imagenet.",
)
@commands.option("--all", "fetch_all", is_flag=True, help="Every checkpoint of each model, not only the default.")
def fetch(models: tuple[str, ...], fetch_all: bool) -> None:
    """Download published weights into the cache.

    NAME alone means the default weights; `cnnzoo info NAME` lists all. If a download fails, the error is reported, the
    other downloads continue, and the command exits with 2. Set CNNZOO_HOME to choose the folder of the cache, and
    CNNZOO_MIRROR to download from another server.
    """
    from cnnzoo.checkpoints.download import fetch as fetch_file

    for name, tag in itertools.pairwise(models):
        if is_model_name(name) and not is_model_name(tag) and has_tag(name, tag):
            raise InputError(f"A tag belongs to its model, after a colon: cnnzoo fetch {name}:{tag}")

    failed = False
    for weights in [row for model in models for row in select_weights(model, fetch_all)]:
        title = f"{weights.model}:{weights.tag}"
        if not weights.url:
            echo(f"{title}: comes with the package")
            continue
        try:
            path, sha256 = fetch_file(weights.url, weights.file, weights.hash, weights.bytes)
            echo(f"{title}: {path}, {path.stat().st_size:,} bytes, sha256 {sha256}")
        except InputError as error:
            echo(f"Error: {title}: {error}", err=True)
            failed = True
    if failed:
        sys.exit(2)


def has_tag(name: str, tag: str) -> bool:
    """Return whether a model has weights under a tag, or for the data set of this name."""
    return any(known == tag or known.startswith(f"{tag}.") for known in manifest.list_tags(name))


def select_weights(model: str, select_all: bool) -> list[manifest.PublishedWeights]:
    """Return the published weights that NAME or NAME:TAG stands for.

    Raises:
        InputError: if the model has no published weights, or none with that tag.
    """
    name, colon, tag = model.partition(":")
    weights = cnnzoo.info(name).weights
    if not weights:
        raise InputError(f"No weights of {name} are published; `cnnzoo list --weights` shows the models that have some")
    if select_all:
        return [row for row in weights if row.tag.startswith(tag)] or [manifest.find_weights(name, tag)]
    return [manifest.find_weights(name, tag if colon else default_data_set(weights))]


@commands.command()
@commands.argument("source", metavar="IN", shell_complete=complete_files, help="A .pth, .h5, .npz, ... file, or a tag.")
@commands.argument("name", **MODEL)
@commands.argument("out", type=CheckedPath(), metavar="OUT.safetensors", help="The file to write.")
@commands.option(
    "--preprocessing",
    type=Choice(("auto", *STATISTICS), "preprocessing"),
    default="auto",
    show_default=True,
    help="Pixel statistics; auto follows the checkpoint.",
)
@commands.option("--classes", **CLASSES)
def convert(source: str, name: str, out: Path, preprocessing: str, classes: list[str] | None) -> None:
    """Convert the checkpoint IN of the model NAME.

    Its layout is recognized from its tensor names, and every tensor must
    fit the model. OUT uses the layer names of this package, and contains a model card with the class names and the
    preprocessing.
    """
    if path_exists(name) and is_model_name(source):
        raise InputError(f"The checkpoint comes first: cnnzoo convert {name} {source} {out}")
    cnnzoo.info(name)
    if out.suffix != ".safetensors":
        raise InputError(f"The file of saved weights must end in .safetensors. Received: {str(out)!r}")
    check_weights(name, source)
    import_keras_quietly()
    weights = Path(source) if os.path.isfile(source) else source  # noqa: PTH113  # takes any text
    model = cnnzoo.get(name, weights=weights, classes=classes, preprocessing=preprocessing)
    receipt = cnnzoo.card(model).receipt
    if receipt and receipt.initialized:
        class_count = cnnzoo.get(name, weights=weights, preprocessing=preprocessing).output_shape[-1]
        raise InputError(
            f"--classes must name the {class_count} outputs of {source}, or the new {receipt.initialized[0]} would "
            f"have random values. Received: {','.join(classes) if classes else None!s:.200}"
        )
    cnnzoo.save_weights(model, out)
    echo(f"Written to {out}: {receipt}")


COMMANDS = (list_command, info, diff, fetch, convert)
