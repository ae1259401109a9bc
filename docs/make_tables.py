"""Write the generated tables of the README and the docs: `make tables`.

Text between <!-- NAME --> and <!-- /NAME --> is generated here, from the registry, the manifest,
the golden files and the recipes. Everything else is written by hand.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

import cnnzoo
from cnnzoo.checkpoints import manifest
from cnnzoo.data import operations
from cnnzoo.data.policies import POLICIES
from cnnzoo.models import FAMILIES, Variant
from cnnzoo.training import recipes

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/augmentation.md", "docs/models.md", "docs/training.md")
COMMON_FIELDS = {field.name for field in fields(Variant)} | {"modules", "aux_units"}

# The evidence that a row without a golden file is exact.
EVIDENCE = {
    "lenet5": "accuracy of a Keras 2 checkpoint on MNIST",
    "lenet_caffe": "second implementation of Caffe's example",
    **dict.fromkeys(("lenet5_1998", "alexnet_2012"), "second implementation of the paper"),
    **dict.fromkeys(("vgg11_lrn", "vgg16_c"), "table 1 of the paper"),
    "googlenet_2014": "BVLC's checkpoint and its reference run",
    **dict.fromkeys(
        ("resnet20", "resnet32", "resnet44", "resnet56"), "akamaster's checkpoints on CIFAR-10"
    ),
    **dict.fromkeys(("resnet110", "resnet1202"), "the graph of resnet20, deeper"),
}

# The lines of the README's table: a description, and patterns of the names it covers.
OVERVIEW_LINES = {
    "LeNet-5 as usually taught, LeNet-5 of the 1998 paper, Caffe's LeNet": "lenet*",
    "AlexNet: torchvision's and the paper's": "alexnet*",
    "VGG A to E, with batch norm, A-LRN, C": "vgg*",
    "ResNet v1.5 (torchvision)": "resnet18 resnet34 resnet50 resnet101 resnet152 resnet200",
    "ResNet v1 of the paper (Keras)": "resnet*_v1",
    "ResNet v2 (Keras)": "resnet*_v2",
    "Pre-activation ResNet of the paper": "preresnet18 preresnet34 preresnet50 preresnet101 "
    "preresnet152 preresnet200",
    "ResNet-D (timm)": "resnet*d",
    "ResNeXt, Wide ResNet": "resnext* wide_resnet*",
    "CIFAR ResNet of the paper; with projections": "resnet20 resnet32 resnet44 resnet56 resnet110 "
    "resnet1202 resnet*_b",
    "CIFAR pre-activation and Wide ResNet": "preresnet164 preresnet1001 wrn*",
    "GoogLeNet: torchvision's and the paper's": "googlenet*",
    "BN-Inception, Inception v3 (torchvision's, Keras'), v4": "inception_v*",
    "Inception-ResNet v1, v2": "inception_resnet_v*",
    "Xception: Keras' and timm's": "xception*",
}


def markdown_table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    headers = list(headers)
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def abbreviate(number: int) -> str:
    """Return a number in thousands, millions or billions, such as "25.6 M"."""
    unit, letter = (
        (10**9, "G") if number >= 10**9 else (10**6, "M") if number >= 10**6 else (10**3, "k")
    )
    return f"{number / unit:.{1 if number >= 10 * unit else 2}f} {letter}"


def abbreviate_range(numbers: list[int]) -> str:
    """Return the lowest and the highest of some numbers, such as "11.7 M to 64.7 M"."""
    low, high = abbreviate(min(numbers)), abbreviate(max(numbers))
    return low if low == high else f"{low} to {high}"


def golden_publishers() -> dict[str, list[str]]:
    """Return, for each model, the publishers whose logits its golden files hold."""
    publishers: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests" / "golden" / "logits").glob("*.npz")):
        name, _, publisher = path.stem.rpartition("-")
        publishers.setdefault(name, []).append(
            {"keras": "keras.applications"}.get(publisher, publisher)
        )
    return publishers


def variant_settings(row: Variant) -> str:
    """Return the fields in which a row differs from the defaults, as its file writes them."""
    own = [
        f for f in fields(row) if f.name not in COMMON_FIELDS and getattr(row, f.name) != f.default
    ]
    values = {
        f.name: "TABLE_I" if f.name == "c3_table" else repr(getattr(row, f.name)) for f in own
    }
    return ", ".join(f"{name}={value}" for name, value in values.items())


def default_accuracies(name: str) -> dict[str, float]:
    """Return the published accuracy of a model's default weights, in percent, by data set."""
    tags = dict.fromkeys(row.tag.partition(".")[0] for row in cnnzoo.info(name).weights)
    return {tag: manifest.find_weights(name, tag).top1 or 0 for tag in tags}


