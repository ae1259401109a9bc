"""Heat maps: which parts of a photo speak for a class.

They are computed in one thread of their own. A map of an export takes about a hundred predictions. They are made in
small batches, between which the predictions of others have their turn.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.data.decode import to_upright
from cnnzoo.explain.explainer import Explainer
from cnnzoo.explain.photos import Photo
from cnnzoo.explain.targets import Target, parse_targets
from cnnzoo.serve.decoding import open_within_limits
from cnnzoo.serve.errors import RequestError, busy

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from cnnzoo.data.transform import Transform
    from cnnzoo.explain.explanation import Explanation
    from cnnzoo.inference.classifier import Classifier
    from cnnzoo.serve.limits import Limits
    from cnnzoo.serve.served_model import ServedModel

log = logging.getLogger(__name__)

GRADIENTS, COVERED = "gradcam", "occlusion"
CELLS = 10  # of a side of a map of occlusion, whose square is a fifth of the side
PREDICTIONS = {COVERED: (CELLS + 1) ** 2 + 2, GRADIENTS: 3}  # about how many a map takes as long as
BATCH_SIZE = 8  # covered images that are predicted at a time: as long as a prediction of others may have to wait
MAX_SIDE = 768  # pixels of a picture in an answer


class Stopped(Exception):  # noqa: N818  # it is no error
    """Nobody waits for a heat map any more."""


class Explanations:
    """Computes heat maps, one after another.

    Attributes:
        waiting: number of heat maps that were asked for and are not ready yet.
    """

    def __init__(self, limits: Limits) -> None:
        """Prepare; `limits` says how many may wait, and how long. The thread is started with the first heat map."""
        self.limits, self.waiting = limits, 0
        self._thread: ThreadPoolExecutor | None = None
        self._explainers: dict[str, Explainer] = {}

    async def explain(
        self, model: ServedModel, content: bytes, target_name: str = ""
    ) -> tuple[Explanation, PillowImage]:
        """Return the explanation of one photo, and the photo under its map.

        Args:
            model: the model whose prediction is explained.
            content: the bytes of the file.
            target_name: the class, by its name, its id or its number; empty for the likeliest.

        Raises:
            RequestError: 400 for an unknown class, 422 if the photo cannot be read, 503 if too many heat maps wait
                already, 504 if it takes too long.
        """
        try:
            target = parse_targets(target_name or None, model.classifier.card)
        except InputError as error:
            raise RequestError(400, str(error)) from None
        assert isinstance(target, Target)  # one name
        if self.waiting >= self.limits.explanations:
            raise busy(f"{self.waiting} heat maps are waiting already, which is the most allowed. Try again later", 5)
        self.waiting += 1
        self._thread = self._thread or ThreadPoolExecutor(1, "cnnzoo-explain")
        is_cancelled = threading.Event()
        expires = time.monotonic() + self.limits.explanation_seconds
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._explain, model, content, target, expires, is_cancelled
        )
        work.add_done_callback(self._count_down)
        try:
            async with asyncio.timeout(self.limits.explanation_seconds):
                return await asyncio.shield(work)
        except InputError as error:
            raise RequestError(422, str(error).replace("the bytes as an image", "the image")) from None
        except (TimeoutError, Stopped):
            reason = f"The heat map was not ready within {self.limits.explanation_seconds:g} seconds"
            raise RequestError(504, reason) from None
        finally:
            is_cancelled.set()

    def close(self) -> None:
        """End the thread; heat maps that nobody waits for any more are given up."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._thread = None

    def _count_down(self, work: asyncio.Future[tuple[Explanation, PillowImage]]) -> None:
        self.waiting -= 1
        if not work.cancelled():
            work.exception()  # which is not "never retrieved" if the request has ended

    def _explain(
        self, model: ServedModel, content: bytes, target: Target, expires: float, is_cancelled: threading.Event
    ) -> tuple[Explanation, PillowImage]:
        """Compute one heat map in the thread."""

        def check_wanted() -> None:
            if is_cancelled.is_set() or time.monotonic() > expires:
                raise Stopped

        check_wanted()
        photo = read_photo(content, model.classifier.transform, self.limits)
        explainer = self._explainers.get(model.name) or make_explainer(model.classifier)
        self._explainers[model.name] = explainer
        explainer.before_batch = check_wanted
        explanation = next(explainer.explain(iter([photo]), iter([target])))
        return explanation, explanation.overlay()


def choose_method(classifier: Classifier) -> str:
    """Return how a model is explained: Grad-CAM needs a Keras model, and occlusion explains everything.

    Layers that compute in 16 bits would do so in 32 bits while Grad-CAM runs, and requests would get other scores.
    """
    if classifier.model is None:
        return COVERED
    from cnnzoo.surgery.walk import all_layers  # imports Keras

    is_mixed = any(layer.compute_dtype in ("float16", "bfloat16") for layer in all_layers(classifier.model))
    if classifier.runtime == "keras" and (is_mixed or classifier.precision != "float32"):
        return COVERED
    return GRADIENTS


def make_explainer(classifier: Classifier) -> Explainer:
    """Return what explains the predictions of a model."""
    method = choose_method(classifier)
    try:
        explainer = Explainer(classifier, method)
    except InputError as error:  # a network without feature maps
        log.info("%s is explained by occlusion: %s", classifier.card.name, error)
        explainer = Explainer(classifier, COVERED)
    explainer.occlusion_cells = CELLS
    explainer.batch_size = min(explainer.batch_size, BATCH_SIZE)
    return explainer


def read_photo(content: bytes, transform: Transform, limits: Limits) -> Photo:
    """Return a photo as `explain` takes it, with a picture of at most `MAX_SIDE` pixels in the place of its file.

    Raises:
        InputError: if it is no image, or a larger one than is allowed.
    """
    with open_within_limits(content, transform, limits) as image:
        upright = to_upright(image, transform.channels, transform.levels)
        picture = upright if transform.channels == 3 else to_upright(image, 3, transform.levels)
        size, box = (upright.height, upright.width), transform.crop_box((upright.height, upright.width))
        pixels = transform.resize_and_crop(upright)
    if max(size) > MAX_SIDE:
        height, width = (max(1, round(side * MAX_SIDE / max(size))) for side in size)
        picture = picture.resize((width, height), reducing_gap=2.0)
    down, across = picture.height / size[0], picture.width / size[1]
    top, left, bottom, right = box
    box = (top * down, left * across, bottom * down, right * across)
    return Photo("0", picture, transform, np.asarray(pixels), (picture.height, picture.width), box)
