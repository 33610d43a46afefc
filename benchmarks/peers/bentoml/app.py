"""BentoML: a picture as a part of a multipart form, one worker."""

import bentoml
from classifier import Classifier
from PIL.Image import Image
from pydantic import BaseModel


class Prediction(BaseModel):
    """A label and the probability of each class."""

    label: str
    probabilities: list[float]


@bentoml.service(workers=1)
class ClassifierService:
    """Gives pictures labels."""

    def __init__(self) -> None:
        """Load the graph."""
        self.model = Classifier()

    @bentoml.api
    def classify(self, image: Image) -> Prediction:
        """Classify a picture."""
        label, probabilities = self.model.classify_picture(image)
        return Prediction(label=label, probabilities=probabilities)
