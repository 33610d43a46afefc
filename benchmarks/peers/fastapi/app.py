"""Plain FastAPI app: the shortest idiomatic implementation."""

import base64

import numpy as np
from classifier import Classifier
from fastapi import FastAPI, Request
from pydantic import BaseModel

app = FastAPI()
model = Classifier()


class Base64Image(BaseModel):
    """A PNG file in base64."""

    image: str


class Pixels(BaseModel):
    """Rows of pixels in [0, 1]."""

    image: list[list[float]]


class Prediction(BaseModel):
    """A label and the class probabilities."""

    label: str
    probabilities: list[float]


@app.post("/classify")
async def classify(request: Request) -> Prediction:
    """Classify a PNG file in the body."""
    label, probabilities = model.classify_file(await request.body())
    return Prediction(label=label, probabilities=probabilities)


@app.post("/classify/base64")
async def classify_base64(body: Base64Image) -> Prediction:
    """Classify a PNG file in base64."""
    label, probabilities = model.classify_file(base64.b64decode(body.image))
    return Prediction(label=label, probabilities=probabilities)


@app.post("/classify/pixels")
async def classify_pixels(body: Pixels) -> Prediction:
    """Classify pixels in nested lists."""
    label, probabilities = model.classify_pixels(np.array(body.image, np.float32))
    return Prediction(label=label, probabilities=probabilities)
