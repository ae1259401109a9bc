"""Files that are no images: litter of operating systems and tools, which is ignored, and notes beside the images."""

import os
import re

# Litter: never an image that somebody meant, so it is ignored without a word. All names in lower case; names that begin
# with a dot (.DS_Store, ._photo.jpg, .ipynb_checkpoints, .git, .Trash-1000) are ignored too.
SYSTEM_FILES = {
    "thumbs.db",  # Windows
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "folder.htt",
    "pagefile.sys",
    "hiberfil.sys",
    "swapfile.sys",
    "wpsettings.dat",  # in System Volume Information
    "indexervolumeguid",
    "icon\r",  # macOS: the icon of a folder
    "picasa.ini",  # photo managers
    "zbthumbnail.info",
    "pspbrwse.jbf",
    "dropbox.device",  # synchronization
    "sync.ffs_db",
    "sync.ffs_lock",
    "aquota.user",  # Linux
    "aquota.group",
}
SYSTEM_FOLDERS = {
    "@eadir",  # Synology
    "#recycle",
    "#snapshot",
    "@recycle",  # QNAP
    "@recently-snapshot",
    "@tmp",
    "lost+found",  # Linux
    "lost.dir",  # Android
    "__macosx",  # zip files of macOS
    "network trash folder",
    "temporary items",
    "$recycle.bin",  # Windows
    "system volume information",
    "found.000",
    "msocache",
    "config.msi",
    "_vti_cnf",  # web servers
    "_vti_pvt",
    "__pycache__",  # programming tools
    "node_modules",
}
SYSTEM_PATTERN = re.compile(
    r"\..*"  # hidden
    r"|~\$.*"  # locks of Office
    r"|.*@syno(resource|eastream|eaid)(@.*)?"  # attributes that Synology writes as files
    r"|.*\.(sb-[0-9a-f]+-\w+|swp|swo|pyc)"  # editors and sandboxes
    r"|found\.\d{3}"  # of CHKDSK
    r"|fsck\d{4}\.rec",
    re.DOTALL,
)

# Notes: documents, annotations and tables that belong to a data set. They are named, but are no broken images.
NOTE_NAMES = {
    "readme",
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "authors",
    "contributors",
    "changelog",
    "changes",
    "citation",
    "todo",
    "makefile",
    "dockerfile",
    "checksums",
    "md5sum",
    "md5sums",
    "sha1sum",
    "sha1sums",
    "sha256sum",
    "sha256sums",
}
# fmt: off
NOTE_SUFFIXES = {
    ".txt", ".text", ".md", ".markdown", ".rst", ".rtf", ".log", ".doc", ".docx", ".odt", ".pdf", ".tex", ".bib",
    ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml", ".toml",
    ".ini", ".cfg", ".conf", ".xls", ".xlsx", ".ods", ".parquet", ".arrow", ".feather",
    ".db", ".sqlite",
    ".xmp", ".aae", ".thm", ".lrcat", ".url", ".lnk", ".webloc", ".torrent",
    ".py", ".ipynb", ".m", ".r", ".sh", ".bat", ".cmd", ".js", ".css", ".html", ".htm", ".mht",
    ".mat", ".npy", ".npz", ".pkl", ".pickle", ".pt", ".pth", ".h5", ".hdf5", ".keras", ".onnx",
    ".tfrecord", ".tfrecords",
    ".md5", ".sha1", ".sha256", ".sfv", ".sig", ".asc",
}
# fmt: on
# Folders that usually hold annotations; without a file that has the suffix of an image, they hold no images
NOTE_FOLDERS = {
    "annotation",
    "annotations",
    "bbox",
    "bboxes",
    "docs",
    "ground_truth",
    "groundtruth",
    "gt",
    "label",
    "labels",
    "mask",
    "masks",
    "meta",
    "metadata",
    "segmentation",
    "segmentations",
    "trimaps",
    "xml",
    "xmls",
}

# What the name of a mask adds to the name of its image: x_mask.png, x-gt.png, x_seg_1.png beside x.png
MASK_ENDING = re.compile(r"[ ._-](mask|segmentation|seg|gt|groundtruth|ground_truth|annotation|trimap)([ ._-]?\d+)?")


def is_litter(name: str, is_folder: bool) -> bool:
    """Return whether a file or folder is left by an operating system or a tool.

    Example:
        >>> from cnnzoo.data.litter import is_litter
        >>> is_litter("Thumbs.db", is_folder=False), is_litter("@eaDir", is_folder=True), is_litter("a.jpg", False)
        (True, True, False)
    """
    name = name.casefold()
    return name in (SYSTEM_FOLDERS if is_folder else SYSTEM_FILES) or bool(SYSTEM_PATTERN.fullmatch(name))


def is_note(name: str) -> bool:
    """Return whether a file is called like a document, a table or an annotation rather than like an image.

    Example:
        >>> from cnnzoo.data.litter import is_note
        >>> is_note("README"), is_note("cat/notes.txt"), is_note("cat.jpg"), is_note("cat")
        (True, True, False, False)
    """
    name = os.path.basename(name.casefold())  # noqa: PTH119  # a path is slow to make for each of millions of names
    return os.path.splitext(name)[1] in NOTE_SUFFIXES or name.partition(".")[0] in NOTE_NAMES  # noqa: PTH122


def name_of_masked_image(stem: str) -> str:
    """Return the stem of the image that a file called like a mask belongs to, or "".

    Example:
        >>> from cnnzoo.data.litter import name_of_masked_image
        >>> name_of_masked_image("benign (1)_mask"), name_of_masked_image("7_mask_2"), name_of_masked_image("face mask")
        ('benign (1)', '7', 'face')
    """
    endings = list(MASK_ENDING.finditer(stem.casefold()))
    is_last = bool(endings) and endings[-1].end() == len(stem)
    return stem[: endings[-1].start()] if is_last else ""
