"""Findings about a set of images: printed as a table, written as a page with pictures, and turned into a fix list."""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cnnzoo.core.attributes import SuggestsAttributes
from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.notebook import NotebookTable, render_notebook
from cnnzoo.core.paths import check_path
from cnnzoo.core.tables import align_columns
from cnnzoo.core.text import escape_controls, format_count
from cnnzoo.core.tiles import Tile
from cnnzoo.data.bit_depth import Levels
from cnnzoo.data.findings import FINDING_KINDS, Finding, count_kinds
from cnnzoo.data.fix_list import Fix, FixList, merge_fixes
from cnnzoo.data.listing import ListedImage
from cnnzoo.data.small_images import read_small

FINDING_TITLES = ("finding", "count", "state", "the first")
SUMMARY_TILES = 10  # pictures in a notebook


@dataclass(frozen=True, repr=False)
class Diagnosis(SuggestsAttributes):
    """The findings of the doctor in a source. Printing it shows a table of the findings.

    Attributes:
        source: name of the source.
        images: number of files that were examined.
        counts: number of images that are used, by class.
        findings: everything that was observed.
        listed: all images by name, and the files that are no images of a class.
        sizes: (height, width), upright, of each image that is used, by name.
        splits: the split of each image that is used, by name; empty if the source has none.
        levels: the levels of images of more than 8 bits that become black and white, if the user names them.
        location: the source as the user wrote it, for commands; empty if it is not a path.
        notes: how the source was read, in sentences.
        fix_list_file: the file of the fix list that was applied, as the user wrote it; empty without one.
        new_list_file: the file that a fix list of these findings was written to; empty without one.
    """

    source: str
    images: int
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    listed: dict[str, ListedImage] = field(default_factory=dict, repr=False)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    splits: dict[str, str] = field(default_factory=dict, repr=False)
    levels: Levels | None = None
    location: str = ""
    notes: tuple[str, ...] = ()
    fix_list_file: str = ""
    new_list_file: str = ""

    @property
    def set_aside(self) -> list[Finding]:
        """The findings for which an image was left out."""
        return [finding for finding in self.findings if finding.set_aside]

    @property
    def lost_images(self) -> list[Finding]:
        """The findings for which an image was left out, without notes such as README.md."""
        return [finding for finding in self.set_aside if finding.kind != "note"]

    @property
    def to_decide(self) -> list[Finding]:
        """The findings that a person should look at before training."""
        return [finding for finding in self.findings if finding.needs_decision]

    def __repr__(self) -> str:
        findings = format_count(len(self.findings), "finding")
        return escape_controls(f"<Diagnosis of {self._describe_images()}; {findings}>")

    def _repr_html_(self) -> str:
        """Return the verdict, the findings and some of their pictures for a notebook."""
        shown = sorted(self.findings, key=lambda finding: finding not in self.to_decide)
        pictures = [(finding, finding.images[0]) for finding in shown if finding.images[:1]]
        folder = "data.diagnosis.save(FOLDER) writes a page with all pictures."
        return render_notebook(
            f"{self._describe_images()}; {self.describe_files()}",
            lines=[self.verdict()],
            tables=[NotebookTable("Findings", FINDING_TITLES, self._count_findings())],
            tiles=[self._picture_tile(finding, name) for finding, name in pictures[:SUMMARY_TILES]],
            notes=[*self.notes, *([folder] if pictures else [])],
        )

    def _picture_tile(self, finding: Finding, name: str) -> Tile:
        """Return a picture of an image with what was found about it."""
        caption = (finding.kind, ": ".join(filter(None, (self.label_of(name), name))))
        try:
            source = self.listed[name].source
            return Tile(read_small(source.read() if hasattr(source, "read") else source, levels=self.levels), caption)
        except (InputError, OSError, KeyError) as error:
            return Tile(None, caption, problem=finding.reason if isinstance(error, KeyError) else str(error))

    def _describe_images(self) -> str:
        """Return source, number of images and number of classes in one line."""
        used, classes = sum(self.counts.values()), format_count(len(self.counts), "class", "classes")
        return f"{self.source}: {format_count(used, 'image')} in {classes}"

    def _count_findings(self) -> list[list[str]]:
        """Return the rows of the table of findings: their kind, their number, the state, and the first."""
        counts = Counter(finding.kind for finding in self.findings)
        first = {kind: next(f for f in self.findings if f.kind == kind) for kind in counts}
        return [
            [kind, str(counts[kind]), first[kind].state, _format(first[kind])]
            for kind in FINDING_KINDS
            if kind in counts
        ]

    def __str__(self) -> str:
        lines = [f"{self._describe_images()}; {self.describe_files()}"]
        if rows := self._count_findings():
            lines.append(align_columns([FINDING_TITLES, *rows], right=(1,)))
        return "\n".join([*lines, *self.notes, self.verdict()])

    def verdict(self) -> str:
        """Return whether the data can be used as it is, in one sentence.

        Example:
            >>> from cnnzoo.data.diagnosis import Diagnosis
            >>> from cnnzoo.data.findings import Finding
            >>> Diagnosis("photos", 24, {"a": 12, "b": 12}, ()).verdict()
            'No problems found.'
            >>> Diagnosis("photos", 25, {"a": 25}, (Finding("tiny", ("a/1.jpg",), "8x8 pixels"),)).verdict()
            '1 finding needs a decision: 1 tiny.'
        """
        if not self.to_decide:
            has_problems = any(finding.kind != "note" for finding in self.findings)
            return "Nothing needs a decision." if has_problems else "No problems found."
        needs = "needs" if len(self.to_decide) == 1 else "need"
        return f"{format_count(len(self.to_decide), 'finding')} {needs} a decision: {count_kinds(self.to_decide)}."

    def describe_files(self) -> str:
        """Return how many files there are, and how many were left out and why, in one line."""
        return f"{format_count(self.images, 'file')}, {self.summary()}"

    def summary(self) -> str:
        """Return how many files were left out, and why, in one line."""
        if not self.set_aside:
            return "none set aside"
        return f"{len(self.set_aside):,} set aside: {count_kinds(self.set_aside)}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON.

        The keys are source, files, used, classes (images by class), verdict, findings and notes. A finding has kind,
        images, labels (of these images), reason, set_aside, needs_decision and remedy.
        """
        return {
            "source": self.source,
            "files": self.images,
            "used": sum(self.counts.values()),
            "classes": dict(self.counts),
            "verdict": self.verdict(),
            "findings": [
                {
                    "kind": finding.kind,
                    "images": list(finding.images),
                    "labels": [self.label_of(name) for name in finding.images],
                    "reason": finding.reason,
                    "set_aside": finding.set_aside,
                    "needs_decision": finding.needs_decision,
                    "remedy": FINDING_KINDS[finding.kind].remedy,
                }
                for finding in self.findings
            ],
            "notes": list(self.notes),
        }

    def label_of(self, name: str) -> str:
        """Return the class of an image, or "" for a file that is no image of a class."""
        return self.listed[name].label if name in self.listed else ""

    def fix_list(self) -> FixList:
        """Return what to do with the images of the findings, for `load_data(..., fix_list=...)`.

        What is certain is excluded: files that cannot be read, placeholders, and copies but for one of each; of copies
        in two splits, the one in training. Everything else says keep, because a person has to look at it: of two
        labels of one picture, either may be the right one. The column label then names the other label, so that the
        word relabel as the action is enough.
        """
        return merge_fixes(fix for finding in self.findings for fix in self._fixes_of(finding))

    def _fixes_of(self, finding: Finding) -> list[Fix]:
        """Return the rows of a fix list for one finding."""
        kind = FINDING_KINDS[finding.kind]
        names = [name for name in finding.images if self.label_of(name)]
        if not kind.fix or not names:
            return []
        if kind.about == "first":
            names = names[:1]
        elif kind.about == "copies":
            names = names[1:]
        fixes = []
        for name in names:
            others = {self.label_of(other) for other in finding.images} - {self.label_of(name)}
            suggestion = others.pop() if len(others) == 1 and kind.fix == "keep" else ""
            fixes.append(Fix(name, kind.fix, suggestion, finding.kind, self._explain(name, finding)))
        return fixes

    def _explain(self, name: str, finding: Finding) -> str:
        """Return the reason of a row of a fix list: the observation, and the other images."""
        others = [f"{other} ({self.label_of(other)})" for other in finding.images[:4] if other != name]
        return f"{finding.reason}; compare with {', '.join(others)}" if others else finding.reason

    def to_json(self) -> str:
        """Return all findings as JSON; see `to_dict`."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    def to_html(self, folder: str | os.PathLike[str] | None = None) -> str:
        """Return one self-contained page with pictures; `folder` is where it will lie, for its links."""
        from cnnzoo.data.doctor_page import DoctorPage

        return DoctorPage(
            source=self.source,
            verdict=self.verdict(),
            files=self.describe_files(),
            counts=self.counts,
            findings=self.findings,
            listed=self.listed,
            sizes=self.sizes,
            splits=self.splits,
            levels=self.levels,
            location=self.location,
            notes=self.notes,
            fix_list=self.fix_list_file,
            new_list=self.new_list_file,
            folder=folder,
        ).render()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write doctor.json and doctor.html into `folder`."""
        folder = check_path(folder, "the folder of the diagnosis")
        with atomic_write(folder / "doctor.html") as new:
            new.write_text(self.to_html(folder), encoding="utf-8")
        with atomic_write(folder / "doctor.json") as new:
            new.write_text(self.to_json(), encoding="utf-8")


def _format(finding: Finding) -> str:
    names = ", ".join(map(repr, finding.images[:2])) + (", ..." if len(finding.images) > 2 else "")
    return f"{names}: {finding.reason}" if finding.images else finding.reason
