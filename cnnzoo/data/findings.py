"""The findings of the doctor, and their kinds: what each means, why it matters, and what to do about it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cnnzoo.core.text import format_count

MIN_SIDE = 32  # pixels; an image with a shorter side is hardly a photo
IMBALANCE_RATIO = 10  # of the largest class to a small one
SPLIT_COUNT = 3  # training, validation and test


@dataclass(frozen=True)
class FindingKind:
    """One kind of finding.

    Attributes:
        meaning: what it is, as a phrase.
        why: why it matters.
        remedy: what to do.
        plural: its name in the plural; those of classes are not counted and have none.
        needs_decision: whether a person should look at it before training.
        fix: the action that a fix list proposes: exclude, keep (a person decides), or "" for none.
        about: the images of a finding that get a row in the fix list: "first", "copies" (all but the first) or "all".
    """

    meaning: str
    why: str
    remedy: str
    plural: str = ""
    needs_decision: bool = False
    fix: str = ""
    about: str = "first"


FINDING_KINDS = {
    "few": FindingKind(
        "too few classes, or too few images of a class for three splits",
        "A classifier needs two classes, and each split an image of every class, so training refuses such data.",
        "Add images, choose larger shares for validation and test (--splits), or merge the class with another one by "
        "relabeling its images in a fix list.",
        needs_decision=True,
    ),
    "unreadable": FindingKind(
        "cannot be used",
        "These files are left out, so the data is smaller than it looks.",
        "Get the files again, or delete them.",
        plural="unreadable",
        fix="exclude",
    ),
    "drawing": FindingKind(
        "a drawing in a few colors among photos: a placeholder or an icon",
        "Photo services send such an image in place of a photo that was deleted. It is left out.",
        "Delete the files. If they are right, write keep as their action in a fix list.",
        plural="drawings",
        fix="exclude",
    ),
    "conflict": FindingKind(
        "the same file under two labels",
        "At most one of the labels is right. A model cannot learn both, and measurements count one as a mistake.",
        "Look at the picture, then relabel or exclude in a fix list.",
        plural="conflicts",
        needs_decision=True,
        fix="keep",
        about="all",
    ),
    "near conflict": FindingKind(
        "nearly the same picture under two labels",
        "If both show the same thing, one of the labels is wrong.",
        "Compare the pictures, then relabel or exclude in a fix list.",
        plural="near conflicts",
        needs_decision=True,
        fix="keep",
        about="all",
    ),
    "leak": FindingKind(
        "also in another split",
        "A model is measured too well on images that it was trained on. The copy in training is left out.",
        "Delete the copy, or exclude it in a fix list.",
        plural="leaks",
        fix="exclude",
    ),
    "near leak": FindingKind(
        "nearly the same picture in two splits",
        "If both show the same thing, the model is measured too well on the one that it was not trained on.",
        "Compare the pictures, then exclude the one in training in a fix list.",
        plural="near leaks",
        needs_decision=True,
        fix="keep",
    ),
    "duplicate": FindingKind(
        "the same file twice",
        "Copies count several times in training and in measurements. They stay in one split.",
        "Delete all but one, or exclude them in a fix list.",
        plural="duplicates",
        fix="exclude",
        about="copies",
    ),
    "near duplicate": FindingKind(
        "nearly the same picture",
        "Of two such pictures, one may be trained on and the other one measured, which makes figures too good.",
        "Compare the pictures, then exclude one in a fix list, or keep them in one split by group_column.",
        plural="near duplicates",
        needs_decision=True,
        fix="keep",
        about="copies",
    ),
    "mask": FindingKind(
        "called like a mask of the image beside it",
        "A model would be trained on the masks as on pictures, and could tell the classes by their shapes.",
        "Exclude the masks in a fix list, which does so unless you change it, or move them to another folder.",
        plural="masks",
        needs_decision=True,
        fix="exclude",
    ),
    "levels": FindingKind(
        "a part of the levels that the file can hold, so that the images are nearly black",
        "A model sees them as nearly black. The pictures below are brightened.",
        "Say which level is white, as each finding proposes.",
        plural="levels",
        needs_decision=True,
    ),
    "constant": FindingKind(
        "one color throughout",
        "There is nothing to learn from: often a covered lens or a failed download.",
        "Exclude them in a fix list, unless this is what the class looks like.",
        plural="constant",
        needs_decision=True,
        fix="keep",
    ),
    "tiny": FindingKind(
        f"a side under {MIN_SIDE} pixels",
        "They are enlarged to the size of the model and blurred by it: often thumbnails or icons.",
        "Get the originals, or exclude them in a fix list, unless all images are that small.",
        plural="tiny",
        needs_decision=True,
        fix="keep",
    ),
    "pages": FindingKind(
        "more than one picture in a file",
        "Only the first page or frame is used.",
        "Save the others as files of their own if they belong to the data.",
        plural="pages",
    ),
    "imbalance": FindingKind(
        f"a class with less than 1/{IMBALANCE_RATIO} of the largest class's images",
        "Models neglect rare classes, and accuracy hides it; the report states balanced accuracy too.",
        "Add images, or train with --set balance=weights (or sampling).",
        needs_decision=True,
    ),
    "one split": FindingKind(
        "a class that only some splits have",
        "It cannot be learned, or not be measured.",
        "Add images of the class to the other splits, or divide the data again.",
        needs_decision=True,
    ),
    "shortcut": FindingKind(
        "a class that can be told by the size, the shape or the color of its files",
        "All images are resized for the model, which blurs small ones and crops narrow ones. A model can learn that "
        "instead of what the images show: figures are too good, and new images are taken for the wrong class.",
        "Get images of all classes from the same sources, or bring them all to one size before training.",
        needs_decision=True,
    ),
    "stray": FindingKind(
        "not in the folder of a class",
        "Where a file lies says what it shows, so these are left out.",
        "Move them into the folder of their class.",
        plural="strays",
    ),
    "damage": FindingKind(
        "a fault of the file that does not hide any pixels",
        "The images are used; other programs may refuse them.",
        "Nothing has to be done; saving the images again mends them.",
        plural="damaged",
    ),
    "suffix": FindingKind(
        "the suffix of another format",
        "The images are used; other programs may refuse them.",
        "Nothing has to be done; renaming the files mends it.",
        plural="suffixes",
    ),
    "note": FindingKind(
        "a document, a table or an annotation beside the images",
        "These are no images and are left out.",
        "Nothing has to be done.",
        plural="notes",
    ),
}


@dataclass(frozen=True)
class Finding:
    """One observation about some images.

    Attributes:
        kind: a key of `FINDING_KINDS`, such as "unreadable".
        images: names of the images that it is about; empty for findings about classes.
        reason: the observation, in words.
        set_aside: whether the first of the images is left out of the data.
    """

    kind: str
    images: tuple[str, ...]
    reason: str
    set_aside: bool = False

    @property
    def state(self) -> str:
        """What becomes of the images: "set aside", "to decide" or "kept", as the tables of findings call it."""
        return "set aside" if self.set_aside else "to decide" if self.needs_decision else "kept"

    @property
    def needs_decision(self) -> bool:
        """Whether a person should look at it before training; what all images have in common is meant so."""
        kind = FINDING_KINDS[self.kind]
        return kind.needs_decision and (bool(self.images) or not kind.fix)


def count_kinds(findings: Sequence[Finding]) -> str:
    """Return the number of findings of each kind: "2 unreadable, 1 leak"."""
    counts = Counter(finding.kind for finding in findings)
    names = [kind for kind in FINDING_KINDS if kind in counts]
    return ", ".join(format_count(counts[kind], kind, FINDING_KINDS[kind].plural or kind) for kind in names)
