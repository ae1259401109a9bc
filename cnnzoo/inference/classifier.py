"""The classifier: one interface to predict with a model, a run or an export, on the fastest runtime."""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from cnnzoo import cards
from cnnzoo.core.arguments import check_arguments, check_fields
from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.card_summary import summarize_card
from cnnzoo.core.errors import ArgumentError, InputError, Interrupted, check_integer
from cnnzoo.core.gallery import MAX_TILES, Gallery
from cnnzoo.core.notebook import render_notebook
from cnnzoo.core.paths import check_path
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_count
from cnnzoo.core.warn import warn_caller
from cnnzoo.data.transform import Transform, transform
from cnnzoo.inference import inputs
from cnnzoo.inference.answers import PredictionWriter, WriteResult, is_own_file
from cnnzoo.inference.batches import Batch, iter_array_batches, iter_image_batches
from cnnzoo.inference.file_reading import count_reading_workers
from cnnzoo.inference.network import Network
from cnnzoo.inference.pickling import load_again, model_to_bytes, restore_classifier
from cnnzoo.inference.prediction import MAX_PICTURES, Prediction, Predictions
from cnnzoo.inference.scores import check_scores, find_bad_scores, find_best_classes, resolve_min_probability
from cnnzoo.inference.shard_files import ShardWriter, check_shard_file, find_complete
from cnnzoo.inference.shards import ShardedImages, parse_shard
from cnnzoo.inference.sources import unify_images
from cnnzoo.runtimes.choose import OpenRuntime, choose_runtime_for_model, open_model
from cnnzoo.surgery.outputs import as_functional, warn_if_no_logits, without_aux_heads
from cnnzoo.surgery.weights import check_weights, hash_weights

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

MAX_BATCH_VALUES = 32 * 224 * 224 * 3  # pixel values of an automatic batch; larger batches are not faster
MAX_BATCH_SIZE = 256  # images of an automatic batch