def describe_weights(name: str) -> str:
    """Return how many weights are published and how accurate the default ones are."""
    rows = cnnzoo.info(name).weights
    best = [f"{data} {top1:.2f} %" for data, top1 in default_accuracies(name).items()]
    return f"{len(rows)}: {', '.join(best)}" if rows else ""


def family_table(family: str) -> str:
    """Return the table of one family for docs/models.md."""
    headers = (
        "name",
        "parameters",
        "multiply-adds",
        "input",
        "smallest",
        "the row",
        "paper",
        "compared with",
        "weights",
    )
    publishers = golden_publishers()
    rows = []
    for name, row in FAMILIES[family].items():
        paper = re.match(r".*?\b\d{4}\b", row.paper)
        settings = variant_settings(row)
        rows.append(
            [
                f"`{name}`",
                f"{row.params:,}",
                f"{row.macs:,}",
                "x".join(map(str, row.input_shape)),
                str(row.min_size),
                f"`{settings}`" if settings else "",
                paper[0] if paper else row.paper,
                ", ".join(publishers.get(name, [])) or EVIDENCE.get(name, "counts only"),
                describe_weights(name),
            ]
        )
    return markdown_table(headers, rows)


def overview_table() -> str:
    """Return the table of the README, in which every model occurs once."""
    headers = "what", "names", "parameters", "multiply-adds", "published weights, best top-1"
    rows = []
    for description, patterns in OVERVIEW_LINES.items():
        names = [name for pattern in patterns.split() for name in cnnzoo.list_models(pattern)]
        infos = [cnnzoo.info(name) for name in names]
        best: dict[str, float] = {}
        for name in names:
            best |= {
                data: max(best.get(data, 0), top1)
                for data, top1 in default_accuracies(name).items()
            }
        count = sum(len(info.weights) for info in infos)
        rows.append(
            [
                description,
                " ".join(f"`{name}`" for name in names),
                abbreviate_range([info.row.params for info in infos]),
                abbreviate_range([info.row.macs for info in infos]),
                f"{count}: " + ", ".join(f"{data} {top1:.1f} %" for data, top1 in best.items()),
            ]
        )
    return markdown_table(headers, rows)


def recipes_table() -> str:
    """Return the table of recipes for docs/training.md."""
    headers = "recipe", "source", "cost on two cores", "result"
    rows = [[f"`{name}`", r.source, r.cost, r.result] for name, r in recipes.RECIPES.items()]
    return markdown_table(headers, rows)


def operations_table() -> str:
    """Return the table of operations for docs/augmentation.md."""
    rows = []
    for operation in operations.OPERATIONS:
        effect = (operation.apply.__doc__ or "").partition(".")[0]
        rows.append(
            [f"`{operation.name}`", effect[0].lower() + effect[1:], *describe_ranges(operation)]
        )
    return markdown_table(("operation", "effect", "`trivial`: amount", "`rand`: amount"), rows)


def describe_ranges(operation: operations.Operation) -> tuple[str, str]:
    """Return the amounts that TrivialAugment draws from, and the one that RandAugment takes."""
    low, high = operation.trivial
    if low == high:
        return "", ""
    strength = POLICIES["rand"].draw.strength
    rand = operation.rand[0] + strength * (operation.rand[1] - operation.rand[0])
    if operation.apply is operations.posterize:
        rand = round(rand)
    sign = "±" if operation.signed else ""
    unit = " of the side" if operation.of_side else ""
    return f"{sign}{low:g} to {high:g}".replace("±0 to ", "0 to ±"), f"{sign}{rand:.3g}{unit}"


def update_tables(text: str) -> str:
    """Return a page with its generated tables brought up to date."""
    tables: dict[str, Callable[[], str]] = {
        "overview": overview_table,
        "recipes": recipes_table,
        "operations": operations_table,
    }
    tables |= {family: lambda family=family: family_table(family) for family in FAMILIES}
    for name, make_table in tables.items():
        if f"<!-- {name} -->" in text:
            pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
            table = make_table()
            text = re.sub(
                pattern,
                lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}",
                text,
                flags=re.S,
            )
    return text


if __name__ == "__main__":
    for page in PAGES:
        path = ROOT / page
        path.write_text(update_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
