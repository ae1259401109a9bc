"""Digests of files, which are written beside them and verified before they are used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnzoo.core.errors import InputError
from cnnzoo.core.json_files import check_fields
from cnnzoo.core.paths import resolve_path

DIGEST_FIELDS = {"size": int, "sha256": str}  # of one file


def digest_file(path: Path) -> dict[str, Any]:
    """Return the size of a file in bytes and its SHA-256, under the names of `DIGEST_FIELDS`.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def digest_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the digests of all files below a folder, by their path relative to it, with forward slashes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def check_digest(path: Path, recorded: Mapping[str, Any], remedy: str = "") -> None:
    """Check that a file is the one whose digest was recorded.

    Raises:
        InputError: if the file is missing or has other bytes, or `recorded` is no digest.
    """
    hint = f"; {remedy}" if remedy else ""
    check_fields(recorded, f"The digest of {path}", DIGEST_FIELDS, remedy=remedy)
    try:
        size = path.stat().st_size
        if size != recorded["size"]:
            raise InputError(f"{path} is damaged or was replaced: {size:,} bytes instead of {recorded['size']:,}{hint}")
        digest = digest_file(path)["sha256"]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}{hint}") from None
    if digest != recorded["sha256"]:
        raise InputError(
            f"{path} is damaged or was replaced: its SHA-256 is {digest[:16]}... instead of the recorded "
            f"{recorded['sha256'][:16]}...{hint}"
        )


def check_digests(folder: Path, recorded: Mapping[str, Mapping[str, Any]], remedy: str = "") -> None:
    """Check the files of a folder, by their relative paths; see `check_digest`. Other files do not matter."""
    for name, digest in recorded.items():
        path = folder / name
        if not resolve_path(path).is_relative_to(resolve_path(folder)):
            raise InputError(f"The files of {folder} must lie in it. Received: {name!r:.200}")
        check_digest(path, digest, remedy)
