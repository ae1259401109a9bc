"""What a network has learned, for teaching: the kernels of its first layer, and its strongest feature maps."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.lazy import Lazy
from cnnzoo.core.outputs import write_text_file
from cnnzoo.core.pages import picture_uri, render_page, to_data_uri
from cnnzoo.explain.overlay import COLORS
from cnnzoo.explain.page import check_page_path
from cnnzoo.explain.photos import Photo, iter_photos
from cnnzoo.inference.classifier import Classifier
from cnnzoo.surgery.maps import MapLayer, list_map_layers
from cnnzoo.surgery.outputs import without_aux_heads
from cnnzoo.surgery.walk import all_layers

if TYPE_CHECKING:
    import keras
else:
    keras = Lazy("keras")

MAX_KERNELS = 256  # that are drawn
COLUMNS, GAP, KERNEL_SIDE = 8, 2, 40  # of the picture of all kernels: per row, and pixels
STRONGEST_MAPS = 8  # of each stage
PHOTO_SIDE = 420  # pixels


class Stage(NamedTuple):
    """The strongest feature maps of the last layer at one size.

    Attributes:
        layer: name of the layer.
        size: (height, width) of its maps.
        total: number of its maps.
        channels: numbers of the strongest maps, by their mean.
        maps: these maps (h, w, n).
    """

    layer: str
    size: tuple[int, int]
    total: int
    channels: tuple[int, ...]
    maps: np.ndarray


def read_first_kernels(classifier: Classifier) -> tuple[str, np.ndarray]:
    """Return the name of the first convolution, and its kernels (height, width, channels, filters), RGB or gray.

    Raises:
        InputError: if the model has no convolution of the pixels.
    """
    model = _find_model(classifier)
    for layer in all_layers(model):
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4 and kernel.shape[2] == classifier.shape[2]:
            values = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(kernel, "float32")))
            is_reversed = classifier.card.preprocessing in ("caffe", "bvlc")  # the network gets BGR
            return str(layer.name), values[:, :, ::-1] if is_reversed else values
    raise InputError(
        f"{classifier.card.name} has no convolution of its {classifier.shape[2]} channels of pixels, so there are no "
        "kernels to draw"
    )


def find_strongest_maps(classifier: Classifier, photo: Photo) -> list[Stage]:
    """Return the strongest feature maps of each stage for a photo: of the last layer of each size in the trunk."""
    model = without_aux_heads(_find_model(classifier))
    last: dict[tuple[int, int], MapLayer] = {}
    is_past_pixels = False  # layers before the first convolution only prepare the pixels
    for layer in list_map_layers(model):
        is_past_pixels = is_past_pixels or getattr(layer.layer, "kernel", None) is not None
        # A layer of zeros around maps has a size of its own, which is no stage
        is_stage = is_past_pixels and type(layer.layer).__name__ != "ZeroPadding2D"
        if is_stage and layer.is_trunk and layer.calls == 1 and min(layer.size) > 1:
            last[layer.size] = layer
    layers = list(last.values())
    if not layers:
        raise InputError(f"{classifier.card.name} has no layer with feature maps")
    outputs = _compute_maps(model, layers, photo.pixels)
    stages = []
    for layer, maps in zip(layers, outputs, strict=True):
        order = np.argsort(-maps.mean(axis=(0, 1)), kind="stable")[:STRONGEST_MAPS]
        stages.append(Stage(layer.name, layer.size, layer.channels, tuple(map(int, order)), maps[..., order]))
    return stages


def _compute_maps(model: Any, layers: Sequence[MapLayer], pixels: np.ndarray) -> list[np.ndarray]:
    """Return the maps (h, w, C) of layers of a model, which may be nested, for one image."""
    from cnnzoo.surgery.walk import run_graph

    wanted: dict[int, Any] = {id(layer.layer): None for layer in layers}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        if id(layer) in wanted:
            wanted[id(layer)] = outputs
        return outputs

    run_graph(model, keras.ops.convert_to_tensor(pixels[None].astype("float32")), call)
    tensors = [keras.ops.cast(wanted[id(layer.layer)], "float32") for layer in layers]
    return [np.asarray(keras.ops.convert_to_numpy(tensor))[0] for tensor in tensors]


def _find_model(classifier: Classifier) -> Any:
    if classifier.model is None:
        raise InputError(
            f"{classifier.card.name} is an export ({classifier.format or classifier.runtime}), whose layers cannot be "
            "read. Give the run or the .keras file that it was exported from"
        )
    return classifier.model


# ---- The page


def write_filters(classifier: Classifier, image: str | os.PathLike[str] | None, path: str | os.PathLike[str]) -> None:
    """Write the page of the first kernels and, for an image, of the strongest feature maps of each stage.

    Raises:
        InputError: if the model is an export or has no such layers, the image cannot be read, or `path` is no page.
    """
    file = check_page_path(path)
    photo = None
    if image is not None:
        photo, *others = itertools.islice(iter_photos(image, classifier.transform), 2)
        if others:
            raise InputError(f"Feature maps are shown of one image; {str(image)!r:.200} holds several. Name one file")
        if photo.error:
            raise InputError(photo.error)
    write_text_file(file, render_filters(classifier, photo))


def render_filters(classifier: Classifier, photo: Photo | None = None) -> str:
    """Return the page as HTML."""
    layer, kernels = read_first_kernels(classifier)
    stages = find_strongest_maps(classifier, photo) if photo else []
    height, width, _, count = kernels.shape
    return render_page(
        "cnnzoo.explain",
        "filters.html",
        model=classifier.card.name,
        trained=bool(classifier.card.weights or classifier.card.training),
        layer=layer,
        kernel_size=f"{height}x{width}",
        kernel_count=count,
        shown_count=min(count, MAX_KERNELS),
        kernels=to_data_uri(draw_kernels(kernels[..., :MAX_KERNELS])),
        photo=None if photo is None else picture_uri(np.asarray(photo.picture()), PHOTO_SIDE),
        photo_name="" if photo is None else Path(photo.name).name,
        stages=[
            {
                "layer": stage.layer,
                "size": f"{stage.size[0]}x{stage.size[1]}",
                "count": stage.total,
                "maps": [(channel, _draw_map(stage.maps[..., i])) for i, channel in enumerate(stage.channels)],
            }
            for stage in stages
        ],
    )


def draw_kernels(kernels: np.ndarray) -> bytes:
    """Return a PNG of kernels (height, width, 1 or 3, filters) in rows, each stretched to the whole range around zero.

    Gray, at the level 128, is zero.
    """
    import io

    from PIL import Image

    count = kernels.shape[3]
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    cell = KERNEL_SIDE + GAP
    channels = kernels.shape[2] if kernels.shape[2] in (1, 3) else 1
    sheet = Image.new("RGBA", (columns * cell - GAP, rows * cell - GAP))  # the ground of the page shows in the gaps
    for i in range(count):
        kernel = kernels[:, :, :channels, i]
        levels = np.rint(127.5 + 127.5 * kernel / max(float(np.abs(kernel).max()), 1e-12)).astype("uint8")
        picture = Image.fromarray(levels if channels == 3 else levels[..., 0]).convert("RGB")
        place = (i % columns) * cell, (i // columns) * cell
        sheet.paste(picture.resize((KERNEL_SIDE, KERNEL_SIDE), Image.Resampling.NEAREST), place)
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _draw_map(values: np.ndarray) -> str:
    """Return a feature map (h, w) in colors, as a data URI."""
    from matplotlib import colormaps

    low, high = float(values.min()), float(values.max())
    levels = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return picture_uri(255 * colormaps[COLORS](levels)[..., :3], 160)