@check_fields("Write cnnzoo.Classifier.of(model), or cnnzoo.load(path) for a run, a .keras file or an export")
class Classifier(SuggestsAttributes):
    """Classify images with a Keras model or an export.

    `cnnzoo.load` and `Classifier.of` make classifiers. A model is converted for its runtime when the classifier is
    first used, which takes some seconds. Threads may share a classifier. Processes may not if they are forked: each
    worker loads its own, or gets a pickled one, which is loaded again from its path or holds the bytes of its model.

    Attributes:
        card: the card of the model.
        shape: height, width and channels of the images that the network takes.
        model: the Keras model, or None for an export.
        format: the format of the export; empty for a model.
        transform: the transform that resizes and crops images to `shape`.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> classifier = cnnzoo.Classifier.of(model, runtime="keras")
        >>> image = cnnzoo.load_data("digits").test.images[:1]
        >>> classifier.predict(image, top=2)[0].label
        '4'
        >>> classifier.probabilities(image).shape
        (1, 10)
    """

    def __init__(
        self,
        card: cards.Card,
        shape: Sequence[int],
        open_runtime: Callable[[], OpenRuntime],
        runtime: str,
        precision: str,
        model: keras.Model | None = None,
        identity: str = "",
        reopen: tuple[Any, ...] = (),
        format: str = "",
        content: str = "",
    ) -> None:
        """Use `cnnzoo.load` or `Classifier.of` instead.

        Args:
            card: the card of the model.
            shape: height, width and channels of the images that the network takes.
            open_runtime: opens the network, when it is first needed.
            runtime: name of the runtime that `open_runtime` is expected to open.
            precision: precision of that runtime.
            model: the Keras model, if there is one.
            identity: identifies an export among others of the same name.
            reopen: `cnnzoo.load` and its arguments, or the runtime and the precision that `of` was called with.
            format: the format of the export, if it is one.
            content: a digest of the files of an export, wherever they are.
        """
        height, width, channels = shape
        self.card, self.shape, self.model = card, (height, width, channels), model
        self.format = format
        self.transform = Transform((height, width), channels, **card.evaluation_transform, pad=card.pad)
        self._network = Network(card.name, len(card.classes), open_runtime, runtime, precision, is_export=model is None)
        self._identity, self._content, self._reopen = identity, content, reopen

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ArgumentError, as a classifier is no Keras model."""
        raise ArgumentError(
            "A Classifier is not called. classifier.predict(images) returns predictions, and "
            "classifier.probabilities(images) an array (N, classes)"
        )

    @classmethod
    @check_arguments()
    def of(
        cls,
        model: keras.Model,
        runtime: str = "auto",
        precision: str | None = None,
        *,
        classes: Sequence[str] | None = None,
        crop: float | str | None = "auto",
        interpolation: str = "auto",
        pad: int | None = None,
        levels: float | Sequence[float] | None = None,
        reopen: tuple[Any, ...] = (),
    ) -> Classifier:
        """Return a classifier for a Keras model.

        Args:
            model: a model that takes images of a fixed size and returns logits or a softmax. Auxiliary heads are
                ignored.
            runtime: "keras", "openvino", "onnxruntime" or "litert"; "auto" takes the fastest that is installed.
            precision: "float32"; "bfloat16" for OpenVINO and Keras; or "float16" for Keras. With Keras, layers compute
                in 16 bits, which is fast on accelerators, and weights, pixels and logits stay float32.
            classes, crop, interpolation, pad, levels: as in `cnnzoo.load`; by default those of the model's card.
            reopen: how the model is loaded again when the classifier is unpickled; by default it is pickled itself.

        Returns:
            A classifier with the class names and the transform of the model's card, or those given here.

        Raises:
            InputError: if the model is no image classifier, has weights that are NaN or infinite, or runtime and
                precision do not go together.
            ImportError: if the runtime is not installed.
        """
        model = without_aux_heads(as_functional(model))
        _check_fixed_size(model)
        warn_if_no_logits(model)
        check_weights(model, model.name, "load an earlier checkpoint, or train it again")
        card = cards.card(model)
        changed = cards.change_card(card, classes, crop, interpolation, pad, levels)
        has_card = cards.has_card(model)
        if changed != card:
            model = cards.with_card(model, changed)
        if not has_card and crop == "auto":
            log.warning(
                "%s has no card of cnnzoo. Images are %s. Pass crop=, interpolation= or pad= if it was trained on "
                "others, and classes= for the names of its classes",
                model.name,
                transform(model).describe(),
            )
        choice = choose_runtime_for_model(runtime, precision)
        return cls(
            changed,
            model.input_shape[1:],
            partial(open_model, model, choice),
            choice.runtime.name,
            choice.precision,
            model,
            reopen=reopen or (runtime, precision),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the path that the classifier was loaded from, or else by the bytes of its model."""
        if self._reopen and callable(self._reopen[0]):
            return load_again, (self._reopen[0], self._reopen[1:], self.content_identity())
        if self.model is None:
            raise InputError("This classifier has neither a path nor a model; pickle one of cnnzoo.load")
        runtime, precision = self._reopen or (self.runtime, self.precision)
        content = model_to_bytes(self.model)
        return restore_classifier, (type(self).of, content, cards.card(self.model).to_json(), runtime, precision)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"<Classifier {self.card.name}: {size} to {len(self.classes)} classes, {self.runtime} {self.precision}>"

    def _repr_html_(self) -> str:
        """Return what the classifier takes and answers, for a notebook."""
        facts = {
            "input": f"{'x'.join(map(str, self.shape))}, values 0 to 255",
            "images": self.transform.describe(),
            "runtime": f"{self.runtime}, {self.precision}",
        }
        card_facts = {name: text for name, text in summarize_card(self.card).items() if name != "photos"}
        return render_notebook(f"Classifier {self.card.name}", facts=facts | card_facts)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the probabilities."""
        return self.card.classes

    @property
    def runtime(self) -> str:
        """The name of the runtime."""
        return self._network.runtime

    @property
    def precision(self) -> str:
        """The precision that the runtime computes in."""
        return self._network.precision

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of every class for an array of images of any size.

        Args:
            images: (N, H, W, C) with values 0 to 255. `transform` resizes and crops them.

        Returns:
            float32 (N, classes), in the order of `classes`.
        """
        return self.scores(self.transform.transform_arrays(np.asarray(images)))

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the probability of every class for images that `transform` has resized already.

        Args:
            images: (N, height, width, channels), as `shape` says, with values 0 to 255.

        Returns:
            float32 (N, classes), in the order of `classes`.

        Raises:
            InputError: if the runtime cannot run the network on these images, or returns anything but probabilities.
        """
        scores = self._network.run(images)
        check_scores(scores, self.precision, self.card.name)
        return scores

    @property
    def device_batch_size(self) -> int | None:
        """The number of images that the accelerator computes at a time; None if the network runs on a processor.

        The network is opened, which takes some seconds, unless it was used before.
        """
        return self._network.device_batch_size

    def find_batch_size(self, batch_size: int | str = "auto") -> int:
        """Return the number of images that `predict` computes at a time.

        Args:
            batch_size: a number, which is returned; "auto" is what keeps the processor or the accelerator busy.

        Raises:
            InputError: if it is neither.
        """
        if batch_size == "auto":
            return self.device_batch_size or max(1, min(MAX_BATCH_SIZE, MAX_BATCH_VALUES // math.prod(self.shape)))
        return check_integer("batch_size", batch_size, 1)

    def identity(self) -> str:
        """Return what identifies this model among others of its name: a digest of its weights, or the export's path."""
        if self.model is None:
            return self._identity
        return hash_weights(self.model)

    def content_identity(self) -> str:
        """Return what identifies the content of this classifier, wherever its file is."""
        return self.card.to_json() + self._content if self.model is None else self.identity()

    # ---- Predictions

    @check_arguments()
    def predict(
        self,
        images: Any,
        top: int = 5,
        batch_size: int | str = "auto",
        verbose: bool = True,
        *,
        min_probability: float | str | None = None,
    ) -> list[Prediction]:
        """Return the likeliest classes of each image.

        Args:
            images: a path, a folder, a pattern such as "photos/*.jpg", the bytes of a file, an open file, a Pillow
                image, or an iterable of these; a table or a column of paths; or an array or tensor with values 0 to
                255: (N, H, W, C), (N, H, W), or one image (H, W, 3) or (H, W). Documents and tables in folders are
                left out, with a warning.
            top: number of classes to return for each image.
            batch_size: number of images to classify at a time; "auto" takes as many as keep the processor busy.
            verbose: show progress, if it takes more than two seconds.
            min_probability: mark answers as unsure whose likeliest class is less probable. "auto" takes the one in the
                card, which was chosen on validation images for a `target_accuracy`.

        Returns:
            One prediction per image. If several images are given, those that cannot be read have an `error`, and a
            warning gives their number.

        Raises:
            InputError: for an array that is no batch of images, or if a single image cannot be read; and for "auto" if
                the card has no `min_probability`.
        """
        threshold = resolve_min_probability(min_probability, self.card)
        images = unify_images(images)
        count = inputs.find_count(images)
        with show_progress("Classifying the images", count, "images", verbose and count != 1) as progress:
            stream = self._stream(images, top, batch_size, threshold, pictures=MAX_PICTURES)
            predictions = Predictions(progress.track(stream))
        unreadable = [prediction for prediction in predictions if prediction.error]
        if unreadable and inputs.is_single_image(images):
            raise InputError(unreadable[0].error)
        if unreadable:
            warn_caller(
                f"{len(unreadable)} of {len(predictions)} images cannot be read. The first: {unreadable[0].error}",
            )
        return predictions

    @check_arguments()
    def show(
        self, images: Any, top: int = 5, *, path: str | os.PathLike[str] | None = None, verbose: bool = True
    ) -> Gallery:
        """Show images with their likeliest classes: in a notebook, or in a file.

        Args:
            images: as `predict` takes them; of more than 100, the first are shown.
            top: number of classes to show for each image.
            path: a .png file to write the pictures to.
            verbose: show progress, if it takes more than two seconds.

        Returns:
            The images as a `Gallery`, which a notebook shows as the result of a cell, and which has `save(path)`. They
            are cropped and resized as the network gets them.

        Raises:
            InputError: as `predict`, or if the file cannot be written.

        Example:
            >>> classifier = cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="digits"))
            >>> classifier.show(cnnzoo.load_data("digits").test.images[:4], path="answers.png")
            <4 images classified by lenet5: in a notebook they are shown, and save("images.png") writes them>
        """
        images = unify_images(images)
        if inputs.is_single_image(images):
            predictions = self.predict(images, top, verbose=verbose)
        else:
            stream = self._stream(images, top, "auto", None, pictures=MAX_TILES)
            count = min(inputs.find_count(images) or MAX_TILES, MAX_TILES)
            with show_progress("Classifying the images", count, "images", verbose) as progress:
                predictions = list(progress.track(itertools.islice(stream, MAX_TILES)))
        title = f"{format_count(len(predictions), 'image')} classified by {self.card.name}"
        gallery = Gallery(title, tuple(prediction.tile() for prediction in predictions))
        if path is not None:
            gallery.save(path)
        return gallery

    @check_arguments()
    def stream(
        self,
        images: Any,
        top: int = 5,
        batch_size: int | str = "auto",
        *,
        min_probability: float | str | None = None,
        verbose: bool = False,
    ) -> Iterator[Prediction]:
        """Yield the predictions one after the other; takes any number of images and holds few in memory.

        Args:
            images: as `predict` takes them.
            top: number of classes to return for each image.
            batch_size: number of images to classify at a time.
            min_probability: as in `predict`.
            verbose: show progress before a batch whose predictions take more than two seconds, as the first may do.

        Yields:
            One prediction per image; those that cannot be read have an `error`.

        Raises:
            InputError: for an array that is no batch of images, or anything that `predict` does not take.
        """
        threshold = resolve_min_probability(min_probability, self.card)
        return self._stream(images, top, batch_size, threshold, verbose=verbose)

    def _stream(
        self,
        images: Any,
        top: int,
        batch_size: int | str,
        threshold: float | None,
        pictures: int = 0,
        verbose: bool = False,
    ) -> Iterator[Prediction]:
        """Yield the predictions; the first `pictures` of them keep their images.

        `verbose` shows progress while a batch is computed, and none while its predictions are used.
        """
        top, size = self._check_sizes(top, batch_size)
        images = unify_images(images)
        if isinstance(images, np.ndarray):
            batches = iter_array_batches(images, size, self.transform)
        else:
            batches = iter_image_batches(inputs.iter_images_and_warn(images), size, self.transform)
        count = inputs.find_count(images) if verbose else None
        return self._predict_batches(batches, top, threshold, pictures, count, verbose)

    @check_arguments()
    def predict_to(
        self,
        path: str | os.PathLike[str],
        images: Any,
        top: int = 5,
        batch_size: int | str = "auto",
        *,
        overwrite: bool = False,
        min_probability: float | str | None = None,
        shard: str | tuple[int, int] | None = None,
        verbose: bool = True,
    ) -> WriteResult:
        """Write the predictions to a file while they are computed, one row per image.

        The same call continues after an interruption. Images that cannot be read have their error in their row.

        Args:
            path: a .csv or .jsonl file, or a .parquet folder of parts.
            images: as `predict` takes them.
            top: number of classes to write for each image.
            batch_size: number of images to classify at a time.
            overwrite: replace a file that is complete, or was begun with another model or other images.
            min_probability: as in `predict`. The rows then have a column "unsure".
            shard: predict one share of the images, beside other processes: "3/16" or (3, 16) is the third of 16. "auto"
                takes it from the variables of Slurm, Open MPI and others; "auto/16" from those that tell the index
                alone, such as Kubernetes'. The share goes to a file in the folder `path` + ".shards", and
                `cnnzoo.merge_predictions` joins them.
            verbose: show progress, if it takes more than two seconds.

        Returns:
            The path, the number of images, how many of them could not be read, and how many answers are unsure.

        Raises:
            InputError: if the file exists, or was begun with another model or other images; for a shard that cannot be.
            Interrupted: on Ctrl-C; what is written is kept.
        """
        share = None if shard is None else parse_shard(shard)
        file = check_path(path) if share is None else check_shard_file(path, share, overwrite)
        threshold = resolve_min_probability(min_probability, self.card)
        # The images are iterated more than once: to check them, to count them, and after an interruption.
        images = inputs.keep_images(unify_images(images))
        top, size = self._check_sizes(top, batch_size)
        notes = inputs.LeftOutNames(partial(is_own_file, out=check_path(path)))
        list_images: Callable[[], Iterator[inputs.NamedImage]] = partial(inputs.iter_images, images, notes)
        own_images = None if share is None else ShardedImages(list_images, share)
        if own_images is not None:
            list_images, count = own_images.iter_images, own_images.count_images(verbose)
        elif not (count := inputs.count_images(images, verbose, notes)):
            raise InputError("No images were given")
        inputs.warn_of_notes(notes)

        plan = {"model": self.card.to_json(), "precision": self.precision, "top": top}
        plan |= {"images": inputs.describe_images(images), "weights": self.identity(), "min_probability": threshold}
        if own_images is not None:
            plan |= {"shard": str(share), "weights": self.content_identity()}
            if not overwrite and (complete := find_complete(file, plan, own_images)):
                return complete
        writer = (
            PredictionWriter(file, plan, overwrite)
            if own_images is None
            else ShardWriter(file, plan, overwrite, own_images)
        )
        try:
            # Threads are fast enough for a network that runs on the same cores.
            workers = count_reading_workers(count) if self.device_batch_size else 0
            batches = iter_image_batches(writer.skip_answered(list_images), size, self.transform, workers)
            predictions = self._predict_batches(batches, top, threshold)
            with show_progress("Classifying the images", count, "images", verbose, done=writer.rows) as progress:
                return writer.write(progress.track(predictions), top, marks_unsure=threshold is not None)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted; {writer.recorded_rows:,} predictions are kept in {writer.path}. "
                "Repeat the same call or command to continue"
            ) from None
        finally:
            writer.close()

    # ---- Batches

    def _check_sizes(self, top: int, batch_size: int | str) -> tuple[int, int]:
        """Return `top` and `batch_size` as numbers."""
        top = min(check_integer("top", top, 1), len(self.classes))
        return top, self.find_batch_size(batch_size)

    def _predict_batches(
        self,
        batches: Iterator[Batch],
        top: int,
        threshold: float | None,
        pictures: int = 0,
        count: int | None = None,
        verbose: bool = False,
    ) -> Iterator[Prediction]:
        computed, done = self._network.compute_batches(batches), 0
        while True:
            with show_progress("Classifying the images", count, "images", done=done) if verbose else nullcontext():
                batch, scores = next(computed, (None, None))
            if batch is None:
                return
            done += len(batch.names)
            predictions = self._make_predictions(batch, scores, top, threshold)
            for i, prediction in enumerate(predictions[:pictures]):
                if i not in batch.errors:
                    prediction.keep_pixels(batch.pixels[i])
            pictures = max(pictures - len(predictions), 0)
            yield from predictions

    def _make_predictions(
        self, batch: Batch, scores: np.ndarray | None, top: int, threshold: float | None
    ) -> list[Prediction]:
        """Return the predictions of a batch from its scores, if there are any.

        Those are unsure whose likeliest class is less probable than `threshold`.
        """
        if scores is None:
            return [Prediction((), (), source=name, error=batch.errors[i]) for i, name in enumerate(batch.names)]
        ids = self.card.ids
        errors = find_bad_scores(scores, self.precision) | batch.errors
        best = find_best_classes(scores, top)
        predictions = []
        for i, name in enumerate(batch.names):
            if i in errors:
                predictions.append(Prediction((), (), source=name, error=errors[i]))
                continue
            predictions.append(
                Prediction(
                    classes=tuple(self.classes[j] for j in best[i]),
                    probabilities=tuple(scores[i, best[i]].tolist()),
                    ids=tuple(ids[j] for j in best[i]) if ids else (),
                    source=name,
                    unsure=threshold is not None and bool(scores[i, best[i, 0]] < threshold),
                )
            )
        return predictions


def _check_fixed_size(model: keras.Model) -> None:
    """Check that a model maps images of a fixed size to one score for each class of its card."""
    card, input_shape, output_shape = cards.card(model), model.input_shape[1:], model.output_shape
    if len(output_shape) != 2 or len(card.classes) != output_shape[1] or None in input_shape:
        raise InputError(
            f"{model.name} is not an image classifier with a fixed input size: it takes {model.input_shape} and "
            f"returns {output_shape}"
        )
