"""The commands about images: what is wrong with them, and what training sees of them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import cnnzoo
from cnnzoo.cli.models import import_keras_quietly
from cnnzoo.core.errors import InputError


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of load_data that commands share."""
    options = [
        click.option("--classes", help="Names of the classes, separated by commas, in the order of the labels."),
        click.option("--label-column", help="Of a table: which column holds the labels."),
        click.option("--group-column", help="Of a table: images of one group stay on one side of every split."),
        click.option("--strict", is_flag=True, help="What would be set aside is an error."),
        click.option("--no-doctor", is_flag=True, help="Trust the files: look at their headers only."),
        click.option(
            "--cache", default="auto", show_default=True, help="Where resized photos are kept: memory, disk, none."
        ),
        click.option("--crop", default="auto", show_default=True, help="Share of the side that is seen; 'none': all."),
        click.option("--pad", type=click.IntRange(0), help="Black pixels to leave around the resized image."),
        click.option(
            "--split",
            "splits",
            nargs=3,
            type=float,
            default=(0.8, 0.1, 0.1),
            show_default=True,
            help="Train, validation, test.",
        ),
        click.option(
            "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of every random draw."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def load_from_options(data: str, classes: str | None, no_doctor: bool, crop: str, **options: Any) -> Any:
    """load_data by the options of a command."""
    names = classes.split(",") if classes else None
    try:
        share = {"auto": "auto", "none": None}[crop] if crop in ("auto", "none") else float(crop)
    except ValueError:
        raise InputError(f"--crop is auto, none, or a share of the side. Received: {crop!r}") from None
    return cnnzoo.load_data(data, classes=names, doctor=not no_doctor, crop=share, **options)


@click.command()
@click.argument("data")
@click.option("--label-column", help="Of a table: which column holds the labels.")
@click.option("--out", type=click.Path(path_type=Path), help="Write doctor.html and doctor.json here.")
@click.option("--strict", is_flag=True, help="Exit with 1 where anything has to be set aside.")
def doctor(data: str, label_column: str | None, out: Path | None, strict: bool) -> None:
    """Look at every image of DATA (a folder or a table) and say what is wrong with it.

    Finds what cannot be read, names that lie, copies and near copies, also across splits, classes out of proportion,
    and more. Nothing is changed. doctor.html shows the pictures; it goes to runs/doctor-DATA by default.
    """
    from cnnzoo.data.doctor import diagnose_images
    from cnnzoo.data.load import list_source, scan_with_progress

    name, items, strays = list_source(data, label_column)
    diagnosis, _ = diagnose_images(name, items, scan_with_progress(items), strays)
    where = out or Path("runs") / f"doctor-{Path(name.replace(':', '-')).name}"
    diagnosis.save(where)
    click.echo(diagnosis)
    click.echo(f"Written to {where}: doctor.html, doctor.json")
    if strict and diagnosis.aside:
        sys.exit(1)


@click.command()
@click.argument("data")
@click.option("--augment", default="basic", show_default=True, help="A policy, or several joined by +.")
@click.option("--image-size", nargs=2, type=click.IntRange(1), default=(224, 224), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("show.png"), show_default=True)
@data_options
def show(data: str, augment: str, image_size: tuple[int, int], out: Path, **options: Any) -> None:
    """Draw sixteen training images of DATA as the policy --augment makes them, into a PNG file."""
    import numpy as np

    from cnnzoo.core.files import atomic_write
    from cnnzoo.data import augmentation
    from cnnzoo.evaluation import figures

    augmentation.parse_policy(augment)
    if out.suffix.lower() != ".png":
        raise InputError(f"The picture is a .png file. Received: {str(out)!r}")
    import_keras_quietly()
    loaded = load_from_options(data, image_size=image_size, **options)
    images, labels = loaded.batches("train", 16, options["seed"], augment)[0]

    def caption(label: Any) -> str:
        shares = [(share, loaded.classes[i]) for i, share in enumerate(label) if share > 0.005]
        if len(shares) == 1:
            return shares[0][1]
        return ", ".join(f"{100 * share:.0f} % {name}" for share, name in sorted(shares, reverse=True)[:2])

    with atomic_write(out) as new:
        new.write_bytes(figures.plot_image_grid(np.asarray(images), list(map(caption, labels))))
    click.echo(f"Sixteen images, augmented by {augment} under seed {options['seed']}: {out}")


COMMANDS = (doctor, show)
