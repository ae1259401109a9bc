"""benchmark: export a model in every format and precision, and measure each export."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.paths import check_path
from cnnzoo.core.progress import show_progress
from cnnzoo.evaluation.compare import check_margin, compare
from cnnzoo.evaluation.compatibility import check_image_data, check_not_empty
from cnnzoo.evaluation.evaluate import evaluate
from cnnzoo.evaluation.evaluations import evaluation_of
from cnnzoo.export.benchmark_result import Benchmark, BenchmarkRow
from cnnzoo.export.export import check_request, export
from cnnzoo.export.speed import measure_in_process
from cnnzoo.inference.exported import OWN_FILES, read_export
from cnnzoo.inference.load import load
from cnnzoo.inference.runs import MODEL_FILE, RECORD_FILE, find_run_model
from cnnzoo.runtimes.choose import FORMATS, PRECISIONS, prefer_own_runtime
from cnnzoo.surgery.saving import save

if TYPE_CHECKING:
    import keras

    from cnnzoo.data.images import ImageData
    from cnnzoo.evaluation.report import Report

EXPORT_PRECISIONS = tuple(p for p in PRECISIONS if any(p in row.precisions for row in FORMATS.values()))
KERAS = "keras"  # the "format" of the model itself


@check_arguments()
def benchmark(
    model: keras.Model | str | os.PathLike[str],
    data: ImageData | None = None,
    *,
    formats: str | Sequence[str] | None = None,
    precisions: str | Sequence[str] | None = None,
    split: str = "test",
    margin: float = 0.01,
    export_dir: str | os.PathLike[str] | None = None,
    allow_failed: bool = False,
    verbose: bool = True,
) -> Benchmark:
    """Export `model` in every format and precision that this machine can run, measure each export, and recommend one.

    Measured are the size of the files; on one split of `data` the accuracy, with its paired difference to the model in
    float32 (see `compare`); and in a process of its own the time of one image, the most images per second of all batch
    sizes, and the most memory. A format whose package is missing, or that fails, is a row with the reason.

    Recommended is the fastest for one image among those that are no worse than the model by `margin`: this is shown by
    the paired test, or they make no mistake that the model does not make. Of two that are equally fast, within 5 %,
    it is the smaller one.

    Args:
        model: a Keras classifier, or the path of a run or of a .keras file.
        data: the data set, from `load_data`. Its training images calibrate int8, and those of `split` measure the
            accuracy. Without it, accuracy is not measured and int8 is left out.
        formats: formats to try: "saved_model", "onnx", "openvino" and "litert"; by default all.
        precisions: precisions to try: "float32", "float16" and "int8", where a format has them; by default all.
        split: the split to measure accuracy on: "test", "validation" or "train".
        margin: the loss of accuracy that does not matter, as a share: 0.01 is one point.
        export_dir: a new or empty folder that keeps the exports, as onnx-int8 and so on. By default they are deleted.
        allow_failed: use the weights that a run has saved when it failed; see `cnnzoo.load`.
        verbose: show progress.

    Returns:
        A `Benchmark`. `print(result)` shows a table; `result.save("benchmark.html")` writes a page.

    Raises:
        InputError: if an argument is wrong, or the model cannot be opened. What a single export raises does not stop
            the others.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> result = cnnzoo.benchmark(model, formats="litert", precisions="float32")
        >>> [(row.format, row.precision) for row in result.rows]
        [('keras', 'float32'), ('litert', 'float32')]
        >>> result.recommended.format
        'litert'
    """
    # Check the request before anything slow
    names = _check_names("format", formats, tuple(FORMATS))
    levels = _check_names("precision", precisions, EXPORT_PRECISIONS)
    pairs = [(name, level) for name in names for level in FORMATS[name].precisions if level in levels]
    if not pairs:
        raise InputError(f"{' and '.join(names)} cannot be exported in {' or '.join(levels)}; choose other precisions")
    margin = check_margin(margin)
    if data is not None:
        check_image_data(data)
        if split not in data.splits:
            raise unknown_name("split", split, data.splits)
        check_not_empty(data, split)
    folder = None if export_dir is None else check_export_dir(export_dir)

    with tempfile.TemporaryDirectory(prefix="cnnzoo-benchmark-") as scratch:
        path = _save_if_in_memory(model, Path(scratch))
        classifier = load(path, KERAS, allow_failed=allow_failed)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        place = nullcontext(str(folder)) if folder else tempfile.TemporaryDirectory(prefix="cnnzoo-exports-")
        with place as exports:
            rows, reference = list[BenchmarkRow](), None
            activity = f"Benchmarking {classifier.card.name}"
            with show_progress(activity, len(pairs) + 1, "exports", verbose) as progress:
                row, reference = _measure_model(path, data, split, allow_failed)
                rows.append(row)
                progress.advance(1)
                for name, level in pairs:
                    target = Path(exports, f"{name}-{level}")
                    rows.append(_measure_export(name, level, path, target, data, split, reference, margin))
                    progress.advance(1)
    images = None if reference is None else len(reference.labels)
    source = None if data is None else data.source
    return Benchmark(classifier.card.name, tuple(rows), margin, split, images, source, folder)


def _check_names(kind: str, received: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the formats or precisions that were asked for, in the order of `allowed`; all by default."""
    if received is None:
        return tuple(allowed)
    names = [received] if isinstance(received, str) else received
    if not isinstance(names, list | tuple) or not names:
        raise InputError(f"{kind}s must be one or several of {', '.join(allowed)}. Received: {received!r:.100}")
    for name in names:
        if name not in allowed:
            raise unknown_name(kind, name, allowed)
    return tuple(name for name in allowed if name in names)


