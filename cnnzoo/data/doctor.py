"""The doctor: what is wrong with a set of images, what was set aside for it, and what a person should look at."""

import base64
import io
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cnnzoo.core.errors import InputError
from cnnzoo.core.files import atomic_write
from cnnzoo.core.tables import align_columns
from cnnzoo.data.listing import ListedImage, natural_sort_key
from cnnzoo.data.scan import FORMAT_SUFFIXES, ImageFacts

MIN_SIDE = 32  # pixels of a side: hardly a photo
MAX_HASH_DISTANCE = 3  # bits of 64 in which near duplicates differ at most
MAX_NEAR_PAIRS = 1000  # pairs of near duplicates that are listed
IMBALANCE_RATIO = 10  # times fewer images than the largest class has
MIN_PHOTO_SHARE = 0.9  # share of images without a palette that makes a set one of photos
SHOWN_PER_KIND = 12  # pictures of a kind of finding on the page

FINDING_KINDS = {
    "unreadable": "cannot be used",
    "drawing": "a drawing in a few colours among photos: a placeholder or an icon",
    "leak": "is in another split too",
    "stray": "not among the classes",
    "conflict": "the same file under two labels",
    "duplicate": "the same file twice",
    "near duplicate": "nearly the same picture",
    "near leak": "nearly the same picture in two splits",
    "constant": "one colour throughout",
    "tiny": f"a side under {MIN_SIDE} pixels",
    "suffix": "named as what it is not",
    "imbalance": f"a class with less than a {IMBALANCE_RATIO}th of the largest's images",
    "one split": "a class that only some splits have",
    "few": "a class with too few images for three splits",
}


