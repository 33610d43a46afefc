"""scikit-learn's PCA as encoder and decoder, and a classifier: `python sklearn_model.py FOLDER`."""

import sys
from pathlib import Path

import files
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SIZE = 32


def main(folder):
    """Fit, export and write the reference."""
    pixels, labels = files.load_mnist()
    rows = files.to_floats(pixels).reshape(len(pixels), -1)
    pca = PCA(SIZE, random_state=0).fit(rows)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=50)).fit(rows, labels)
    (folder / "encoder.onnx").write_bytes(to_onnx(pca, rows[:1]).SerializeToString())
    scores = to_onnx(classifier, rows[:1], options={"zipmap": False})
    (folder / "classifier.onnx").write_bytes(scores.SerializeToString())
    onnx.save(make_inverse(pca), folder / "decoder.onnx")
    codes = pca.transform(rows[: files.TESTED])
    decoded = pca.inverse_transform(codes).clip(0, 1).reshape(-1, 1, 28, 28)
    flags = ["--encoder", "encoder.onnx", "--decoder", "decoder.onnx"]
    flags += ["--classifier", "classifier.onnx"]
    files.write_files(folder, pixels, labels=labels, flags=flags, codes=codes, images=decoded)


def make_inverse(pca):
    """Return `inverse_transform` as a graph: skl2onnx converts `transform` only."""
    size, values = pca.components_.shape
    weights = {"components": pca.components_, "mean": pca.mean_}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["codes", "components"], ["product"]),
            helper.make_node("Add", ["product", "mean"], ["images"]),
        ],
        "inverse",
        [helper.make_tensor_value_info("codes", TensorProto.FLOAT, ["n", size])],
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", values])],
        [numpy_helper.from_array(np.float32(array), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


main(Path(sys.argv[1]))
