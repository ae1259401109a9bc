"""Write the tables of docs/models.md and of the README from the registry: python docs/make_models.py, or make docs.

What stands between <!-- NAME --> and <!-- /NAME --> is made here; everything else is written by hand.
"""

import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import cnnzoo
from cnnzoo.checkpoints import manifest
from cnnzoo.models import FAMILIES, Variant

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/models.md")
GENERAL = {field.name for field in fields(Variant)} | {"modules", "aux_units"}
# What shows a row exact that has no golden file.
EVIDENCE = {
    "lenet5": "a Keras 2 checkpoint's figures on MNIST",
    "lenet_caffe": "Caffe's example, written down a second time",
    **dict.fromkeys(("lenet5_1998", "alexnet_2012"), "the paper, written down a second time"),
    **dict.fromkeys(("vgg11_lrn", "vgg16_c"), "the paper's table 1"),
    "googlenet_2014": "BVLC's checkpoint and its reference run",
    **dict.fromkeys(("resnet20", "resnet32", "resnet44", "resnet56"), "akamaster's checkpoints on CIFAR-10"),
    **dict.fromkeys(("resnet110", "resnet1202"), "the graph of resnet20, deeper"),
}
# A line of the README: its models, and who publishes them.
LINES = {
    "LeNet-5, 1998, as taught and as in the paper; Caffe's": "lenet*",
    "AlexNet: torchvision's, the paper's": "alexnet*",
    "VGG, configurations A to E, with batch norm, A-LRN, C": "vgg*",
    "ResNet v1.5 (torchvision)": "resnet18 resnet34 resnet50 resnet101 resnet152 resnet200",
    "ResNet v1, of the paper (Keras)": "resnet*_v1",
    "ResNet v2 (Keras)": "resnet*_v2",
    "pre-activation ResNet, of the paper": "preresnet18 preresnet34 preresnet50 preresnet101 preresnet152 preresnet200",
    "ResNet-D (timm)": "resnet*d",
    "ResNeXt, Wide ResNet": "resnext* wide_resnet*",
    "CIFAR ResNet, the paper's; with projections": "resnet20 resnet32 resnet44 resnet56 resnet110 resnet1202 resnet*_b",
    "CIFAR pre-activation and Wide ResNet": "preresnet164 preresnet1001 wrn*",
    "GoogLeNet: torchvision's, the paper's": "googlenet*",
    "BN-Inception, Inception v3 (torchvision's, Keras'), v4": "inception_v*",
    "Inception-ResNet v1, v2": "inception_resnet_v*",
    "Xception: Keras', timm's": "xception*",
}


def table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    lines = [headers, ["---"] * len(list(headers)), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def short(number: int) -> str:
    """Thousands, millions or thousands of millions: 25.6 M."""
    unit, letter = (10**9, "G") if number >= 10**9 else (10**6, "M") if number >= 10**6 else (10**3, "k")
    return f"{number / unit:.{1 if number >= 10 * unit else 2}f} {letter}"


def oracles() -> dict[str, list[str]]:
    """The publishers whose graphs each model's golden files compare it with."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests" / "golden" / "logits").glob("*.npz")):
        name, _, publisher = path.stem.rpartition("-")
        found.setdefault(name, []).append({"keras": "keras.applications"}.get(publisher, publisher))
    return found


def settings(row: Variant) -> str:
    """The fields of a row that its design leaves open, as its family's file has them."""
    own = [f for f in fields(row) if f.name not in GENERAL and getattr(row, f.name) != f.default]
    values = {f.name: "TABLE_I" if f.name == "c3_table" else repr(getattr(row, f.name)) for f in own}
    return ", ".join(f"{name}={value}" for name, value in values.items())


def weights(name: str) -> str:
    """How many weights are published, and the default's accuracy on each data set."""
    rows = cnnzoo.info(name).weights
    best = [f"{data} {top1:.2f} %" for data, top1 in defaults(name).items()]
    return f"{len(rows)}: {', '.join(best)}" if rows else ""


def defaults(name: str) -> dict[str, float]:
    """By data set, the published accuracy of the default weights."""
    data = dict.fromkeys(row.tag.partition(".")[0] for row in cnnzoo.info(name).weights)
    return {tag: manifest.find_weights(name, tag).top1 or 0 for tag in data}


def family(title: str) -> str:
    """The table of a family."""
    headers = "name", "parameters", "multiply-adds", "input", "smallest", "the row", "paper", "compared with", "weights"
    shown = oracles()
    rows = []
    for name, row in FAMILIES[title].items():
        size, paper = "x".join(map(str, row.input_shape)), re.match(r".*?\b\d{4}\b", row.paper)
        made = settings(row)
        rows.append(
            [
                f"`{name}`",
                f"{row.params:,}",
                f"{row.macs:,}",
                size,
                str(row.min_size),
                f"`{made}`" if made else "",
                paper[0] if paper else row.paper,
                ", ".join(shown.get(name, [])) or EVIDENCE.get(name, "counts only"),
                weights(name),
            ]
        )
    return table(headers, rows)


def overview() -> str:
    """The table of the README: a line for each kind of network, and every model in one line."""
    headers = "what", "names", "parameters", "multiply-adds", "published weights, best top-1"
    rows = []
    for what, patterns in LINES.items():
        names = [name for pattern in patterns.split() for name in cnnzoo.list_models(pattern)]
        infos = [cnnzoo.info(name) for name in names]
        count, best = sum(len(info.weights) for info in infos), dict[str, float]()
        for name in names:
            best |= {data: max(best.get(data, 0), top1) for data, top1 in defaults(name).items()}
        rows.append(
            [
                what,
                " ".join(f"`{name}`" for name in names),
                span([info.row.params for info in infos]),
                span([info.row.macs for info in infos]),
                f"{count}: " + ", ".join(f"{data} {top1:.1f} %" for data, top1 in best.items()),
            ]
        )
    return table(headers, rows)


def span(numbers: list[int]) -> str:
    """The lowest and the highest."""
    low, high = short(min(numbers)), short(max(numbers))
    return low if low == high else f"{low} to {high}"


def made(text: str) -> str:
    """A page with its tables as they should be."""
    tables = {"overview": overview} | {title: lambda title=title: family(title) for title in FAMILIES}
    for name, make in tables.items():
        if f"<!-- {name} -->" in text:
            pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
            text = re.sub(pattern, lambda match, make=make: f"{match[1]}\n{make()}\n\n{match[2]}", text, flags=re.S)
    return text


if __name__ == "__main__":
    for page in PAGES:
        path = ROOT / page
        path.write_text(made(path.read_text(encoding="utf-8")), encoding="utf-8")
