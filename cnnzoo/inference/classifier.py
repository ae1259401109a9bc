"""Classifier: one interface over a run, a .keras file and every export, by whatever runtime is fastest."""

import hashlib
import itertools
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo import cards
from cnnzoo.core.errors import InputError, Interrupted, check_integer
from cnnzoo.data.checks import check_images
from cnnzoo.data.transform import Transform
from cnnzoo.inference import answers, inputs
from cnnzoo.inference.prediction import Prediction
from cnnzoo.runtimes import choose, keras
from cnnzoo.surgery.outputs import as_functional, output_activation, without_aux_heads

MAX_BATCH_VALUES = 32 * 224 * 224 * 3  # of a batch, where the caller does not say: throughput grows no more beyond
MAX_BATCH_SIZE = 256  # images of a batch
Batch = tuple[list[str], np.ndarray, dict[int, str]]  # names, images, and why those that are black cannot be read


class Classifier:
    """Images in, class names and probabilities out, wherever the model comes from."""

    def __init__(
        self,
        card: cards.Card,
        shape: Sequence[int],
        make: Callable[[], choose.RunFunction],
        runtime: str,
        precision: str,
        model: Any = None,
        origin: str = "",
    ) -> None:
        """`make` gives the function from images (N, *shape) to probabilities, when it is first wanted."""
        height, width, channels = shape
        self.card, self.shape, self.model = card, (height, width, channels), model
        self.runtime, self.precision = runtime, precision
        self._make, self._origin = make, origin
        self._run: choose.RunFunction | None = None
        self._one = threading.Lock()
        self.transform = Transform((height, width), channels, **card.evaluation_transform, pad=card.pad)

    @classmethod
    def of(cls, model: Any, runtime: str = "auto", precision: str | None = None) -> "Classifier":
        """Over a Keras model; raises InputError where it is no classifier of images of a fixed size."""
        model = without_aux_heads(as_functional(model))
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
        last = output_activation(model)
        if model.output_shape[1] < 2 or last == "sigmoid":
            raise InputError(
                f"{model.name} gives {model.output_shape[1]} numbers by {last or 'its last layer'}, which are no "
                "probabilities of two or more classes of which one is right: it has to end in logits or a softmax"
            )
        chosen = choose.choose_runtime(runtime, precision, keras.model_openers())

        def make() -> choose.RunFunction:
            try:
                return chosen.open(model, chosen.precision)
            except ImportError:
                raise
            except Exception as error:  # converters raise whatever a layer that they do not know makes them raise
                told = f"{chosen.name} cannot run {model.name}: {error}"
                if runtime != "auto" or chosen.precision != "float32" or chosen.name == "keras":
                    raise InputError(told) from error
                warnings.warn(f"{told}; Keras does", stacklevel=2)
                made.runtime = "keras"
                return keras.open_keras(model, chosen.precision)

        made = cls(card, shape, make, chosen.name, chosen.precision, model)
        return made

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"<Classifier {self.card.name}: {size} to {len(self.classes)} classes, {self.runtime} {self.precision}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names, in the order of the probabilities."""
        return self.card.classes

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, classes) of images (N, H, W, C) of 0 to 255, of any size."""
        return self.scores(self.transform.transform_arrays(np.asarray(images)))

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, classes) of images (N, height, width, channels) as the network takes them."""
        with self._one:  # most runtimes answer one caller at a time
            if self._run is None:
                self._run = self._make()
            found = self._run(images)
        if found.shape != (len(images), len(self.classes)):
            raise InputError(f"{self.card.name} has {len(self.classes)} classes, but gives {found.shape} scores")
        return found

    def origin(self) -> str:
        """What tells this model from another of the same name: a digest of its weights, or where the export lies."""
        if self.model is None:
            return self._origin
        digest = hashlib.sha256()
        for value in self.model.get_weights():
            digest.update(np.ascontiguousarray(value).data)
        return digest.hexdigest()

    def predict(self, images: Any, top: int = 5, batch_size: int | str = "auto") -> list[Prediction]:
        """The `top` likeliest classes of each image.

        Args:
            images: paths of files, folders or patterns such as "photos/*.jpg" (a list, or one), the bytes of files, or
                an array (N, H, W) or (N, H, W, C) of 0 to 255.
            top: how many classes to give.
            batch_size: images at a time; by default as many as make the machine busy.

        Raises:
            InputError: for an array that is no batch of images, and where the one image asked about cannot be read. Of
                several, those that cannot are answered with their `error`, and a warning says how many.
        """
        found = list(self.stream(images, top, batch_size))
        bad = [prediction for prediction in found if prediction.error]
        if bad and inputs.is_single_image(images):
            raise InputError(bad[0].error)
        if bad:
            warnings.warn(f"{len(bad)} of {len(found)} images cannot be read. The first: {bad[0].error}", stacklevel=2)
        return found

    def stream(self, images: Any, top: int = 5, batch_size: int | str = "auto") -> Iterator[Prediction]:
        """As `predict`, one after the other, for any number of images: few are held at a time."""
        top, size = self._sizes(top, batch_size)
        arrays = isinstance(images, np.ndarray)
        return self._stream(
            self._arrays(images, size) if arrays else self._files(inputs.iter_images(images), size), top
        )

    def _sizes(self, top: int, batch_size: int | str) -> tuple[int, int]:
        top = min(check_integer("top", top, 1), len(self.classes))
        if batch_size == "auto":
            return top, max(1, min(MAX_BATCH_SIZE, MAX_BATCH_VALUES // int(np.prod(self.shape))))
        return top, check_integer("batch_size", batch_size, 1)

    def _stream(self, batches: Iterator[Batch], top: int) -> Iterator[Prediction]:
        return itertools.chain.from_iterable(self._answered(*batch, top) for batch in batches)

    def predict_to(
        self,
        path: Any,
        images: Any,
        top: int = 5,
        batch_size: int | str = "auto",
        *,
        overwrite: bool = False,
        verbose: bool = True,
    ) -> answers.WriteResult:
        """Predictions to a file, .csv, .jsonl or .parquet (a folder of parts), as they come, with their progress.

        The same call goes on with what was stopped. Images that cannot be read have their error in their row.

        Raises:
            InputError: for a file that is there, or was begun with another model or images.
        """
        if isinstance(images, Iterator):
            images = list(images)  # they are gone through again after a stop
        top, size = self._sizes(top, batch_size)
        if not sum(1 for _ in inputs.iter_images(images)):  # and nothing is wrong with any of them
            raise InputError("No images were given")
        plan = {
            "model": self.card.to_json(),
            "precision": self.precision,
            "top": top,
            "images": inputs.describe_images(images),
        }
        plan["weights"] = self.origin()
        out = answers.PredictionWriter(path, plan, overwrite)
        try:
            found = self._stream(self._files(out.rest(lambda: inputs.iter_images(images)), size), top)
            if verbose:
                found = inputs.track_progress(found, sum(1 for _ in out.rest(lambda: inputs.iter_images(images))))
            return out.write(found, top)
        except KeyboardInterrupt:
            told = f"Stopped; {out.kept:,} answers are kept in {out.path}. The same call or command goes on with them"
            raise Interrupted(told) from None
        finally:
            out.close()

    def _arrays(self, images: np.ndarray, size: int) -> Iterator[Batch]:
        if images.ndim == 3 and images.shape[2] == 3:
            raise InputError(
                f"An array holds several images, (N, H, W, C) or (N, H, W); image[None] does. Received: {images.shape}"
            )
        checked = check_images(images)
        for start in range(0, len(checked), size):
            pixels = self.transform.transform_arrays(checked[start : start + size])
            yield [str(start + i) for i in range(len(pixels))], pixels, {}

    def _files(self, items: Iterator[tuple[str, Any]], size: int) -> Iterator[Batch]:
        """Batches of names, images, black where one cannot be read, and the reasons; read ahead by threads."""

        def read(item: tuple[str, Any]) -> tuple[str, Any, str]:
            try:
                return item[0], self.transform(item[1]), ""
            except InputError as error:
                return item[0], np.zeros(self.shape, "uint8"), str(error)

        pictures = inputs.prefetch(read, items, 2 * size)
        while some := list(itertools.islice(pictures, size)):
            errors = {i: error for i, (_, _, error) in enumerate(some) if error}
            yield [name for name, _, _ in some], np.stack([pixels for _, pixels, _ in some]), errors

    def _answered(self, names: list[str], pixels: np.ndarray, errors: dict[int, str], top: int) -> list[Prediction]:
        if len(errors) == len(names):
            return [Prediction((), (), source=name, error=errors[i]) for i, name in enumerate(names)]
        scores, found, ids = self.scores(pixels), [], self.card.ids
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        for i, (name, row, order) in enumerate(zip(names, scores, best, strict=True)):
            if i in errors:
                found.append(Prediction((), (), source=name, error=errors[i]))
                continue
            classes = tuple(self.classes[j] for j in order)
            found.append(
                Prediction(classes, tuple(row[order].tolist()), tuple(ids[j] for j in order) if ids else (), name)
            )
        return found


def load(path: Any, runtime: str = "auto", precision: str | None = None) -> Classifier:
    """The classifier in a run directory, a .keras file or an export.

    Args:
        path: where it is.
        runtime: "keras" (TensorFlow, for a SavedModel), "openvino", "onnxruntime" or "litert"; "auto" takes the
            fastest that is installed and can read what is there.
        precision: "float32", "bfloat16" (OpenVINO, on processors that have it), or "int8", for an export that is. By
            default that of the export, and float32 of models.

    Raises:
        InputError: where there is nothing to load, or the runtime cannot run it.
    """
    from cnnzoo.export.export import read_export

    path = Path(path)
    if found := read_export(path):
        return found.classifier(path, runtime, precision)
    file = path / "model.keras" if path.is_dir() else path
    if path.is_dir() and (path / "run.json").exists() and not file.exists():
        raise InputError(f"The run in {path} is not finished; train again with --resume")
    if file.suffix != ".keras" or not file.exists():
        raise InputError(f"A run directory, a .keras file or an export is loaded; there is none at {str(path)!r}")
    return Classifier.of(load_keras_file(file), runtime, precision)


def load_keras_file(file: Path) -> Any:
    """The Keras model of a .keras file with the card that lies beside it."""
    import keras

    import cnnzoo.layers  # noqa: F401  # registers the layers that a file may name

    try:
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises whatever the zip, the JSON or the layers in it make it raise
        raise InputError(f"Cannot load {str(file)!r}: {error}") from None
    beside = cards.card_path(file)
    return cards.attach_card(model, cards.Card.from_file(beside)) if beside.exists() else model
