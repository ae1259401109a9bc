"""The command that serves models over HTTP."""

from __future__ import annotations

import ast
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnzoo.cli import commands
from cnnzoo.cli.checks import check_trained_model, read_card
from cnnzoo.cli.commands import COMMON, MACHINE
from cnnzoo.cli.complete import complete_trained_models
from cnnzoo.cli.declare import CheckedPath
from cnnzoo.cli.inference import open_classifier
from cnnzoo.cli.options import ALLOW_FAILED, PRECISION, RUNTIME
from cnnzoo.cli.output import echo
from cnnzoo.core.errors import InputError, unknown_name
from cnnzoo.core.files import read_bounded
from cnnzoo.core.paths import path_exists
from cnnzoo.serve.limits import Limits
from cnnzoo.serve.names import check_name, make_name

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT_NAMES = tuple(field.name for field in fields(Limits))
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # and the one by which this machine reaches itself
MAX_KEY_BYTES = 10_000


@commands.command()
@commands.argument(
    "models",
    nargs=-1,
    required=True,
    metavar="[NAME=]MODEL...",
    shell_complete=complete_trained_models,
    help="A run directory, a .keras file, the folder of an export, or NAME:TAG. Give several as NAME=MODEL each.",
)
@commands.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    group=COMMON,
    help="Address to listen on; 0.0.0.0 lets other machines in.",
)
@commands.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    group=COMMON,
    help="Port; 0 takes any that is free.",
)
@commands.option(
    "--api-key-file",
    type=CheckedPath(),
    group=COMMON,
    help="File with a secret that requests must carry: Authorization: Bearer KEY.",
)
@commands.option(
    "--allow-host",
    "hosts",
    multiple=True,
    group=COMMON,
    metavar="NAME",
    help="Name by which clients reach this server, beside addresses and localhost; '*' allows any. May be repeated.",
)
@commands.option(
    "--allow-origin",
    "origins",
    multiple=True,
    group=COMMON,
    metavar="ORIGIN",
    help="Other site whose pages may send requests, as in https://example.com. May be repeated.",
)
@commands.option(
    "--access-log/--no-access-log",
    default=True,
    show_default=True,
    group=COMMON,
    help="Print one line of JSON for each request / do not.",
)
@commands.option("--runtime", **RUNTIME)
@commands.option("--precision", **PRECISION)
@commands.option(
    "--batch-size",
    type=click.IntRange(1),
    group=MACHINE,
    help="Images predicted at a time, at most.",
    show_default="auto",
)
@commands.option(
    "--queue",
    type=click.IntRange(1, 1_000_000),
    default=256,
    show_default=True,
    group=MACHINE,
    help="Images of each model that may wait; further requests get status 503.",
)
@commands.option(
    "--deadline",
    type=click.FloatRange(0, 3600, min_open=True),
    default=10.0,
    show_default=True,
    group=MACHINE,
    metavar="SECONDS",
    help="Time within which a request must be answered; later it gets status 504.",
)
@commands.option(
    "--limit",
    "settings",
    multiple=True,
    group=MACHINE,
    metavar="NAME=VALUE",
    help=f"Change a limit, as in image_bytes=5000000. Limits: {', '.join(LIMIT_NAMES)}. May be repeated.",
)
@commands.option("--allow-failed", **ALLOW_FAILED)
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    api_key_file: Path | None,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    access_log: bool,
    runtime: str,
    precision: str | None,
    batch_size: int | None,
    queue: int,
    deadline: float,
    settings: tuple[str, ...],
    allow_failed: bool,
) -> None:
    """Serve MODELS over HTTP: a web page, and an API.

    Open the printed address in a browser, and drop photos on the page. Clients of TensorFlow Serving, of Triton and
    KServe, and of Hugging Face work as they are.
    """
    limits, key = parse_limits(settings), read_key(api_key_file)
    names = name_models(models, allow_failed)

    from cnnzoo.serve.access import Access, check_origins
    from cnnzoo.serve.app import create_app
    from cnnzoo.serve.run import bind, run_server
    from cnnzoo.serve.served_model import check_settings

    Access(key, hosts, check_origins(origins))
    check_settings(queue, deadline)
    listener = bind(host, port)  # before the models are loaded, which takes longer
    try:
        app = create_app(
            {name: open_classifier(path, runtime, precision, allow_failed) for name, path in names.items()},
            queue=queue,
            deadline=deadline,
            batch_size=batch_size or "auto",
            limits=limits,
            api_key=key,
            hosts=hosts if host in LOCAL_HOSTS or hosts else (host,),
            origins=origins,
            access_log=sys.stdout if access_log else None,
        )
        if host not in LOCAL_HOSTS and not key:
            place = "this machine" if host in EVERY_ADDRESS else host
            echo(
                f"Warning: anyone who can reach {place} can use this server; require a key with --api-key-file",
                err=True,
            )
        port = listener.getsockname()[1]
        served = f"Serving {', '.join(names)} at {describe_address(host, port)} (Ctrl-C stops)"
        run_server(app, listener, lambda: echo(served, err=True))
    finally:
        listener.close()


def describe_address(host: str, port: int) -> str:
    """Return the address to open in a browser: 0.0.0.0 stands for all addresses, and is none that can be opened."""
    local = EVERY_ADDRESS.get(host)
    shown = local or host
    address = f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
    return f"{address} and on every other address of this machine" if local else address


def parse_limits(settings: Sequence[str]) -> Limits:
    """Return the limits with those changed that --limit names."""
    values = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in LIMIT_NAMES:
            raise unknown_name("limit", name, LIMIT_NAMES)
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise InputError(f"--limit {name} takes a number, as in {name}=100. Received: {text!r:.100}") from None
    return Limits(**values)


def read_key(file: Path | None) -> str:
    """Return the API key in a file, without the line end after it; "" without a file.

    Raises:
        InputError: if the file cannot be read, or holds no key.
    """
    if file is None:
        return ""
    try:
        key = read_bounded(file, MAX_KEY_BYTES).decode("ascii").strip()
    except OSError as error:
        raise InputError(f"Cannot read the API key in {str(file)!r}: {error.strerror or error}") from None
    except UnicodeDecodeError:  # whose message would show a part of the key
        raise InputError(f"The API key in {str(file)!r} has characters that are not ASCII") from None
    if not key:
        raise InputError(f"There is no API key in {str(file)!r}: it is empty")
    return key


def name_models(models: Sequence[str], allow_failed: bool = False) -> dict[str, str]:
    """Return the path of each model by the name that it is served under: that given, or that of its network.

    Raises:
        InputError: if one of them is no trained model, or two have one name.
    """
    paths: dict[str, str] = {}
    for model in models:
        name, equals, path = model.partition("=")
        if not equals or path_exists(model):
            name, path = "", model
        elif not name:
            check_name(name)
        check_trained_model(path, allow_failed=allow_failed)
        if not name:
            card = read_card(path)
            name = make_name(card.name if card else path.partition(":")[0])
        check_name(name)
        if name in paths:
            raise InputError(
                f"Two models have the name {name!r}: {paths[name]} and {path}. Give each its own: "
                f"cnnzoo serve a={paths[name]} b={path}"
            )
        paths[name] = path
    return paths


COMMANDS = (serve,)
