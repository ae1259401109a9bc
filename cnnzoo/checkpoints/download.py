"""Published files in the cache: downloaded once, and hashed before every use."""

import hashlib
import logging
import os
import re
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write, cache_dir

log = logging.getLogger(__name__)

FILE_NAME_PATTERN = re.compile(r"[A-Za-z0-9][\w.+-]*(?<!\.part)(?<!\.sha256)", re.ASCII)
DIGEST_PATTERN = re.compile(r"|sha256:[0-9a-f]{64}|sha256-prefix:[0-9a-f]{8,64}|sha1:[0-9a-f]{40}|md5:[0-9a-f]{32}")
URL_SCHEMES = ("https://", "http://")
MAX_RETRIES = 4  # in a row without progress
BACKOFF_SECONDS = 0.5  # seconds, and more each time
TIMEOUT_SECONDS = (10, 30)  # seconds to connect, and to wait for the next bytes
MAX_DOWNLOAD_BYTES = 4 * 2**30  # bytes, where the size is not known
CHUNK_BYTES = 2**16  # bytes; a download that stops loses less than this


def fetch(url: str, file: str, digest: str = "", size: int | None = None) -> tuple[Path, str]:
    """The path of `file` in the cache, downloaded where it is not there, and its sha256, which was checked.

    `digest` is as published: "sha256:HEX", "sha256-prefix:HEX", "sha1:HEX", "md5:HEX" (of a .zip, that of the file
    in it), or "" for none, which is warned of at the first use. The sha256 of that use is written beside the file and
    holds from then on. Raises InputError for any other bytes, and where the file cannot be had; what was downloaded
    until then is kept for the next time.
    """
    from filelock import FileLock

    digest = digest.lower()
    if not FILE_NAME_PATTERN.fullmatch(file):
        raise InputError(f"A file of the cache has a plain name like vgg16.h5. Received: {file!r}")
    if not DIGEST_PATTERN.fullmatch(digest):
        raise InputError(f"A hash is sha256:, sha256-prefix:, sha1: or md5: and its hex digits. Received: {digest!r}")
    published = url
    if mirror := os.environ.get("CNNZOO_MIRROR"):
        url = f"{mirror.rstrip('/')}/{file}"
    try:
        path = cache_dir() / "weights" / file
        if path.exists() and not path.is_file():
            raise InputError(f"Cannot read {path}: it is no file")
    except (OSError, RuntimeError) as error:  # of a home that is nobody's, or a name that is too long
        raise InputError(f"Cannot use the cache: {error}; see CNNZOO_HOME") from None
    part, ledger = path.with_name(f"{file}.part"), path.with_name(f"{file}.sha256")
    if path.exists() and ledger.exists():  # nothing to write: the cache may be read-only
        return path, _check_hashes(path, digest, ledger)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write to {path.parent}, the cache: {error.strerror}; see CNNZOO_HOME") from None
    lock = FileLock(path.with_name(f".{file}.lock"))
    try:
        lock.acquire()
    except OSError as error:
        raise InputError(f"Cannot write to {path.parent}, the cache: {error.strerror}; see CNNZOO_HOME") from None
    with lock:
        lock.release()  # held once more by the block
        try:
            new = path if path.exists() else _download_part(url, part, size)
        except InputError as error:
            known = f"sha256:{_read_recorded_hash(ledger)}" if ledger.exists() else digest or "not published"
            raise InputError(
                f"{error}. By hand: put {published} into {path.parent} as {file}; its hash is {known}"
            ) from None
        sha256 = _check_hashes(new, digest, ledger)
        if new == part:
            os.replace(part, path)
        _discard_part(part)
        if not ledger.exists():
            with atomic_write(ledger) as text:
                text.write_bytes(f"{sha256}  {file}\n".encode())  # as sha256sum -c reads it
            if not digest:
                warnings.warn(f"No hash of {file} is published; from now on its sha256 must be {sha256}", stacklevel=2)
    return path, sha256


def _check_hashes(path: Path, digest: str, ledger: Path) -> str:
    """The sha256 of a file that has the published hash and the recorded one; a download that has not is deleted."""
    kind, _, published = digest.partition(":")
    try:
        sha256 = _hash_file(path, "sha256")
        packed = path.name.removesuffix(".part").endswith(".zip")
        found = (
            _hash_archive_member(path, kind)
            if packed and kind
            else _hash_file(path, kind)
            if kind in ("sha1", "md5")
            else sha256
        )
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}") from None
    if found.startswith(published) and (not ledger.exists() or sha256 == _read_recorded_hash(ledger)):
        return sha256
    why = f"is not the published file: {digest} expected, {found} found"
    if found.startswith(published):
        expected = _read_recorded_hash(ledger)
        why = f"is not the file of its first use: sha256 {expected} expected, by {ledger}; {sha256} found"
    if path.suffix != ".part":
        raise InputError(f"{path} {why}. Delete it and run cnnzoo fetch again")
    _discard_part(path)
    raise InputError(f"{path.stem} as downloaded {why}. It was deleted")


def _hash_file(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, kind, usedforsecurity=False)).hexdigest()


def _hash_archive_member(path: Path, kind: str) -> str:
    """The hash of the one file in a zip archive, which is what tf2cv publishes."""
    from zipfile import BadZipFile
    from zlib import error as bad_data

    from cnnzoo.checkpoints.archives import Archive

    try:
        archive = Archive(path.read_bytes())
        (name,) = archive.names()
        return hashlib.new(kind.removesuffix("-prefix"), archive.member(name), usedforsecurity=False).hexdigest()
    except (ValueError, BadZipFile, bad_data, EOFError, NotImplementedError) as error:
        return f"no intact archive of one file ({error})"


