"""Say what a file is from its first bytes, for messages about files that cannot be read."""

from dataclasses import dataclass
from functools import cache

HEAD_BYTES = 512  # as many first bytes tell every kind; more are welcome but not needed


@dataclass(frozen=True)
class FileKind:
    """One kind of files and the bytes that they begin with.

    Attributes:
        name: what the file is, with its article, as "a PDF document".
        signatures: pairs of a position and the bytes there; all of them must be present.
        remedy: what to do with such a file if images are wanted; empty if nothing helps.
    """

    name: str
    signatures: tuple[tuple[int, bytes], ...]
    remedy: str = ""


CONVERT_PHOTO = "convert it to JPEG first, for example with `magick IN OUT.jpg`"
EXTRACT = "unpack it first, and pass the folder"
DOWNLOAD = "the download went wrong; get the file itself"
EXPORT_PICTURE = "export it as PNG or JPEG first"


def _kind(name: str, *signatures: tuple[int, bytes], remedy: str = "") -> FileKind:
    return FileKind(name, signatures, remedy)


# The first match wins, so the more specific ones come first.
FILE_KINDS: tuple[FileKind, ...] = (
    # Photos that this package cannot decode
    *(
        _kind("a HEIC photo", (4, b"ftyp"), (8, brand), remedy=CONVERT_PHOTO)
        for brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
    ),
    *(_kind("an AVIF image", (4, b"ftyp"), (8, brand)) for brand in (b"avif", b"avis")),
    _kind("a Canon CR3 raw photo", (4, b"ftypcrx "), remedy=CONVERT_PHOTO),
    _kind("a JPEG XL image", (0, b"\xff\x0a"), remedy=CONVERT_PHOTO),
    _kind("a JPEG XL image", (0, b"\0\0\0\x0cJXL \r\n\x87\n"), remedy=CONVERT_PHOTO),
    _kind("a JPEG XR image", (0, b"II\xbc"), remedy=CONVERT_PHOTO),
    _kind("a Canon CR2 raw photo", (0, b"II*\0"), (8, b"CR\x02"), remedy=CONVERT_PHOTO),
    _kind("a Fujifilm raw photo", (0, b"FUJIFILMCCD-RAW"), remedy=CONVERT_PHOTO),
    _kind("an Olympus raw photo", (0, b"IIRO"), remedy=CONVERT_PHOTO),
    _kind("an Olympus raw photo", (0, b"IIRS"), remedy=CONVERT_PHOTO),
    _kind("a Panasonic raw photo", (0, b"IIU\0"), remedy=CONVERT_PHOTO),
    _kind("a Sigma raw photo", (0, b"FOVb"), remedy=CONVERT_PHOTO),
    _kind("a Minolta raw photo", (0, b"\0MRM"), remedy=CONVERT_PHOTO),
    _kind("a Radiance HDR image", (0, b"#?R"), remedy="tone-map it to 8 bits first"),
    _kind("an OpenEXR image", (0, b"v/1\x01"), remedy="tone-map it to 8 bits first"),
    _kind("a DirectDraw Surface (DDS) texture", (0, b"DDS "), remedy=EXPORT_PICTURE),
    _kind("a KTX texture", (0, b"\xabKTX "), remedy=EXPORT_PICTURE),
    _kind("a QOI image", (0, b"qoif"), remedy=CONVERT_PHOTO),
    _kind("a Farbfeld image", (0, b"farbfeld"), remedy=CONVERT_PHOTO),
    _kind("a BPG image", (0, b"BPG\xfb"), remedy=CONVERT_PHOTO),
    _kind("a DjVu document", (0, b"AT&TFORM"), remedy=EXPORT_PICTURE),
    _kind("a Photoshop document", (0, b"8BPS"), remedy=EXPORT_PICTURE),
    _kind("a GIMP image", (0, b"gimp xcf"), remedy=EXPORT_PICTURE),
    _kind("a Windows cursor", (0, b"\0\0\2\0\1\0"), remedy=EXPORT_PICTURE),
    _kind("an Apple icon (ICNS)", (0, b"icns"), remedy=EXPORT_PICTURE),
    _kind("an MNG animation", (0, b"\x8aMNG"), remedy=EXPORT_PICTURE),
    # Medicine and science
    _kind(
        "a DICOM file",
        (128, b"DICM"),
        remedy="convert it to 16-bit PNG or TIFF first, for example with pydicom, and pass levels=(low, high)",
    ),
    _kind("a FITS image", (0, b"SIMPLE  ="), remedy="convert it to 16-bit TIFF first, and pass levels=(low, high)"),
    _kind("a NIfTI volume", (344, b"n+1\0"), remedy="save its slices as 16-bit PNG or TIFF, and pass levels="),
    _kind("a NIfTI volume", (344, b"ni1\0"), remedy="save its slices as 16-bit PNG or TIFF, and pass levels="),
    _kind("a NumPy array", (0, b"\x93NUMPY"), remedy="load it with numpy.load and pass the array"),
    _kind("an HDF5 file", (0, b"\x89HDF\r\n\x1a\n"), remedy="read its arrays with h5py and pass them"),
    _kind("a MATLAB file", (0, b"MATLAB "), remedy="read its arrays with scipy.io.loadmat and pass them"),
    _kind("a Parquet table", (0, b"PAR1"), remedy="pass it as the data source itself"),
    # Documents and drawings
    _kind("a PDF document", (0, b"%PDF"), remedy="render its pages first, for example with `pdftoppm -png`"),
    _kind("a PostScript file", (0, b"%!PS"), remedy="render it first, for example with Ghostscript"),
    _kind("a PostScript file", (0, b"\xc5\xd0\xd3\xc6"), remedy="render it first, for example with Ghostscript"),
    _kind("a Windows metafile", (0, b"\xd7\xcd\xc6\x9a"), remedy=EXPORT_PICTURE),
    _kind("a Windows metafile", (0, b"\1\0\0\0"), (40, b" EMF"), remedy=EXPORT_PICTURE),
    _kind("an Office document", (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), remedy="copy the pictures out of it first"),
    _kind("an RTF document", (0, b"{\\rtf"), remedy="copy the pictures out of it first"),
    # Video and sound
    *(
        _kind("a video", signature, remedy="extract its frames first, for example with `ffmpeg -i IN OUT_%05d.png`")
        for signature in (
            (4, b"ftyp"),
            (4, b"moov"),
            (4, b"mdat"),
            (0, b"\x1aE\xdf\xa3"),
            (8, b"AVI "),
            (0, b"FLV\x01"),
            (0, b"\0\0\1\xba"),
            (0, b"\0\0\1\xb3"),
            (0, b"0&\xb2u\x8ef\xcf\x11"),
        )
    ),
    _kind("a sound file", (0, b"ID3")),
    _kind("a sound file", (0, b"RIFF"), (8, b"WAVE")),
    _kind("a sound file", (0, b"OggS")),
    _kind("a sound file", (0, b"fLaC")),
    # Archives
    _kind("a zip archive", (0, b"PK\3\4"), remedy=EXTRACT),
    _kind("an empty zip archive", (0, b"PK\5\6")),
    _kind("a file compressed with gzip", (0, b"\x1f\x8b"), remedy="unpack it first with gunzip or tar"),
    _kind("a file compressed with bzip2", (0, b"BZh"), remedy="unpack it first with bunzip2"),
    _kind("a file compressed with xz", (0, b"\xfd7zXZ\0"), remedy="unpack it first with unxz"),
    _kind("a file compressed with Zstandard", (0, b"(\xb5/\xfd"), remedy="unpack it first with unzstd"),
    _kind("a 7z archive", (0, b"7z\xbc\xaf\x27\x1c"), remedy=EXTRACT),
    _kind("a RAR archive", (0, b"Rar!\x1a\x07"), remedy=EXTRACT),
    _kind("a tar archive", (257, b"ustar"), remedy=EXTRACT),
    # Litter, programs and data
    _kind("a pointer of Git LFS", (0, b"version https://git-lfs"), remedy="run `git lfs pull` in its repository"),
    _kind("metadata of macOS (AppleDouble)", (0, b"\0\5\x16\7")),
    _kind("metadata of macOS (AppleSingle)", (0, b"\0\5\x16\0")),
    _kind("a bookmark of macOS", (0, b"book\0\0\0\0mark")),
    _kind("a shortcut of Windows", (0, b"L\0\0\0\1\x14\2\0"), remedy="copy the file that it points to"),
    _kind("a folder database of macOS (.DS_Store)", (0, b"\0\0\0\1Bud1")),
    _kind("an SQLite database", (0, b"SQLite format 3\0")),
    _kind("a program", (0, b"\x7fELF")),
    _kind("a program", (0, b"MZ")),
    _kind("a Python pickle", (0, b"\x80\2")),
    _kind("a Python pickle", (0, b"\x80\4")),
    _kind("a Python pickle", (0, b"\x80\5")),
    # Formats that are read: they are named where such a file is damaged, or where another decoder meets it
    _kind("a JPEG image", (0, b"\xff\xd8\xff")),
    _kind("a PNG image", (0, b"\x89PNG\r\n\x1a\n")),
    _kind("a GIF image", (0, b"GIF8")),
    _kind("a WebP image", (0, b"RIFF"), (8, b"WEBP")),
    _kind("a TIFF image", (0, b"II*\0")),
    _kind("a TIFF image", (0, b"MM\0*")),
    _kind("a TIFF image", (0, b"II+\0")),
    _kind("a TIFF image", (0, b"MM\0+")),
    _kind("a BMP image", (0, b"BM"), (6, b"\0\0\0\0")),
    _kind("a JPEG 2000 image", (0, b"\0\0\0\x0cjP  \r\n\x87\n")),
    _kind("a JPEG 2000 image", (0, b"\xff\x4f\xff\x51")),
    _kind("a Windows icon", (0, b"\0\0\1\0")),
    *(_kind("a PNM image", (0, b"P"), (1, digit), (2, space)) for digit in (b"1", b"2", b"3", b"4", b"5", b"6", b"7")
      for space in (b"\n", b"\r", b" ", b"\t")),
)  # fmt: skip

