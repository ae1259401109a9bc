"""What a server counts, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from cnnzoo.serve.served_model import ServedModel

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters, gauges and histograms of one server; two servers in a process do not share them.

    Attributes:
        registry: the registry of prometheus-client that holds them.
        requests: answered requests, by method, route and status.
        request_seconds: time from the first byte of a request to the last of its answer, by route.
        images: images, by model and result: "answered" or "refused".
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "cnnzoo_requests", "Answered requests", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "cnnzoo_request_seconds", "Time to answer a request", ["route"], buckets=SECONDS, registry=registry
        )
        self.images = Counter("cnnzoo_images", "Images by result", ["model", "result"], registry=registry)
        self._histograms = {
            "decode_seconds": Histogram(
                "cnnzoo_decode_seconds", "Time to decode an image", ["model"], buckets=SECONDS, registry=registry
            ),
            "predict_seconds": Histogram(
                "cnnzoo_predict_seconds", "Time to predict a batch", ["model"], buckets=SECONDS, registry=registry
            ),
            "batch_size": Histogram(
                "cnnzoo_batch_size", "Images that were predicted together", ["model"], buckets=SIZES, registry=registry
            ),
        }
        self._waiting = Gauge("cnnzoo_waiting_images", "Images without an answer yet", ["model"], registry=registry)

    def observe(self, model: str, name: str, value: float) -> None:
        """Add a value to one of the histograms of a model."""
        self._histograms[name].labels(model).observe(value)

    def watch(self, models: Iterable[ServedModel]) -> None:
        """Report from now on how many images wait for each model."""
        for model in models:
            self._waiting.labels(model.name).set_function(partial(getattr, model, "waiting"))

    def render(self) -> bytes:
        """Return all of them as text."""
        return generate_latest(self.registry)
