"""The prediction for one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, overload

from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.errors import InputError
from cnnzoo.core.notebook import render_notebook
from cnnzoo.core.numbers import format_probabilities
from cnnzoo.core.text import escape_controls, format_count
from cnnzoo.core.tiles import Tile

if TYPE_CHECKING:
    import numpy as np

MAX_PRINTED = 20  # predictions of a list
MAX_PICTURES = 12  # that a notebook shows of a list


@dataclass(frozen=True, repr=False)
class Prediction(SuggestsAttributes):
    """The likeliest classes of one image, best first, or the reason why there are none.

    Attributes:
        classes: class names, likeliest first.
        probabilities: the probability of each of these classes.
        ids: ids of the classes, if the model has them: WordNet ids for ImageNet.
        source: the path of the image, or its number in an array or list.
        error: why the image could not be read; empty if it could.
        unsure: whether the likeliest class is less probable than the `min_probability` that was asked for.

    Example:
        >>> prediction = cnnzoo.Prediction(("cat", "dog"), (0.9, 0.1), source="photo.jpg")
        >>> prediction.label
        'cat'
        >>> print(prediction)
        cat 90.0 %, dog 10.0 %
    """

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    ids: tuple[str, ...] = ()
    source: str = ""
    error: str = ""
    unsure: bool = False
    _instead_of_items = "The likeliest class is .label; all are .classes, with their .probabilities"
    _pixels: ClassVar[np.ndarray | None] = None  # of an instance: the image as the network gets it, if it is kept

    def keep_pixels(self, pixels: np.ndarray) -> None:
        """Keep a copy of the image (H, W, C), for pictures."""
        object.__setattr__(self, "_pixels", pixels.copy())

    def tile(self) -> Tile:
        """Return the image, if it is kept, with its name and its classes."""
        bars = tuple(zip(self.classes, self.probabilities, strict=True))
        name = f"image {self.source}" if self.source.isdecimal() else self.source
        lines = (*filter(None, [name]), *(["unsure"] if self.unsure else []))
        return Tile(self._pixels, lines, bars, self.error)

    def decoded(self) -> list[tuple[str, str, float]]:
        """Return (id, name, probability) of each class, like `decode_predictions` of `keras.applications`."""
        return list(zip(self.ids or self.classes, self.classes, self.probabilities, strict=True))

    @property
    def label(self) -> str:
        """The likeliest class, also of an answer that is unsure.

        Raises:
            InputError: if the image could not be read.
        """
        if self.error:
            raise InputError(self.error)
        return self.classes[0]

    def _repr_html_(self) -> str:
        """Return the classes as bars, beside the image if it is kept, for a notebook."""
        return render_notebook("Error" if self.error else self.label, tiles=[self.tile()])

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        if self.error:
            return f"Error: {escape_controls(self.error)}"
        pairs = zip(self.classes, format_probabilities(list(map(float, self.probabilities))), strict=True)
        classes = ", ".join(f"{escape_controls(name)} {probability}" for name, probability in pairs)
        return f"unsure: {classes}" if self.unsure else classes


class Predictions(list[Prediction]):
    """A list of predictions, which a notebook shows with pictures."""

    if not TYPE_CHECKING:  # otherwise mypy would take every attribute for one that exists

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError for an attribute that a single prediction may have."""
            problem = f"Predictions has no attribute {name!r}"
            if name.startswith("_"):
                raise AttributeError(problem)
            raise AttributeError(f"{problem}. It is a list with one Prediction for each image: predictions[0].{name}")

    @overload
    def __getitem__(self, index: SupportsIndex) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Predictions: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Prediction | Predictions:
        item = super().__getitem__(index)
        return Predictions(item) if isinstance(item, list) else item

    def __repr__(self) -> str:
        if len(self) <= MAX_PRINTED:
            return super().__repr__()
        shown = ", ".join(map(repr, self[:MAX_PRINTED]))
        return f"[{shown}, ... {len(self) - MAX_PRINTED:,} more]"

    def _repr_html_(self) -> str:
        """Return the first images with their classes as bars, for a notebook."""
        errors = sum(bool(prediction.error) for prediction in self)
        title = f"{format_count(len(self), 'image')}{f', of which {errors:,} cannot be read' if errors else ''}"
        left_out = len(self) - MAX_PICTURES
        notes = [f"{left_out:,} more predictions are not shown."] if left_out > 0 else []
        return render_notebook(title, tiles=[prediction.tile() for prediction in self[:MAX_PICTURES]], notes=notes)
