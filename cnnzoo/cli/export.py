"""The commands that use a trained model, here and elsewhere."""

import sys
from pathlib import Path
from typing import Any

import click

import cnnzoo
from cnnzoo.cli.data import data_options, load_from_options
from cnnzoo.cli.models import import_keras_quietly

runtime_option = click.option(
    "--runtime", default="auto", show_default=True, help="openvino, onnxruntime, litert or keras; auto: the fastest."
)


@click.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option("--top", type=click.IntRange(1), default=3, show_default=True, help="Classes to show.")
@click.option("--out", type=click.Path(path_type=Path), help="A .csv, .jsonl or .parquet file for the answers.")
@runtime_option
@click.option("--precision", help="float32 or bfloat16; int8 for exports that are.")
@click.option("--batch-size", type=click.IntRange(1), help="Images at a time.")
@click.option("--overwrite", is_flag=True, help="Replace earlier answers.")
def predict(
    model: str,
    images: tuple[str, ...],
    top: int,
    out: Path | None,
    runtime: str,
    precision: str | None,
    batch_size: int | None,
    overwrite: bool,
) -> None:
    """Class names and probabilities of IMAGES by MODEL (a run, a .keras file, an export, or NAME:TAG).

    IMAGES are files, folders or patterns. A file that is no image is reported, the others are answered, and the
    command exits with 2. With --out it says how many there were, and the same command goes on after a stop.
    """
    classifier = open_classifier(model, runtime, precision)
    size: Any = batch_size or "auto"
    if out:
        done = classifier.predict_to(out, list(images), top, size, overwrite=overwrite)
        click.echo(f"{done.images:,} images, {done.errors:,} of them unreadable; written to {done.path}")
        bad = done.errors
    else:
        bad = 0
        for prediction in classifier.stream(list(images), top, size):
            bad += bool(prediction.error)
            click.echo(
                str(prediction) if prediction.error else f"{prediction.source}: {prediction}",
                err=bool(prediction.error),
            )
    if bad:
        sys.exit(2)


@click.command()
@click.argument("model")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--format", default="saved_model", show_default=True, help="saved_model, litert, onnx or openvino.")
@click.option("--precision", default="float32", show_default=True, help="float32, float16 or int8.")
@click.option("--data", help="Images to calibrate int8 with and to compare on: as train takes them.")
@data_options
@click.option("--max-drop", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="Of accuracy, by int8.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
def export(
    model: str,
    out: Path,
    format: str,
    precision: str,
    data: str | None,
    max_drop: float,
    overwrite: bool,
    **options: Any,
) -> None:
    """Export MODEL (a run, a .keras file, or NAME:TAG) to the folder OUT, compared before it is called done."""
    from cnnzoo.export.export import check_request

    check_request(format, precision, out, overwrite, data is not None)  # before anything slow
    images = load_from_options(data, **options) if data else None
    import_keras_quietly()
    done = cnnzoo.export(
        get_by_tag(model) or model,
        out,
        format,
        precision=precision,
        data=images,
        max_drop=max_drop,
        overwrite=overwrite,
    )
    click.echo(f"Written to {out}; its probabilities are within {done.difference:.1g} of the model's")
    if done.accuracy is not None and done.before is not None:
        click.echo(f"Accuracy on validation: {100 * done.before:.2f} % before, {100 * done.accuracy:.2f} % now")


def open_classifier(model: str, runtime: str = "auto", precision: str | None = None) -> Any:
    """The classifier at a path, or NAME:TAG, a model with published weights."""
    if not Path(model, "cnnzoo.json").exists():  # an export may need no Keras
        import_keras_quietly()
    if network := get_by_tag(model):
        from cnnzoo.inference.classifier import Classifier

        return Classifier.of(network, runtime, precision)
    return cnnzoo.load(model, runtime, precision)


def get_by_tag(model: str) -> Any:
    """The model of NAME:TAG, or None where that is a path."""
    name, colon, tag = model.partition(":")
    return cnnzoo.get(name, weights=tag) if colon and not Path(model).exists() else None


COMMANDS = (predict, export)
