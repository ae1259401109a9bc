"""The commands that use a trained model: predict and evaluate."""

from __future__ import annotations

import json
import os
import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.checks import (
    check_has_min_probability,
    check_images,
    check_out_folder,
    check_source,
    check_trained_model,
    describe_missing,
)
from cnnzoo.cli.commands import COMMON, MACHINE, Choice
from cnnzoo.cli.complete import complete_files
from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.options import (
    ALLOW_FAILED,
    INTERPOLATION,
    JSON,
    PRECISION,
    RUNTIME,
    SOURCE,
    SPLITS,
    TARGET_ACCURACY,
    TRAINED_MODEL_OR_EXPORT,
    DataOptions,
    TransformOptions,
)
from cnnzoo.cli.output import echo
from cnnzoo.cli.own_data import load_evaluation_data
from cnnzoo.cli.startup import import_keras_quietly, join_processes
from cnnzoo.cli.values import parse_min_probability
from cnnzoo.core.errors import InputError
from cnnzoo.core.paths import path_exists
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import escape_controls, format_count
from cnnzoo.inference.runs import MODEL_FILE, RECORD_FILE, find_winner

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from cnnzoo.cards import Card
    from cnnzoo.inference.classifier import Classifier
    from cnnzoo.inference.prediction import Prediction


@commands.command()
@commands.argument("model", **TRAINED_MODEL_OR_EXPORT)
@commands.argument("data", **SOURCE)
@commands.option(
    "--split",
    type=Choice(SPLITS, "split"),
    group=COMMON,
    help="What to evaluate on.",
    show_default="all of DATA, or its test part; of a run's own data, the test split of the run",
)
@take_options(data_options=DataOptions)
@commands.option("--interpolation", **INTERPOLATION)
@commands.option("--target-accuracy", **TARGET_ACCURACY, group=COMMON)
@commands.option("--out", type=CheckedPath(), group=COMMON, help="Folder to write the report to.")
@commands.option(
    "--maps/--no-maps",
    "maps",
    default=None,
    group=COMMON,
    help="Show in report.html what speaks for the class of each mistake / do not.",
    show_default="if it takes a few seconds",
)
@commands.option("--json", "as_json", **JSON, group=COMMON)
@commands.option("--allow-failed", **ALLOW_FAILED)
def evaluate(
    model: str,
    data: str,
    split: str | None,
    data_options: DataOptions,
    interpolation: str,
    target_accuracy: float | None,
    out: Path | None,
    maps: bool | None,
    as_json: bool,
    allow_failed: bool,
) -> None:
    """Evaluate MODEL on DATA.

    An export itself is measured, in its precision and on the runtime of its format. All of DATA is evaluated, or its
    test part if it has one. Classes that are missing in DATA, images of other classes, and images that the model was
    trained on are reported.
    With --splits or --seed, DATA is divided as in a training, and --split names the part to evaluate.

    --json prints what report.json holds: model, data, split, classes, metrics, notes, ...
    """
    check_trained_model(model, data, allow_failed)
    is_first = join_processes()
    if is_first:
        check_out_folder(out)
    check_source(data)

    from cnnzoo.evaluation.evaluations import evaluation_of
    from cnnzoo.inference.exported import runtime_to_measure

    changes: dict[str, Any] = {"crop": data_options.crop, "interpolation": interpolation, "pad": data_options.pad}
    classifier = open_classifier(model, runtime_to_measure(model), allow_failed=allow_failed, **changes)
    images, split = load_evaluation_data(classifier.card, data, split, data_options)
    network = classifier if classifier.model is None else classifier.model  # an export itself is measured
    with warnings.catch_warnings(), evaluation_of(model):
        warnings.filterwarnings("ignore", "(?s).* training images of ")  # the report says so
        # Without --out there is no page to show them on
        wanted = bool(out) and ("auto" if maps is None else maps)
        report = cnnzoo.evaluate(network, images, split=split, target_accuracy=target_accuracy, maps=wanted)
    if out and is_first:
        from cnnzoo.evaluation.report import REPORT_FILES

        with show_progress("Writing the report"):
            report.save(out)
        echo(f"Written to {out}: {', '.join(REPORT_FILES)}", err=as_json)
    echo(report.to_json().rstrip() if as_json else report)


