"""Forms with files (multipart/form-data, RFC 7578), read from a body that is in memory.

Starlette writes files of more than a megabyte to disk, where a container may have none, and decodes names with whatever
encoding a client asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from cnnzoo.serve.errors import RequestError

MAX_PART_HEADERS = 4096  # bytes of the headers of one part
MAX_FIELD = 10_000  # bytes of a field that is no file
MAX_FIELDS = 20
MAX_BOUNDARY = 200  # characters
BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]*)"|([^;\s"]+))', re.IGNORECASE)
HEADER = re.compile(rb"(?:^|\r\n)([!-9;-~]+):[ \t]*([^\r\n]*)")
PARAMETER = re.compile(r';\s*(filename\*|filename|name)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))', re.IGNORECASE)
FILE_KINDS = ("image/", "application/octet-stream")  # content types of parts that are files without a name


@dataclass(frozen=True)
class Part:
    """A part of a form: its field, the name of its file if it is one, its content."""

    field: str
    file: str | None
    content: bytes


def parse_form(body: bytes, content_type: str, max_files: int) -> list[Part]:
    """Return the parts of a form.

    Args:
        body: the body of the request.
        content_type: its header Content-Type, which has the boundary between the parts.
        max_files: number of files that are allowed.

    Raises:
        RequestError: 400 for a body that is no form, 413 for too many or too large parts.
    """
    match = BOUNDARY.search(content_type)
    boundary = (match[1] or match[2] or "") if match else ""
    if not boundary or len(boundary) > MAX_BOUNDARY or not boundary.isascii():
        raise RequestError(400, "The form cannot be read: its Content-Type has no boundary")
    delimiter = b"\r\n--" + boundary.encode()

    # What is before the first delimiter is no part; the first one may begin the body
    begin = -2 if body.startswith(delimiter[2:]) else body.find(delimiter)
    if begin == -1:
        raise RequestError(400, "The form cannot be read: the boundary of its Content-Type is not in the body")
    position = begin + len(delimiter)
    parts: list[Part] = []
    counts = {True: 0, False: 0}
    while body[position : position + 2] != b"--":
        part, position = _read_part(body, position, delimiter)
        if part.file == "" and not part.content:  # a file input of a page in which nothing was chosen
            continue
        parts.append(part)
        is_file = part.file is not None
        counts[is_file] += 1
        if counts[True] > max_files:
            raise RequestError(413, f"More than the {max_files} images allowed in a request")
        if counts[False] > MAX_FIELDS or (not is_file and len(part.content) > MAX_FIELD):
            raise RequestError(
                413, f"The form has more than {MAX_FIELDS} fields, or one of more than {MAX_FIELD:,} bytes"
            )
    return parts


def _read_part(body: bytes, position: int, delimiter: bytes) -> tuple[Part, int]:
    """Return the part that begins after a delimiter, and the position after the next delimiter."""
    start = body.find(b"\r\n", position, position + 100)
    if start < 0 or body[position:start].strip(b" \t"):
        raise RequestError(400, "The form cannot be read: it ends early, or a boundary is not followed by a line end")
    end = body.find(b"\r\n\r\n", start, start + MAX_PART_HEADERS)
    if end < 0:
        raise RequestError(400, f"The form cannot be read: a part has no headers within {MAX_PART_HEADERS} bytes")
    stop = body.find(delimiter, end + 4)
    if stop < 0:
        raise RequestError(400, "The form cannot be read: it ends within a part")
    headers = {name.lower(): value for name, value in HEADER.findall(body[start:end])}
    field, file = _read_disposition(headers.get(b"content-disposition", b"").decode("utf-8", "replace"))
    if file is None and headers.get(b"content-type", b"").decode("latin-1").casefold().startswith(FILE_KINDS):
        file = field
    return Part(field, file, body[end + 4 : stop]), stop + len(delimiter)


def _read_disposition(header: str) -> tuple[str, str | None]:
    """Return the field, and the name of the file or None, of a header Content-Disposition."""
    values: dict[str, str] = {}
    for name, quoted, plain in PARAMETER.findall(header):
        values.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain)
    if not header.casefold().startswith("form-data") or "name" not in values:
        raise RequestError(400, 'The form cannot be read: a part has no Content-Disposition with a "name"')
    file = values.get("filename")
    if "filename*" in values:  # RFC 8187: UTF-8''name%20with%20escapes
        file = unquote_to_bytes(values["filename*"].rpartition("'")[2]).decode("utf-8", "replace")
    return values["name"], file
