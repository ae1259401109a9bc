"""The classic convolutional networks for Keras 3: exact, with weights, from images to an exported classifier.

The public names are those of the stub beside this file; each is imported when it is first used,
so that `import cnnzoo` imports neither Keras nor TensorFlow.
"""

import lazy_loader

import cnnzoo.core.forks  # noqa: F401  # notices forks from now on
from cnnzoo.core.startup import quiet_tensorflow_start

quiet_tensorflow_start()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.8.0"
