"""The public `merge_predictions`: check that the shards of a prediction hold every image once, and join them."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.paths import check_path, nearest_path, path_exists, resolve_path
from cnnzoo.core.progress import show_progress
from cnnzoo.core.text import format_count
from cnnzoo.inference.answers import (
    SHARDS_SUFFIX,
    WriteResult,
    check_predictions_file,
    check_replaceable,
    shards_folder,
)
from cnnzoo.inference.merge_rows import ROW_MERGERS
from cnnzoo.inference.plans import describe_changes
from cnnzoo.inference.shard_files import REMEDY, ShardRecord, iter_shards, read_record, record_path
from cnnzoo.inference.shards import Shard

MAX_SHOWN = 8  # shards that a message names


@check_arguments()
def merge_predictions(
    shards: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    verbose: bool = True,
) -> WriteResult:
    """Join the predictions of shards into one file, after checking that every image is in it exactly once.

    The rows are in the order of the images, as if one process had written them. The files of the shards stay.

    Args:
        shards: the file that was named when the shards were predicted, such as "answers.parquet"; or a list of such
            files, of their folders "answers.parquet.shards", or of single files in these, for shards that other hosts
            have written.
        out: the file to write, of the same kind as the shards. By default the one that `shards` names.
        overwrite: replace a file that exists.
        verbose: show progress, if it takes more than two seconds.

    Returns:
        The path, the number of images, how many of them could not be read, and how many answers are unsure.

    Raises:
        InputError: if a shard is missing, unfinished, given twice, damaged, or of another model, other settings or
            other images; or if the file exists. Nothing is written then.

    Example:
        >>> images = cnnzoo.load_data("digits").test.images[:10]
        >>> classifier = cnnzoo.Classifier.of(cnnzoo.get("lenet5", weights="digits"))
        >>> for number in (1, 2):
        ...     share = classifier.predict_to("answers.csv", images, top=1, shard=(number, 2))
        >>> cnnzoo.merge_predictions("answers.csv")
        WriteResult(path=PosixPath('answers.csv'), images=10, errors=0, unsure=0)
    """
    names = [shards] if isinstance(shards, str | os.PathLike) else list(shards)
    paths = [check_path(name, "the shards") for name in names]
    if out is None and len(paths) != 1:
        raise InputError(f"out (--out) must name the file to write. Received: {format_count(len(paths), 'file')}")
    target = check_path(paths[0] if out is None else out, "the file of the predictions")
    if out is None and target.name.endswith(SHARDS_SUFFIX):
        target = target.with_name(target.name.removesuffix(SHARDS_SUFFIX))
    target, progress_path = check_predictions_file(target, overwrite)
    if progress_path.exists() and not overwrite:
        raise InputError(f"{target} is being written, or was interrupted; overwrite=True (--overwrite) replaces it")
    check_replaceable(target)

    records = _read_records(paths, target)
    _check_settings(records)
    _check_images(records)

    with show_progress("Checking the shards", len(records), "shards", verbose) as progress:
        for record in progress.track(records):
            record.check_files()
    total = sum(record.rows for record in records)
    with show_progress("Merging the predictions", total, "images", verbose) as progress, atomic_write(target) as path:
        ROW_MERGERS[target.suffix](records, path, progress)
    progress_path.unlink(missing_ok=True)
    errors, unsure = (sum(getattr(record, name) for record in records) for name in ("errors", "unsure"))
    return WriteResult(target, total, errors, unsure)


def _read_records(paths: Iterable[Path], target: Path) -> list[ShardRecord]:
    """Return the record of each shard, in the order of their numbers.

    Raises:
        InputError: if there are none, one is missing or there twice, or they are of different divisions or kinds.
    """
    complete: dict[Shard, dict[Path, Path]] = defaultdict(dict)
    unfinished = set[Shard]()
    for path in paths:
        for shard, file, is_complete in _find_shards(path):
            if is_complete:
                complete[shard][resolve_path(file)] = file
            else:
                unfinished.add(shard)
    counts = sorted({shard.count for shard in (*complete, *unfinished)})
    if len(counts) != 1:
        listed = " and ".join(f"{count:,}" for count in counts)
        raise InputError(f"The shards overlap: they are of divisions into {listed}. Merge those of one division")

    count = counts[0]
    for shard, files in complete.items():
        if len(files) > 1:
            raise InputError(f"Shard {shard} is there {len(files)} times: {', '.join(map(str, files.values()))}")
    missing = [Shard(number, count) for number in range(1, count + 1) if Shard(number, count) not in complete]
    if missing:
        listed = ", ".join(f"{shard}{' (unfinished)' if shard in unfinished else ''}" for shard in missing[:MAX_SHOWN])
        more = f" and {len(missing) - MAX_SHOWN:,} more" if len(missing) > MAX_SHOWN else ""
        raise InputError(
            f"{format_count(len(missing), 'shard')} of {count:,} {'is' if len(missing) == 1 else 'are'} missing: "
            f"{listed}{more}. Repeat the prediction with shard='{missing[0]}' (--shard {missing[0]})"
            f"{' and so on' if len(missing) > 1 else ''}"
        )
    records = [read_record(next(iter(files.values()))) for _, files in sorted(complete.items())]
    for shard, record in zip(sorted(complete), records, strict=True):
        if record.shard != shard or not path_exists(record.path):
            raise InputError(f"The file of shard {shard} is missing, or was renamed: {record.path}; {REMEDY}")
        if record.path.suffix != target.suffix:
            raise InputError(
                f"The shards are {record.path.suffix} files, and cannot be merged into a {target.suffix} file. "
                f"Received: out='{target}' (--out {target})"
            )
    return records


def _find_shards(path: Path) -> list[tuple[Shard, Path, bool]]:
    """Return the shards that a path stands for, the record of each, and whether it is complete.

    Raises:
        InputError: if there are none.
    """
    is_shards = path.name.endswith(SHARDS_SUFFIX)
    if not is_shards and record_path(path).exists() and path_exists(path) and path.suffix != ".json":
        found = [entry for entry in iter_shards(path.parent) if entry[1] == record_path(path)]
    else:
        folder = path if is_shards else shards_folder(path)
        found = list(iter_shards(folder))
    if not found:
        near = "" if path_exists(path) else nearest_path(path)
        hint = f". Did you mean {near}?" if near else ""
        raise InputError(f"There are no shards of predictions at {str(path)!r}{hint}")
    return found


def _check_settings(records: Sequence[ShardRecord]) -> None:
    """Raise InputError unless all shards were predicted with the same model and settings."""
    first = records[0]
    for record in records[1:]:
        before, now = ({k: v for k, v in each.plan.items() if k != "shard"} for each in (first, record))
        if changes := describe_changes(before, now, f"in shard {first.shard}", f"in shard {record.shard}"):
            raise InputError(
                f"{record.path} is of another model, other images or other settings than {first.path}: {changes}"
            )


def _check_images(records: Sequence[ShardRecord]) -> None:
    """Raise InputError unless each shard has predicted the images that the last listing has found for it."""
    last = max(records, key=lambda record: record.ended_at)
    changed = [record for record in records if record.own_names != last.listed[record.shard.number - 1]]
    for record in changed:
        count = last.listed[record.shard.number - 1][0]
        more = f" So have those of {format_count(len(changed) - 1, 'other shard')}." if len(changed) > 1 else ""
        raise InputError(
            f"The images of shard {record.shard} have changed: it holds {record.rows:,}, and shard {last.shard}, which "
            f"ended last, has found {'others' if count == record.rows else f'{count:,}'} for it.{more} Then {REMEDY}"
        )
    with contextlib.suppress(ImportError):  # Windows has no such limit
        _allow_open_files(len(records))


def _allow_open_files(count: int) -> None:
    """Let this process open so many files, if the system allows it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 256
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
