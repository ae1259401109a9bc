"""The ASGI application of a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

import cnnzoo
from cnnzoo.core.arguments import check_arguments
from cnnzoo.core.errors import InputError, shorten_repr, suggest_names
from cnnzoo.core.extras import install_command

try:
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, PlainTextResponse
    from starlette.exceptions import HTTPException
    from starlette.routing import Match
except ImportError as error:
    raise ImportError(f"{error.name} is not installed: {install_command('serve')}") from error

from cnnzoo.serve import api_page, forms, hugging_face, open_inference, page, tensorflow_serving
from cnnzoo.serve.access import Access, check_origins
from cnnzoo.serve.errors import RequestError
from cnnzoo.serve.gate import Gate, find_route_path
from cnnzoo.serve.journal import Journal
from cnnzoo.serve.limits import Limits
from cnnzoo.serve.openapi import describe_api
from cnnzoo.serve.requests import server_of
from cnnzoo.serve.served_model import check_settings, load_classifiers
from cnnzoo.serve.server import Server
from cnnzoo.serve.traffic import Traffic

if TYPE_CHECKING:
    import os

    import keras

    from cnnzoo.inference.classifier import Classifier

METHODS = ("GET", "HEAD", "POST")
DESCRIPTION = """Classify images. All surfaces answer with the same probabilities, those of `Classifier.predict`."""


@check_arguments()
def create_app(
    models: str | os.PathLike[str] | Classifier | keras.Model | Mapping[str, Any],
    *,
    runtime: str = "auto",
    precision: str | None = None,
    queue: int = 256,
    deadline: float = 10.0,
    batch_size: int | str = "auto",
    limits: Limits | None = None,
    api_key: str = "",
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    access_log: TextIO | None = None,
) -> FastAPI:
    """Return an ASGI application that serves classifiers: a page, and the protocols that clients speak.

    It is a FastAPI application. Run it with one process of an ASGI server, or mount it in an application of your own.
    Models are opened when the application starts; `/readyz` answers with 200 once each has answered an image.

    Args:
        models: the model to serve, or a mapping from names to models. A model is the path of a run, a .keras file or
            an export, a `Classifier`, or a Keras model. A single model is served under the name of its network.
        runtime: as in `cnnzoo.load`, for models given by their paths and Keras models.
        precision: as in `cnnzoo.load`.
        queue: number of images of each model that may wait for their answer. Further requests get status 503.
        deadline: seconds until an answer; then the request gets status 504.
        batch_size: number of images that are predicted at a time, at most; "auto" takes what keeps an accelerator
            busy, and a few for a processor.
        limits: what a request may cost; see `cnnzoo.serve.Limits`.
        api_key: a secret that requests must carry in the header `Authorization: Bearer KEY` or `X-API-Key: KEY`.
        hosts: names under which clients reach the server, beside IP addresses, localhost and the name of this machine;
            "*" allows any name.
        origins: other sites whose pages may send requests, as in "https://example.com".
        access_log: a text file for one line of JSON per request.

    Returns:
        The application.

    Raises:
        InputError: for something that is no model, and for settings out of their range.
        ImportError: if the extra `serve` is not installed.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> app = cnnzoo.serve.create_app({"digits": model}, runtime="keras")
        >>> app.title
        'cnnzoo'
    """
    check_settings(queue, deadline)
    check_kinds(limits, hosts, origins, access_log)
    access = Access(api_key, tuple(hosts), check_origins(origins))
    classifiers = load_classifiers(models, runtime, precision)
    server = Server(classifiers, queue=queue, deadline=deadline, batch_size=batch_size, limits=limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        server.start()
        yield
        await server.stop()

    app = FastAPI(
        title="cnnzoo",
        version=cnnzoo.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own page loads its script from another host
        redoc_url=None,
        redirect_slashes=False,  # it would send clients to whatever host they name
    )
    traffic, journal = Traffic(server.limits.total_bytes), Journal(server.metrics, access_log)
    app.state.server, app.state.traffic, app.state.journal = server, traffic, journal
    for protocol in (page, api_page, forms, tensorflow_serving, open_inference, hugging_face):
        app.include_router(protocol.router)
    app.add_api_route("/healthz", healthz, tags=["Operations"])
    app.add_api_route("/readyz", readyz, tags=["Operations"])
    app.add_api_route("/metrics", metrics, tags=["Operations"], response_class=PlainTextResponse)
    app.add_exception_handler(RequestError, answer_request_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    app.add_exception_handler(RequestValidationError, answer_validation_error)
    app.openapi = cache(lambda: describe_api(app, list(classifiers), bool(api_key)))  # type: ignore[method-assign]
    app.add_middleware(Gate, access=access, limits=server.limits, traffic=traffic, journal=journal)
    return app


def check_kinds(limits: object, hosts: object, origins: object, access_log: object) -> None:
    """Raise InputError for arguments of another kind, which would fail at a request, or mean something else."""
    if limits is not None and not isinstance(limits, Limits):
        raise InputError(
            f"limits must be of cnnzoo.serve.Limits, as in Limits(images=16). Received: {shorten_repr(limits)}"
        )
    for name, values in (("hosts", hosts), ("origins", origins)):
        if isinstance(values, str | bytes):  # whose letters would be taken for names
            raise InputError(f"{name} must be a list of names, as in [{values!r:.200}]. Received: {values!r:.200}")
    if access_log is not None and not hasattr(access_log, "write"):
        raise InputError(
            f"access_log must be an open text file, such as sys.stdout. Received: {shorten_repr(access_log)}"
        )


async def healthz() -> dict[str, str]:
    """Return that the process runs."""
    return {"status": "ok"}


async def readyz(request: Request) -> JSONResponse:
    """Return whether every model has answered an image; with status 503 until then."""
    models = server_of(request).models.values()
    is_ready = server_of(request).is_ready
    states = {model.name: "ready" if model.ready else model.failure or "loading" for model in models}
    return JSONResponse({"ready": is_ready, "models": states}, 200 if is_ready else 503)


async def metrics(request: Request) -> PlainTextResponse:
    """Return what the server has counted, in the format of Prometheus."""
    return PlainTextResponse(server_of(request).metrics.render(), media_type="text/plain; version=0.0.4")


# ---- Errors


async def answer_request_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that cannot be served with its reason."""
    assert isinstance(error, RequestError)
    return JSONResponse({"error": error.reason}, error.status, error.headers)


