"""The files in examples/deploy name commands, options, addresses, ports and versions that exist."""

import re
import shlex
import tomllib

import pytest
from click.testing import CliRunner
from helpers.paths import ROOT

import cnnzoo
from cnnzoo.cli.serve import serve
from cnnzoo.serve.gate import OPEN_PATHS
from cnnzoo.serve.run import STOP_SECONDS

yaml = pytest.importorskip("yaml")
DEPLOY = ROOT / "examples" / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNIT = (DEPLOY / "cnnzoo-serve.service").read_text(encoding="utf-8")
KEY_FILES = "/run/secrets/api_key", "/secrets/api_key", "%d/api_key"


def load_yaml(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def instructions(name):
    """The instructions of this name in the last stage of the Dockerfile."""
    last = DOCKERFILE.replace("\\\n", " ").rpartition("\nFROM ")[2]
    return [line.removeprefix(name + " ") for line in last.splitlines() if line.startswith(name + " ")]


DEPLOYMENT = load_yaml("kubernetes.yaml")[0]["spec"]
POD = DEPLOYMENT["template"]["spec"]
CONTAINER = POD["containers"][0]
COMPOSE = load_yaml("compose.yaml")[0]["services"]["serve"]
COMMANDS = {
    "Dockerfile": yaml.safe_load(instructions("CMD")[-1]),
    "compose.yaml": COMPOSE["command"],
    "kubernetes.yaml": CONTAINER["args"],
    "cnnzoo-serve.service": shlex.split(re.search(r"^ExecStart=(.*)$", UNIT, re.M)[1])[2:],
}


@pytest.mark.parametrize("file", COMMANDS)
def test_commands_are_valid(file, tmp_path):
    """All of a command is valid but the model, which does not exist here."""
    key = tmp_path / "key"
    key.write_text("a key of more than 16 characters")
    words = COMMANDS[file]
    for path in KEY_FILES:
        words = [word.replace(path, str(key)) for word in words]
    parsed = serve.make_context("serve", list(words)).params
    assert parsed["port"] == 8080
    assert parsed["host"] == ("127.0.0.1" if file == "cnnzoo-serve.service" else "0.0.0.0")
    assert bool(parsed["api_key_file"]) == (file != "Dockerfile")
    assert parsed["api_key_file"] in (None, key)
    with pytest.raises(cnnzoo.InputError, match=parsed["models"][0]):
        CliRunner().invoke(serve, words, catch_exceptions=False)


def test_entry_points_are_the_command():
    assert yaml.safe_load(instructions("ENTRYPOINT")[-1]) == ["cnnzoo", "serve"]
    assert re.search(r"^ExecStart=\S+/bin/cnnzoo serve ", UNIT, re.M)


def test_ports_agree():
    assert instructions("EXPOSE") == ["8080"]
    assert COMPOSE["ports"] == ["127.0.0.1:8080:8080"]
    assert [port["containerPort"] for port in CONTAINER["ports"]] == [8080]
    service = load_yaml("kubernetes.yaml")[1]["spec"]
    assert [(port["port"], port["targetPort"]) for port in service["ports"]] == [(8080, CONTAINER["ports"][0]["name"])]
    assert service["selector"] == DEPLOYMENT["selector"]["matchLabels"] == DEPLOYMENT["template"]["metadata"]["labels"]


def test_checks_use_addresses_that_need_no_key():
    health = re.search(r"http://127.0.0.1:8080(/\w+)", instructions("HEALTHCHECK")[0])[1]
    probes = {name: CONTAINER[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/readyz", "liveness": "/healthz", "readiness": "/readyz"}
    assert {health, *probes.values()} <= set(OPEN_PATHS)


def test_services_are_reached_by_their_names():
    """A request by a name that the server does not know is refused."""
    assert "--allow-host=cnnzoo" in CONTAINER["args"]
    assert load_yaml("kubernetes.yaml")[1]["metadata"]["name"] == "cnnzoo"
    command = COMPOSE["command"]
    assert command[command.index("--allow-host") + 1] == "serve"  # the name of the service


def test_stopping_leaves_time_for_the_answers():
    pause = int(re.search(r"time.sleep\((\d+)\)", CONTAINER["lifecycle"]["preStop"]["exec"]["command"][-1])[1])
    assert POD["terminationGracePeriodSeconds"] > pause + STOP_SECONDS
    assert int(COMPOSE["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.M)[1]) > STOP_SECONDS
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_processes_have_few_rights():
    assert instructions("USER") == ["10001:10001"]
    assert POD["securityContext"]["runAsUser"] == 10001
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is COMPOSE["read_only"] is True
    assert CONTAINER["securityContext"]["capabilities"]["drop"] == COMPOSE["cap_drop"] == ["ALL"]
    assert all(mount["readOnly"] for mount in CONTAINER["volumeMounts"] if mount["name"] != "tmp")
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {volume["name"] for volume in POD["volumes"]}
    for line in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet="):
        assert line in UNIT.splitlines()


def test_versions_are_those_of_the_package():
    """The minimum versions are those that the package has, and the image has its version."""
    minimums = dict(re.findall(r"^([\w-]+)(>=[\d.]+)$", (DEPLOY / "requirements.txt").read_text("utf-8"), re.M))
    extras = PROJECT["optional-dependencies"]
    stated = dict(re.match(r"([\w-]+)(.*)", line).groups() for line in PROJECT["dependencies"] + extras["serve"])
    assert {name: stated[name] for name in minimums} == minimums
    assert {re.match(r"[\w-]+", line)[0] for line in extras["serve"]} <= minimums.keys()
    assert re.search(r'^ARG RUNTIME="(.+)"$', DOCKERFILE, re.M)[1] in extras["export"]
    assert CONTAINER["image"] == f"cnnzoo-serve:{cnnzoo.__version__}"
    pythons = set(re.findall(r"^FROM python:([\d.]+)-slim", DOCKERFILE, re.M))
    assert len(pythons) == 1
    assert f"Programming Language :: Python :: {pythons.pop()}" in PROJECT["classifiers"]


def test_build_reads_files_that_exist():
    allowed = re.findall(r"^!(.+)$", (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8"), re.M)
    copied = [
        line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    assert sorted(allowed) == sorted(name for names in copied for name in names)
    assert [name for name in allowed if not (ROOT / name).exists()] == []


def test_tensorflow_serving_finds_the_saved_model():
    text = (DEPLOY / "tensorflow_serving.yaml").read_text(encoding="utf-8")
    service = load_yaml("tensorflow_serving.yaml")[0]["services"]["serve"]
    name = service["environment"]["MODEL_NAME"]
    assert service["volumes"] == [f"./exported/{name}:/models/{name}:ro"]
    assert f"cnnzoo export runs/{name} exported/{name}/1 --format saved_model" in text
    assert f"/v1/models/{name}:predict" in text
