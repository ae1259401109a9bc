"""load: one interface over a run, a .keras file and every export."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.data.arrays import check_images
from cnnzoo.data.decode import decode
from cnnzoo.data.transform import Transform, transform
from cnnzoo.errors import InputError
from cnnzoo.evaluation.predict import classifier, functional, probabilities
from cnnzoo.export import saved_model


@dataclass(frozen=True, repr=False)
class Prediction:
    """The likeliest classes of one image, best first."""

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    ids: tuple[str, ...] = ()  # of the classes, where they have some: WordNet's, for ImageNet

    def decoded(self) -> list[tuple[str, str, float]]:
        """(id, name, probability) of each class, as keras.applications' decode_predictions gives them."""
        return list(zip(self.ids or self.classes, self.classes, self.probabilities, strict=True))

    @property
    def label(self) -> str:
        return self.classes[0]

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return ", ".join(f"{name} {100 * p:.1f} %" for name, p in zip(self.classes, self.probabilities, strict=True))


class Classifier:
    """Images in, class names and probabilities out, wherever the model comes from."""

    def __init__(
        self, card: cards.Card, shape: Sequence[int], run: Callable[[np.ndarray], np.ndarray], model: Any = None
    ):
        self.card, self.shape, self.model, self._run = card, tuple(shape), model, run

    @classmethod
    def of(cls, model: Any) -> "Classifier":
        """Over a Keras model; raises InputError where it is no classifier of images of a fixed size."""
        model = classifier(functional(model))
        card, shape = cards.card(model), model.input_shape[1:]
        if (
            len(model.output_shape) != 2
            or len(card.classes) != model.output_shape[1]
            or len(shape) != 3
            or None in shape
        ):
            raise InputError(
                f"{model.name} is no image classifier of a fixed input size: it takes {model.input_shape} "
                f"and gives {model.output_shape}"
            )
        fit = transform(model)
        return cls(card, shape, lambda images: probabilities(model, fit(images)), model)

    def __repr__(self) -> str:
        return f"<Classifier {self.card.name}: {'x'.join(map(str, self.shape))} to {len(self.classes)} classes>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names, in the order of the probabilities."""
        return self.card.classes

    def _file(self, path: Any) -> np.ndarray:
        """A file's pixels, transformed exactly where nothing is done to them afterwards."""
        if self.card.pad or None in self.shape:
            return decode(path, self.shape[2])
        return Transform((self.shape[0], self.shape[1]), self.shape[2], **self.card.evaluation).one(path)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, classes) of images (N, H, W, C) of 0 to 255, of any size."""
        return self._run(images)

    def predict(self, images: Any, top: int = 5) -> list[Prediction]:
        """The `top` likeliest classes of each image.

        Args:
            images: paths of image files (a list, or one), or an array (N, H, W) or (N, H, W, C) of 0 to 255.
            top: how many classes to give.

        Raises:
            InputError: for a file that is missing or no image, or an array that is no batch of images.
        """
        if top < 1:
            raise InputError(f"top is a number above 0. Received: {top}")
        if isinstance(images, (str, Path)):
            images = [images]
        if isinstance(images, (list, tuple)) and all(isinstance(image, (str, Path)) for image in images):
            batches = [self._file(path)[None] for path in images]
        else:
            checked = check_images(images)
            batches = [checked[i : i + 256] for i in range(0, len(checked), 256)]
        scores = [row for batch in batches for row in self.probabilities(batch)]
        best = [np.argsort(-row, kind="stable")[:top] for row in scores]
        ids = self.card.ids
        return [
            Prediction(
                tuple(self.classes[i] for i in order),
                tuple(float(row[i]) for i in order),
                tuple(ids[i] for i in order) if ids else (),
            )
            for row, order in zip(scores, best, strict=True)
        ]


def load(path: Any) -> Classifier:
    """The classifier in a run directory, a .keras file or an export; raises InputError where there is none."""
    path = Path(path)
    if (path / saved_model.CARD).exists():
        card = cards.Card.read(path / saved_model.CARD)
        try:
            run, shape = saved_model.read(path)
        except Exception as error:  # TensorFlow raises whatever a torn file makes it raise
            raise InputError(f"Cannot load the export {str(path)!r}: {error}") from None
        return Classifier(card, shape, run)
    file = path / "model.keras" if path.is_dir() else path
    if path.is_dir() and (path / "run.json").exists() and not file.exists():
        raise InputError(f"The run in {path} is not finished; train again with --resume")
    if file.suffix != ".keras" or not file.exists():
        raise InputError(f"A run directory, a .keras file or an export is loaded; there is none at {str(path)!r}")
    return Classifier.of(load_keras(file))


def load_keras(file: Path) -> Any:
    """The Keras model of a .keras file with the card that lies beside it."""
    import keras

    import cnnzoo.layers  # noqa: F401  # registers the layers that a file may name

    try:
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises whatever the zip, the JSON or the layers in it make it raise
        raise InputError(f"Cannot load {str(file)!r}: {error}") from None
    beside = cards.beside(file)
    return cards.attach(model, cards.Card.read(beside)) if beside.exists() else model
