"""The doctor: what is wrong with a set of images, what was set aside for it, and what a person should look at."""

import base64
import io
import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.tables import align_columns
from cnnzoo.data.decode import open_image, to_upright
from cnnzoo.data.listing import LeftOut, ListedImage, natural_sort_key
from cnnzoo.data.scan import FORMAT_SUFFIXES, ImageFacts

MIN_SIDE = 32  # pixels; an image with a shorter side is hardly a photo
MAX_HASH_DISTANCE = 3  # bits of 64 in which the perceptual hashes of near duplicates differ
MAX_NEAR_PAIRS = 1000  # that are listed
IMBALANCE_RATIO = 10  # of the largest class to a small one
MIN_PHOTO_SHARE = 0.9  # share of images without a small palette that makes a data set one of photos
SHOWN_PER_KIND = 12  # findings of each kind with pictures on the page

FINDING_KINDS = {
    "unreadable": "cannot be used",
    "drawing": "a drawing in a few colors among photos: a placeholder or an icon",
    "leak": "also in another split",
    "stray": "not in the folder of a class",
    "conflict": "the same file under two labels",
    "duplicate": "the same file twice",
    "near duplicate": "nearly the same picture",
    "near leak": "nearly the same picture in two splits",
    "constant": "one color throughout",
    "tiny": f"a side under {MIN_SIDE} pixels",
    "suffix": "the suffix of another format",
    "imbalance": f"a class with less than 1/{IMBALANCE_RATIO} of the largest class's images",
    "one split": "a class that only some splits have",
    "few": "a class with too few images for three splits",
}