def check_export_dir(export_dir: str | os.PathLike[str]) -> Path:
    """Return the path of a folder for exports; raise InputError unless it is new or empty."""
    folder = check_path(export_dir, "export_dir")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"export_dir (--export-dir) must be a new or an empty folder; {str(folder)!r} is not")
    return folder


def _save_if_in_memory(model: Any, scratch: Path) -> Path:
    """Return the path of a model, which is saved if it is only in memory."""
    if isinstance(model, str | os.PathLike):
        path = check_path(model, "the model")
        if read_export(path):
            raise InputError(f"An export cannot be exported again; give its run or model. Received: {str(path)!r}")
        return path
    if not hasattr(model, "layers"):
        raise InputError(
            f"model must be a Keras model, or the path of a run or of a .keras file. Received: {type(model).__name__}"
        )
    path = scratch / "model.keras"
    save(model, path)
    return path


def _measure_model(
    path: Path, data: ImageData | None, split: str, allow_failed: bool
) -> tuple[BenchmarkRow, Report | None]:
    """Return the row of the model itself, run by Keras, and its report."""
    file = find_model_file(path, allow_failed)
    row = BenchmarkRow(KERAS, "float32", file.stat().st_size if file.exists() else None)
    report = None
    if data is not None:
        with evaluation_of(path):  # counts as an evaluation of the run
            report = evaluate(load(path, KERAS, allow_failed=allow_failed), data, split=split, verbose=False)
        row = replace(row, accuracy=report.accuracy)
    try:
        return replace(row, speed=measure_in_process(file, KERAS)), report
    except InputError as error:
        return replace(row, reason=f"its speed was not measured: {error}"), report


def find_model_file(path: Path, allow_failed: bool = False) -> Path:
    """Return the .keras file of a run, or of the best run of a search."""
    if not path.is_dir():
        return path
    return find_run_model(path, allow_failed) if (path / RECORD_FILE).exists() else path / MODEL_FILE


def _measure_export(
    format: str,
    precision: str,
    model: Path,
    target: Path,
    data: ImageData | None,
    split: str,
    reference: Report | None,
    margin: float,
) -> BenchmarkRow:
    """Return the row of an export, or one with the reason why there is none."""
    row = BenchmarkRow(format, precision)
    try:
        if precision == "int8" and data is None:
            raise InputError("int8 needs data, which calibrates it")
        check_request(format, precision, target, False, data is not None)
        # The accuracy is judged on `split`, with an interval; so no export is refused for its validation images.
        calibration = data if precision == "int8" else None
        export(model, target, format, precision=precision, data=calibration, max_drop=1.0, verbose=False)
        row = replace(row, size=_measure_size(target), path=target)
        runtime = prefer_own_runtime(format)
        if reference is not None and data is not None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "(?s).*training images")  # the evaluation of the model has warned
                report = evaluate(load(target, runtime), data, split=split, verbose=False)
            row = replace(row, accuracy=report.accuracy, comparison=compare(reference, report, on=split, margin=margin))
        return replace(row, speed=measure_in_process(target, runtime))
    except (InputError, ImportError, OSError, MemoryError) as error:
        return replace(row, reason=_describe(error))
    except Exception as error:  # a converter may raise anything; the other exports are measured all the same
        return replace(row, reason=f"{type(error).__name__}: {_describe(error)}")


def _describe(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _measure_size(folder: Path) -> int:
    """Return the bytes of the files that the network consists of."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name not in OWN_FILES)
