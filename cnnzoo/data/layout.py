"""Layout of a folder of images: which folders are classes, which are splits, and which only wrap them.

Names and structure decide together; what was decided is returned as notes. A folder that can be read in two ways raises
an error with both readings and the argument that chooses.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from cnnzoo.core.errors import InputError
from cnnzoo.data.class_folders import Layout
from cnnzoo.data.folder_options import FolderOptions
from cnnzoo.data.folder_tree import Folder
from cnnzoo.data.layout_messages import describe_lone_split, describe_two_readings, join_names, list_names
from cnnzoo.data.listing import natural_sort_key
from cnnzoo.data.litter import NOTE_FOLDERS
from cnnzoo.data.split_folders import (
    add_splits,
    add_splits_of_classes,
    check_split_folders,
    find_splits,
    find_splits_in_classes,
)
from cnnzoo.data.split_names import guess_split

IMAGES_NAME = re.compile(r"images?|imgs?|photos?|pictures?|pics?|files|data|jpe?gs?|pngs?|raw|originals?")
# Names that number or date a part of the data, or say nothing: not classes, where there is another reading
PART_NAME = re.compile(
    r"(album|batch|camera|cam|clip|day|disc|fold|frame|group|page|part|patient|person|roll|scene|seq|sequence|session"
    r"|set|shot|subject|take|user|video|view)s?[ _-]?\d+"
    r"|(19|20)\d\d([ _-]?(0\d|1[0-2])([ _-]?([0-2]\d|3[01]))?)?"  # a year, perhaps with month and day
    rf"|{IMAGES_NAME.pattern}"
)


def find_layout(root: Path, options: FolderOptions) -> Layout:
    """Return the layout of a folder.

    Raises:
        InputError: if an option is wrong, or the layout can be read in two ways.
    """
    options.check()
    known_classes = set(map(str, options.known_classes or ()))
    split_folders = options.split_folders
    outer_are_classes = options.class_folders == "outer" or (split_folders is not None and not split_folders)
    layout = Layout()

    # A folder that only wraps the others is looked through
    names = known_classes | set(split_folders or ())
    way = [Folder(root)]
    if not outer_are_classes:
        way = way[0].unwrap(lambda f: f.name in names or guess_split(f.name).split not in ("", "unlabeled"))
    if not outer_are_classes and (images := _find_images_beside_notes(way[-1])):
        layout.left_out += [
            (folder, f"a folder beside {images.name}") for folder in way[-1].folders if folder is not images
        ]
        way.append(images)
    layout.passed += way
    top = way[-1]
    if len(way) > 1:
        layout.notes.append(f"Everything is in {join_names(way[1:])!r}, so the folders in it are read.")

    # What the user says decides first, then the names, then the structure
    if split_folders:
        add_splits(layout, top, check_split_folders(top, split_folders))
    elif outer_are_classes or _have_known_names(top, known_classes):
        _add_outer(layout, top)
    elif splits := find_splits(top):
        add_splits(layout, top, splits)
    elif options.class_folders == "inner":
        _add_inner(layout, top)
    elif splits := find_splits_in_classes(top):
        add_splits_of_classes(layout, top, splits)
    elif _inner_are_classes(top, known_classes):
        _add_inner(layout, top)
    else:
        _add_outer(layout, top)
    return layout


def _find_images_beside_notes(top: Folder) -> Folder | None:
    """Return the folder of the images beside folders such as masks and labels, which may hold images too."""
    folders = top.image_folders
    images = [folder for folder in folders if IMAGES_NAME.fullmatch(folder.name.casefold())]
    others_are_notes = all(f.name.casefold() in NOTE_FOLDERS for f in folders if f not in images)
    return images[0] if len(images) == 1 < len(folders) and others_are_notes and images[0].holds_only_folders else None


# Classes without splits


def _add_outer(layout: Layout, top: Folder) -> None:
    """Add the folders in `top` as classes."""
    layout.add_classes(top.folders)
    for folder in top.image_folders if len(top.image_folders) > 1 else ():
        if guess_split(folder.name).is_certain and folder.has_files:
            layout.notes.append(
                f"{folder.name} is taken as a class, as its images lie directly in it, beside other classes. If they "
                "are not labeled, move the folder elsewhere."
            )
    nested = [f"{folder.name}/{inner.name}" for folder in top.folders for inner in folder.image_folders]
    if nested:
        layout.notes.append(
            f"Images in folders inside the folder of a class count for that class: {list_names(nested, 3)}."
        )


def _add_inner(layout: Layout, top: Folder) -> None:
    """Add the folders inside the folders of `top` as classes."""
    layout.notes.append(
        f"The folders {list_names(f.name for f in top.image_folders)} hold the classes; their images are pooled."
    )
    layout.add_classes([folder for folder in top.folders if not folder.holds_images])
    for way in _unwrap_each(top):
        layout.passed += way
        layout.add_classes(way[-1].folders)


def _unwrap_each(top: Folder) -> list[list[Folder]]:
    """Return the way to the inner folders of each folder; see `Folder.unwrap`."""
    folders = top.image_folders
    counts = Counter(inner.name for folder in folders for inner in folder.folders)
    all_wrapped = all(len(folder.image_folders) == 1 for folder in folders)  # as in camera1/images, camera2/images
    return [folder.unwrap(lambda f: counts[f.name] > 1 and not all_wrapped) for folder in folders]


def _have_known_names(top: Folder, known_classes: Collection[str]) -> bool:
    """Return whether folders have names of known classes, and the folders inside them do not."""
    inner = {inner.name for folder in top.folders for inner in folder.folders}
    return any(folder.name in known_classes for folder in top.folders) and not inner & {*known_classes}


def _inner_are_classes(top: Folder, known_classes: Collection[str]) -> bool:
    """Return whether the classes are the folders inside the folders of `top`.

    Raises:
        InputError: if the classes can be either.
    """
    folders, ways = top.image_folders, _unwrap_each(top)
    outer = [folder.name for folder in folders]
    inner = [{f.name for f in way[-1].image_folders} for way in ways]
    names = sorted(set().union(*inner), key=natural_sort_key)
    if {*names} & {*known_classes} and not {*outer} & {*known_classes}:
        return True
    if len(folders) < 2:
        return False

    # A folder called train whose images lie in several folders is hardly a class
    for folder in folders:
        guess = guess_split(folder.name)
        if guess.is_certain and folder.holds_only_folders and len(folder.image_folders) > 1:
            raise InputError(describe_lone_split(top, folder, outer))

    # Folders that hold folders of the same names
    if not all(folder.holds_only_folders for folder in folders):
        return False
    counts = Counter(name for each in inner for name in each)
    shared = {name for name, count in counts.items() if count > 1}
    if len(shared) < 2 or any(2 * len(each & shared) < len(each) for each in inner) or _are_parts(shared):
        return False
    if _are_parts(outer):
        return True
    raise InputError(describe_two_readings(top, outer, names))


def _are_parts(names: Iterable[str]) -> bool:
    """Return whether all names number or date a part of the data, so that they are no classes."""
    return all(PART_NAME.fullmatch(name.casefold()) for name in names)
