"""Serve a classifier, and ask it as other programs do: with a form, and with the protocol of TensorFlow Serving.

Usage: python examples/serve.py [MODEL PHOTO...], for example: runs/bees photos/*.jpg. Without arguments it exports
weights for handwritten digits that come with cnnzoo, and asks for the first test images. To serve a model for longer,
run: cnnzoo serve MODEL
"""

import base64
import io
import sys
import threading
import time
from pathlib import Path

import requests
import uvicorn
from PIL import Image

import cnnzoo

if len(sys.argv) > 2:
    model, photos = sys.argv[1], [Path(path).read_bytes() for path in sys.argv[2:]]
else:
    cnnzoo.export(cnnzoo.get("lenet5", weights="digits"), "digits", "openvino", overwrite=True)
    model, photos = "digits", []
    for pixels in cnnzoo.load_data("digits").test.images[:3]:
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0]).save(file, "PNG")
        photos.append(file.getvalue())

# An ASGI application, which any ASGI server can run, and which can be mounted in an application of your own.
app = cnnzoo.serve.create_app({"mine": model})

# Run it in a thread of this program, on any free port.
server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started:
    time.sleep(0.05)
address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

# A form, as browsers and curl -F send it: the likeliest classes of each file.
files = [("file", (f"photo {i}", photo)) for i, photo in enumerate(photos)]
for result in requests.post(f"{address}/predict", files=files, data={"top": 2}, timeout=60).json()["results"]:
    answers = [f"{entry['class']} {entry['probability']:.1%}" for entry in result["classes"]]
    print(f"{result['file']}: {', '.join(answers)}")

# The protocol of TensorFlow Serving: also the probability of every class.
instances = [{"b64": base64.b64encode(photo).decode()} for photo in photos]
body = requests.post(f"{address}/v1/models/mine:predict", json={"instances": instances}, timeout=60).json()
for row in body["predictions"]:
    print(row["class_names"][0], [round(score, 3) for score in row["scores"]][:10])

server.should_exit = True
thread.join()
