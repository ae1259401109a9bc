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
import threading
import time
import urllib.request
import uvicorn
from PIL import Image
from cnnzoo.cli.main import main
from cnnzoo.serve import create_app
try:
    main(["serve", "--help"])
except SystemExit as end:
    assert not end.code
photo = io.BytesIO()
Image.new("L", (40, 40), 90).save(photo, "png")
server = uvicorn.Server(uvicorn.Config(create_app(sys.argv[1]), port=0, log_level="warning"))
threading.Thread(target=server.run, daemon=True).start()
while not server.started:
    time.sleep(0.05)
address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
form = b'--end\\r\\nContent-Disposition: form-data; name="file"; filename="a.png"\\r\\n\\r\\n%b\\r\\n--end--\\r\\n'
for path in ("/", "/docs", "/metrics", "/v1/models", "/openapi.json"):
    urllib.request.urlopen(address + path).read()
for path in ("/predict", "/explain"):
    body = form % photo.getvalue()
    headers = {"Content-Type": "multipart/form-data; boundary=end"}
    answer = urllib.request.urlopen(urllib.request.Request(address + path, body, headers)).read()
    assert b'"model":"lenet5"' in answer, answer
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
