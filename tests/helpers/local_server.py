"""A server in a thread of the test's process, and requests to it over a real socket."""

import asyncio
import base64
import threading

import requests
import uvicorn

from cnnzoo.serve.run import bind


class LocalServer:
    """Serves an ASGI application on loopback, as `uvicorn module:app` does; `url` is its address.

    Use it in a `with` block.
    """

    def __init__(self, app):
        self.app = app
        self.session = requests.Session()
        config = uvicorn.Config(app, log_level="critical", lifespan="on", ws="none", access_log=False, log_config=None)
        self._server = uvicorn.Server(config)

    def __enter__(self):
        self._listener = bind("127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self._thread = threading.Thread(target=asyncio.run, args=(self._server.serve([self._listener]),), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.session.close()
        self._server.should_exit = True
        self._thread.join(30)
        self._listener.close()
        assert not self._thread.is_alive(), "the server does not stop"

    def get(self, path, **options):
        return self.session.get(f"{self.url}{path}", **options)

    def post(self, path, **options):
        return self.session.post(f"{self.url}{path}", **options)

    def wait_until_ready(self):
        """Wait until all models have answered an image, and return this server."""
        for _ in range(600):
            if self.get("/readyz").status_code == 200:
                return self
            threading.Event().wait(0.05)
        raise AssertionError(f"the server is not ready: {self.get('/readyz').text}")


def to_base64(content):
    """Return bytes in base64, as a string."""
    return base64.b64encode(content).decode("ascii")
