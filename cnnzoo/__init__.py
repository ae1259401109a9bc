"""The classic convolutional networks for Keras 3: exact, with weights, from images to an exported classifier.

The public names are those of the stub beside this file; each is imported when it is first used,
so that `import cnnzoo` imports neither Keras nor TensorFlow.
"""

import copyreg
import importlib
import sys
import types
import typing

import lazy_loader

import cnnzoo.core.forks  # noqa: F401  # notices forks from now on
from cnnzoo.core.import_progress import show_slow_imports
from cnnzoo.core.startup import quiet_tensorflow_start

quiet_tensorflow_start()
show_slow_imports()

_import_public_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# lazy_loader gives the package a class of its own, which pickles of functions do not know: those that Spark, Ray and
# Beam send to their workers hold the modules that a function uses.
if type(sys.modules[__name__]) is not types.ModuleType:
    copyreg.pickle(type(sys.modules[__name__]), lambda module: (importlib.import_module, (module.__name__,)))

__version__ = "0.13.0"


def __getattr__(name: str) -> typing.Any:
    if name in __all__ or name.startswith("__"):
        return _import_public_name(name)
    from cnnzoo.core.names import describe_missing_name

    if name in _import_public_name("list_models")():
        raise AttributeError(f"cnnzoo has no {name!r}. Did you mean cnnzoo.get({name!r})?")
    raise AttributeError(describe_missing_name(name, __all__))
