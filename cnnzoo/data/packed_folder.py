"""Recognize a folder of packed data by what `cnnzoo.pack` writes into it."""

import os
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import read_json_value

MANIFEST_FILE = "packed.json"  # is written last, so a folder that has it is complete
PLAN_FILE = "packing.json"  # is there until then
FORMAT, VERSION = "cnnzoo packed images", 1
SHARD_SUFFIX, INDEX_SUFFIX = ".array_record", ".json"
SHARD_FILES = "images-[0-9]*-of-[0-9]*"  # of shards and of their indices
FIRST_PLAN_FIELDS = {"shards", "size", "source"}  # of version 0.11.0, which did not write the format into the plan

PACKED_FOLDER = "packed data (cnnzoo pack), which is read if it is given itself, but not as a part of another folder"


def is_packed(folder: str | Path) -> bool:
    """Return whether `cnnzoo.pack` wrote this folder, or has begun to.

    Files of the same names that another program wrote do not count.
    """
    return has_manifest(folder) or has_plan(folder)


def has_manifest(folder: str | Path) -> bool:
    """Return whether a folder holds packed data that is complete, perhaps damaged since."""
    return _was_written_by_pack(os.path.join(folder, MANIFEST_FILE), set())  # noqa: PTH118  # called for every folder


def has_plan(folder: str | Path) -> bool:
    """Return whether a folder holds packed data that is not complete."""
    return _was_written_by_pack(os.path.join(folder, PLAN_FILE), FIRST_PLAN_FIELDS)  # noqa: PTH118


def shard_name(number: int, count: int) -> str:
    """Return the name of a shard's file."""
    return f"images-{number:05d}-of-{count:05d}{SHARD_SUFFIX}"


def _was_written_by_pack(file: str, first_fields: set[str]) -> bool:
    """Return whether a manifest or a plan is one of `cnnzoo.pack`, by its content, or if damaged, by what is beside it.

    Args:
        file: the path of the manifest or plan.
        first_fields: the fields of a file without a format.
    """
    if not os.path.isfile(file):  # noqa: PTH113
        return False
    path = Path(file)
    try:
        values: Any = read_json_value(path)
    except InputError:
        return any(entry.suffix == SHARD_SUFFIX for entry in path.parent.glob(SHARD_FILES))
    if not isinstance(values, dict):
        return False
    return values.get("format") == FORMAT or (bool(first_fields) and set(values) == first_fields)
