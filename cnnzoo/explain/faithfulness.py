"""Whether maps are faithful: what happens to the probability when the pixels they mark are deleted or inserted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.errors import InputError, check_integer
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.core.numbers import format_share
from cnnzoo.core.progress import show_progress
from cnnzoo.core.tables import format_table
from cnnzoo.core.text import format_count
from cnnzoo.explain.explain import compute_explanations, open_for_explaining
from cnnzoo.explain.explainer import Explainer
from cnnzoo.explain.explanation import Explanation
from cnnzoo.explain.placement import place_map
from cnnzoo.inference.classifier import Classifier
from cnnzoo.surgery.outputs import without_aux_heads

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

STEPS = 20
RANDOM_MAPS = 5  # whose curves are averaged, so that one lucky map does not count
RANDOM_CELLS = 7  # of a side of a random map, which is as smooth as that of a ResNet at 224 pixels
BLUR = 10  # of the image without its details: the standard deviation at 224 pixels


@dataclass(frozen=True, repr=False, eq=False)
class Faithfulness(SuggestsAttributes):
    """How faithful the maps of some images are.

    Curves hold the probability of the explained class, in `steps` equal steps. A faithful map has a low area under the
    curve of deletion and a high one under that of insertion; a random map of the same smoothness is the yardstick.

    Attributes:
        sources: the images (N,).
        targets: the class of each.
        method: the method of the maps.
        deletion: (N, steps + 1), while the pixels that the map marks most are replaced first by those of the blurred
            image, in which nothing new appears as it does with gray.
        insertion: (N, steps + 1), while they are inserted first into the blurred image.
        random_deletion: (N, steps + 1), in the order of a random map: the mean of five.
        random_insertion: (N, steps + 1), in the order of a random map: the mean of five.
        sanity: (N,) rank correlation of each map with that of the same network with randomized weights; None for an
            export. Near 1, the map shows edges of the photo rather than what the network has learned.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> result = cnnzoo.faithfulness(model, cnnzoo.load_data("digits").test.images[:4], verbose=False)
        >>> result.deletion.shape
        (4, 21)
        >>> 0 <= result.deletion_area <= 1
        True
    """

    sources: tuple[str, ...]
    targets: tuple[Any, ...]
    method: str
    deletion: np.ndarray
    insertion: np.ndarray
    random_deletion: np.ndarray
    random_insertion: np.ndarray
    sanity: np.ndarray | None = None

    @property
    def deletion_area(self) -> float:
        """The mean area under the curves of deletion, from 0 to 1; the lower, the better."""
        return float(_areas(self.deletion).mean())

    @property
    def insertion_area(self) -> float:
        """The mean area under the curves of insertion, from 0 to 1; the higher, the better."""
        return float(_areas(self.insertion).mean())

    @property
    def random_deletion_area(self) -> float:
        """The mean area under the curves of deletion by a random map."""
        return float(_areas(self.random_deletion).mean())

    @property
    def random_insertion_area(self) -> float:
        """The mean area under the curves of insertion by a random map."""
        return float(_areas(self.random_insertion).mean())

    @property
    def deletion_wins(self) -> float:
        """The share of images on which deletion by the map lowers the probability faster than by a random map."""
        return float((_areas(self.deletion) < _areas(self.random_deletion)).mean())

    @property
    def insertion_wins(self) -> float:
        """The share of images on which insertion by the map raises the probability faster than by a random map."""
        return float((_areas(self.insertion) > _areas(self.random_insertion)).mean())

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return rows (curve, area of the maps, area of random maps, images on which the map is better) as text."""
        count = len(self.sources)
        return [
            (
                "deletion, lower is better",
                f"{self.deletion_area:.3f}",
                f"{self.random_deletion_area:.3f}",
                format_share(self.deletion_wins, count),
            ),
            (
                "insertion, higher is better",
                f"{self.insertion_area:.3f}",
                f"{self.random_insertion_area:.3f}",
                format_share(self.insertion_wins, count),
            ),
        ]

    @property
    def sanity_summary(self) -> str:
        """A sentence about the maps of randomized weights; "" for an export, which has none."""
        if self.sanity is None:
            return ""
        return f"Rank correlation with the maps of randomized weights: {float(np.mean(self.sanity)):.2f} (0 is best)."

    def __str__(self) -> str:
        title = f"{self.method}, {format_count(len(self.sources), 'image')}"
        table = format_table(("curve", "area", "random map", "better on"), self.rows())
        return "\n".join(filter(None, [title, table, self.sanity_summary]))

    def __repr__(self) -> str:
        return (
            f"<Faithfulness of {self.method} on {format_count(len(self.sources), 'image')}: deletion "
            f"{self.deletion_area:.3f}, insertion {self.insertion_area:.3f}>"
        )

    def _repr_html_(self) -> str:
        """Return the areas for a notebook."""
        table = NotebookTable("Areas", ("curve", "map", "random map", "better on"), self.rows())
        notes = [self.sanity_summary] if self.sanity_summary else []
        return render_notebook(f"Faithfulness of {self.method}", tables=[table], notes=notes)