@dataclass(frozen=True)
class Finding:
    """One observation: its kind, the images that it is about, and the reason in words."""

    kind: str
    images: tuple[str, ...]
    reason: str
    set_aside: bool = False  # whether the first of the images is left out of the data


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found in a source; prints itself as a table."""

    source: str
    images: int  # files that were examined
    counts: dict[str, int]  # of the images that are used, by class
    findings: tuple[Finding, ...]
    listed: dict[str, ListedImage] = field(default_factory=dict, repr=False)  # by name, for the pictures

    @property
    def set_aside(self) -> list[Finding]:
        """The findings for which an image was left out."""
        return [finding for finding in self.findings if finding.set_aside]

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
        with atomic_write(Path(folder) / "doctor.html") as new:
            new.write_text(self.to_html(), encoding="utf-8")
        with atomic_write(Path(folder) / "doctor.json") as new:
            new.write_text(self.to_json(), encoding="utf-8")


def _format(finding: Finding) -> str:
    names = ", ".join(map(repr, finding.images[:2])) + (", ..." if len(finding.images) > 2 else "")
    return f"{names}: {finding.reason}" if finding.images else finding.reason


def diagnose_images(
    source: str, images: Sequence[ListedImage], facts: Sequence[ImageFacts], left_out: LeftOut | tuple[()] = ()
) -> tuple[Diagnosis, np.ndarray]:
    """Return the diagnosis, and a mask (N,) of the images to use.

    Args:
        source: name of the source.
        images: all images that the source lists.
        facts: of each image, from the scan.
        left_out: names and reasons of files that the source does not list.
    """
    # Images that are set aside
    usable = np.array([not f.problem for f in facts], bool)
    findings = [Finding("stray", (name,), reason, True) for name, reason in left_out]
    findings += [
        Finding("unreadable", (image.name,), f.problem, True)
        for image, f in zip(images, facts, strict=True)
        if f.problem
    ]
    for i in _find_drawings(facts, usable):
        usable[i] = False
        findings.append(Finding("drawing", (images[i].name,), f"{facts[i].colors} colors, in a set of photos", True))
    for finding, dropped in _find_copies(images, facts, usable):
        findings.append(finding)
        usable[dropped] = False

    # Everything else a person should know
    used = np.flatnonzero(usable).tolist()
    findings += _find_near_duplicates([images[i] for i in used], [facts[i] for i in used])
    for i in used:
        findings += _inspect_image(images[i], facts[i])
    counts = Counter(images[i].label for i in used)
    findings += _inspect_classes([images[i] for i in used], counts)

    by_name = {image.name: image for image in images}
    ordered_counts = {label: counts[label] for label in sorted(counts, key=natural_sort_key)}
    return Diagnosis(source, len(images) + len(left_out), ordered_counts, tuple(findings), by_name), usable


def _find_drawings(facts: Sequence[ImageFacts], usable: np.ndarray) -> list[int]:
    """Find images of a few colors where nearly all others are photos.

    Photo services send such an image in place of a photo that was deleted.
    """
    drawn = np.array([0 < f.colors <= 64 and f.mode in ("P", "PA", "1") for f in facts]) & usable
    return np.flatnonzero(drawn).tolist() if drawn.sum() <= (1 - MIN_PHOTO_SHARE) * usable.sum() else []


def _find_copies(
    images: Sequence[ListedImage], facts: Sequence[ImageFacts], usable: np.ndarray
) -> list[tuple[Finding, list[int]]]:
    """Find equal files, each with the indices to drop: copies in training of validation or test images."""
    groups = defaultdict(list)
    for i in np.flatnonzero(usable).tolist():
        groups[facts[i].digest].append(i)
    findings: list[tuple[Finding, list[int]]] = []
    precedence = {"test": 0, "validation": 1, "train": 2, "": 3}  # where a copy stays
    for copies in groups.values():
        if len(copies) < 2:
            continue
        copies.sort(key=lambda i: precedence[images[i].split])
        names = tuple(images[i].name for i in copies)
        if len({images[i].label for i in copies}) > 1:
            labels = ", ".join(images[i].label for i in copies)
            reason = f"the same file labeled {labels}; all are kept, in the same split"
            findings.append((Finding("conflict", names, reason), []))
        home = images[copies[0]].split
        elsewhere = [i for i in copies if images[i].split != home]
        for i in elsewhere:
            reason = f"the same file is in {home}: {names[0]!r}"
            findings.append((Finding("leak", (images[i].name, names[0]), reason, True), [i]))
        if len(copies) - len(elsewhere) > 1:
            reason = f"{len(copies)} times the same file; all are kept, in the same split"
            findings.append((Finding("duplicate", names, reason), []))
    return findings


def _find_near_duplicates(images: Sequence[ListedImage], facts: Sequence[ImageFacts]) -> list[Finding]:
    """Find pairs whose perceptual hashes differ in at most three bits.

    Such hashes agree in at least one of their four quarters, so only images with an equal quarter are compared.
    """
    hashes = np.array([f.phash or 0 for f in facts], "uint64")
    hashed = np.flatnonzero([f.phash is not None for f in facts])
    pairs = set[tuple[int, int]]()
    for quarter in range(4):
        bands = (hashes >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order = hashed[np.argsort(bands[hashed], kind="stable")]
        for same_band in np.split(order, np.flatnonzero(np.diff(bands[order])) + 1):
            for n, i in enumerate(same_band[:-1].tolist()):
                others = same_band[n + 1 :]
                near = others[np.bitwise_count(hashes[others] ^ hashes[i]) <= MAX_HASH_DISTANCE]
                for j in near.tolist():
                    if facts[i].digest != facts[j].digest and len(pairs) < MAX_NEAR_PAIRS:
                        pairs.add((min(i, j), max(i, j)))
                if len(pairs) >= MAX_NEAR_PAIRS:  # the frames of a film, for example
                    break
    findings = []
    for i, j in sorted(pairs):
        names, splits = (images[i].name, images[j].name), (images[i].split, images[j].split)
        if splits[0] != splits[1]:
            findings.append(Finding("near leak", names, f"in {splits[0]} and {splits[1]}"))
        else:
            findings.append(Finding("near duplicate", names, f"as {images[i].label} and {images[j].label}"))
    return findings


def _inspect_image(image: ListedImage, facts: ImageFacts) -> list[Finding]:
    """Return what is unusual about one image."""
    findings = []
    if facts.constant:
        findings.append(Finding("constant", (image.name,), "one color throughout"))
    if min(facts.height, facts.width) < MIN_SIDE:
        findings.append(Finding("tiny", (image.name,), f"{facts.width}x{facts.height} pixels"))
    suffix = Path(image.name).suffix.casefold()
    if suffix and suffix not in FORMAT_SUFFIXES[facts.format]:
        findings.append(Finding("suffix", (image.name,), f"{facts.format} in a file called {suffix}"))
    return findings


def _inspect_classes(images: Sequence[ListedImage], counts: Counter[str]) -> list[Finding]:
    """Return what is unusual about the number of images per class and split."""
    largest = max(counts.values(), default=0)
    findings = [
        Finding("imbalance", (), f"{label}: {count:,} images, the largest class has {largest:,}")
        for label, count in counts.items()
        if IMBALANCE_RATIO * count < largest
    ]
    splits = sorted({image.split for image in images})
    if splits == [""]:
        findings += [
            Finding("few", (), f"{label}: {count}, and each split needs one")
            for label, count in counts.items()
            if count < 3
        ]
    labels_of = {split: {image.label for image in images if image.split == split} for split in splits}
    for label in counts:
        if missing := [split for split in splits if label not in labels_of[split]]:
            findings.append(Finding("one split", (), f"{label} is not in {', '.join(missing)}"))
    return findings
