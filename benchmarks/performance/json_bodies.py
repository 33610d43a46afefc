"""Throughput of classification with images in JSON, latentd and the plain FastAPI app."""

import base64
import json

import numpy as np

from benchmarks.harness.contenders import Contender, make_latentd, pack_base64
from benchmarks.harness.dataset import find_bundle, read_images, to_png
from benchmarks.harness.http_load import Request
from benchmarks.harness.options import Options
from benchmarks.harness.records import Cell, Record
from benchmarks.harness.response_checks import classify
from benchmarks.harness.rounds import Goal, alternate, compare, list_columns
from benchmarks.performance.classify import CONNECTIONS, make_fastapi

GOALS = {"base64": Goal(1.5), "nested floats": Goal(2)}
"""The goal for base64, which is decoded to the same PNG file, is that of raw PNG files."""


def make_pairs(options: Options, pixels: np.ndarray) -> dict[str, tuple[Contender, Contender]]:
    """Return latentd and the plain FastAPI app for each encoding of the image."""
    png, numbers = to_png(pixels), (pixels / 255).tolist()
    plain = {
        "base64": Request("base64", "/classify/base64", pack_base64(png)),
        "nested floats": Request("pixels", "/classify/pixels", _dump({"image": numbers})),
    }
    images = {"base64": base64.b64encode(png).decode(), "nested floats": numbers}
    bundle = find_bundle()
    return {
        encoding: (
            make_latentd(make_request(image), encoding),
            make_fastapi(options, bundle, plain[encoding]),
        )
        for encoding, image in images.items()
    }


def make_request(image: object) -> Request:
    """Return the request to latentd for all ten probabilities."""
    return Request("json", "/v1/classify", _dump({"images": [image], "top_k": 10}))


def _dump(content: object) -> bytes:
    return json.dumps(content).encode()


def measure(options: Options) -> Record:
    """Measure both encodings and both servers in alternating rounds."""
    pixels = read_images(1)[0]
    expected = classify(find_bundle(), pixels)
    pairs = make_pairs(options, pixels)
    contenders = {
        f"{one.name}, {encoding}": one for encoding, pair in pairs.items() for one in pair
    }
    for one in contenders.values():
        one.check(expected)
    measures = {name: lambda one=one: one.measure(options) for name, one in contenders.items()}
    rates = alternate(measures, options.rounds)
    rows = [
        (
            encoding,
            len(pair[0].request.body),
            *compare(*(rates[f"{one.name}, {encoding}"] for one in pair), GOALS[encoding]),
        )
        for encoding, pair in pairs.items()
    ]
    return make_record(options, rows, "; ".join(one.versions() for one in pairs["base64"]))


def make_record(options: Options, rows: list[tuple[Cell, ...]], versions: str) -> Record:
    """Return the record."""
    return Record(
        name="json",
        title="Classify: one image in JSON per request",
        command="make bench ARGS=json",
        goal="latentd processes at least `goal` times as many requests per second as a plain "
        "FastAPI app.",
        columns=("encoding", "body bytes", *list_columns("latentd /s", "plain FastAPI /s")),
        rows=rows,
        remark=(
            f"Method as for raw PNG files: `wrk -t1 -c{CONNECTIONS}`, one worker with one thread "
            "on a separate CPU; predictions are first compared with those of ONNX Runtime. The "
            "plain app uses pydantic models for request and response. "
            f"{options.describe_rounds()} {versions}. {options.remark}"
        ).strip(),
    )
