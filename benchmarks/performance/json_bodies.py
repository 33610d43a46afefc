"""Pictures classified a second where they come as JSON, by latentd and by plain FastAPI."""

import base64
import json

import numpy as np
from loads import Request
from records import Cell, Record

from performance.answers import classify
from performance.classify import CONNECTIONS, make_fastapi
from performance.contenders import Contender, make_latentd, pack_base64
from performance.options import Options
from performance.pictures import find_bundle, read_images, to_png
from performance.rounds import Goal, alternate, compare, list_columns

_GOAL = Goal(2)


def make_pairs(options: Options, pixels: np.ndarray) -> dict[str, tuple[Contender, Contender]]:
    """Return latentd and the plain application for each form of the body."""
    png, numbers = to_png(pixels), (pixels / 255).tolist()
    plain = {
        "base64": Request("base64", "/classify/base64", pack_base64(png)),
        "nested floats": Request("pixels", "/classify/pixels", _dump({"image": numbers})),
    }
    ours = {"base64": base64.b64encode(png).decode(), "nested floats": numbers}
    bundle = find_bundle()
    return {
        form: (
            make_latentd(send_json(image), form),
            make_fastapi(options, bundle, plain[form]),
        )
        for form, image in ours.items()
    }


def send_json(image: object) -> Request:
    """Return the request to latentd, all ten probabilities wanted."""
    return Request("json", "/v1/classify", _dump({"images": [image], "top_k": 10}))


def _dump(content: object) -> bytes:
    return json.dumps(content).encode()


def measure(options: Options) -> Record:
    """Measure both forms, latentd and the plain application in turn."""
    pixels = read_images(1)[0]
    truth = classify(find_bundle(), pixels)
    pairs = make_pairs(options, pixels)
    contenders = {f"{one.name}, {form}": one for form, pair in pairs.items() for one in pair}
    for one in contenders.values():
        one.check(truth)
    measures = {name: lambda one=one: one.measure(options) for name, one in contenders.items()}
    figures = alternate(measures, options.rounds)
    rows = [
        (
            form,
            len(pair[0].request.body),
            *compare(*(figures[f"{one.name}, {form}"] for one in pair), _GOAL),
        )
        for form, pair in pairs.items()
    ]
    return write(options, rows, "; ".join(one.versions() for one in pairs["base64"]))


def write(options: Options, rows: list[tuple[Cell, ...]], versions: str) -> Record:
    """Return the record."""
    return Record(
        name="json",
        title="Classify: a picture as JSON",
        command="make bench ARGS=json",
        goal="latentd answers at least twice as many requests a second as a plain FastAPI "
        "application.",
        columns=("picture", "bytes sent", *list_columns("latentd /s", "plain FastAPI /s")),
        rows=rows,
        remark=(
            f"As in the figure of raw PNG files: `wrk -t1 -c{CONNECTIONS}`, one worker with one "
            "thread on a CPU of its own; answers are compared with ONNX Runtime's first. The plain "
            "application takes a pydantic model and answers one. "
            f"{options.describe_rounds()} {versions}. {options.remark}"
        ).strip(),
    )
