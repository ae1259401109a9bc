"""The commands about models and their weights: what there is, how it differs, where it is had."""

import os
import sys
from pathlib import Path
from typing import Any

import click

import cnnzoo
from cnnzoo.checkpoints import manifest
from cnnzoo.core.errors import InputError
from cnnzoo.core.tables import align_columns


@click.command("list")
@click.argument("pattern", default="*")
@click.option("--family", help="Only this family.")
@click.option("--weights", is_flag=True, default=None, help="Only models with published weights.")
def list_command(pattern: str, family: str | None, weights: bool | None) -> None:
    """Names that match PATTERN (as in file names: 'resnet*'), with sizes, the default weights' accuracy, how many."""
    infos = [cnnzoo.info(name) for name in cnnzoo.list_models(pattern, family=family, weights=weights)]
    if not infos:
        raise InputError(f"No model matches {pattern!r}; cnnzoo list shows all")
    rows = [("name", "family", "input", "parameters", "multiply-adds", "top-1", "", "weights")]
    for i in infos:
        size, (accuracy, data) = "x".join(map(str, i.row.input_shape)), default_accuracy(i.weights)
        count = str(len(i.weights) or "")
        rows.append(
            (i.name, i.family, size, format_count(i.row.params), format_count(i.row.macs), accuracy, data, count)
        )
    click.echo(align_columns(rows, right=(3, 4, 5, 7)))


def format_count(number: int) -> str:
    """Thousands, millions or thousands of millions, to four digits: 25.56 M."""
    unit, letter = next((u, c) for u, c in ((10**9, "G"), (10**6, "M"), (10**3, "k"), (1, "")) if number >= u or u == 1)
    return f"{number / unit:#.4g} {letter}"


def default_accuracy(weights: tuple[manifest.PublishedWeights, ...]) -> tuple[str, str]:
    """The accuracy of a model's default weights on their data set, as published, and that data set's name."""
    if not weights:
        return "", ""
    data = default_tag(weights)
    return f"{manifest.find_weights(weights[0].model, data).top1:.2f} %", data


def default_tag(weights: tuple[manifest.PublishedWeights, ...]) -> str:
    """The tag of a model's default weights: the first data set that the manifest has for it."""
    return weights[0].tag.partition(".")[0]


@click.command()
@click.argument("model")
def info(model: str) -> None:
    """Input, parameters, paper and published weights of MODEL."""
    click.echo(cnnzoo.info(model))


@click.command()
@click.argument("a")
@click.argument("b")
def diff(a: str, b: str) -> None:
    """How two models differ: sizes, rows, and layer by layer.

    For example: cnnzoo diff resnet50 resnet50_v1
    """
    for name in (a, b):
        cnnzoo.info(name)  # names are checked before anything slow
    import_keras_quietly()
    from cnnzoo.diff import describe_difference

    click.echo(describe_difference(a, b))


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="NAME[:TAG]...")
@click.option("--all", "every", is_flag=True, help="All weights of each model, not only the default.")
def fetch(models: tuple[str, ...], every: bool) -> None:
    """Download published weights into the cache, for machines and hours without a network.

    A NAME alone means its default weights; cnnzoo info NAME shows all. What cannot be had is reported, the others are
    fetched, and the command exits with 2. CNNZOO_HOME is the cache's folder, CNNZOO_MIRROR another server.
    """
    from cnnzoo.checkpoints.download import fetch

    found, bad = [row for model in models for row in select_weights(model, every)], 0
    for row in found:
        title = f"{row.model}:{row.tag}"
        if not row.url:
            click.echo(f"{title}: comes with the package")
            continue
        try:
            path, sha256 = fetch(row.url, row.file, row.hash, row.bytes)
            click.echo(f"{title}: {path}, {path.stat().st_size:,} bytes, sha256 {sha256}")
        except InputError as error:
            click.echo(f"Error: {title}: {error}", err=True)
            bad += 1
    if bad:
        sys.exit(2)


def select_weights(model: str, every: bool) -> list[manifest.PublishedWeights]:
    """The rows of the manifest that NAME or NAME:TAG means."""
    name, colon, tag = model.partition(":")
    weights = cnnzoo.info(name).weights
    if not weights:
        raise InputError(f"No weights of {name} are published; cnnzoo list --weights shows the models that have some")
    if every:
        chosen = [row for row in weights if row.tag.startswith(tag)]
        return chosen or [manifest.find_weights(name, tag)]
    return [manifest.find_weights(name, tag if colon else default_tag(weights))]


@click.command()
@click.argument("source", metavar="IN")
@click.argument("name")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.safetensors")
@click.option("--preprocessing", default="auto", show_default=True, help="torch, tf, caffe, bvlc, unit or none.")
@click.option("--classes", help="Names of the logits, separated by commas, or a list: imagenet, cifar10, ...")
def convert(source: str, name: str, out: Path, preprocessing: str, classes: str | None) -> None:
    """Read the checkpoint IN (.pth, .h5, .npz, ... or a tag) as the model NAME and write OUT.safetensors.

    The layout of IN is told by the names of its tensors, and every one must find its place. OUT has the names of our
    layers, and a card with the classes and the preprocessing.
    """
    cnnzoo.info(name)
    if out.suffix != ".safetensors":
        raise InputError(f"Weights are saved to a .safetensors file. Received: {str(out)!r}")
    import_keras_quietly()
    weights = Path(source) if Path(source).is_file() else source
    names: Any = classes.split(",") if classes and "," in classes else classes
    model = cnnzoo.get(name, weights=weights, classes=names, preprocessing=preprocessing)
    receipt = cnnzoo.card(model).receipt
    if receipt and receipt.initialised:
        found = cnnzoo.get(name, weights=weights, preprocessing=preprocessing).output_shape[-1]
        why = f"{receipt.initialised[0]} would start anew"
        raise InputError(f"--classes names the {found} logits of {source}, or {why}. Received: {classes}")
    cnnzoo.save_weights(model, out)
    click.echo(f"Written to {out}: {cnnzoo.card(model).receipt}")


def import_keras_quietly() -> None:
    """Import Keras and its backend without TensorFlow's notes on the machine, which no setting stops.

    See https://github.com/tensorflow/tensorflow/issues/100442.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)


COMMANDS = (list_command, info, diff, fetch, convert)