@dataclass(frozen=True)
class Finding:
    """One thing to know: of which kind, about which images, in words."""

    kind: str
    images: tuple[str, ...]
    reason: str
    aside: bool = False  # the first of the images is left out


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found in a source; prints itself as a table."""

    source: str
    images: int  # looked at
    counts: dict[str, int]  # of images kept, by class
    findings: tuple[Finding, ...]
    items: dict[str, ListedImage] = field(default_factory=dict, repr=False)  # by name, for the pictures

    @property
    def aside(self) -> list[Finding]:
        """What was left out."""
        return [finding for finding in self.findings if finding.aside]

    def __str__(self) -> str:
        good = sum(self.counts.values())
        lines = [f"{self.source}: {self.images:,} files, {good:,} images in {len(self.counts)} classes", self.account()]
        kinds = Counter(finding.kind for finding in self.findings)
        if kinds:
            first = {kind: next(f for f in self.findings if f.kind == kind) for kind in kinds}
            rows = [
                [kind, str(kinds[kind]), "set aside" if first[kind].aside else "kept", _describe_finding(first[kind])]
                for kind in FINDING_KINDS
                if kind in kinds
            ]
            lines.append(align_columns([["finding", "count", "decision", "the first"], *rows], right=(1,)))
        return "\n".join(lines)

    def account(self) -> str:
        """How many files were left out, and for what, in a line."""
        kinds = Counter(finding.kind for finding in self.aside)
        what = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return f"{len(self.aside):,} set aside" + (f": {what}" if kinds else "")

    def to_json(self) -> str:
        findings = [
            {"kind": f.kind, "images": f.images, "reason": f.reason, "set_aside": f.aside} for f in self.findings
        ]
        content = {"source": self.source, "files": self.images, "classes": self.counts, "findings": findings}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def to_html(self) -> str:
        """One self-contained page with the pictures that the findings are about."""
        from jinja2 import Environment, PackageLoader

        kinds: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.findings:
            kinds[finding.kind].append(finding)
        shown = {
            kind: [(f, [self._picture(name) for name in f.images[:4]]) for f in found[:SHOWN_PER_KIND]]
            for kind, found in kinds.items()
        }
        environment = Environment(loader=PackageLoader("cnnzoo.data", "."), autoescape=True)
        return environment.get_template("doctor.html").render(
            diagnosis=self,
            kinds={kind: FINDING_KINDS[kind] for kind in FINDING_KINDS if kind in kinds},
            shown=shown,
            findings=kinds,
        )

    def _picture(self, name: str) -> str | None:
        """A small picture as a data URI, or None where there is none to be had."""
        from cnnzoo.data.decode import open_image, to_upright

        if name not in self.items:
            return None
        source = self.items[name].source
        try:
            with open_image(source.read() if hasattr(source, "read") else source) as image:
                image.draft("RGB", (320, 320))
                small = to_upright(image)
                small.thumbnail((160, 160))
        except InputError:
            return None
        out = io.BytesIO()
        small.save(out, "JPEG", quality=80)
        return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()

    def save(self, folder: Any) -> None:
        """Write doctor.json and doctor.html into `folder`."""
        with atomic_write(Path(folder) / "doctor.html") as new:
            new.write_text(self.to_html(), encoding="utf-8")
        with atomic_write(Path(folder) / "doctor.json") as new:
            new.write_text(self.to_json(), encoding="utf-8")


def _describe_finding(finding: Finding) -> str:
    names = ", ".join(map(repr, finding.images[:2])) + (", ..." if len(finding.images) > 2 else "")
    return f"{names}: {finding.reason}" if finding.images else finding.reason


def diagnose_images(
    source: str, items: Sequence[ListedImage], facts: Sequence[ImageFacts], strays: Sequence[tuple[str, str]] = ()
) -> tuple[Diagnosis, np.ndarray]:
    """The diagnosis, and a mask (N,) of the images to keep."""
    keep = np.array([not f.problem for f in facts], bool)
    findings = [Finding("stray", (name,), why, True) for name, why in strays]
    findings += [
        Finding("unreadable", (i.name,), f.problem, True) for i, f in zip(items, facts, strict=True) if f.problem
    ]
    for at in _find_drawings(facts, keep):
        keep[at] = False
        reason = f"{facts[at].colours} colours, in a set of photos"
        findings.append(Finding("drawing", (items[at].name,), reason, True))
    for found, dropped in _find_copies(items, facts, keep):
        findings.append(found)
        keep[dropped] = False
    rest = np.flatnonzero(keep).tolist()
    findings += _find_near_duplicates([items[i] for i in rest], [facts[i] for i in rest])
    for i in rest:
        findings += _inspect_image(items[i], facts[i])
    counts = Counter(items[i].label for i in rest)
    findings += _inspect_classes([items[i] for i in rest], counts)
    known = {item.name: item for item in items}
    ordered = {name: counts[name] for name in sorted(counts, key=natural_sort_key)}
    return Diagnosis(source, len(items) + len(strays), ordered, tuple(findings), known), keep


def _find_drawings(facts: Sequence[ImageFacts], keep: np.ndarray) -> list[int]:
    """Images of a few colours where nearly all others are photos, as services send for photos that are gone."""
    drawn = np.array([0 < f.colours <= 64 and f.mode in ("P", "PA", "1") for f in facts]) & keep
    return np.flatnonzero(drawn).tolist() if drawn.sum() <= (1 - MIN_PHOTO_SHARE) * keep.sum() else []


def _find_copies(
    items: Sequence[ListedImage], facts: Sequence[ImageFacts], keep: np.ndarray
) -> list[tuple[Finding, list[int]]]:
    """The same bytes more than once; a copy in training of what validation or test has is to be dropped."""
    groups = defaultdict(list)
    for i in np.flatnonzero(keep).tolist():
        groups[facts[i].digest].append(i)
    found: list[tuple[Finding, list[int]]] = []
    order = {"test": 0, "validation": 1, "train": 2, "": 3}
    for same in groups.values():
        if len(same) < 2:
            continue
        same.sort(key=lambda i: order[items[i].split])
        names = tuple(items[i].name for i in same)
        if len({items[i].label for i in same}) > 1:
            labels = ", ".join(items[i].label for i in same)
            found.append((Finding("conflict", names, f"the same file as {labels}; kept, on one side of the split"), []))
        home = items[same[0]].split
        away = [i for i in same if items[i].split != home]
        for i in away:
            what = f"the same file is in {home}: {names[0]!r}"
            found.append((Finding("leak", (items[i].name, names[0]), what, True), [i]))
        if len(same) - len(away) > 1:
            found.append(
                (Finding("duplicate", names, f"{len(same)} times the same file; on one side of the split"), [])
            )
    return found


def _find_near_duplicates(items: Sequence[ListedImage], facts: Sequence[ImageFacts]) -> list[Finding]:
    """Pairs whose perceptual hashes differ in three bits at most, and so agree on one of four quarters."""
    hashes = np.array([f.phash or 0 for f in facts], "uint64")
    known = np.array([f.phash is not None for f in facts], bool)
    pairs = set[tuple[int, int]]()
    for quarter in range(4):
        bands = (hashes >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order = np.flatnonzero(known)[np.argsort(bands[known], kind="stable")]
        for same in np.split(order, np.flatnonzero(np.diff(bands[order])) + 1):
            for n, i in enumerate(same[:-1].tolist()):
                others = same[n + 1 :]
                for j in others[np.bitwise_count(hashes[others] ^ hashes[i]) <= MAX_HASH_DISTANCE].tolist():
                    if facts[i].digest != facts[j].digest and len(pairs) < MAX_NEAR_PAIRS:
                        pairs.add((min(i, j), max(i, j)))
                if len(pairs) >= MAX_NEAR_PAIRS:  # frames of a film, say: enough to see that
                    break
    found = []
    for i, j in sorted(pairs):
        across = items[i].split != items[j].split
        where = f"in {items[i].split} and {items[j].split}" if across else f"as {items[i].label} and {items[j].label}"
        found.append(Finding("near leak" if across else "near duplicate", (items[i].name, items[j].name), where))
    return found


def _inspect_image(item: ListedImage, facts: ImageFacts) -> list[Finding]:
    found = []
    if facts.constant:
        found.append(Finding("constant", (item.name,), "one colour throughout"))
    if min(facts.height, facts.width) < MIN_SIDE:
        found.append(Finding("tiny", (item.name,), f"{facts.width}x{facts.height} pixels"))
    suffix = Path(item.name).suffix.casefold()
    if suffix and suffix not in FORMAT_SUFFIXES[facts.format]:
        found.append(Finding("suffix", (item.name,), f"{facts.format} in a file called {suffix}"))
    return found


def _inspect_classes(items: Sequence[ListedImage], counts: Counter[str]) -> list[Finding]:
    largest = max(counts.values(), default=0)
    found = [
        Finding("imbalance", (), f"{name}: {count:,} images, the largest class has {largest:,}")
        for name, count in counts.items()
        if IMBALANCE_RATIO * count < largest
    ]
    splits = sorted({item.split for item in items})
    if splits == [""]:
        few = [
            Finding("few", (), f"{name}: {count}, and each split needs one")
            for name, count in counts.items()
            if count < 3
        ]
        found += few
    have = {split: {item.label for item in items if item.split == split} for split in splits}
    for name in counts:
        if lack := [split for split in splits if name not in have[split]]:
            found.append(Finding("one split", (), f"{name} is not in {', '.join(lack)}"))
    return found
