"""The public `explain`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_count
from cnnzoo.core.warn import warn_caller
from cnnzoo.explain.explainer import Explainer
from cnnzoo.explain.explanation import Explanation, Explanations
from cnnzoo.explain.photos import Photo, iter_photos
from cnnzoo.explain.targets import Target, parse_targets
from cnnzoo.inference import inputs
from cnnzoo.inference.classifier import Classifier
from cnnzoo.inference.load import load
from cnnzoo.inference.sources import unify_images

if TYPE_CHECKING:
    import keras


@check_arguments()
def explain(
    model: keras.Model | Classifier | str | os.PathLike[str],
    images: Any,
    *,
    method: str = "gradcam",
    target: Any = None,
    layer: str | None = None,
    verbose: bool = True,
) -> list[Explanation]:
    """Show which parts of images speak for a class.

    Class activation maps, such as Grad-CAM, weight the feature maps of one layer, and cost about one prediction.
    "scorecam" and "occlusion" cost hundreds of predictions for each image, and "integrated_gradients" 64 times a
    forward and a backward pass.

    Args:
        model: a Keras model, a classifier, the folder of a run, a .keras file or the folder of an export. An export has
            no gradients and no layers, so that "occlusion" alone explains it, with the fastest runtime.
        images: as `Classifier.predict` takes them: paths, folders, patterns, bytes, Pillow images, arrays.
        method: "gradcam", "gradcam++", "hirescam", "layercam", "scorecam", "occlusion" or "integrated_gradients".
        target: the class to explain, by its name, its id or its number; by default the likeliest of each image. Two
            classes in a tuple, such as ("ant", "bee"), ask what speaks for the first rather than the second. A list
            has one target for each image.
        layer: name of the layer whose feature maps are used; by default the last one before pooling whose maps are
            larger than 3x3. `Explanation.layer` states it.
        verbose: show progress, if it takes more than two seconds.

    Returns:
        One `Explanation` per image. If several images are given, those that cannot be read have an `error`, and a
        warning gives their number.

    Raises:
        InputError: for an unknown method, class or layer, a layer without spatial extent, a method that the model
            does not allow, an array that is no batch of images, or if a single image cannot be read.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> images = cnnzoo.load_data("digits").test.images[:2]
        >>> explanations = cnnzoo.explain(model, images, target=("4", "9"))
        >>> explanations[0].target, explanations[0].layer, explanations[0].map.shape
        (('4', '9'), 'c3', (8, 8))
        >>> cnnzoo.explain(model, images, method="grad-cam")
        Traceback (most recent call last):
        ...
        cnnzoo.core.errors.InputError: Unknown method. Did you mean gradcam ...? Allowed: ... Received: 'grad-cam'
    """
    images = unify_images(images)
    explanations = compute_explanations(open_for_explaining(model), images, method, target, layer, verbose)
    unreadable = [explanation for explanation in explanations if explanation.error]
    if unreadable and inputs.is_single_image(images):
        raise InputError(unreadable[0].error)
    if unreadable:
        warn_caller(f"{len(unreadable)} of {len(explanations)} images cannot be read. The first: {unreadable[0].error}")
    return explanations


def compute_explanations(
    classifier: Classifier, images: Any, method: str, target: Any, layer: str | None, verbose: bool
) -> Explanations:
    """Return the explanations of images, without a warning of those that cannot be read; arguments as in `explain`."""
    explainer = Explainer(classifier, method, layer)
    targets = parse_targets(target, classifier.card)
    images = unify_images(images)
    count = inputs.find_count(images)
    check_target_count(targets, count)

    photos = iter_photos(images, classifier.transform)
    with show_progress("Explaining the predictions", count, "images", verbose and count != 1) as progress:
        return Explanations(progress.track(explainer.explain(*pair_with_targets(photos, targets))))


def open_for_explaining(model: Any) -> Classifier:
    """Return the classifier of what `explain` takes as a model."""
    if isinstance(model, Classifier):
        return model
    if isinstance(model, str | os.PathLike):
        return load(model)
    return Classifier.of(model)


def check_target_count(targets: Target | list[Target], count: int | None) -> None:
    """Raise InputError if there are more or fewer targets than images."""
    if isinstance(targets, list) and count is not None and len(targets) != count:
        raise InputError(
            f"A list of targets has one for each image: {format_count(count, 'image')}. Received: "
            f"{format_count(len(targets), 'target')}. Two classes in a tuple are a contrast"
        )


def pair_with_targets(
    photos: Iterator[Photo], targets: Target | list[Target]
) -> tuple[Iterator[Photo], Iterator[Target]]:
    """Return the photos and the target of each.

    Raises:
        InputError: while iterating, if a list of targets and the images differ in number.
    """
    if isinstance(targets, Target):
        return photos, itertools.repeat(targets)
    target_list = targets

    def check() -> Iterator[Photo]:
        number = 0
        for number, photo in enumerate(photos, 1):
            if number > len(target_list):
                raise InputError(f"There are more images than targets. Received: {len(target_list)} targets")
            yield photo
        check_target_count(target_list, number)

    return check(), itertools.chain(target_list, itertools.repeat(Target()))
