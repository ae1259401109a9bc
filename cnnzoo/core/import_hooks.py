"""Run the code of a module within a context, whoever imports it first."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Context = Callable[[], AbstractContextManager[Any]]


def import_within(name: str, context: Context) -> None:
    """Let the first import of the module `name` run within `context()`.

    Without effect if the module has been imported already. Several contexts of a module enclose each other, the last
    one outermost.

    Example:
        >>> import contextlib
        >>> from cnnzoo.core.import_hooks import import_within
        >>> import_within("this", lambda: contextlib.redirect_stdout(None))
        >>> import this  # prints nothing
    """
    if name not in sys.modules:
        sys.meta_path.insert(0, _ContextFinder(name, context))


class _ContextFinder:
    """Finds one module as Python does, and gives it a loader that runs its code within a context."""

    def __init__(self, name: str, context: Context) -> None:
        self.name, self.context, self.is_searching = name, context, False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of the module; None for any other module."""
        if fullname != self.name or self.is_searching:
            return None
        self.is_searching = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.is_searching = False
        if spec and spec.loader:
            spec.loader = _ContextLoader(spec.loader, self)  # type: ignore[assignment]  # the protocol is enough
        return spec


class _ContextLoader:
    """A loader that loads as another one does, within the context of a finder."""

    def __init__(self, loader: Any, finder: _ContextFinder) -> None:
        self.loader, self.finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the new module, as the other loader makes it."""
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run the code of the module, after its loader and the finders are as if nothing had been added."""
        module.__loader__ = self.loader
        if module.__spec__:
            module.__spec__.loader = self.loader
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self.finder]
        with self.finder.context():
            self.loader.exec_module(module)
