"""Where weights come from: nothing, a tag of the manifest, or a file."""

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from cnnzoo.checkpoints import manifest, tensors, translate
from cnnzoo.core.errors import InputError

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".h5", ".npz", ".zip")  # what tells a path from a tag


@dataclass(frozen=True)
class WeightsSource:
    """Weights as they were found: the tensors and what is known of them."""

    name: str = ""
    tensors: dict[str, Any] = field(default_factory=dict)  # by the names of the file
    classes: tuple[str, ...] = ()
    preprocessing: Any = None
    pad: int = 0
    provenance: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    ours: bool = False  # written by save_weights, by our names
    ids: tuple[str, ...] = ()  # of the classes
    transform: dict[str, Any] | None = None  # crop and interpolation that the accuracy was measured with


def resolve_weights(title: str, weights: str | Path | None, licence: str | None = None) -> WeightsSource:
    """Read what `weights` names for the model `title`.

    Raises InputError where there is no such thing, or where it may not be used under `licence` ("commercial"):
    because its licence forbids that, or because nobody states one. Of one's own files no licence is known, nor asked.
    """
    if weights is None:
        return WeightsSource()
    if not isinstance(weights, str | Path):
        raise InputError(f"weights is a tag, the path of a file, or None. Received: {weights!r}")
    if isinstance(weights, Path) or Path(weights).suffix.lower() in CHECKPOINT_SUFFIXES:
        path = Path(weights)
        found, card = tensors.read_weights_file(path)
        if card:
            stated = {key: value for key, value in (card.weights or {}).items() if key == "licence"}
            provenance = {"file": path.name, **stated}  # a copy of published weights stays under their licence
            _check_license(path.name, stated.get("licence"), licence)
            known = (card.classes, card.preprocessing, card.pad, provenance, card.training, True, card.ids)
            return WeightsSource(path.name, found, *known, card.transform)
        layout = translate.recognize_layout(found)
        implied = layout.preprocessing if layout else None
        return WeightsSource(path.name, found, preprocessing=implied, provenance={"file": path.name})
    if Path(weights).is_file():
        raise InputError(f"Checkpoints are files of {', '.join(CHECKPOINT_SUFFIXES)}. Received: {weights!r}")
    row = manifest.find_weights(title, weights)
    _check_license(f"{weights!r} of {title}", row.license, licence)
    if row.url:
        from cnnzoo.checkpoints.download import fetch

        path, sha256 = fetch(row.url, row.file, row.hash, row.bytes)
        found, card = tensors.read_weights_file(path, sha256)
    else:
        with resources.as_file(row.path) as path:
            found, card = tensors.read_weights_file(path, row.sha256)
    training = card.training if card else {}
    name, ours = f"{row.file} ({row.tag})", card is not None
    known = (row.class_names, row.preprocessing, row.pad, row.provenance, training, ours, row.class_ids)
    return WeightsSource(name, found, *known, row.transform)


def _check_license(what: str, licence: str | None, wanted: str | None) -> None:
    """Raises InputError where commercial use is wanted and the licence, None for one's own files, does not allow it."""
    if wanted and licence is not None and licence not in manifest.COMMERCIAL_LICENSES:
        why = f"their licence is {licence}" if licence else "nobody states their licence"
        raise InputError(f"The weights {what} may not be used commercially: {why}")