# Texts: the first bytes after white space and a byte order mark, without regard to case
TEXT_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"<svg", "an SVG drawing", "render it first, for example with `rsvg-convert` or `magick IN OUT.png`"),
    (b"<!doctype html", "a web page", DOWNLOAD),
    (b"<html", "a web page", DOWNLOAD),
    (b"<head", "a web page", DOWNLOAD),
    (b"<?php", "a PHP script", ""),
    (b"<error", "an error message of a web server", DOWNLOAD),
    (b"<?xml", "an XML file", ""),
    (b"data:", "a data: URL", "decode what follows its comma with base64, and pass the bytes"),
    (b"{", "a JSON file", ""),
    (b"[", "a JSON file", ""),
    (b"http://", "a web address", DOWNLOAD),
    (b"https://", "a web address", DOWNLOAD),
    (b"/9j/", "a JPEG image in base64", "decode it with base64, and pass the bytes"),
    (b"ivborw0kgg", "a PNG image in base64", "decode it with base64, and pass the bytes"),
    (b"r0lgod", "a GIF image in base64", "decode it with base64, and pass the bytes"),
    (b"uklgr", "a WebP image in base64", "decode it with base64, and pass the bytes"),
)


def describe_content(content: bytes) -> str:
    """Return what a file is, as "a PDF document"; an unknown binary file is described by its first bytes.

    Args:
        content: the file, or its first `HEAD_BYTES` bytes or more.
    """
    kind = find_file_kind(content)
    return kind.name if kind else f"a file of an unknown kind that starts with the bytes {content[:8].hex(' ')}"


