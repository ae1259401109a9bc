"""The Python code in a model card that prepares a photo for an export, with the same pixels as `cnnzoo predict`."""

from __future__ import annotations

from cnnzoo.data.decode import FILE_CHANNELS
from cnnzoo.data.resize import inner_size
from cnnzoo.data.transform import Transform

PILLOW_FILTERS = {"nearest": "NEAREST", "bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos3": "LANCZOS"}
READ = """from PIL import Image, ImageOps

with Image.open("photo.jpg") as photo:
    image = ImageOps.exif_transpose(photo)
{deep}
image = image.convert("RGBA")
image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("{mode}")
"""
DEEP = """if image.mode.startswith("I"):  # 16-bit gray
    image = Image.fromarray(np.round(np.asarray(image) / 257).astype("uint8"))"""
DEEP_LEVELS = """if image.mode.startswith(("I", "F")):  # gray of more than 8 bits: {low:g} is black, {high:g} is white
    levels = (np.asarray(image, "float64") - {low!r}) * 255 / {range!r}
    image = Image.fromarray(np.clip(np.floor(levels + 0.5), 0, 255).astype("uint8"))"""
RESIZE = """image = image.resize(({width}, {height}), Image.Resampling.{filter})
"""
CROP = """
# Resize to at least {resized_width}x{resized_height} and keep the central {width}x{height}, in one step.
w, h = image.size
new_w, new_h = max({resized_width}, w * {resized_height} // h), max({resized_height}, h * {resized_width} // w)
left, top = round((new_w - {width}) / 2) * w / new_w, round((new_h - {height}) / 2) * h / new_h
box = left, top, min(left + {width} * (w / new_w), w), min(top + {height} * (h / new_h), h)
image = image.resize(({width}, {height}), Image.Resampling.{filter}, box)
"""
PAD = """image = ImageOps.expand(image, {pad}, 0)
"""
TO_ARRAY = """pixels = np.asarray(image).reshape(1, {height}, {width}, {channels})"""
LOAD_ARRAY = """
pixels = np.load("image.npy")[None]  # uint8 ({height}, {width}, {channels})"""


def write_reading_code(transform: Transform, pad: bool = True) -> str:
    """Return Python code that reads photo.jpg into `pixels`, uint8 (1, H, W, C), as `Transform` does, to the bit.

    The code needs NumPy (as np) and Pillow, and starts with the import of Pillow. Its other names are its own.

    Args:
        transform: the transform of the model.
        pad: whether to add the black border of the transform, if it has one; some graphs add it themselves.
    """
    if transform.channels not in FILE_CHANNELS:  # no image file has as many, see `data.decode`
        height, width = transform.size if pad else inner_size(transform.size, transform.pad)
        return LOAD_ARRAY.format(height=height, width=width, channels=transform.channels)

    # Decode, turn upright, lay over white
    deep = DEEP
    if transform.levels is not None:
        low, high = transform.levels
        deep = DEEP_LEVELS.format(low=low, high=high, range=high - low)
    code = READ.format(deep=deep, mode="L" if transform.channels == 1 else "RGB")

    # Resize, crop and pad
    height, width = inner_size(transform.size, transform.pad)
    values = {"width": width, "height": height, "filter": PILLOW_FILTERS[transform.interpolation]}
    if transform.crop is None:
        code += RESIZE.format(**values)
    else:
        resized_height, resized_width = (round(side / transform.crop) for side in (height, width))
        code += CROP.format(resized_width=resized_width, resized_height=resized_height, **values)
    if pad and transform.pad:
        code += PAD.format(pad=transform.pad)
        height, width = transform.size
    return code + TO_ARRAY.format(height=height, width=width, channels=transform.channels)
