"""An export is served with the packages that the image of examples/deploy has, and without TensorFlow."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
from helpers.paths import ROOT

PROGRAM = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import io
from PIL import Image
from fastapi.testclient import TestClient
from cnnzoo.cli.main import main
from cnnzoo.serve import create_app
try:
    main(["serve", "--help"])
except SystemExit as end:
    assert not end.code
photo = io.BytesIO()
Image.new("L", (40, 40), 90).save(photo, "png")
with TestClient(create_app(sys.argv[1]), base_url="http://localhost") as client:
    for path in ("/", "/metrics", "/v1/models", "/openapi.json"):
        assert client.get(path).status_code == 200, path
    for path in ("/predict", "/explain"):
        answer = client.post(path, files={"file": photo.getvalue()})
        assert answer.status_code == 200, (path, answer.text)
"""
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL"}  # whose names differ from that of the package


@pytest.mark.slow
def test_exports_are_served_without_the_other_dependencies(digits_export):
    listed = re.findall(r"^([\w-]+)>=", (ROOT / "examples/deploy/requirements.txt").read_text("utf-8"), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [re.match(r"[\w-]+", line)[0] for line in project["dependencies"]]
    missing = {MODULES.get(name, name) for name in names if name not in listed}
    assert {"tensorflow", "keras", "sklearn"} <= missing
    program = f"MISSING = {missing!r}\n{PROGRAM}"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", program, str(digits_export)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
