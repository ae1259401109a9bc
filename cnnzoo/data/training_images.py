"""The images that models were trained on, as digests: a run keeps them, so that evaluating on any of them is noticed.

A model's card holds a hash of the digests, by which they are found for every copy of the model.
"""

import hashlib
from pathlib import Path

import numpy as np

from cnnzoo.cards import Card
from cnnzoo.core.files import atomic_write
from cnnzoo.core.warn import warn_caller

TRAINING_IMAGES_FILE = "training_images.npy"  # in the folder of a run, beside the model
CARD_KEY = "training_images"  # in `Card.training`
_known: dict[str, np.ndarray | Path] = {}  # digests, or the file that holds them, by their hash


def hash_digests(digests: np.ndarray) -> str:
    """Return a hash of digests (N,), whatever their order."""
    return hashlib.sha256(np.unique(digests).astype("<u8").tobytes()).hexdigest()[:32]


def remember_training_images(card: Card, digests: np.ndarray | Path) -> None:
    """Keep the digests (N,), or the file that holds them, of the images that the model of a card was trained on."""
    key = str(card.training.get(CARD_KEY, ""))
    if key and not isinstance(_known.get(key), np.ndarray):  # another file may be the whole one
        _known[key] = digests


def find_training_images(card: Card) -> np.ndarray | None:
    """Return the digests (N,), uint64, of the images that a model was trained on; None if they are not known.

    Warns if the file that should hold them is damaged, or belongs to another model.
    """
    key = str(card.training.get(CARD_KEY, ""))
    digests = _known.get(key)
    if isinstance(digests, Path):
        try:
            digests = _known[key] = _read_digests(digests, key)
        except (OSError, ValueError, EOFError) as error:
            warn_caller(f"The digests of the training images in {str(digests)!r} are not used: {error}")
            return None
    return digests


def are_training_images_of(file: Path, card: Card) -> bool:
    """Return whether a file holds the digests of the images that the model of a card was trained on."""
    try:
        return bool(_read_digests(file, str(card.training.get(CARD_KEY, ""))).size)
    except (OSError, ValueError, EOFError):
        return False


def write_training_images(folder: Path, digests: np.ndarray) -> None:
    """Write digests into the folder of a run."""
    with atomic_write(folder / TRAINING_IMAGES_FILE) as new:
        np.save(new, digests.astype("<u8"), allow_pickle=False)


def _read_digests(file: Path, key: str) -> np.ndarray:
    """Read digests; raise ValueError unless they have the hash `key`."""
    digests = np.load(file, allow_pickle=False)
    if digests.ndim != 1 or digests.dtype != np.uint64:
        raise ValueError(f"it holds {digests.dtype} of shape {digests.shape}")
    if hash_digests(digests) != key:
        raise ValueError("it is damaged, or belongs to another model")
    return np.asarray(digests)
