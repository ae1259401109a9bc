"""Download a file over HTTP into a part file, which the next download continues if this one is interrupted."""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from cnnzoo.checkpoints.cache_files import is_plain_file, open_plain_file, read_plain_text, remove_file
from cnnzoo.core.errors import InputError
from cnnzoo.core.progress import Progress, show_progress

if TYPE_CHECKING:
    from requests import Response, Session

log = logging.getLogger(__name__)

URL_SCHEMES = ("https://", "http://")
MAX_RETRIES = 4  # in a row without progress
BACKOFF_SECONDS = 0.5  # times the number of failed attempts
TIMEOUT_SECONDS = (10, 30)  # to connect, and to wait for the next bytes
ANSWER_SECONDS = 60  # for a whole answer up to its body; the timeouts bound only the wait for the next bytes
MIN_BYTES_PER_SECOND = 1000  # on average over SPEED_SECONDS
SPEED_SECONDS = 60
MAX_SECONDS = 24 * 3600  # for a whole download
MAX_DOWNLOAD_BYTES = 4 * 2**30  # if the size is not known
CHUNK_BYTES = 2**16  # a download that is interrupted loses less than this
MAX_ORIGIN_BYTES = 2**16  # of the file that records where a part comes from


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
    watch = SpeedWatch(url)
    with _make_session() as session, show_progress(f"Downloading {part.stem}", unit="bytes") as progress:
        while attempts_without_progress <= MAX_RETRIES:
            try:
                if _request_rest(part, session, url, size, progress, watch):
                    return part
            except RequestException as error:
                # requests wraps the reason in a MaxRetryError
                reason = getattr(error.args[0], "reason", error) if error.args else error
                # urllib3 puts its object in front, as in "HTTPSConnection(host='...', port=443): Failed to resolve"
                plain = re.sub(r"^(<[^>]*>|\w+\([^)]*\)): ", "", str(reason))
                raise InputError(f"Cannot get {url}: {plain}") from None
            except HTTPError as error:
                problem = error.args[0]
            attempts_without_progress = 0 if _part_size(part) > largest else attempts_without_progress + 1
            largest = max(largest, _part_size(part))
            time.sleep(BACKOFF_SECONDS * attempts_without_progress)
    raise InputError(
        f"Cannot get {url}: {problem}, {attempts_without_progress} times in a row; "
        f"{_part_size(part):,} bytes are kept for the next attempt"
    )


class SpeedWatch:
    """Count the bytes of a download, and give it up if they arrive too slowly for too long."""

    def __init__(self, url: str) -> None:
        self.url, self.received = url, 0
        self.start = self.window_start = time.monotonic()

    def add(self, count: int) -> None:
        """Count some bytes; raise InputError if the download is slower than allowed."""
        self.received += count
        now = time.monotonic()
        if now - self.start > MAX_SECONDS:
            raise InputError(f"Cannot get {self.url}: it takes more than {MAX_SECONDS / 3600:.3g} hours")
        if (seconds := now - self.window_start) >= SPEED_SECONDS:
            if self.received < MIN_BYTES_PER_SECOND * seconds:
                raise InputError(
                    f"Cannot get {self.url}: in {seconds:.0f} seconds only {self.received:,} bytes have arrived, and "
                    f"{MIN_BYTES_PER_SECOND:,} per second are the least; what has arrived is kept for the next attempt"
                )
            self.window_start, self.received = now, 0


def _open_response(session: Session, url: str, headers: dict[str, str]) -> Response:
    """Request `url`, and return the answer before its body; raise InputError if that takes too long.

    The request runs in a thread, because a server that sends its header byte by byte would never run into a timeout.
    """
    answers: list[Response | BaseException] = []

    def request() -> None:
        try:
            answers.append(session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS))
        except BaseException as error:  # raised again where the answer is awaited
            answers.append(error)

    thread = threading.Thread(target=request, daemon=True, name="cnnzoo-download")
    thread.start()
    thread.join(ANSWER_SECONDS)
    if not answers:
        raise InputError(f"Cannot get {url}: the server did not answer within {ANSWER_SECONDS:g} seconds")
    if isinstance(answers[0], BaseException):
        raise answers[0]
    return answers[0]


def _iter_body(response: Response, watch: SpeedWatch) -> Iterator[bytes]:
    """Yield the body of an answer in chunks; `watch` sees the bytes as they arrive, not only full chunks."""
    from urllib3.exceptions import HTTPError

    raw, chunk = response.raw, bytearray()
    read = raw.read1 if hasattr(raw, "read1") else raw.read  # urllib3 before 2.3 waits for all bytes
    try:
        while piece := read(CHUNK_BYTES - len(chunk) if hasattr(raw, "read1") else 1024, decode_content=False):
            watch.add(len(piece))
            chunk += piece
            if len(chunk) >= CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
    except HTTPError:
        yield bytes(chunk)  # the next attempt continues here
        raise
    yield bytes(chunk)


def _request_rest(
    part: Path, session: Session, url: str, size: int | None, progress: Progress, watch: SpeedWatch
) -> bool:
    """Request what `part` lacks, once; return whether the file is complete then.

    If the file has changed on the server, the download starts from the beginning.
    """
    received = _part_size(part)
    mark = _resumable_mark(part, url)
    headers = {"Accept-Encoding": "identity"}
    if mark:
        headers |= {"Range": f"bytes={received}-", "If-Range": mark}
    with _open_response(session, url, headers) as response:
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
        progress.restart(total, received)
        with open_plain_file(part, append=received > 0) as out:
            if not received:
                with open_plain_file(_origin_path(part), append=False) as origin:
                    origin.write(f"{url}\n{_version_mark(answered)}".encode())
            for chunk in _iter_body(response, watch):
                received += len(chunk)
                if received > (total or MAX_DOWNLOAD_BYTES):
                    out.truncate(0)
                    raise InputError(f"{url} has more bytes than expected: {total or MAX_DOWNLOAD_BYTES:,}")
                out.write(chunk)
                progress.advance(len(chunk))
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


def discard_part(part: Path) -> None:
    """Delete a part and the file that records its origin, if they exist."""
    remove_file(part)
    remove_file(_origin_path(part))


def _part_size(part: Path) -> int:
    """Return how many bytes of the file have arrived; a link or a pipe in its place is not one."""
    return part.lstat().st_size if is_plain_file(part) else 0


def _origin_path(part: Path) -> Path:
    """Return the path of the file that records the URL of a part, and its version on the server."""
    return part.with_name(f"{part.name}.from")


def _resumable_mark(part: Path, url: str) -> str:
    """Return the version mark of a part that came from `url`, or "" if it cannot be continued."""
    if not _part_size(part):
        return ""
    origin_url, _, mark = read_plain_text(_origin_path(part), MAX_ORIGIN_BYTES).partition("\n")
    return mark if origin_url == url else ""


def _version_mark(headers: Mapping[str, str]) -> str:
    """Return what distinguishes the versions of a file on a server: a strong ETag, or the date, or ""."""
    etag = headers.get("ETag", "")
    mark = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    return " ".join(mark.split())  # a folded header cannot be sent back
