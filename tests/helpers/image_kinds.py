"""The kinds of image files that people have, as a table that every decoder is tested with.

A row is a name, a function that makes the bytes, and whether the SavedModel decodes it too. What decodes in several
places must give equal pixels; what does not must say why.
"""

import functools
import io
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cnnzoo.data.decode import readable_formats
from helpers.image_files import make_scene

ORIENTATION = 0x0112
SIZE = (44, 60)  # height and width: not square, and no multiple of 8


@dataclass(frozen=True)
class ImageKind:
    """One kind of image files.

    Attributes:
        name: Test id: format, mode, and what is special.
        content: The bytes of a file.
        in_graph: Whether TensorFlow decodes it too; otherwise it says that it does not. None leaves it out.
        white: A part (top, bottom, left, right) that must be white, as it is transparent; or None.
        levels: `levels` of the transform.
    """

    name: str
    content: bytes = field(repr=False)
    in_graph: bool | None = True
    white: tuple[int, int, int, int] | None = None
    levels: object = None


def encode(image, format="PNG", **options):
    """Return the bytes of an image in a format."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def encode_with_orientation(image, format, orientation, **options):
    """Return the bytes of an image with an EXIF orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(image, format, exif=exif, **options)


def png_chunk(kind, content):
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_png(pixels, bits, color_type, *chunks):
    """Return a PNG file of rows of bytes (H, bytes of a row), with chunks before its pixels.

    Args:
        pixels: uint8, the rows as they are stored.
        bits: bits per channel.
        color_type: 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGBA.
        chunks: pairs (kind, content).
    """
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    header = struct.pack(">IIBBBBB", pixels.shape[1] * 8 // (bits * channels), len(pixels), bits, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def make_bmp(rows, width, bits, palette=b"", compression=0, masks=b"", top_down=False, header_size=40):
    """Return a BMP file of the bytes of its rows, each of a multiple of four."""
    height = len(rows) * (-1 if top_down else 1)
    pixels = b"".join(rows)
    header = struct.pack("<IiiHHIIiiII", header_size, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    header += masks.ljust(header_size - 40, b"\0") if header_size > 40 else masks
    offset = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset) + header + palette + pixels


def big_endian(levels):
    """Return 16-bit levels as rows of bytes, upper byte first."""
    return levels.astype(">u2").reshape(len(levels), -1).view("uint8")


def make_animation(format, first, others, **options):
    return encode(first, format, save_all=True, append_images=others, duration=50, **options)


def insert_after_start(jpeg, *segments):
    """Return a JPEG file with segments (marker, content) after its start."""
    parts = b"".join(b"\xff" + bytes([kind]) + struct.pack(">H", len(data) + 2) + data for kind, data in segments)
    return jpeg[:2] + parts + jpeg[2:]


def xmp_packet(orientation):
    """Return XMP metadata that state an orientation."""
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


@functools.cache
def image_kinds():
    """Return all rows."""
    rgb = make_scene(*SIZE, seed=1)
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), "uint8")
    color, gray = Image.fromarray(rgb), Image.fromarray(rgb).convert("L")
    opacity = np.full(SIZE, 255, "uint8")
    opacity[:20, :24], opacity[20:30, :24] = 0, 100
    clear = (0, 20, 0, 24)
    rgba = Image.fromarray(np.dstack([rgb, opacity]))
    indexed = color.quantize(50)
    profile = zlib.compress(b"not a real profile " * 9)
    return (
        *jpeg_kinds(color, gray, noise),
        *png_kinds(rgb, color, gray, rgba, indexed, clear, profile),
        *deep_kinds(rgb, opacity, clear),
        *gif_kinds(color, gray, indexed),
        *bmp_kinds(rgb, opacity, clear),
        *webp_kinds(color, rgba, noise, clear),
        *pillow_kinds(color, gray, rgba, clear),
    )