@check_arguments()
def faithfulness(
    model: keras.Model | Classifier | str | os.PathLike[str],
    images: Any,
    *,
    method: str = "gradcam",
    target: Any = None,
    layer: str | None = None,
    steps: int = STEPS,
    seed: int = 0,
    verbose: bool = True,
) -> Faithfulness:
    """Measure how faithful the maps of `explain` are to a model.

    The pixels that a map marks most are blurred first, or inserted first into a blurred image (Petsiuk et al. 2018,
    arXiv:1806.07421), and the probability of the class is followed. Random maps, and the maps of the same network with
    randomized weights (Adebayo et al. 2018, arXiv:1810.03292), are measured for comparison.

    Args:
        model, images, method, target, layer: as in `explain`.
        steps: number of steps in which the pixels are deleted or inserted.
        seed: of the random maps and the randomized weights.
        verbose: show progress, if it takes more than two seconds.

    Returns:
        The curves of all images and their areas, as `Faithfulness`. Images that cannot be read are left out.

    Raises:
        InputError: as `explain`, and if no image can be read.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> images = cnnzoo.load_data("digits").test.images[:8]
        >>> print(cnnzoo.faithfulness(model, images, method="hirescam"))
        hirescam, 8 images
        ...
        deletion, lower is better ...
    """
    steps, rng = check_integer("steps", steps, 2, 1000), np.random.default_rng(check_integer("seed", seed, 0))
    classifier = open_for_explaining(model)
    explanations = compute_explanations(classifier, images, method, target, layer, verbose)
    readable = [explanation for explanation in explanations if not explanation.error]
    if not readable:
        raise InputError(explanations[0].error if explanations else "No images were given")

    curves = []
    with show_progress("Deleting and inserting pixels", len(readable), "images", verbose) as progress:
        for explanation in progress.track(readable):
            own = _follow(classifier, explanation, _map_of_network(explanation, classifier), steps)
            size = classifier.shape[:2]
            others = [_follow(classifier, explanation, _random_map(size, rng), steps) for _ in range(RANDOM_MAPS)]
            curves.append([own, np.mean(others, axis=0)])
    found = np.array(curves)  # (N, map or random, deletion or insertion, steps + 1)
    sanity = None if classifier.model is None else _compare_with_randomized(classifier, readable, layer, seed)
    return Faithfulness(
        tuple(explanation.source for explanation in readable),
        tuple(explanation.target for explanation in readable),
        method,
        deletion=found[:, 0, 0],
        insertion=found[:, 0, 1],
        random_deletion=found[:, 1, 0],
        random_insertion=found[:, 1, 1],
        sanity=sanity,
    )


def _areas(curves: np.ndarray) -> np.ndarray:
    """Return the area under each curve, over an axis from 0 to 1."""
    return np.asarray((curves[:, 1:] + curves[:, :-1]).mean(axis=1) / 2)


def _map_of_network(explanation: Explanation, classifier: Classifier) -> np.ndarray:
    """Return the map in the pixels of the network's input (height, width), not cut at zero."""
    assert explanation._placement is not None
    height, width, _ = classifier.shape
    box = (0.0, 0.0, float(height), float(width))
    cells = (explanation.raw.shape[0], explanation.raw.shape[1])
    return place_map((height, width), box, (height, width), 0, cells, explanation._strides).resample(explanation.raw)


def _random_map(size: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Return a random map that is as smooth as one of few cells."""
    height, width = size
    box = (0.0, 0.0, float(height), float(width))
    placement = place_map((height, width), box, (height, width), 0, (RANDOM_CELLS, RANDOM_CELLS), None)
    return placement.resample(rng.random((RANDOM_CELLS, RANDOM_CELLS), "float32"))


def _follow(classifier: Classifier, explanation: Explanation, values: np.ndarray, steps: int) -> np.ndarray:
    """Return the probabilities (2, steps + 1) while pixels are deleted, and while they are inserted.

    The pixels with the largest of the values (height, width) come first.
    """
    assert explanation._photo is not None
    image = explanation._photo.pixels
    blurred = _blur(image)
    order = np.argsort(-values, axis=None, kind="stable")
    edges = np.rint(np.linspace(0, order.size, steps + 1)).astype(int)
    is_done = np.zeros((steps + 1, order.size), bool)
    for i, edge in enumerate(edges):
        is_done[i, order[:edge]] = True
    masks = is_done.reshape(steps + 1, *image.shape[:2], 1)
    curves = []
    for first, second in ((blurred, image), (image, blurred)):
        probabilities = classifier.scores(np.where(masks, first, second))
        curves.append(_score_target(probabilities, explanation))
    return np.array(curves)


def _score_target(probabilities: np.ndarray, explanation: Explanation) -> np.ndarray:
    target = explanation._target
    assert target is not None
    return np.array([target.score(row) for row in probabilities])


def _compare_with_randomized(
    classifier: Classifier, explanations: Sequence[Explanation], layer: str | None, seed: int
) -> np.ndarray:
    """Return the rank correlation (N,) of each map with that of a copy of the network whose weights are shuffled."""
    assert classifier.model is not None
    method = explanations[0].method
    model = without_aux_heads(classifier.model)
    copy = cards.with_card(keras.models.clone_model(model), classifier.card)
    rng = np.random.default_rng(seed)
    copy.set_weights([rng.permutation(value.ravel()).reshape(value.shape) for value in model.get_weights()])
    explainer = Explainer(Classifier.of(copy, "auto"), method, layer)
    photos = (explanation._photo for explanation in explanations)
    targets = (explanation._target for explanation in explanations)
    others = explainer.explain(iter(filter(None, photos)), iter(filter(None, targets)))
    return np.array([_rank_correlation(a.raw, b.raw) for a, b in zip(explanations, others, strict=True)])


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation; 0 if one of the maps is constant."""
    a, b = (np.unique(values, return_inverse=True)[1].ravel().astype("float64") for values in (first, second))
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 0.0


def _blur(image: np.ndarray) -> np.ndarray:
    """Return a blurred image (height, width, C)."""
    from PIL import Image, ImageFilter

    radius = BLUR * min(image.shape[:2]) / 224
    planes = [Image.fromarray(np.clip(image[..., i], 0, 255).astype("uint8")) for i in range(image.shape[2])]
    blurred = [np.asarray(plane.filter(ImageFilter.GaussianBlur(radius))) for plane in planes]
    return np.stack(blurred, axis=2).astype(image.dtype)
