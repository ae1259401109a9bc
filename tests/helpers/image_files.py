"""Image files for the tests: every format and mode, and every kind of broken file."""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def make_scene(height=60, width=80, seed=0):
    """Return a picture that differs in every corner and with every seed, as uint8 (H, W, 3)."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (6, 8, 3), "uint8")
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def encode(image, format, **options):
    """Return the bytes of a Pillow image in a format."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def valid_files(seed=0):
    """Return files of every format: {name: (bytes, expected pixels, tolerance)}."""
    rgb = make_scene(seed=seed)
    image, gray = Image.fromarray(rgb), Image.fromarray(rgb).convert("L")
    wide = np.repeat(np.asarray(gray)[..., None], 3, axis=2)
    alpha = np.full(rgb.shape[:2], 255, "uint8")
    alpha[:, :40] = 0
    clear = Image.fromarray(np.dstack([rgb, alpha]))
    over_white = np.where(alpha[..., None] > 0, rgb, 255).astype("uint8")
    palette = image.quantize(200)
    deep = Image.fromarray(np.asarray(gray).astype("uint16") * 257)
    files = {}
    for name, format, options, tolerance in (
        ("a.jpg", "JPEG", {"quality": 95}, 20),
        ("progressive.jpeg", "JPEG", {"progressive": True, "quality": 95}, 20),
        ("a.png", "PNG", {}, 0),
        ("a.bmp", "BMP", {}, 0),
        ("a.webp", "WEBP", {"lossless": True}, 0),
        ("lossy.webp", "WEBP", {"quality": 95}, 40),
        ("a.tif", "TIFF", {}, 0),
        ("lzw.tiff", "TIFF", {"compression": "tiff_lzw"}, 0),
    ):
        files[name] = encode(image, format, **options), rgb, tolerance
    files["gray.jpg"] = encode(gray, "JPEG", quality=95), wide, 12
    files["gray.png"] = encode(gray, "PNG"), wide, 0
    files["alpha.png"] = encode(clear, "PNG"), over_white, 0
    files["alpha.webp"] = encode(clear, "WEBP", lossless=True, exact=True), over_white, 0
    files["gray-alpha.png"] = encode(clear.convert("LA"), "PNG"), np.where(alpha[..., None] > 0, wide, 255), 0
    files["palette.png"] = encode(palette, "PNG"), np.asarray(palette.convert("RGB")), 0
    files["a.gif"] = encode(palette, "GIF"), np.asarray(palette.convert("RGB")), 0
    other = Image.fromarray(255 - rgb).quantize(200)
    frames = encode(palette, "GIF", save_all=True, append_images=[other])
    files["frames.gif"] = frames, np.asarray(palette.convert("RGB")), 0
    files["deep.png"] = encode(deep, "PNG"), wide, 0
    files["deep.tif"] = encode(deep, "TIFF"), wide, 0
    bits = gray.point(lambda v: 255 * (v > 127), "1")
    files["bits.png"] = encode(bits, "PNG"), np.asarray(bits.convert("RGB")), 0
    cmyk = image.convert("CMYK")
    files["cmyk.jpg"] = encode(cmyk, "JPEG", quality=95), np.asarray(cmyk.convert("RGB")), 24
    files["cmyk.tif"] = encode(cmyk, "TIFF"), np.asarray(cmyk.convert("RGB")), 0
    files["named.png"] = files["a.jpg"]  # its suffix is wrong
    return files


def oriented_files(seed=0):
    """Return a file for each of the eight EXIF orientations: {name: (bytes, upright pixels, tolerance)}."""
    upright = Image.fromarray(make_scene(seed=seed))
    # The pixels of the sensor for each orientation: the inverse of the rotation that a reader applies
    turns = Image.Transpose
    seen = (
        None,
        turns.FLIP_LEFT_RIGHT,
        turns.ROTATE_180,
        turns.FLIP_TOP_BOTTOM,
        turns.TRANSPOSE,
        turns.ROTATE_90,
        turns.TRANSVERSE,
        turns.ROTATE_270,
    )
    files = {}
    for value, turn in enumerate(seen, 1):
        image = upright if turn is None else upright.transpose(turn)
        exif = Image.Exif()
        exif[ORIENTATION] = value
        files[f"turned{value}.jpg"] = encode(image, "JPEG", quality=95, exif=exif), np.asarray(upright), 20
    return files


def huge_png(width, height):
    """Return a black PNG of any size, which takes a few kilobytes per megapixel."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer, row = zlib.compressobj(9), b"\0" * (width + 1)
    rows = b"".join(packer.compress(row) for _ in range(min(height, 64))) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def broken_files(seed=0):
    """Return files that cannot be decoded: {name: bytes}."""
    jpeg, png = valid_files(seed)["a.jpg"][0], valid_files(seed)["a.png"][0]
    files = {f"cut{i}.jpg": jpeg[: len(jpeg) * i // 10] for i in range(10)}
    files |= {f"cut{i}.png": png[: len(png) * i // 10] for i in range(1, 10)}
    files |= {
        f"cut.{suffix}": content[: len(content) // 2]
        for suffix, (content, *_) in {name.split(".")[1]: row for name, row in valid_files(seed).items()}.items()
    }
    files["empty.jpg"] = b""
    files["page.jpg"] = b"<!doctype html><html><body>404</body></html>"
    files["huge.png"] = huge_png(30_000, 30_000)
    files["strip.png"] = huge_png(1_000_000, 1)
    files["notes.jpg"] = b"not an image"
    return files


def write_files(folder, files):
    """Write the files of `valid_files` and the like into a folder; return their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, row in files.items():
        (folder / name).write_bytes(row[0] if isinstance(row, tuple) else row)
    return {name: folder / name for name in files}


def write_class_folders(folder, counts, size=(60, 80), suffix="png", seed=1000):
    """Write folders of distinct pictures by class: counts = {"cat": 12, "dog": 9}; return `folder`."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            seed += 1
            Image.fromarray(make_scene(*size, seed=seed)).save(folder / name / f"{name}_{i}.{suffix}")
    return folder


def make_fifo(path):
    os.mkfifo(path)