@commands.command()
@commands.argument("model", **TRAINED_MODEL_OR_EXPORT)
@commands.argument(
    "images",
    nargs=-1,
    required=True,
    shell_complete=complete_files,
    help="Files, folders, patterns, as in 'photos/cat*.jpg', or lists of paths: .txt, .csv, .jsonl, .parquet.",
)
@commands.option(
    "--top",
    type=click.IntRange(1),
    group=COMMON,
    default=3,
    show_default=True,
    help="Number of classes to show.",
)
@commands.option("--out", type=CheckedPath(), group=COMMON, help="File for the predictions: .csv, .jsonl or .parquet.")
@commands.option(
    "--shard",
    group=COMMON,
    metavar="N/COUNT|auto",
    help="Predict one share of the images, as in 3/16; auto takes it from Slurm, Open MPI, ..., and auto/16 the index "
    "from Kubernetes. `cnnzoo merge` joins the shares.",
)
@commands.option(
    "--min-probability",
    callback=parse_min_probability,
    group=COMMON,
    metavar="NUMBER|auto",
    help="Mark answers as unsure whose probability is lower; auto is what was chosen with --target-accuracy.",
)
@commands.option("--json", "as_json", **JSON, group=COMMON)
@commands.option("--runtime", **RUNTIME)
@commands.option("--precision", **PRECISION)
@take_options(transform_options=TransformOptions)
@commands.option("--batch-size", type=click.IntRange(1), group=MACHINE, help="Images per batch.", show_default="auto")
@commands.option("--overwrite", is_flag=True, group=COMMON, help="Replace earlier predictions in the file.")
@commands.option("--allow-failed", **ALLOW_FAILED)
def predict(
    model: str,
    images: tuple[str, ...],
    top: int,
    out: Path | None,
    shard: str | None,
    min_probability: float | str | None,
    as_json: bool,
    runtime: str,
    precision: str | None,
    transform_options: TransformOptions,
    batch_size: int | None,
    overwrite: bool,
    allow_failed: bool,
) -> None:
    """Classify IMAGES with MODEL.

    The command prints the most probable classes of each image. Files that cannot be decoded are reported, all others
    are classified, and the command exits with 2. Documents and tables in a folder, such as notes.txt, are left out.
    With --out, the command prints only the number of images; after an interruption, repeat it to continue. With
    --shard, it writes to the folder OUT.shards, and exits with 0 once the share is complete.

    --json prints one object per line: path, error, and classes, a list of {"class", "probability"}, likeliest first;
    with --min-probability also unsure.
    """
    missing = check_prediction(model, images, out, overwrite, runtime, precision, allow_failed, shard)
    share = find_shard(shard)
    if min_probability == "auto":
        check_has_min_probability(model)
    if missing and not out and not as_json:
        for image in missing:  # at once, and not again
            echo(f"Error: {describe_missing(image)}", err=True)

    changes = transform_options.arguments()
    classifier = open_classifier(model, runtime, precision, allow_failed=allow_failed, **changes)
    if hint := hint_at_class_names(model, classifier.card):
        echo(hint, err=True)
    size: int | str = batch_size or "auto"
    error_count, marks_unsure = 0, min_probability is not None
    if out:
        result = classifier.predict_to(
            out,
            list(images),
            top,
            size,
            overwrite=overwrite,
            min_probability=min_probability,
            shard=share,
        )
        unreadable = f", {result.errors:,} of them unreadable" if result.errors else ""
        unsure = f", {result.unsure:,} unsure" if marks_unsure else ""
        summary = {"images": result.images, "errors": result.errors, "path": str(result.path)}
        summary |= {"unsure": result.unsure} if marks_unsure else {}
        summary |= {"shard": share} if share else {}
        text = f"{format_count(result.images, 'image')}{unreadable}{unsure}; written to {result.path}"
        echo(json.dumps(summary) if as_json else text)
        if share and not as_json:
            echo(f"When all shards are complete: cnnzoo merge {shlex.quote(str(out))}", err=True)
        error_count = result.errors
    else:
        image_count = unsure_count = 0
        stream = classifier.stream(list(images), top, size, min_probability=min_probability, verbose=True)
        for prediction in stream:
            image_count, unsure_count = image_count + 1, unsure_count + prediction.unsure
            error_count += bool(prediction.error)
            if as_json:
                echo(json.dumps(prediction_to_json(prediction, marks_unsure), ensure_ascii=False))
            elif prediction.error:
                if prediction.source not in missing:
                    echo(prediction, err=True)
            else:
                echo(f"{escape_controls(prediction.source)}: {prediction}")
        answered_count = image_count - error_count
        if marks_unsure and not as_json and answered_count > 1:
            echo(f"{unsure_count:,} of {answered_count:,} images {'is' if unsure_count == 1 else 'are'} unsure")
        if error_count and not as_json and image_count > 1:
            echo(f"{error_count:,} of {image_count:,} images could not be read", err=True)
    if error_count and not share:  # a batch system would repeat the shard
        sys.exit(2)


