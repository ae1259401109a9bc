"""Folders of images as a tree, read as far as the layout needs it."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from cnnzoo.core.text import printable_name
from cnnzoo.data.listing import is_dir, is_file, natural_sort_key, scan_entries, walk_files
from cnnzoo.data.litter import NOTE_FOLDERS, is_note
from cnnzoo.data.scan import FORMAT_SUFFIXES

IMAGE_SUFFIXES = {suffix for suffixes in FORMAT_SUFFIXES.values() for suffix in suffixes}
MAX_WRAPPERS = 32  # folders in each other that are looked through


class Folder:
    """A folder, with what the layout needs to know of its content.

    Args:
        path: the folder.
        parent: the folder that it was found in.
    """

    def __init__(self, path: Path, parent: "Folder | None" = None) -> None:
        self.path, self.parent, self.name = path, parent, printable_name(path.name)

    @cached_property
    def _content(self) -> tuple[list["Folder"], bool]:
        try:
            entries = scan_entries(self.path)
        except OSError:  # the listing reports it
            return [], False
        names = sorted((entry.name for entry in entries if is_dir(entry)), key=natural_sort_key)
        has_files = any(is_file(entry) and not is_note(entry.name) for entry in entries)
        return [Folder(self.path / name, self) for name in names], has_files

    @property
    def folders(self) -> list["Folder"]:
        """The folders in it, in natural order, without litter."""
        return self._content[0]

    @property
    def has_files(self) -> bool:
        """Whether images, or other files that are no notes, lie directly in it."""
        return self._content[1]

    @cached_property
    def leads_back(self) -> bool:
        """Whether it is a link to one of the folders that it is in."""
        if not self.path.is_symlink():
            return False
        above = self.parent
        while above and not self.path.samefile(above.path):
            above = above.parent
        return above is not None

    @cached_property
    def first_image(self) -> Path | None:
        """The first file found in it or below that may be an image; None if there is none."""
        if self.leads_back:
            return None
        is_for_notes = self.name.casefold() in NOTE_FOLDERS
        above = self.parent and vars(self.parent).get("first_image")  # not looked for again at every depth
        if above and not is_for_notes and above.parts[: len(self.path.parts)] == self.path.parts:
            return above
        for path, problem in walk_files(self.path):
            is_image = path.suffix.casefold() in IMAGE_SUFFIXES if is_for_notes else not is_note(path.name)
            if is_image and not problem:
                return path
        return None

    @property
    def holds_images(self) -> bool:
        """Whether it, or a folder below it, has files that may be images."""
        return self.first_image is not None

    @cached_property
    def image_folders(self) -> list["Folder"]:
        """The folders in it that hold images."""
        return [folder for folder in self.folders if folder.holds_images]

    @property
    def holds_only_folders(self) -> bool:
        """Whether its images are all in folders of it."""
        return bool(self.image_folders) and not self.has_files

    def unwrap(self, stop_at: Callable[["Folder"], bool]) -> list["Folder"]:
        """Return the way to the folder that holds the classes, which begins with this folder.

        A folder that holds nothing but one other folder of folders is passed, unless `stop_at` is true for the other.
        """
        way = [self]
        while len(way) <= MAX_WRAPPERS and len(way[-1].image_folders) == 1 and not way[-1].has_files:
            (inner,) = way[-1].image_folders
            if not inner.holds_only_folders or stop_at(inner):
                break
            way.append(inner)
        return way
