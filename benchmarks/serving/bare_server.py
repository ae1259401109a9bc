"""A server as users write it around a Keras model: FastAPI, Pillow and `model.predict`.

python benchmarks/serving/bare_server.py resnet18 8000
"""

import io
import sys

import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

import cnnzoo

model = cnnzoo.get(sys.argv[1])
height, width, channels = model.input_shape[1:]
classes = cnnzoo.card(model).classes
app = FastAPI()


@app.post("/predict")
async def predict(file: UploadFile) -> dict:
    """Classify one image."""
    image = Image.open(io.BytesIO(await file.read())).convert("RGB" if channels == 3 else "L").resize((width, height))
    pixels = np.asarray(image, "float32").reshape(1, height, width, channels)
    scores = model.predict(pixels, verbose=0)[0]
    best = np.argsort(-scores)[:5]
    return {"classes": [{"class": classes[i], "score": float(scores[i])} for i in best]}


if __name__ == "__main__":
    model.predict(np.zeros((1, height, width, channels), "float32"), verbose=0)
    uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
