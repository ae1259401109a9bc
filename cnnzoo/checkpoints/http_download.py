"""Download a file over HTTP into a part file, which the next download continues if this one is interrupted."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from cnnzoo.core.errors import InputError

if TYPE_CHECKING:
    from requests import Response, Session
    from rich.progress import Progress

log = logging.getLogger(__name__)

URL_SCHEMES = ("https://", "http://")
MAX_RETRIES = 4  # in a row without progress
BACKOFF_SECONDS = 0.5  # times the number of failed attempts
TIMEOUT_SECONDS = (10, 30)  # to connect, and to wait for the next bytes
MAX_DOWNLOAD_BYTES = 4 * 2**30  # if the size is not known
CHUNK_BYTES = 2**16  # a download that is interrupted loses less than this
PROGRESS_BYTES = 2**20  # smaller downloads show no progress bar


def download_part(url: str, part: Path, size: int | None) -> Path:
    """Download `url` into the file `part`, continuing where an earlier download stopped, and return `part`.

    Raises InputError if the download does not succeed.
    """
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    if os.environ.get("CNNZOO_OFFLINE", "0") not in ("", "0"):
        raise InputError(f"{part.stem} is not in the cache, and CNNZOO_OFFLINE is set")
    if not url.lower().startswith(URL_SCHEMES):
        raise InputError(f"Files can be downloaded by https or http only. Received: {url!r}")
    log.info("Downloading %s", url)
    attempts_without_progress, largest, problem = 0, _part_size(part), "the connection was cut"
    with _make_session() as session, _progress_bar(part.stem) as progress:
        while attempts_without_progress <= MAX_RETRIES:
            try:
                if _request_rest(part, session, url, size, progress):
                    return part
            except RequestException as error:
                # requests wraps the reason in a MaxRetryError
                reason = getattr(error.args[0], "reason", error) if error.args else error
                raise InputError(f"Cannot get {url}: {reason}") from None
            except HTTPError as error:
                problem = error.args[0]
            attempts_without_progress = 0 if _part_size(part) > largest else attempts_without_progress + 1
            largest = max(largest, _part_size(part))
            time.sleep(BACKOFF_SECONDS * attempts_without_progress)
    raise InputError(
        f"Cannot get {url}: {problem}, {attempts_without_progress} times in a row; "
        f"{_part_size(part):,} bytes are kept for the next attempt"
    )


def _request_rest(part: Path, session: Session, url: str, size: int | None, progress: Progress) -> bool:
    """Request what `part` lacks, once; return whether the file is complete then.

    If the file has changed on the server, the download starts from the beginning.
    """
    received = _part_size(part)
    mark = _resumable_mark(part, url)
    headers = {"Accept-Encoding": "identity"}
    if mark:
        headers |= {"Range": f"bytes={received}-", "If-Range": mark}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        # Does the answer continue the part, or start again?
        status, answered = response.status_code, response.headers
        length = answered.get("Content-Length", "")
        if mark and status in (206, 416):
            span = answered.get("Content-Range", "")
            if status == 416 or not span.startswith(f"bytes {received}-") or _version_mark(answered) not in ("", mark):
                discard_part(part)
                return False
            length = span.rpartition("/")[2]
        elif status == 200:
            received = 0
        else:
            raise InputError(f"Cannot get {url}: {status} {response.reason}")

        # Check the size before anything is written.
        total = int(length) if re.fullmatch("[0-9]{1,18}", length) else size
        if total and (total != size if size else total > MAX_DOWNLOAD_BYTES):
            limit = f"{size:,}" if size else f"{MAX_DOWNLOAD_BYTES:,} at most"
            raise InputError(f"{url} has {total:,} bytes; expected: {limit}")
        if total and total - received > (free := shutil.disk_usage(part.parent).free):
            raise InputError(f"{url} needs {total - received:,} bytes of disk space; {part.parent} has {free:,}")

        # Write what arrives, and count it, because the server may declare a wrong size.
        task = progress.task_ids[0]
        progress.reset(task, total=total, completed=received)
        if (total or MAX_DOWNLOAD_BYTES) > PROGRESS_BYTES:
            progress.start()
        with part.open("ab" if received else "wb") as out:
            if not received:
                _origin_path(part).write_text(f"{url}\n{_version_mark(answered)}", encoding="utf-8")
            for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                received += len(chunk)
                if received > (total or MAX_DOWNLOAD_BYTES):
                    out.truncate(0)
                    raise InputError(f"{url} has more bytes than expected: {total or MAX_DOWNLOAD_BYTES:,}")
                out.write(chunk)
                progress.advance(task, len(chunk))
    return not total or received == total


def _make_session() -> Session:
    """Return a session that retries failed connections and overloaded servers, and checks redirects."""
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        MAX_RETRIES,
        backoff_factor=BACKOFF_SECONDS,
        status_forcelist=(429, 500, 502, 503, 504),
        raise_on_status=False,
    )
    retry.respect_retry_after_header = False  # the server may ask for a wait of hours
    session = Session()
    for scheme in URL_SCHEMES:
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.hooks["response"].append(_check_redirect)
    return session


def _check_redirect(response: Response, **_: Any) -> None:
    """Raise InputError for a redirect to anything but https or http, or from https to http."""
    if response.is_redirect:
        location = response.headers["Location"]
        try:
            target = urljoin(response.url, location)
        except ValueError:
            target = ""
        allowed = URL_SCHEMES[:1] if response.url.startswith("https") else URL_SCHEMES
        if not target.lower().startswith(allowed):
            response.close()
            raise InputError(f"{response.url} redirects to {location!r}, which is not followed")


@contextmanager
def _progress_bar(title: str) -> Iterator[Progress]:
    """Give a progress bar that appears on a terminal once it is started."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    progress.add_task("")
    try:
        yield progress
    finally:
        if progress.live.is_started:  # otherwise older releases of rich print a blank line
            progress.stop()


def discard_part(part: Path) -> None:
    """Delete a part and the file that records its origin, if they exist."""
    part.unlink(missing_ok=True)
    _origin_path(part).unlink(missing_ok=True)


def _part_size(part: Path) -> int:
    """Return how many bytes of the file have arrived."""
    return part.stat().st_size if part.exists() else 0


def _origin_path(part: Path) -> Path:
    """Return the path of the file that records the URL of a part, and its version on the server."""
    return part.with_name(f"{part.name}.from")


def _resumable_mark(part: Path, url: str) -> str:
    """Return the version mark of a part that came from `url`, or "" if it cannot be continued."""
    origin = _origin_path(part)
    if not _part_size(part) or not origin.exists():
        return ""
    origin_url, _, mark = origin.read_text(encoding="utf-8").partition("\n")
    return mark if origin_url == url else ""


def _version_mark(headers: Mapping[str, str]) -> str:
    """Return what distinguishes the versions of a file on a server: a strong ETag, or the date, or ""."""
    etag = headers.get("ETag", "")
    mark = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    return " ".join(mark.split())  # a folded header cannot be sent back
