"""A convolutional autoencoder of Keras 3, channels last: `python keras_model.py FOLDER`."""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import files
import keras
import numpy as np
from keras import layers


def main(folder):
    """Train, export and write the reference."""
    keras.utils.set_random_seed(0)
    pixels, labels = files.load_mnist()
    images = files.to_floats(pixels).transpose(0, 2, 3, 1)
    encoder = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, 2, "same", activation="relu"),
            layers.Conv2D(32, 3, 2, "same", activation="relu"),
            layers.Flatten(),
            layers.Dense(16),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(7 * 7 * 32, activation="relu"),
            layers.Reshape((7, 7, 32)),
            layers.Conv2DTranspose(16, 3, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 3, 2, "same", activation="sigmoid"),
        ]
    )
    model = keras.Sequential([encoder, decoder])
    model.compile("adam", "mse")
    model.fit(images, images, epochs=30, batch_size=64, verbose=0)
    encoder.export(str(folder / "encoder.onnx"), format="onnx", verbose=False)
    decoder.export(str(folder / "decoder.onnx"), format="onnx", verbose=False)
    codes = encoder.predict(images[: files.TESTED], verbose=0)
    decoded = np.ascontiguousarray(decoder.predict(codes, verbose=0).transpose(0, 3, 1, 2))
    flags = ["--encoder", "encoder.onnx", "--decoder", "decoder.onnx"]
    files.write_files(
        folder,
        pixels,
        labels=labels,
        flags=flags,
        codes=codes,
        images=decoded,
    )


main(Path(sys.argv[1]))
