"""Findings about a set of images, printed as a table and written as a page with pictures."""

import base64
import io
import json
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.paths import check_path
from cnnzoo.core.tables import align_columns
from cnnzoo.data.decode import open_image, to_upright
from cnnzoo.data.listing import ListedImage

MIN_SIDE = 32  # pixels; an image with a shorter side is hardly a photo
IMBALANCE_RATIO = 10  # of the largest class to a small one
SHOWN_PER_KIND = 12  # findings of each kind with pictures on the page

FINDING_KINDS = {
    "unreadable": "cannot be used",
    "drawing": "a drawing in a few colors among photos: a placeholder or an icon",
    "leak": "also in another split",
    "stray": "not in the folder of a class",
    "note": "a document, a table or an annotation beside the images",
    "conflict": "the same file under two labels",
    "duplicate": "the same file twice",
    "near duplicate": "nearly the same picture",
    "near leak": "nearly the same picture in two splits",
    "constant": "one color throughout",
    "levels": "a part of the levels that the file can hold, so that the images are nearly black",
    "damage": "a fault of the file that does not hide any pixels",
    "tiny": f"a side under {MIN_SIDE} pixels",
    "suffix": "the suffix of another format",
    "imbalance": f"a class with less than 1/{IMBALANCE_RATIO} of the largest class's images",
    "one split": "a class that only some splits have",
    "few": "a class with too few images for three splits",
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


@dataclass(frozen=True)
class Diagnosis:
    """The findings of the doctor in a source. Printing it shows a table of the findings.

    Attributes:
        source: name of the source.
        images: number of files that were examined.
        counts: number of images that are used, by class.
        findings: everything that was observed.
        listed: all images by name, for the pictures on the page.
    """

    source: str
    images: int
    counts: dict[str, int]
    findings: tuple[Finding, ...]
    listed: dict[str, ListedImage] = field(default_factory=dict, repr=False)

    @property
    def set_aside(self) -> list[Finding]:
        """The findings for which an image was left out."""
        return [finding for finding in self.findings if finding.set_aside]

    @property
    def lost_images(self) -> list[Finding]:
        """The findings for which an image was left out, without notes such as README.md."""
        return [finding for finding in self.set_aside if finding.kind != "note"]

    def __str__(self) -> str:
        used = sum(self.counts.values())
        lines = [f"{self.source}: {self.images:,} files, {used:,} images in {len(self.counts)} classes", self.summary()]
        counts = Counter(finding.kind for finding in self.findings)
        if counts:
            first = {kind: next(f for f in self.findings if f.kind == kind) for kind in counts}
            rows = [
                [kind, str(counts[kind]), "set aside" if first[kind].set_aside else "kept", _format(first[kind])]
                for kind in FINDING_KINDS
                if kind in counts
            ]
            lines.append(align_columns([["finding", "count", "decision", "the first"], *rows], right=(1,)))
        return "\n".join(lines)

    def summary(self) -> str:
        """Return how many files were left out, and why, in one line."""
        counts = Counter(finding.kind for finding in self.set_aside)
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        return f"{len(self.set_aside):,} set aside" + (f": {kinds}" if counts else "")

    def to_json(self) -> str:
        """Return all findings as JSON."""
        findings = [
            {"kind": f.kind, "images": f.images, "reason": f.reason, "set_aside": f.set_aside} for f in self.findings
        ]
        content = {"source": self.source, "files": self.images, "classes": self.counts, "findings": findings}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def to_html(self) -> str:
        """Return one self-contained page with the pictures that the findings are about."""
        from jinja2 import Environment, PackageLoader

        findings: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            findings[finding.kind].append(finding)
        shown = {
            kind: [(f, [self._thumbnail(name) for name in f.images[:4]]) for f in same_kind[:SHOWN_PER_KIND]]
            for kind, same_kind in findings.items()
        }
        kinds = {kind: meaning for kind, meaning in FINDING_KINDS.items() if kind in findings}
        environment = Environment(loader=PackageLoader("cnnzoo.data", "."), autoescape=True)
        template = environment.get_template("doctor.html")
        return template.render(diagnosis=self, kinds=kinds, shown=shown, findings=findings)

    def _thumbnail(self, name: str) -> str | None:
        """Return a small picture as a data URI, or None if the file cannot be read."""
        if name not in self.listed:
            return None
        source = self.listed[name].source
        try:
            with open_image(source.read() if hasattr(source, "read") else source) as image:
                image.draft("RGB", (320, 320))
                thumbnail = to_upright(image)
                thumbnail.thumbnail((160, 160))
        except InputError:
            return None
        out = io.BytesIO()
        thumbnail.save(out, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write doctor.json and doctor.html into `folder`."""
        folder = check_path(folder, "the folder of the diagnosis")
        with atomic_write(folder / "doctor.html") as new:
            new.write_text(self.to_html(), encoding="utf-8")
        with atomic_write(folder / "doctor.json") as new:
            new.write_text(self.to_json(), encoding="utf-8")


def _format(finding: Finding) -> str:
    names = ", ".join(map(repr, finding.images[:2])) + (", ..." if len(finding.images) > 2 else "")
    return f"{names}: {finding.reason}" if finding.images else finding.reason
