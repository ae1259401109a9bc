"""Prediction: what is said of one image."""

from dataclasses import dataclass

from cnnzoo.core.errors import InputError


@dataclass(frozen=True, repr=False)
class Prediction:
    """The likeliest classes of one image, best first; or why there are none."""

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    ids: tuple[str, ...] = ()  # of the classes, where they have some: WordNet's, for ImageNet
    source: str = ""  # the path, or the number among arrays
    error: str = ""  # why the image could not be read

    def decoded(self) -> list[tuple[str, str, float]]:
        """(id, name, probability) of each class, as keras.applications' decode_predictions gives them."""
        return list(zip(self.ids or self.classes, self.classes, self.probabilities, strict=True))

    @property
    def label(self) -> str:
        """The likeliest class; raises InputError where the image could not be read."""
        if self.error:
            raise InputError(self.error)
        return self.classes[0]

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        if self.error:
            return f"Error: {self.error}"
        return ", ".join(f"{name} {100 * p:.1f} %" for name, p in zip(self.classes, self.probabilities, strict=True))