async def answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an address that does not exist, or a method that it does not have."""
    assert isinstance(error, HTTPException)
    reason, headers = str(error.detail), error.headers
    if error.status_code == 405:
        methods = ", ".join(find_methods(request))
        reason, headers = f"This address takes {methods}. Received: {request.method:.20}", {"Allow": methods}
    if error.status_code == 404:
        prefix = request.scope.get("root_path", "")
        nearest = suggest_names(find_route_path(request.scope)[:200], find_fixed_paths(request), 1)
        hint = f"Did you mean {prefix}{nearest[0]}? " if nearest else ""
        reason = f"There is nothing at {request.url.path[:200]!r}. {hint}{prefix}/docs lists all addresses"
    return JSONResponse({"error": reason}, error.status_code, headers)


def find_fixed_paths(request: Request) -> list[str]:
    """Return the addresses that have no name of a model in them."""
    return [path for path in request.app.openapi()["paths"] if len(path) > 1 and "{" not in path]


def find_methods(request: Request) -> list[str]:
    """Return the methods that the address of a request takes: Starlette names those of its first route alone."""
    if ":" in request.url.path.rpartition("/")[2]:  # NAME:predict, which the route of a model's status matches too
        return ["POST"]
    routes = request.app.router.routes
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    return [
        method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)
    ]


async def answer_validation_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a request with a wrong parameter."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 400)
