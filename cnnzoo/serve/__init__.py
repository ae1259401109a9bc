"""A web server for classifiers: a page for people, and the protocols that existing clients speak.

`cnnzoo serve` starts it; `cnnzoo.serve.create_app` returns it as an ASGI application.
"""

from typing import TYPE_CHECKING, Any

from cnnzoo.serve.limits import Limits

if TYPE_CHECKING:
    from cnnzoo.serve.app import create_app

__all__ = ["Limits", "create_app"]


def __getattr__(name: str) -> Any:
    """Import `create_app` when it is first used: it needs FastAPI, which the extra `serve` installs."""
    if name == "create_app":
        from cnnzoo.serve.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It has: {', '.join(__all__)}")