def find_file_kind(content: bytes) -> FileKind | None:
    """Return the kind of a file from its first bytes, or None if it is unknown."""
    head = bytes(content[:HEAD_BYTES])
    for kind in _kinds_by_first_byte().get(head[:1], ()):
        for position, magic in kind.signatures:
            if not head.startswith(magic, position):
                break
        else:
            return kind
    return _find_text_kind(head)


@cache
def _kinds_by_first_byte() -> dict[bytes, tuple[FileKind, ...]]:
    """Return for every first byte the kinds that a file may have, in their order.

    Every image of every epoch asks for its kind, and most kinds are ruled out by the first byte.
    """
    first_bytes = [
        next((magic[:1] for position, magic in kind.signatures if position == 0), None) for kind in FILE_KINDS
    ]
    return {
        byte: tuple(kind for kind, first in zip(FILE_KINDS, first_bytes, strict=True) if first in (None, byte))
        for byte in (bytes([value]) for value in range(256))
    }


def _find_text_kind(head: bytes) -> FileKind | None:
    """Return the kind of an empty file or of a text, or None if the bytes are neither."""
    if not head:
        return FileKind("an empty file", (), DOWNLOAD)
    if not head.strip(b"\0"):
        return FileKind("a file of zeros", (), "its content was lost; get the file again")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return FileKind("a text file (UTF-16)", ())
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, name, remedy in TEXT_KINDS:
        if text.startswith(start):
            is_drawing = start in (b"<?xml", b"<!doctype html") and b"<svg" in text
            return FileKind(*(TEXT_KINDS[0][1], (), TEXT_KINDS[0][2]) if is_drawing else (name, (), remedy))
    is_plain = all(byte >= 32 or byte in b"\t\n\r\f\x1b" for byte in head)
    try:
        head[: len(head) - 3 if len(head) >= HEAD_BYTES else None].decode()  # the last letter may be cut
    except UnicodeDecodeError:
        return None
    return FileKind("a text file", ()) if is_plain else None
