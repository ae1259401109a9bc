"""Modules that load on first use, so that listing the models imports no Keras."""

import importlib
from typing import Any


class Lazy:
    """Stands for the module `name` and imports it when an attribute is asked for.

    Unlike `importlib.util.LazyLoader` it leaves `sys.modules` alone until then.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