def prediction_to_json(prediction: Prediction, marks_unsure: bool = False) -> dict[str, Any]:
    """Return a prediction as `predict --json` prints it."""
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    return {
        "path": prediction.source,
        "error": prediction.error or None,
        **({"unsure": prediction.unsure} if marks_unsure else {}),
        "classes": [{"class": name, "probability": float(probability)} for name, probability in pairs],
    }


def check_prediction(
    model: str,
    images: Sequence[str],
    out: Path | None,
    overwrite: bool,
    runtime: str,
    precision: str | None,
    allow_failed: bool,
    shard: str | None,
) -> list[str]:
    """Check the options of `predict` without Keras, and return which of the images do not exist."""
    check_trained_model(model, images[-1], allow_failed)
    if shard is not None:
        from cnnzoo.inference.shard_files import check_shard_file
        from cnnzoo.inference.shards import parse_shard

        share = parse_shard(shard)
        if out is None:
            raise InputError(f"--shard {shard} needs --out, the file that `cnnzoo merge` writes in the end")
        check_shard_file(out, share, overwrite)
    elif out:
        from cnnzoo.inference.answers import check_predictions_file

        check_predictions_file(out, overwrite)
    is_export = path_exists(os.path.join(model, "cnnzoo.json"))  # noqa: PTH118  # takes any text
    if (runtime, precision) != ("auto", None) and not is_export:
        from cnnzoo.runtimes.choose import RUNTIMES, choose_runtime

        choose_runtime(runtime, precision, tuple(RUNTIMES))
    return check_images(images)


def find_shard(shard: str | None) -> str | None:
    """Return the shard of --shard, and say where it comes from if that is the environment."""
    if shard is None:
        return None
    from cnnzoo.inference.shards import parse_shard

    share = parse_shard(shard)
    if share.origin:
        echo(f"This process predicts {share.describe()}", err=True)
    return str(share)


def open_classifier(
    model: str, runtime: str = "auto", precision: str | None = None, allow_failed: bool = False, **changes: Any
) -> Classifier:
    """Return the classifier of a run, a file or an export, or of NAME:TAG with published weights.

    `changes` are class names and transform as in `cnnzoo.load`, in place of those of the model's card.
    """
    if not path_exists(os.path.join(model, "cnnzoo.json")):  # noqa: PTH118  # An export may not need Keras.
        import_keras_quietly()
    if winner := find_winner_of_search(model):
        echo(f"{model} is a search; the best model of it is used: {winner}", err=True)
    if network := get_by_tag(model):
        from cnnzoo.inference.classifier import Classifier

        return Classifier.of(network, runtime, precision, **changes)
    return cnnzoo.load(model, runtime, precision, allow_failed=allow_failed, **changes)


def hint_at_class_names(model: str, card: Card) -> str:
    """Return how to name the classes of a user's own checkpoint that only numbers them; "" for any other model."""
    from cnnzoo.cards import default_class_names
    from cnnzoo.checkpoints import manifest

    count = len(card.classes)
    is_own_file = ":" in model and not path_exists(model) and not (card.weights or {}).get("tag")
    if not is_own_file or card.training or card.classes != default_class_names(count):
        return ""
    lists = [name for name in manifest.list_class_lists() if len(manifest.load_class_names(name)) == count]
    names = ", ".join(f"--classes {name}" for name in (*lists, "names.txt"))
    return f"Note: the file does not name its {count:,} classes, so they are numbers. Names: {names}"


def find_winner_of_search(model: str) -> Path | None:
    """Return the run of the best recipe, if `model` is the folder of a finished search."""
    folder = Path(model)
    if not path_exists(folder / RECORD_FILE) or path_exists(folder / MODEL_FILE):
        return None
    return find_winner(folder)


def get_by_tag(model: str) -> keras.Model | None:
    """Return the model of NAME:TAG or NAME:FILE, or None if `model` is a path."""
    name, colon, tag = model.partition(":")
    return cnnzoo.get(name, weights=tag) if colon and not path_exists(model) else None


COMMANDS = (evaluate, predict)
