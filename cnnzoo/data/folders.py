"""List the images of a folder, with their classes and splits."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from cnnzoo.core.errors import InputError
from cnnzoo.core.text import choose_form, format_count, printable_name
from cnnzoo.data.class_folders import Layout
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.folder_tree import Folder
from cnnzoo.data.layout import find_layout
from cnnzoo.data.layout_messages import list_names
from cnnzoo.data.listing import (
    LeftOut,
    LeftOutFile,
    ListedImage,
    Listing,
    folder_identity,
    is_dir,
    natural_sort_key,
    scan_entries,
    walk_files,
)
from cnnzoo.data.packed_folder import PACKED_FOLDER


def list_folder(root: Path, options: FolderOptions) -> Listing:
    """List a folder with one sub-folder per class, or with train, validation and test folders that contain these.

    `find_layout` finds the classes and the splits.

    Raises:
        InputError: if the folder cannot be opened, has no classes, or can be read in two ways.
    """
    try:
        scan_entries(root)
    except OSError as error:
        raise InputError(f"Cannot open the folder {str(root)!r}: {error.strerror}") from None
    layout = find_layout(root, options)

    # Files and folders outside the classes
    left_out = [stray for folder in _unique(layout.passed) for stray in _list_stray_files(folder, layout, root)]
    left_out += [_leave_out(folder.path, root, reason) for folder, reason in layout.left_out]

    # The images of each class
    images: list[ListedImage] = []
    images_of: dict[str, int] = {}
    above = {folder_identity(folder.path) for folder in layout.passed} | {folder_identity(root)}
    packed = set[str]()  # labels of folders that hold packed data, which `left_out` explains
    label_of: dict[str, str] = {}  # one for names that look alike, as macOS and Linux write "é" differently
    for class_folder in layout.classes:
        label = label_of.setdefault(unicodedata.normalize("NFC", class_folder.label), class_folder.label)
        count = len(images)
        for path, problem in _walk_in_order(class_folder.folder, set(above)):
            if problem == PACKED_FOLDER:
                packed.add(label)
            if problem or not class_folder.folder.holds_images:
                left_out.append(_leave_out(path, root, problem or "not in the folder of a class"))
            else:
                images.append(ListedImage(path, _relative_name(path, root), label, class_folder.split))
        images_of[label] = images_of.get(label, 0) + len(images) - count
    if not images:
        are = choose_form(len(left_out), "is", "are")
        hint = f"; {format_count(len(left_out), 'file')} {are} outside such folders" if left_out else ""
        if inner := next((file for file in left_out if file.reason == PACKED_FOLDER), None):
            hint = f"; {inner.name!r} in it is {PACKED_FOLDER}"
        raise InputError(f"{str(root)!r} has no images in sub-folders named after their classes{hint}")

    # Classes without images
    empty = [printable_name(label) for label, count in images_of.items() if not count and label not in packed]
    notes = list(layout.notes)
    if empty:
        s, are = ("s", "are no classes") if len(empty) > 1 else ("", "is no class")
        notes.append(f"The folder{s} {list_names(empty, 20)} {are}, as there are no images in {'them' if s else 'it'}.")
    return Listing(images, left_out, tuple(notes))


def _walk_in_order(folder: Folder, seen: set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """Yield what `walk_files` does, sorted by path."""
    return iter(sorted(walk_files(folder.path, seen), key=lambda found: natural_sort_key(str(found[0]))))


def _list_stray_files(folder: Folder, layout: Layout, root: Path) -> LeftOut:
    """Return the files that lie above the classes; many in one folder are counted, not listed."""
    try:
        files = [folder.path / entry.name for entry in scan_entries(folder.path) if not is_dir(entry)]
    except OSError as error:
        return [_leave_out(folder.path, root, f"a folder that cannot be opened: {error.strerror}")]
    reason = "not in the folder of a class"
    if folder is layout.passed[0] and any(each.split for each in layout.classes):
        reason = "outside train, validation and test"
    return [_leave_out(path, root, reason) for path in sorted(files)]


def _unique(folders: list[Folder]) -> list[Folder]:
    """Return the folders in order, each once."""
    return list({folder.path: folder for folder in folders}.values())


def _leave_out(path: Path, root: Path, reason: str) -> LeftOutFile:
    return LeftOutFile(_relative_name(path, root), reason, path)


def _relative_name(path: Path, base: Path) -> str:
    return printable_name(path.relative_to(base).as_posix())
