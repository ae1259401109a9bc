"""The state of a server: its models, its threads, its metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import numpy as np

from cnnzoo.core.errors import suggest_names
from cnnzoo.core.threads import available_cores
from cnnzoo.inference.classifier import Classifier
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.explanations import Explanations
from cnnzoo.serve.limits import Limits
from cnnzoo.serve.metrics import Metrics
from cnnzoo.serve.served_model import VERSION, ServedModel

log = logging.getLogger(__name__)


class Server:
    """The models of a server, and the threads that they share.

    Attributes:
        models: the models by their names, the first of which is the default.
        limits: what a request may cost.
        metrics: what is counted.
        explanations: computes heat maps.
        is_started: whether its threads run.
    """

    def __init__(
        self,
        classifiers: Mapping[str, Classifier],
        *,
        queue: int = 256,
        deadline: float = 10.0,
        batch_size: int | str = "auto",
        limits: Limits | None = None,
    ) -> None:
        """Make the models; arguments as in `create_app`."""
        self.limits, self.metrics = limits or Limits(), Metrics()
        self.models = {
            name: ServedModel(
                name,
                classifier,
                queue=queue,
                deadline=deadline,
                batch_size=batch_size,
                limits=self.limits,
                observe=partial(self.metrics.observe, name),
            )
            for name, classifier in classifiers.items()
        }
        self.explanations = Explanations(self.limits)
        self.metrics.watch(self.models.values())
        self.is_started = False

    @property
    def is_ready(self) -> bool:
        """Whether every model has answered an image."""
        return all(model.ready for model in self.models.values())

    def start(self) -> None:
        """Start the threads, and begin to open the networks in one; does nothing if the server is started."""
        if self.is_started:
            return
        self.is_started = True
        self._decoders = ThreadPoolExecutor(available_cores(), "cnnzoo-decode")
        for model in self.models.values():
            model.start(self._decoders)
        self._opener = ThreadPoolExecutor(1, "cnnzoo-open")
        self._warm_up = self._opener.submit(self._open_networks)

    async def wait_until_ready(self) -> None:
        """Wait until every model has answered an image; raise the error of the first that cannot."""
        await asyncio.wrap_future(self._warm_up)

    async def stop(self) -> None:
        """Answer what waits, and end the threads. The server may be started again."""
        with suppress(Exception):  # its error is for `wait_until_ready`
            await self.wait_until_ready()
        await asyncio.to_thread(self._end_threads)
        self.is_started = False

    def _end_threads(self) -> None:
        self.explanations.close()
        self._opener.shutdown()
        self._decoders.shutdown()
        for model in self.models.values():
            model.close()

    def _open_networks(self) -> None:
        """Open all networks, also those after one that fails; raise the first error."""
        errors = []
        for model in self.models.values():
            try:
                model.warm_up()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def find_model(self, name: str = "", version: str = VERSION) -> ServedModel:
        """Return the model of a name, or the only one if no name is given.

        Raises:
            RequestError: 400 if there are several and no name was given, 404 if there is none of this name or version.
        """
        if not name and len(self.models) > 1:
            raise RequestError(
                400, f"This server has several models, so the request must name one: {', '.join(self.models)}"
            )
        model = self.models.get(name) if name else next(iter(self.models.values()))
        if model is None:
            nearest = suggest_names(name, self.models)
            hint = f"Did you mean {nearest[0]}? " if nearest else ""
            raise RequestError(404, f"There is no model {name!r:.100}. {hint}Models: {', '.join(self.models)}")
        if version != VERSION:
            raise RequestError(404, f"{model.name} has only version {VERSION}. Received: {version!r:.50}")
        return model

    async def classify(
        self, model: ServedModel, images: list[bytes | np.ndarray], refuse: bool = True
    ) -> list[np.ndarray | str]:
        """Return the probabilities of each image, or why it has none; see `ServedModel.classify`.

        Raises:
            RequestError: also 422, if no image of the request could be decoded, unless `refuse` is False.
        """
        answers = await model.classify(images)
        refused = [answer for answer in answers if isinstance(answer, str)]
        self.metrics.images.labels(model.name, "answered").inc(len(answers) - len(refused))
        self.metrics.images.labels(model.name, "refused").inc(len(refused))
        if refuse and len(refused) == len(answers):
            raise RequestError(422, describe_refusals(answers))
        return answers


def describe_refusals(answers: Sequence[np.ndarray | str]) -> str:
    """Return why a request has no answer, none of whose images could be decoded."""
    more = f" (the first of {len(answers)} images)" if len(answers) > 1 else ""
    return f"{answers[0]}{more}"
