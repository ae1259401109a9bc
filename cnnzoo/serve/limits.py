"""What a request may cost: the limits of a server."""

from dataclasses import dataclass, fields

from cnnzoo.core.arguments import check_fields
from cnnzoo.core.errors import InputError, check_integer

MEGABYTE = 1_000_000


@check_fields()
@dataclass(frozen=True)
class Limits:
    """Limits of a server, so that no client can fill its memory or keep it from serving others.

    Attributes:
        image_bytes: bytes of one encoded image.
        request_bytes: bytes of the body of a request.
        total_bytes: bytes of the bodies of all requests that are being received or answered. While bodies are parsed,
            they need up to three times as much memory.
        images: images in one request.
        pixels: pixels of one image, before it is resized. The limits of `cnnzoo.load_data` hold as well, so that
            kinds of images that are slow to decode may have fewer.
        connections: clients that are connected at the same time.
        header_bytes: bytes of the first line and the headers of a request.
        header_seconds: time for the headers of a request to arrive, from the start of the connection.
        body_seconds: time for the body of a request to arrive, from the end of its headers.
        idle_seconds: time that a connection stays open between two requests.
        answer_seconds: time for a client to read its answer.
        explanations: heat maps that may wait at the same time; each takes as long as many predictions.
        explanation_seconds: time until a heat map; then the request gets status 504.

    Raises:
        InputError: if a value is not a positive number, an image may be larger than a request, or a request
            larger than all of them together.

    Example:
        >>> cnnzoo.serve.Limits(images=16).images
        16
    """

    image_bytes: int = 20 * MEGABYTE
    request_bytes: int = 100 * MEGABYTE
    total_bytes: int = 500 * MEGABYTE
    images: int = 64
    pixels: int = 50_000_000
    connections: int = 512
    header_bytes: int = 16_384
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 30.0
    answer_seconds: float = 60.0
    explanations: int = 8
    explanation_seconds: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in (int, "int"):
                check_integer(field.name, value, 1)
            elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
                raise InputError(
                    f"{field.name} must be a number of seconds above 0 and below 1,000,000. Received: {value!r:.200}"
                )
        if self.image_bytes > self.request_bytes:
            raise InputError(
                f"image_bytes must be at most request_bytes, as images arrive in requests. Received: "
                f"image_bytes={self.image_bytes:,}, request_bytes={self.request_bytes:,}"
            )
        if self.request_bytes > self.total_bytes:
            raise InputError(
                f"request_bytes must be at most total_bytes, those of all requests together. Received: "
                f"request_bytes={self.request_bytes:,}, total_bytes={self.total_bytes:,}"
            )
