"""Published files in the cache: downloaded once, and verified before every use."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cnnzoo.checkpoints import http_download
from cnnzoo.checkpoints.cache_files import is_plain_file, remove_file
from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write, cache_dir
from cnnzoo.core.warn import warn_caller

FILE_NAME_PATTERN = re.compile(r"[A-Za-z0-9][\w.+-]*(?<!\.part)(?<!\.sha256)", re.ASCII)
DIGEST_PATTERN = re.compile(r"|sha256:[0-9a-f]{64}|sha256-prefix:[0-9a-f]{8,64}|sha1:[0-9a-f]{40}|md5:[0-9a-f]{32}")


def fetch(url: str, file: str, digest: str = "", size: int | None = None) -> tuple[Path, str]:
    """Return the path of a file in the cache, downloading it if necessary, and its verified SHA-256.

    The SHA-256 of the first use is recorded beside the file and must match from then on. If a download fails, the part
    that has arrived is kept and continued by the next call.

    Args:
        url: the address of the file; the environment variable CNNZOO_MIRROR names another server.
        file: the name of the file in the cache.
        digest: the published hash: "sha256:HEX", "sha256-prefix:HEX", "sha1:HEX" or "md5:HEX" (for a .zip, the hash of
            the file in it), or "" if there is none, which causes a warning at the first use.
        size: the published size in bytes, if known.

    Raises:
        InputError: if the file cannot be obtained, or does not have the published hash or that of its first use.
    """
    digest = digest.lower()
    if not FILE_NAME_PATTERN.fullmatch(file):
        raise InputError(f"A file in the cache must have a plain name, such as vgg16.h5. Received: {file!r}")
    if not DIGEST_PATTERN.fullmatch(digest):
        raise InputError(
            f"A hash must be sha256:, sha256-prefix:, sha1: or md5:, followed by its hex digits. Received: {digest!r}"
        )
    mirror = os.environ.get("CNNZOO_MIRROR")
    download_url = f"{mirror.rstrip('/')}/{file}" if mirror else url
    path = _cache_path(file)
    part, ledger = path.with_name(f"{file}.part"), path.with_name(f"{file}.sha256")

    # Nothing has to be written for a file that was used before, so the cache may be read-only.
    if path.exists() and _read_recorded_hash(ledger):
        return path, _check_hashes(path, digest, ledger)

    with _lock_cache(path):
        try:
            new = path if path.exists() else http_download.download_part(download_url, part, size)
        except InputError as error:
            recorded = _read_recorded_hash(ledger)
            expected = _describe_digest(f"sha256:{recorded}" if recorded else digest)
            raise InputError(f"{error}. To add it by hand, save {url} as {path}; {expected}") from None
        sha256 = _check_hashes(new, digest, ledger)
        if new == part:
            os.replace(part, path)
        http_download.discard_part(part)
        if not _read_recorded_hash(ledger):
            remove_file(ledger)
            with atomic_write(ledger) as text:
                text.write_bytes(f"{sha256}  {file}\n".encode())  # in the format of sha256sum -c
            if not digest:
                warn_caller(f"No hash of {file} is published; from now on its sha256 must be {sha256}")
    return path, sha256


def _describe_digest(digest: str) -> str:
    """Return what the hash of a file must be, as the end of a sentence."""
    kind, _, digits = digest.partition(":")
    if not digest:
        return "its hash is not published"
    if kind == "sha256-prefix":
        return f"its sha256 begins with {digits}"
    return f"its {kind} is {digits}"


def _cache_path(file: str) -> Path:
    """Return the path of a file in the cache, whether it exists or not."""
    try:
        path = cache_dir() / "weights" / file
        if path.exists() and not path.is_file():
            raise InputError(f"Cannot read {path}: it is not a file")
        return path
    except (OSError, RuntimeError) as error:  # a user without a home, or a name that is too long
        raise InputError(f"Cannot use the cache: {error}; set CNNZOO_HOME to another folder") from None


@contextmanager
def _lock_cache(path: Path) -> Iterator[None]:
    """Create the folder of the cache, and let only one process at a time write the file `path`."""
    from filelock import FileLock

    lock_file = path.with_name(f".{path.name}.lock")
    lock = FileLock(lock_file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(lock_file) and not is_plain_file(lock_file):
            remove_file(lock_file)  # a link would have its target emptied
        lock.acquire()
    except OSError as error:
        raise InputError(
            f"Cannot write to the cache folder {path.parent}: {error.strerror}; set CNNZOO_HOME to another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _check_hashes(path: Path, digest: str, ledger: Path) -> str:
    """Return the SHA-256 of a file that has the published hash and the recorded one.

    If it has another, raise InputError, and delete the file if it was just downloaded.
    """
    kind, _, published = digest.partition(":")
    try:
        sha256 = _hash_file(path, "sha256")
        if kind and path.name.removesuffix(".part").endswith(".zip"):
            actual = _hash_archive_member(path, kind)
        else:
            actual = _hash_file(path, kind) if kind in ("sha1", "md5") else sha256
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}") from None
    if actual.startswith(published):
        recorded = _read_recorded_hash(ledger)
        if recorded in ("", sha256):
            return sha256
        problem = f"has changed since its first use: {ledger} records sha256 {recorded}. Received: {sha256}"
    else:
        problem = f"is not the published file. Expected: {digest}. Received: {actual}"
    if path.suffix != ".part":
        raise InputError(f"{path} {problem}. Delete it and run cnnzoo fetch again")
    http_download.discard_part(path)
    raise InputError(f"{path.stem} as downloaded {problem}. It was deleted")


def _hash_file(path: Path, kind: str) -> str:
    """Return the hash of a file in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, kind, usedforsecurity=False)).hexdigest()


def _hash_archive_member(path: Path, kind: str) -> str:
    """Return the hash of the only file in a zip archive, which is what tf2cv publishes, or what is wrong with it."""
    from zipfile import BadZipFile
    from zlib import error as ZlibError  # noqa: N812

    from cnnzoo.core.archives import Archive

    try:
        archive = Archive(path.read_bytes())
        (name,) = archive.member_names()
        content = archive.read_member(name)
        return hashlib.new(kind.removesuffix("-prefix"), content, usedforsecurity=False).hexdigest()
    except (ValueError, BadZipFile, ZlibError, EOFError, NotImplementedError) as error:
        return f"not an intact archive of one file ({error})"


def _read_recorded_hash(ledger: Path) -> str:
    """Return the SHA-256 that was recorded at the first use, or "" if there is none.

    Raises InputError for a folder or a pipe in its place: nothing can vouch for the file then.
    """
    if not os.path.lexists(ledger):
        return ""
    if not ledger.is_file():
        raise InputError(f"{ledger} is not a file, as the record of a hash is; remove it")
    with ledger.open("rb") as file:
        return file.read(64).decode("utf-8", "replace") or "nothing"
