"""BentoML: an image file in a multipart form; one worker."""

import bentoml
from classifier import Classifier
from PIL.Image import Image
from pydantic import BaseModel


class Prediction(BaseModel):
    """A label and the class probabilities."""

    label: str
    probabilities: list[float]


@bentoml.service(workers=1)
class ClassifierService:
    """Classifies images."""

    def __init__(self) -> None:
        """Load the graph."""
        self.model = Classifier()

    @bentoml.api
    def classify(self, image: Image) -> Prediction:
        """Classify an image."""
        label, probabilities = self.model.classify_image(image)
        return Prediction(label=label, probabilities=probabilities)
