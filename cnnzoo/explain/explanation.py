"""The explanation of one prediction: a map over the photo."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.notebook import render_notebook
from cnnzoo.core.numbers import format_share
from cnnzoo.core.paths import check_path, path_is_file
from cnnzoo.core.text import escape_controls, format_count
from cnnzoo.core.tiles import Tile
from cnnzoo.explain.methods import METHODS, PIXELS
from cnnzoo.explain.overlay import COLORS, overlay_map
from cnnzoo.explain.photos import Photo
from cnnzoo.explain.placement import Placement
from cnnzoo.explain.targets import Target

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

HIGHEST_SHARE = 99.5  # percent of the pixels that integrated gradients do not clip: a few pixels are far above all
MAX_SHOWN = 12  # explanations that a notebook shows
SUFFIXES = (".png", ".jpg", ".jpeg", ".npy")


@dataclass(frozen=True, repr=False, eq=False)
class Explanation(SuggestsAttributes):
    """Which parts of a photo speak for a class, as `cnnzoo.explain` finds them.

    Attributes:
        source: the path of the photo, or its number in an array or list.
        target: the class that is explained; a pair for a contrast: what speaks for the first against the second.
        score: the probability of the class, as `predict` gives it; of a contrast, that of the first class if there
            were only the two.
        method: name of the method.
        layer: name of the layer whose feature maps were used; empty for a method without one.
        raw: the map before it was cut at zero and scaled, (h, w) in cells of the network, float32. Negative values
            speak against the class.
        classes: the likeliest classes, best first.
        probabilities: the probability of each of these.
        completeness_error: of integrated gradients, the difference between the sum of the map and what it must add up
            to, as a share of the latter; None for other methods.
        model: name of the network.
        error: why the photo could not be read; empty if it could.

    Example:
        >>> model = cnnzoo.get("lenet5", weights="digits")
        >>> explanation = cnnzoo.explain(model, cnnzoo.load_data("digits").test.images[:1])[0]
        >>> explanation
        <Explanation of '4' for image 0: gradcam at c3, probability 90.8 %>
        >>> explanation.map.shape, explanation.evidence
        ((8, 8), True)
        >>> explanation.save("four.png")
    """

    source: str
    target: str | tuple[str, str]
    score: float
    method: str
    layer: str
    raw: np.ndarray
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    model: str
    completeness_error: float | None = None
    error: str = ""
    _photo: Photo | None = field(default=None, repr=False)
    _placement: Placement | None = field(default=None, repr=False)
    _target: Target | None = field(default=None, repr=False)
    _strides: tuple[int, int] | None = field(default=None, repr=False)  # of the cells, in pixels of the network

    @property
    def evidence(self) -> bool:
        """Whether anything in the photo speaks for the class; otherwise the whole map is 0."""
        return bool(self.raw.size) and bool(self.raw.max() > 0)

    @cached_property
    def map(self) -> np.ndarray:
        """The map (H, W) in the pixels of the upright photo, float32 from 0 to 1: how much each speaks for the class.

        It is 0 everywhere if there is no evidence, and outside the part of the photo that the network saw.

        Raises:
            InputError: if the photo could not be read.
        """
        return self._compute_map()

    def _compute_map(self) -> np.ndarray:
        if self.error or self._placement is None:
            raise InputError(self.error or "This explanation has no photo")
        positive = np.maximum(self.raw, 0)
        if METHODS[self.method].needs == PIXELS and positive.any():
            positive = np.minimum(positive, np.percentile(positive[positive > 0], HIGHEST_SHARE))
        values = self._placement.resample(positive)
        largest = values.max()
        return np.asarray(values / largest if largest > 0 else values, "float32").clip(0, 1)

    def photo(self) -> PillowImage:
        """Return the upright photo as an RGB Pillow image; its file is read again.

        Raises:
            InputError: if it cannot be read any more, or was replaced by an image of another size.
        """
        if self.error or self._photo is None:
            raise InputError(self.error or "This explanation has no photo")
        return self._photo.picture()

    def overlay(self, colors: str = COLORS) -> PillowImage:
        """Return the photo under the map, as an RGB Pillow image of the size of the photo.

        Args:
            colors: the name of a colormap of Matplotlib.

        Raises:
            InputError: if the photo cannot be read, or there is no such colormap.
        """
        # A map is as large as its photo, so it is kept only if somebody has asked for it
        values = self.__dict__["map"] if "map" in self.__dict__ else self._compute_map()
        picture = overlay_map(photo := self.photo(), values, colors)
        return picture if self.evidence else photo

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the overlay as a picture, or the map as an array.

        Args:
            path: a .png or .jpg file for the overlay, or a .npy file for the map; it is replaced if it exists.

        Raises:
            InputError: if the path has another suffix, is the photo itself, or the photo cannot be read.
        """
        path = check_path(path, "the picture")
        if path_is_file(path) and path_is_file(self.source) and path.samefile(self.source):
            raise InputError(f"{str(path)!r} is the photo itself, which would be lost; give another path")
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(
                f"An explanation is saved as a picture (.png, .jpg) or as its map (.npy). Received: {str(path)!r}"
            )
        with atomic_write(path) as new_path, new_path.open("wb") as file:
            if suffix == ".npy":
                np.save(file, self.map)
            else:
                self.overlay().save(file, "PNG" if suffix == ".png" else "JPEG", quality=90)

    def describe_target(self) -> str:
        """Return the class, or the two of a contrast, in words."""
        if isinstance(self.target, str):
            return self.target
        return f"{self.target[0]} rather than {self.target[1]}"

    def describe_score(self) -> str:
        """Return the probability of the class, or those of the two of a contrast if there were no other classes."""
        if isinstance(self.target, str):
            return format_share(self.score)
        first, other = format_share(self.score), format_share(1 - self.score)
        return f"of the two, {self.target[0]} has {first} and {self.target[1]} {other}"

    def tile(self) -> Tile:
        """Return the overlay with the target and the likeliest classes."""
        if self.error:
            return Tile(None, (self.source,), problem=self.error)
        try:
            picture = np.asarray(self.overlay())
        except InputError as error:  # the photo was moved or deleted since it was explained
            return Tile(None, (self.source,), problem=str(error))
        name = f"image {self.source}" if self.source.isdecimal() else self.source
        remark = () if self.evidence else ("no evidence: the map is 0",)
        shares = () if isinstance(self.target, str) else (self.describe_score(),)
        lines = (name, f"for {self.describe_target()}", *shares, *remark)
        bars = tuple(zip(self.classes[:3], self.probabilities[:3], strict=True))
        return Tile(picture, lines, bars)

    def _repr_html_(self) -> str:
        """Return the overlay with its classes, for a notebook."""
        facts = {} if self.error else {"method": METHODS[self.method].title, "layer": self.layer}
        title = "Error" if self.error else f"Why {self.describe_target()}?"
        return render_notebook(title, facts=facts, tiles=[self.tile()])

    def __repr__(self) -> str:
        name = f"image {self.source}" if self.source.isdecimal() else repr(self.source)
        if self.error:
            return escape_controls(f"<Explanation of {name}: {self.error}>")
        target = repr(self.target) if isinstance(self.target, str) else f"{self.target[0]!r} against {self.target[1]!r}"
        layer = f" at {self.layer}" if self.layer else ""
        evidence = "" if self.evidence else ", no evidence"
        is_contrast = not isinstance(self.target, str)
        probability = format_share(self.score) + (" of the two" if is_contrast else "")
        return escape_controls(
            f"<Explanation of {target} for {name}: {self.method}{layer}, probability {probability}{evidence}>"
        )


class Explanations(list[Explanation]):
    """A list of explanations, which a notebook shows with pictures."""

    if not TYPE_CHECKING:  # otherwise mypy would take every attribute for one that exists

        def __getattr__(self, name: str) -> Any:
            """Raise AttributeError for an attribute that a single explanation may have."""
            problem = f"Explanations has no attribute {name!r}"
            if name.startswith("_"):
                raise AttributeError(problem)
            raise AttributeError(f"{problem}. It is a list with one Explanation for each image: explanations[0].{name}")

    @overload
    def __getitem__(self, index: SupportsIndex) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> Explanations: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Explanation | Explanations:
        item = super().__getitem__(index)
        return Explanations(item) if isinstance(item, list) else item

    def _repr_html_(self) -> str:
        """Return the first overlays with their classes, for a notebook."""
        left_out = len(self) - MAX_SHOWN
        notes = [f"{left_out:,} more explanations are not shown."] if left_out > 0 else []
        tiles = [explanation.tile() for explanation in self[:MAX_SHOWN]]
        return render_notebook(format_count(len(self), "explanation"), tiles=tiles, notes=notes)