def _read_recorded_hash(ledger: Path) -> str:
    return ledger.read_text(encoding="utf-8", errors="replace")[:64]


def _download_part(url: str, part: Path, size: int | None) -> Path:
    """`part`, filled from `url` and on from where it stopped; raises InputError where that does not succeed."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    if os.environ.get("CNNZOO_OFFLINE", "0") not in ("", "0"):
        raise InputError(f"{part.stem} is not in the cache, and CNNZOO_OFFLINE is set")
    if not url.lower().startswith(URL_SCHEMES):
        raise InputError(f"Files come by https or http. Received: {url!r}")
    log.info("Downloading %s", url)
    idle, best, cut = 0, _part_size(part), "the connection was cut"
    with _make_session() as session, _progress_bar(part.stem) as progress:
        while idle <= MAX_RETRIES:
            try:
                if _request_rest(part, session, url, size, progress):
                    return part
            except RequestException as error:
                reason = getattr(error.args[0], "reason", error) if error.args else error  # MaxRetryError wraps it
                raise InputError(f"Cannot get {url}: {reason}") from None
            except HTTPError as error:
                cut = error.args[0]
            idle = 0 if _part_size(part) > best else idle + 1
            best = max(best, _part_size(part))
            time.sleep(BACKOFF_SECONDS * idle)
    raise InputError(
        f"Cannot get {url}: {cut}, {idle} times in a row; {_part_size(part):,} bytes are kept for next time"
    )


def _request_rest(part: Path, session: Any, url: str, size: int | None, progress: Any) -> bool:
    """Ask once for what `part` lacks; True where it is whole then. What has changed on the server starts afresh."""
    have, origin = _part_size(part), _origin_path(part)
    source, _, mark = origin.read_text(encoding="utf-8").partition("\n") if have and origin.exists() else ("", "", "")
    resume = {"Range": f"bytes={have}-", "If-Range": mark} if mark and source == url else {}
    headers = {"Accept-Encoding": "identity"} | resume
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        status, given = response.status_code, response.headers
        span, total = given.get("Content-Range", ""), given.get("Content-Length", "")
        if resume and status in (206, 416):
            if status == 416 or not span.startswith(f"bytes {have}-") or _version_mark(given) not in ("", mark):
                _discard_part(part)
                return False
            total = span.rpartition("/")[2]
        elif status == 200:
            have = 0
        else:
            raise InputError(f"Cannot get {url}: {status} {response.reason}")
        total = int(total) if re.fullmatch("[0-9]{1,18}", total) else size
        if total and (total != size if size else total > MAX_DOWNLOAD_BYTES):
            raise InputError(
                f"{url} has {total:,} bytes; expected: {size or MAX_DOWNLOAD_BYTES:,}{'' if size else ' at most'}"
            )
        if total and total - have > (free := shutil.disk_usage(part.parent).free):
            raise InputError(f"{url} needs {total - have:,} bytes of disk; {part.parent} has {free:,}")
        progress.reset(progress.task_ids[0], total=total, completed=have)
        if (total or MAX_DOWNLOAD_BYTES) > 2**20:
            progress.start()
        with part.open("ab" if have else "wb") as out:
            if not have:
                origin.write_text(f"{url}\n{_version_mark(given)}", encoding="utf-8")
            for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                have += len(chunk)
                if have > (total or MAX_DOWNLOAD_BYTES):
                    out.truncate(0)
                    raise InputError(f"{url} has more bytes than expected: {total or MAX_DOWNLOAD_BYTES:,}")
                out.write(chunk)
                progress.advance(progress.task_ids[0], len(chunk))
    return not total or have == total


def _make_session() -> Any:
    from requests import Session
    from requests.adapters import HTTPAdapter, Retry

    retry = Retry(
        MAX_RETRIES, backoff_factor=BACKOFF_SECONDS, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False
    )
    retry.respect_retry_after_header = False  # it may ask for hours
    session = Session()
    for scheme in URL_SCHEMES:
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.hooks["response"].append(_check_redirect)
    return session


def _check_redirect(response: Any, **_: Any) -> None:
    """Raises InputError for a redirect to anything but http(s), or from https down to http."""
    if response.is_redirect:
        location = response.headers["Location"]
        try:
            target = urljoin(response.url, location)
        except ValueError:
            target = ""
        if not target.lower().startswith(URL_SCHEMES[:1] if response.url.startswith("https") else URL_SCHEMES):
            response.close()
            raise InputError(f"{response.url} redirects to {location!r}, which is not followed")


@contextmanager
def _progress_bar(title: str) -> Iterator[Any]:
    """A bar on a terminal that shows once it is started."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    progress.add_task("")
    try:
        yield progress
    finally:
        if progress.live.is_started:  # older releases of rich end in a blank line anyhow
            progress.stop()


def _part_size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _origin_path(part: Path) -> Path:
    """Where the URL and the version on the server of a part are kept."""
    return part.with_name(f"{part.name}.from")


def _version_mark(headers: Any) -> str:
    """What tells versions of a file apart: a strong ETag, or the date."""
    etag = headers.get("ETag", "")
    mark = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    return " ".join(mark.split())  # a folded header cannot be sent back


def _discard_part(part: Path) -> None:
    part.unlink(missing_ok=True)
    _origin_path(part).unlink(missing_ok=True)
