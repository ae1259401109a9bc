"""Classify files in Apache Beam pipelines: on one machine, Dataflow, Flink or Spark.

    with beam.Pipeline() as pipeline:
        rows = pipeline | MatchFiles("gs://archive/**.jpg") | ReadMatches() | Predict("/models/birds")

Import this module by its name, `cnnzoo.inference.beam`; it requires the extra `beam`.
"""

from __future__ import annotations

import inspect
import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from cnnzoo.core.errors import InputError, check_integer, shorten_repr, unknown_name
from cnnzoo.core.extras import install_command
from cnnzoo.core.text import printable_name
from cnnzoo.core.threads import thread_pool
from cnnzoo.inference.classifier import Classifier
from cnnzoo.inference.load import load
from cnnzoo.inference.rows import Row, arrow_schema, prediction_to_row
from cnnzoo.inference.sources import Unreadable, read_file

try:
    import apache_beam as beam
    from apache_beam.io.filesystem import FileMetadata
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.ml.inference.base import ModelHandler, RunInference
except ImportError:
    raise ImportError(f"cnnzoo.inference.beam requires Apache Beam: {install_command('beam')}") from None

OWN_OPTIONS = {"min_probability", "runtime", "precision", "max_batch_size"}
HANDLER_OPTIONS = {*inspect.signature(ModelHandler.__init__).parameters, "env_vars"} - {"self", "kwargs"}
MAX_BATCH_SIZE = 256  # files that are read and classified together


class ClassifierHandler(ModelHandler):  # type: ignore[misc]  # Beam has no types here
    """Opens a classifier once in each process of a worker, and classifies batches of files.

    `Predict` makes one from its arguments. Make it yourself to set `RunInference` up in another way.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Classifier,
        top: int = 5,
        *,
        min_probability: float | str | None = None,
        runtime: str = "auto",
        precision: str | None = None,
        max_batch_size: int = MAX_BATCH_SIZE,
        **options: Any,
    ) -> None:
        """Describe the classifier; it is opened on the workers.

        Args:
            model: the path of a run directory, a .keras file or an export, on the workers' own disks; or a classifier,
                which travels with the pipeline if it is one of `Classifier.of`.
            top: number of classes in each row.
            min_probability: as in `Classifier.predict`; the rows then have the key "unsure".
            runtime, precision: as in `cnnzoo.load`.
            max_batch_size: number of files that are in memory at a time, for each thread.
            options: those of Beam's `ModelHandler`, such as `large_model=True`, with which the processes of a worker
                share one classifier.

        Raises:
            InputError: if an argument is wrong.
        """
        check_integer("top", top, 1)
        check_integer("max_batch_size", max_batch_size, 1)
        if not isinstance(model, str | os.PathLike | Classifier):
            raise InputError(
                "The model must be the path of a run directory, a .keras file or an export, or a Classifier. "
                f"Received: {shorten_repr(model)}"
            )
        if isinstance(model, str) and "://" in model:
            raise InputError(
                "The model must be at a path of the workers' own disks, such as one in their container image, or be a "
                f"Classifier, which travels with the pipeline. Received: {model!r}"
            )
        if unknown := sorted(options.keys() - HANDLER_OPTIONS):  # Beam ignores them
            raise unknown_name("option of Predict or of Beam's ModelHandler", unknown[0], OWN_OPTIONS | HANDLER_OPTIONS)
        super().__init__(max_batch_size=max_batch_size, **options)
        # A classifier would be loaded again with every copy of this object, so it is kept as bytes.
        self._pickled = pickle.dumps(model) if isinstance(model, Classifier) else b""
        self._path = "" if isinstance(model, Classifier) else os.fspath(model)
        self._runtime, self._precision = runtime, precision
        self.top, self._min_probability = top, min_probability

    @property
    def marks_unsure(self) -> bool:
        """Whether the rows have the key "unsure"."""
        return self._min_probability is not None

    def load_model(self) -> Classifier:
        """Return the classifier; Beam calls this once in each process."""
        if self._pickled:
            classifier: Classifier = pickle.loads(self._pickled)
            return classifier
        return load(self._path, self._runtime, self._precision)

    def run_inference(
        self, batch: Sequence[Any], model: Classifier, inference_args: dict[str, Any] | None = None
    ) -> Iterator[Row]:
        """Yield the row of each file; those that cannot be read have an error.

        Args:
            batch: names of files, or what `MatchFiles` and `ReadMatches` return.
            model: what `load_model` has returned.
            inference_args: not used.
        """
        contents = list(thread_pool().map(_read, batch))
        predictions = model.stream(contents, self.top, min_probability=self._min_probability)
        for file, prediction in zip(batch, predictions, strict=True):
            row = prediction_to_row(prediction, self.top, self.marks_unsure)
            yield row | {"path": printable_name(_find_name(file))}

    def get_metrics_namespace(self) -> str:
        """Return the name under which Beam reports the numbers of batches and files."""
        return "cnnzoo"


class Predict(beam.PTransform):  # type: ignore[misc]
    """Classify files: from their names, or what `MatchFiles` and `ReadMatches` return, to one row for each.

    A row is a dict with the keys of the files that `Classifier.predict_to` writes: path, error, perhaps unsure, then
    class_1, probability_1, and so on. Files that cannot be read have an error and no classes; they never stop a
    pipeline. Names may be of any file system that Beam can open.
    """

    def __init__(self, model: str | os.PathLike[str] | Classifier, top: int = 5, **options: Any) -> None:
        """Describe the prediction; the model is loaded on the workers.

        Args:
            model, top, options: as in `ClassifierHandler`: `min_probability`, `runtime`, `precision`, `max_batch_size`,
                and the options of Beam's `ModelHandler`, such as `large_model=True`.

        Raises:
            InputError: if an argument is wrong.
        """
        super().__init__()
        self.handler = ClassifierHandler(model, top, **options)

    def expand(self, files: Any) -> Any:
        """Return the collection of the rows."""
        return files | "Classify" >> RunInference(self.handler)

    def arrow_schema(self) -> Any:
        """Return the columns of the rows as a pyarrow.Schema, for `WriteToParquet`."""
        return arrow_schema(prediction_columns(self.handler.top, self.handler.marks_unsure))


def prediction_columns(top: int, marks_unsure: bool) -> list[str]:
    """Return the keys of the rows."""
    classes = (name for i in range(1, top + 1) for name in (f"class_{i}", f"probability_{i}"))
    return ["path", "error", *(["unsure"] if marks_unsure else []), *classes]


def _find_name(file: Any) -> str:
    """Return the name of a file: a path, or what `MatchFiles` or `ReadMatches` return."""
    metadata = getattr(file, "metadata", file)
    return os.fsdecode(metadata.path if isinstance(metadata, FileMetadata) else metadata)


def _read(file: Any) -> bytes | Unreadable:
    """Return the bytes of a file, or why it cannot be read."""
    try:
        with FileSystems.open(_find_name(file)) as opened:
            return read_file(opened)
    except Exception as error:  # each file system has errors of its own
        return Unreadable(f"Cannot read {_find_name(file)!r}: {error}")
