"""The folders of the classes in a folder of images, and how they were found."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cnnzoo.data.folder_tree import Folder
from cnnzoo.data.listing import REPEATED_FOLDER


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose images, at any depth, have one class and one split."""

    folder: Folder
    label: str
    split: str = ""


@dataclass
class Layout:
    """The class folders of a source, and how they were found.

    Attributes:
        classes: the class folders.
        passed: the folders above them, whose own files belong to no class.
        left_out: folders that are not used, and why.
        notes: sentences about what was decided.
    """

    classes: list[ClassFolder] = field(default_factory=list)
    passed: list[Folder] = field(default_factory=list)
    left_out: list[tuple[Folder, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_classes(self, folders: Sequence[Folder], split: str = "") -> None:
        """Add folders as classes; the listing finds out which of them have no images."""
        self.classes += [ClassFolder(folder, folder.name, split) for folder in folders if not folder.leads_back]
        self.left_out += [(folder, REPEATED_FOLDER) for folder in folders if folder.leads_back]
