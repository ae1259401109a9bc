"""The command that shows why a model decides as it does."""

from __future__ import annotations

import sys
from pathlib import Path

import cnnzoo
from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_images, check_trained_model, describe_missing, is_model_name, read_card
from cnnzoo.cli.commands import COMMON, Choice
from cnnzoo.cli.complete import complete_files, complete_models
from cnnzoo.cli.declare import CheckedPath, take_options
from cnnzoo.cli.inference import hint_at_class_names, open_classifier
from cnnzoo.cli.options import ALLOW_FAILED, TRAINED_MODEL_OR_EXPORT, TransformOptions
from cnnzoo.cli.output import echo
from cnnzoo.cli.startup import import_keras_quietly
from cnnzoo.core.errors import InputError
from cnnzoo.core.text import escape_controls

METHOD_NAMES = ("gradcam", "gradcam++", "hirescam", "layercam", "scorecam", "occlusion", "integrated_gradients")


@commands.command()
@commands.argument("model", **TRAINED_MODEL_OR_EXPORT)
@commands.argument(
    "images", nargs=-1, required=True, shell_complete=complete_files, help="Image files, folders or patterns."
)
@commands.option(
    "--method",
    type=Choice(METHOD_NAMES, "method"),
    group=COMMON,
    default="gradcam",
    show_default=True,
    help="How maps are made; occlusion also explains exports.",
)
@commands.option(
    "--target",
    multiple=True,
    metavar="CLASS",
    group=COMMON,
    help="Class to explain, by name, id or number; twice: what speaks for the first and not for the second.",
    show_default="the likeliest of each photo",
)
@commands.option(
    "--layer", group=COMMON, help="Layer whose feature maps are used.", show_default="the last one before pooling"
)
@commands.option(
    "--out",
    type=CheckedPath(),
    group=COMMON,
    default=Path("explain.html"),
    show_default=True,
    help="Page (.html) to write.",
)
@take_options(transform_options=TransformOptions)
@commands.option("--allow-failed", **ALLOW_FAILED)
def explain(
    model: str,
    images: tuple[str, ...],
    method: str,
    target: tuple[str, ...],
    layer: str | None,
    out: Path,
    transform_options: TransformOptions,
    allow_failed: bool,
) -> None:
    """Show which parts of IMAGES speak for a class of MODEL.

    The page of --out shows each photo beside its map, with its likeliest classes. Files that cannot be decoded are
    reported, all others are explained, and the command exits with 2.
    """
    from cnnzoo.explain.page import check_page_path

    check_page_path(out)
    if len(target) > 2:
        raise InputError(f"--target is given once, or twice for a contrast. Received: {len(target)} of them")
    wanted = (target[0] if len(target) == 1 else target) if target else None
    check_trained_model(model, images[-1], allow_failed)
    for image in check_images(images):
        echo(f"Error: {describe_missing(image)}", err=True)
    card = read_card(model)
    names = transform_options.classes or (card.classes if card else ())
    if wanted is not None and names:
        from cnnzoo.cards import Card
        from cnnzoo.explain.targets import parse_targets

        # Before Keras is imported
        parse_targets(wanted, Card(card.name if card else model, classes=tuple(names), ids=card.ids if card else ()))

    classifier = open_classifier(model, allow_failed=allow_failed, **transform_options.arguments())
    if hint := hint_at_class_names(model, classifier.card):
        echo(hint, err=True)
    from cnnzoo.explain.explain import compute_explanations
    from cnnzoo.explain.page import write_page

    explanations = compute_explanations(classifier, list(images), method, wanted, layer, verbose=True)
    is_any_explained = any(not explanation.error for explanation in explanations)
    if is_any_explained:
        write_page(explanations, out)
    for explanation in explanations:
        if explanation.error:
            echo(f"Error: {escape_controls(explanation.error)}", err=True)
            continue
        evidence = "" if explanation.evidence else ", no evidence"
        is_contrast = not isinstance(explanation.target, str)
        name = f"{explanation.source}: {explanation.describe_target()}{':' if is_contrast else ''}"
        echo(escape_controls(f"{name} {explanation.describe_score()}{evidence}"))
    if not is_any_explained:  # an earlier page stays
        sys.exit(2)
    layers = f" at {explanations[0].layer}" if explanations[0].layer else ""
    echo(f"Written to {out}: {method}{layers}")
    if any(explanation.error for explanation in explanations):
        sys.exit(2)


@commands.command()
@commands.argument("model", shell_complete=complete_models, help="A run, a .keras file, NAME:TAG, or NAME alone.")
@commands.argument("image", required=False, shell_complete=complete_files, help="An image file.")
@commands.option(
    "--out", type=CheckedPath(), default=Path("filters.html"), show_default=True, help="Page (.html) to write."
)
@commands.option("--allow-failed", **ALLOW_FAILED)
def filters(model: str, image: str | None, out: Path, allow_failed: bool) -> None:
    """Draw what MODEL has learned: kernels and feature maps.

    The page of --out shows the kernels of the first layer and, for IMAGE, the strongest maps of the last layer of each
    stage.
    """
    from cnnzoo.explain.page import check_page_path

    check_page_path(out)
    if not is_model_name(model):
        check_trained_model(model, image or "", allow_failed, takes_exports=False)
    if image is not None:
        check_images([image])
    if is_model_name(model):
        import_keras_quietly()
        from cnnzoo.inference.classifier import Classifier

        classifier = Classifier.of(cnnzoo.get(model))
    else:
        classifier = open_classifier(model, allow_failed=allow_failed)
    from cnnzoo.explain.filters import write_filters

    write_filters(classifier, image, out)
    echo(f"Written to {out}")


COMMANDS = (explain, filters)
