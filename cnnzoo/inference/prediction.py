"""The prediction for one image."""

from __future__ import annotations

from dataclasses import dataclass

from cnnzoo.core.errors import InputError
from cnnzoo.core.text import escape_controls


@dataclass(frozen=True, repr=False)
class Prediction:
    """The likeliest classes of one image, best first, or the reason why there are none.

    Attributes:
        classes: class names, likeliest first.
        probabilities: the probability of each of these classes.
        ids: ids of the classes, if the model has them: WordNet ids for ImageNet.
        source: the path of the image, or its number in an array or list.
        error: why the image could not be read; empty if it could.

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

    def decoded(self) -> list[tuple[str, str, float]]:
        """Return (id, name, probability) of each class, like `decode_predictions` of `keras.applications`."""
        return list(zip(self.ids or self.classes, self.classes, self.probabilities, strict=True))

    @property
    def label(self) -> str:
        """The likeliest class.

        Raises:
            InputError: if the image could not be read.
        """
        if self.error:
            raise InputError(self.error)
        return self.classes[0]

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        if self.error:
            return f"Error: {escape_controls(self.error)}"
        pairs = zip(self.classes, self.probabilities, strict=True)
        return ", ".join(f"{escape_controls(name)} {100 * p:.1f} %" for name, p in pairs)