def jpeg_kinds(color, gray, noise):
    """Return JPEG files."""
    jpeg = encode(color, "JPEG")
    rows = [
        ImageKind("jpeg", jpeg),
        ImageKind("jpeg 4:4:4", encode(color, "JPEG", subsampling=0)),
        ImageKind("jpeg 4:2:2", encode(color, "JPEG", subsampling=1)),
        ImageKind("jpeg noise", encode(Image.fromarray(noise[..., :3]), "JPEG", quality=40)),
        ImageKind("jpeg progressive", encode(color, "JPEG", progressive=True)),
        ImageKind("jpeg gray", encode(gray, "JPEG")),
        ImageKind("jpeg gray progressive", encode(gray, "JPEG", progressive=True)),
        ImageKind("jpeg RGB", encode(color, "JPEG", keep_rgb=True)),
        ImageKind("jpeg CMYK", encode(color.convert("CMYK"), "JPEG")),
        ImageKind("jpeg profile", encode(color, "JPEG", icc_profile=b"profile" * 30000)),
        ImageKind("jpeg restarts", encode(color, "JPEG", restart_marker_blocks=1)),
        ImageKind("jpeg many pictures", encode(color, "MPO", save_all=True, append_images=[gray.convert("RGB")])),
        ImageKind("jpeg bytes before", b"\r\n\r\n" + jpeg),
        ImageKind("jpeg bytes after", jpeg + b"\0" * 500 + b"\xff\xda\xff"),
        ImageKind("jpeg no end", jpeg[:-2]),
        ImageKind("jpeg half an end", jpeg[:-1]),
        ImageKind("jpeg progressive no end", encode(color, "JPEG", progressive=True)[:-2]),
        ImageKind("jpeg padding", jpeg[:2] + b"\xff\xff\xff" + jpeg[2:]),
        ImageKind("jpeg junk between segments", jpeg[:20] + b"junk" + jpeg[20:]),
        ImageKind("jpeg comments", insert_after_start(jpeg, *[(0xFE, b"a")] * 500)),
        ImageKind("jpeg thumbnail", insert_after_start(jpeg, (0xE1, b"other\0" + jpeg))),
        ImageKind("jpeg XMP", insert_after_start(jpeg, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(6)))),
    ]
    for value in (1, 2, 3, 4, 5, 6, 7, 8, 0, 9):
        rows.append(ImageKind(f"jpeg orientation {value}", encode_with_orientation(color, "JPEG", value)))
    turned = encode_with_orientation(gray, "JPEG", 6)
    rows.append(ImageKind("jpeg gray orientation 6", turned))
    late = insert_after_start(turned, *[(0xFE, b"comment")] * 50)
    rows.append(ImageKind("jpeg late orientation", late))
    both = insert_after_start(turned, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(3)))
    rows.append(ImageKind("jpeg XMP and orientation", both))
    return rows


