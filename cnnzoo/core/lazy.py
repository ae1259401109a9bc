"""Modules that load on first use, so that listing the models imports no Keras."""

import importlib
from typing import Any


class Lazy:
    """Stands in for the module `name`, and imports it when one of its attributes is first used.

    Unlike `importlib.util.LazyLoader` it leaves `sys.modules` alone until then, so other libraries do not believe
    that the module is in use.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
