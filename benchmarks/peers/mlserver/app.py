"""MLServer: a custom runtime; the image file is a base64 element of a BYTES tensor."""

import numpy as np
from classifier import Classifier
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class ClassifierRuntime(MLModel):
    """Classifies images."""

    async def load(self) -> bool:
        """Load the graph."""
        self.model = Classifier()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Classify an image."""
        (image,) = Base64Codec.decode_input(payload.inputs[0])
        label, probabilities = self.model.classify_file(image)
        outputs = [
            StringCodec.encode_output("label", [label], use_bytes=False),
            NumpyCodec.encode_output("probabilities", np.array([probabilities], np.float32)),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