def png_kinds(rgb, color, gray, rgba, indexed, clear, profile):
    """Return PNG files of at most 8 bits."""
    background = np.array(gray)
    background[:20, :24] = 7
    on_color = rgb.copy()
    on_color[:20, :24] = 7, 8, 9
    bits = np.asarray(gray) > 127
    bits[:20, :24] = True
    packed = {1: np.packbits(bits, axis=1)}
    for size in (2, 4):
        levels = np.asarray(gray) >> (8 - size)
        levels[:20, :24] = 2
        parts = levels.reshape(len(levels), -1, 8 // size)
        packed[size] = sum(parts[..., i] << (8 - size * (i + 1)) for i in range(8 // size)).astype("uint8")
    width = bits.shape[1]
    rows = [
        ImageKind("png", encode(color)),
        ImageKind("png gray", encode(gray)),
        ImageKind("png 1 bit", encode(gray.convert("1"))),
        ImageKind("png palette", encode(indexed)),
        ImageKind("png palette of 2", encode(color.quantize(2))),
        ImageKind("png palette of 4", encode(color.quantize(4), bits=2)),
        ImageKind("png palette transparent", encode(indexed, transparency=3)),
        ImageKind("png palette alpha", encode(indexed, transparency=bytes(range(50)))),
        ImageKind("png RGBA", encode(rgba), white=clear),
        ImageKind("png gray alpha", encode(rgba.convert("LA")), white=clear),
        ImageKind("png gray tRNS", encode(Image.fromarray(background), transparency=7), white=clear),
        ImageKind("png gray tRNS absent", encode(Image.fromarray(background), transparency=300)),
        ImageKind("png RGB tRNS", encode(Image.fromarray(on_color), transparency=(7, 8, 9)), white=clear),
        ImageKind("png 1 bit tRNS 1", make_png(packed[1], 1, 0, (b"tRNS", b"\0\1")), white=clear),
        ImageKind("png 1 bit tRNS 0", make_png(~packed[1], 1, 0, (b"tRNS", b"\0\0")), white=clear),
        ImageKind("png 2 bits", make_png(packed[2], 2, 0)),
        ImageKind("png 2 bits tRNS", make_png(packed[2], 2, 0, (b"tRNS", b"\0\2")), white=clear),
        ImageKind("png 4 bits", make_png(packed[4], 4, 0)),
        ImageKind("png 4 bits tRNS", make_png(packed[4], 4, 0, (b"tRNS", b"\0\2")), white=clear),
        ImageKind("png gamma", make_png(rgb.reshape(len(rgb), -1), 8, 2, (b"gAMA", struct.pack(">I", 100_000)))),
        ImageKind("png sRGB", make_png(rgb.reshape(len(rgb), -1), 8, 2, (b"sRGB", b"\0"))),
        ImageKind("png profile", make_png(rgb.reshape(len(rgb), -1), 8, 2, (b"iCCP", b"p\0\0" + profile))),
        ImageKind("png background", make_png(rgb.reshape(len(rgb), -1), 8, 2, (b"bKGD", b"\0\x09\0\x09\0\x09"))),
        ImageKind("png interlaced", interlace(rgb)),
        ImageKind("png animated", make_animation("PNG", color, [color.rotate(180)])),
        ImageKind("png bytes before", b"\n" + encode(color)),
        ImageKind("png bytes after", encode(color) + b"\0" * 99),
        ImageKind("png many chunks", make_png(rgb.reshape(len(rgb), -1), 8, 2, *[(b"tEXt", b"a\0b")] * 900)),
        ImageKind("png orientation 8", encode_with_orientation(color, "PNG", 8)),
        ImageKind("png RGBA orientation 6", encode_with_orientation(rgba, "PNG", 6)),
        ImageKind("png orientation after pixels", move_exif_last(encode_with_orientation(color, "PNG", 6))),
        ImageKind("png XMP", encode(color, pnginfo=text_chunk("XML:com.adobe.xmp", xmp_packet(6).decode()))),
    ]
    assert width == SIZE[1]
    return rows


def interlace(rgb):
    """Return an interlaced PNG file."""
    rows = b""
    for top, left, down, right in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        rows += b"".join(b"\0" + row.tobytes() for row in rgb[top::down, left::right])
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 8, 2, 0, 0, 1)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def text_chunk(keyword, text):
    info = PngInfo()
    info.add_itxt(keyword, text)
    return info


def move_exif_last(png):
    """Return a PNG file whose EXIF data follow the pixels."""
    begin = png.index(b"eXIf") - 4
    size = struct.unpack(">I", png[begin : begin + 4])[0] + 12
    exif, end = png[begin : begin + size], png.index(b"IEND") - 4
    return png[:begin] + png[begin + size : end] + exif + png[end:]


def deep_kinds(rgb, opacity, clear):
    """Return files of 16 bits and more."""
    upper = rgb.astype("uint16")
    full, twelve = upper * 257 - upper // 3, upper * 16 + 5
    gray, gray_12 = full[..., 0].copy(), twelve[..., 0]
    gray[:20, :24] = 1234
    marked = full.copy()
    marked[:20, :24] = 1234, 5678, 9999
    near = marked.copy()
    near[30:, :24] = 1234, 5678, 9998  # equal in the upper bytes alone
    deep_opacity = (opacity.astype("uint16") * 257)[..., None]
    alpha, gray_alpha = np.dstack([full, deep_opacity]), np.dstack([full[..., :1], deep_opacity])
    alpha_12 = np.dstack([twelve, deep_opacity])
    signed = Image.fromarray(upper[..., 0].astype("int32") * 12 - 1000)
    fractions = Image.fromarray((upper[..., 0] / 255).astype("float32"))
    return [
        ImageKind("png 16 bits", make_png(big_endian(gray), 16, 0)),
        ImageKind("png 16 bits tRNS", make_png(big_endian(gray), 16, 0, (b"tRNS", b"\x04\xd2")), white=clear),
        ImageKind("png 16 bits RGB", make_png(big_endian(full), 16, 2)),
        ImageKind(
            "png 16 bits RGB tRNS",
            make_png(big_endian(near), 16, 2, (b"tRNS", struct.pack(">HHH", 1234, 5678, 9999))),
            white=clear,
        ),
        ImageKind("png 16 bits RGBA", make_png(big_endian(alpha), 16, 6), white=clear),
        ImageKind("png 16 bits gray alpha", make_png(big_endian(gray_alpha), 16, 4), white=clear),
        ImageKind("png 12 in 16 bits", make_png(big_endian(gray_12), 16, 0), levels=4095),
        ImageKind(
            "png 12 in 16 bits window", make_png(big_endian(gray_12), 16, 0), levels=(100, 2000.5), in_graph=None
        ),
        ImageKind("png 12 in 16 bits RGB", make_png(big_endian(twelve), 16, 2), levels=4095),
        ImageKind("png 16 bits RGBA levels", make_png(big_endian(alpha_12), 16, 6), levels=4095, white=clear),
        ImageKind(
            "png 16 bits gray alpha levels", make_png(big_endian(alpha_12[..., 2:]), 16, 4), levels=4095, white=clear
        ),
        ImageKind("png 8 bits levels", encode(Image.fromarray(rgb)), levels=4095),
        ImageKind("tiff 16 bits", encode(Image.fromarray(gray), "TIFF"), in_graph=False),
        ImageKind("tiff 12 in 16 bits", encode(Image.fromarray(gray_12), "TIFF"), in_graph=False, levels=4095),
        ImageKind("tiff signed", encode(signed, "TIFF"), in_graph=False, levels=(-1000, 2060)),
        ImageKind("tiff fractions", encode(fractions, "TIFF"), in_graph=False, levels=(0, 1)),
        ImageKind("pgm 12 bits", b"P5\n60 44\n4095\n" + big_endian(gray_12).tobytes(), in_graph=False),
    ]


def gif_kinds(color, gray, indexed):
    """Return GIF files."""
    marked = np.array(indexed)
    marked[:20, :24] = 3
    on_marked = Image.fromarray(marked)
    on_marked.putpalette(indexed.getpalette())
    clear = (0, 20, 0, 24)
    plain = encode(indexed, "GIF")
    animated = make_animation("GIF", color, [color.rotate(90), color.rotate(180)])
    return [
        ImageKind("gif", plain),
        ImageKind("gif gray", encode(gray, "GIF")),
        ImageKind("gif 2 colors", encode(gray.convert("1"), "GIF")),
        ImageKind("gif interlaced", encode(indexed, "GIF", interlace=1)),
        ImageKind("gif not interlaced", encode(indexed, "GIF", interlace=0)),
        ImageKind("gif transparent", encode(on_marked, "GIF", transparency=3), white=clear),
        ImageKind("gif animated", animated),
        ImageKind("gif animated transparent", make_animation("GIF", on_marked, [color], transparency=3), white=clear),
        ImageKind("gif comment", encode(indexed, "GIF", comment=b"text" * 500)),
        ImageKind("gif larger canvas", plain[:6] + struct.pack("<HH", 80, 50) + plain[10:]),
        ImageKind("gif smaller canvas", plain[:6] + struct.pack("<HH", 40, 30) + plain[10:]),
        ImageKind("gif bytes after", plain + b"\0" * 30),
        ImageKind("gif bytes before", b" " + plain),
        ImageKind("gif cut palette", shorten_palette(plain)),
        ImageKind("gif no palette", remove_palette(encode(gray, "GIF"))),
    ]


def shorten_palette(gif):
    """Return a GIF file whose palette has half of the colors."""
    size = 3 * 2 ** (gif[10] % 8 + 1)
    return gif[:10] + bytes([gif[10] - 1]) + gif[11 : 13 + size // 2] + gif[13 + size :]


def remove_palette(gif):
    size = 3 * 2 ** (gif[10] % 8 + 1)
    return gif[:10] + bytes([gif[10] % 128]) + gif[11:13] + gif[13 + size :]


def bmp_kinds(rgb, opacity, clear):
    """Return BMP files."""
    height, width = opacity.shape
    bgr = rgb[..., ::-1]
    rgba = np.dstack([rgb, opacity])
    plain = [row.tobytes() for row in bgr[::-1]]  # 180 bytes a row
    index = rgb[..., 0] // 16
    palette = np.random.default_rng(5).integers(0, 256, (256, 4), "uint8")
    nibbles = [(row[0::2] << 4 | row[1::2]).tobytes().ljust(32, b"\0") for row in index[::-1]]
    bits = [np.packbits(row > 7).tobytes() for row in index[::-1]]
    words = (rgb.astype("uint16") >> 3)[::-1]
    fifteen = [row.astype("<u2").tobytes() for row in words[..., 0] << 10 | words[..., 1] << 5 | words[..., 2]]
    sixteen = [row.astype("<u2").tobytes() for row in words[..., 0] << 11 | words[..., 1] << 6 | words[..., 2]]
    masks_565 = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    bgra = [row.tobytes() for row in rgba[::-1][..., [2, 1, 0, 3]]]
    abgr = [row.tobytes() for row in rgba[::-1][..., [3, 2, 1, 0]]]
    bgra_masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    abgr_masks = struct.pack("<IIII", 0xFF000000, 0xFF0000, 0xFF00, 0xFF)
    return [
        ImageKind("bmp", encode(Image.fromarray(rgb), "BMP")),
        ImageKind("bmp odd width", encode(Image.fromarray(rgb[:, :57]), "BMP")),
        ImageKind("bmp gray", encode(Image.fromarray(rgb[..., 0]), "BMP")),
        ImageKind("bmp 1 bit", encode(Image.fromarray(rgb[..., 0]).convert("1"), "BMP")),
        ImageKind("bmp top down", make_bmp(plain[::-1], width, 24, top_down=True)),
        ImageKind("bmp palette", make_bmp([row.tobytes() for row in index[::-1]], width, 8, palette.tobytes())),
        ImageKind("bmp palette of 16", make_bmp(nibbles, width, 4, palette[:16].tobytes())),
        ImageKind("bmp palette of 2", make_bmp(bits, width, 1, palette[:2].tobytes())),
        ImageKind("bmp 15 bits", make_bmp(fifteen, width, 16)),
        ImageKind("bmp 16 bits", make_bmp(sixteen, width, 16, compression=3, masks=masks_565)),
        ImageKind("bmp 32 bits", make_bmp(bgra, width, 32)),
        ImageKind("bmp BGRA", make_bmp(bgra, width, 32, compression=3, masks=bgra_masks, header_size=124), white=clear),
        ImageKind("bmp ABGR", make_bmp(abgr, width, 32, compression=3, masks=abgr_masks, header_size=108), white=clear),
        ImageKind(
            "bmp run length", make_bmp([b"\x3c\x05\0\0"] * height, width, 8, palette.tobytes(), 1), in_graph=False
        ),
    ]


def webp_kinds(color, rgba, noise, clear):
    """Return WebP files."""
    lossless = Image.fromarray(noise[..., :3])
    return [
        ImageKind("webp", encode(color, "WEBP")),
        ImageKind("webp lossless", encode(lossless, "WEBP", lossless=True)),
        ImageKind("webp alpha", encode(rgba, "WEBP", quality=80), white=clear),
        ImageKind("webp lossless alpha", encode(rgba, "WEBP", lossless=True), white=clear),
        ImageKind("webp animated", make_animation("WEBP", color, [color.rotate(180)], lossless=True)),
        ImageKind("webp animated lossy", make_animation("WEBP", color, [color.rotate(180)])),
        ImageKind("webp animated noise", make_animation("WEBP", lossless, [lossless.rotate(180)], lossless=True)),
        ImageKind("webp animated alpha", make_animation("WEBP", rgba, [rgba.rotate(90)], lossless=True), white=clear),
        ImageKind("webp many frames", make_animation("WEBP", color, [color.rotate(9 * i) for i in range(1, 12)])),
        ImageKind("webp orientation 5", encode_with_orientation(color, "WEBP", 5, lossless=True)),
        ImageKind("webp profile", encode(color, "WEBP", icc_profile=b"profile" * 99)),
        ImageKind("webp XMP", encode(color, "WEBP", xmp=xmp_packet(6))),
    ]


def pillow_kinds(color, gray, rgba, clear):
    """Return files that only Pillow decodes."""
    rows = [
        ImageKind("tiff", encode(color, "TIFF")),
        ImageKind("tiff LZW", encode(color, "TIFF", compression="tiff_lzw")),
        ImageKind("tiff JPEG", encode(color, "TIFF", compression="jpeg")),
        ImageKind("tiff CMYK", encode(color.convert("CMYK"), "TIFF")),
        ImageKind("tiff RGBA", encode(rgba, "TIFF"), white=clear),
        ImageKind("tiff orientation 6", encode_with_orientation(color, "TIFF", 6)),
        ImageKind("tiff fax", encode(gray.convert("1"), "TIFF", compression="group4")),
        ImageKind("ppm", encode(color, "PPM")),
        ImageKind("pgm", encode(gray, "PPM")),
        ImageKind("pbm", encode(gray.convert("1"), "PPM")),
        ImageKind("pgm plain", b"P2\n# made by hand\n2 2\n255\n0 100\n200 255\n" * 1),
        ImageKind("jpeg 2000", encode(color, "JPEG2000")),
        ImageKind("jpeg 2000 codestream", encode(color, "JPEG2000", no_jp2=True)),
        ImageKind("ico", encode(rgba, "ICO", sizes=[(60, 44)]), white=clear),
        ImageKind("tga", encode(color, "TGA")),
        ImageKind("tga run length", encode(color, "TGA", compression="tga_rle")),
        ImageKind("tga RGBA", encode(rgba, "TGA"), white=clear),
        ImageKind("tga gray", encode(gray, "TGA")),
    ]
    if "AVIF" in readable_formats():
        rows += [
            ImageKind("avif", encode(color, "AVIF")),
            ImageKind("avif alpha", encode(rgba, "AVIF", quality=100), white=clear),
            ImageKind("avif orientation 6", encode_with_orientation(color, "AVIF", 6)),
        ]
    return [ImageKind(row.name, row.content, False, row.white, row.levels) for row in rows]
