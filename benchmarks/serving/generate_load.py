"""Send requests to a server on this machine with many clients, and print what came back as one line of JSON.

python benchmarks/serving/generate_load.py 8080 photos/ --clients 64 --seconds 10

Each client has one connection and sends its next request when it has the answer to the last; after 503 it waits as
`Retry-After` says. The requests are made beforehand, and no answer is parsed beyond its status and length, as this
process shares the processor with the server.
"""

import asyncio
import collections
import json
import time
from pathlib import Path

import click
import numpy as np

BOUNDARY = b"cnnzoo-benchmark"
LAST_ANSWERS_SECONDS = 30  # after the end, for the answers that are on their way


def make_request(file: Path, path: str, port: int) -> bytes:
    """Return the bytes of a request with one file in a form."""
    body = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\nContent-Type: image/jpeg\r\n\r\n' % (
        BOUNDARY,
        file.name.encode(),
    )
    body += file.read_bytes() + b"\r\n--%b--\r\n" % BOUNDARY
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Load:
    """All clients, and what they got.

    Attributes:
        statuses: number of answers by status; "lost" for connections that ended without one, and "missing" for
            requests that had none at the end.
        seconds: time of each answer with status 200 that arrived in the measured time.
    """

    def __init__(self, requests: list[bytes], count: int, clients: int) -> None:
        self.requests, self.remaining = requests, count
        self.statuses: collections.Counter[str] = collections.Counter()
        self.seconds: list[float] = []
        self.measured = (0.0, 0.0)  # from when to when
        self.is_over = False
        self.open_clients = clients  # also those that are still connecting
        self.all_closed = asyncio.Event()

    def note(self, status: str, sent_at: float) -> None:
        """Count an answer."""
        now = time.perf_counter()
        self.statuses[status] += 1
        if status == "200" and self.measured[0] <= now < self.measured[1]:
            self.seconds.append(now - sent_at)


class Client(asyncio.Protocol):
    """One client: a connection that always has one request on its way."""

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.number = load, number
        self.answer, self.length, self.sent_at = b"", 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.send()

    def send(self) -> None:
        """Send the next request, or close the connection if it is time."""
        load = self.load
        if load.is_over or not load.remaining:
            self.transport.close()
            return
        load.remaining -= 1
        self.number += 1
        self.answer, self.length, self.sent_at = b"", 0, time.perf_counter()
        self.transport.write(load.requests[self.number % len(load.requests)])

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not self.length:
            head, end, _ = self.answer.partition(b"\r\n\r\n")
            if not end:
                return
            self.length = len(head) + 4 + int(head.lower().partition(b"content-length:")[2].split()[0])
        if len(self.answer) < self.length:
            return
        status = self.answer[9:12].decode()
        self.load.note(status, self.sent_at)
        self.sent_at = 0.0
        if status == "503":
            head = self.answer.lower()
            seconds = float(head.partition(b"retry-after:")[2].split()[0]) if b"retry-after:" in head else 1.0
            asyncio.get_running_loop().call_later(seconds, self.send)
        else:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if self.sent_at:  # there was no answer
            self.load.note("lost", self.sent_at)
        self.load.open_clients -= 1
        if not self.load.open_clients:
            self.load.all_closed.set()


async def generate(
    requests: list[bytes], port: int, clients: int, seconds: float, count: int, warm_up: float = 0.0
) -> dict:
    """Run the clients; return rates, percentiles and statuses. Answers in the first seconds are not measured."""
    load, loop = Load(requests, count, clients), asyncio.get_running_loop()
    started = time.perf_counter()
    load.measured = (started + warm_up, started + seconds)
    for number in range(clients):
        await loop.create_connection(lambda number=number: Client(load, number), "127.0.0.1", port)
    loop.call_later(seconds, setattr, load, "is_over", True)
    processor = time.process_time()
    try:
        await asyncio.wait_for(load.all_closed.wait(), seconds + LAST_ANSWERS_SECONDS)
    except TimeoutError:
        load.statuses["missing"] = load.open_clients
    whole = time.perf_counter() - started
    length = min(whole, seconds) - warm_up
    times = 1000 * np.array(load.seconds or [np.nan])
    return {
        "rate": round(len(load.seconds) / length, 2),
        **{f"p{q}_ms": round(float(np.percentile(times, q)), 2) for q in (50, 90, 99)},
        "answers": dict(load.statuses),
        "generator_share": round((time.process_time() - processor) / whole, 3),
    }


@click.command()
@click.argument("port", type=int)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--path", default="/predict", show_default=True)
@click.option("--clients", default=8, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="The first sixth of it is not measured.")
@click.option("--count", default=100_000, show_default=True, help="Requests at most.")
def main(port: int, folder: Path, path: str, clients: int, seconds: float, count: int) -> None:
    """Send the files of FOLDER to the server at PORT."""
    requests = [make_request(file, path, port) for file in sorted(folder.iterdir())]
    print(json.dumps(asyncio.run(generate(requests, port, clients, seconds, count, seconds / 6))))


if __name__ == "__main__":
    main()
