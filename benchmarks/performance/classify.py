"""Pictures classified a second, by latentd and by others, with one worker on one CPU."""

from pathlib import Path

from loads import Request
from records import Record

from performance.answers import classify, read_classes
from performance.contenders import (
    Contender,
    Starter,
    make_latentd,
    pack_base64,
    pack_multipart,
    pack_tensor,
    read_latentd,
    read_plain,
    read_tensors,
)
from performance.options import Options
from performance.pictures import find_bundle, read_images, to_png
from performance.rounds import Goal, alternate, compare, list_columns

CONNECTIONS = 64
_UVICORN = ("uvicorn", "app:app", "--host=127.0.0.1", "--port={port}")
_GOALS = {
    "bare ASGI": Goal(0.3),
    "plain FastAPI": Goal(2),
    "LitServe": Goal(12),
    "BentoML": Goal(25),
    "MLServer": Goal(6),
    "Ray Serve": Goal(50),
}


def send_png(content: bytes) -> Request:
    """Return the request to latentd: the file as the body, all ten probabilities wanted."""
    return Request("png", "/v1/classify?top_k=10", content, "image/png")


def make_bare(options: Options, bundle: Path, png: bytes, answer: bytes) -> Contender:
    """Return the callable that answers what latentd answered, under latentd's own uvicorn."""
    starter = Starter(
        "asgi",
        options,
        bundle,
        Request("png", "/classify", png, "image/png"),
        (*_UVICORN, "--loop=uvloop", "--http=httptools", "--no-access-log"),
        ("uvicorn", "uvloop", "httptools"),
        {"BENCHMARK_ANSWER": answer.decode()},
    )
    return starter.contend("bare ASGI", "raw PNG", read_latentd)


def make_fastapi(options: Options, bundle: Path, request: Request) -> Contender:
    """Return the plain FastAPI application."""
    starter = Starter("fastapi", options, bundle, request, _UVICORN, ("fastapi", "uvicorn"))
    return starter.contend("plain FastAPI", request.name, read_plain(read_classes(bundle)))


def make_litserve(options: Options, bundle: Path, png: bytes) -> Contender:
    """Return LitServe."""
    request = Request("base64 in JSON", "/predict", pack_base64(png))
    starter = Starter(
        "litserve", options, bundle, request, ("python", "app.py", "{port}"), ("litserve",)
    )
    return starter.contend("LitServe", request.name, read_plain(read_classes(bundle)))


def make_bentoml(options: Options, bundle: Path, png: bytes) -> Contender:
    """Return BentoML."""
    request = Request("multipart", "/classify", *pack_multipart("image", png))
    command = ("bentoml", "serve", "app:ClassifierService", "--host=127.0.0.1", "--port={port}")
    starter = Starter("bentoml", options, bundle, request, command, ("bentoml",))
    return starter.contend("BentoML", request.name, read_plain(read_classes(bundle)))


def make_mlserver(options: Options, bundle: Path, png: bytes) -> Contender:
    """Return MLServer, on the ports after the chosen one for what else it serves."""
    request = Request("V2 JSON, BYTES in base64", "/v2/models/classifier/infer", pack_tensor(png))
    variables = {"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "0"}
    starter = Starter(
        *("mlserver", options, bundle, request),
        ("mlserver", "start", "."),
        ("mlserver",),
        variables | {"MLSERVER_METRICS_PORT": "0"},
    )
    return starter.contend("MLServer", request.name, read_tensors(read_classes(bundle)))


def make_ray(options: Options, bundle: Path, png: bytes) -> Contender:
    """Return Ray Serve."""
    request = Request("raw PNG", "/", png, "image/png")
    starter = Starter("ray", options, bundle, request, ("python", "app.py", "{port}"), ("ray",))
    return starter.contend("Ray Serve", request.name, read_plain(read_classes(bundle)))


def list_others(options: Options, bundle: Path, png: bytes, answer: bytes) -> list[Contender]:
    """Return all that latentd is compared with; `answer` is what it answered."""
    return [
        make_bare(options, bundle, png, answer),
        make_fastapi(options, bundle, Request("raw PNG", "/classify", png, "image/png")),
        *(make(options, bundle, png) for make in (make_litserve, make_bentoml)),
        *(make(options, bundle, png) for make in (make_mlserver, make_ray)),
    ]


def measure(options: Options) -> Record:
    """Measure all of them in turn."""
    bundle, pixels = find_bundle(), read_images(1)[0]
    png, truth = to_png(pixels), classify(find_bundle(), pixels)
    latentd = make_latentd(send_png(png), "raw PNG")
    others = list_others(options, bundle, png, latentd.check(truth))
    for other in others:
        other.check(truth)
    measures = {one.name: lambda one=one: one.measure(options) for one in (latentd, *others)}
    figures = alternate(measures, options.rounds)
    rows = [
        (one.name, one.sends, *compare(figures["latentd"], figures[one.name], _GOALS[one.name]))
        for one in others
    ]
    return Record(
        name="classify",
        title="Classify: a PNG a request, one worker",
        command="make bench ARGS=classify",
        goal="latentd answers at least so many times as many requests a second as the other.",
        columns=("beside", "is sent", *list_columns("latentd /s", "other /s")),
        rows=rows,
        remark=describe(options, [latentd, *others], len(png)),
    )


def describe(options: Options, contenders: list[Contender], size: int) -> str:
    """Return the protocol and the versions in words."""
    versions = "; ".join(one.versions() for one in contenders)
    return (
        f"`wrk -t1 -c{CONNECTIONS}` on one CPU; on another the server: one worker, one thread for "
        "inference, its own default logging, which goes nowhere. The first test image of "
        f"Fashion-MNIST, a PNG of {size} bytes; the answer is the label and ten probabilities, "
        "compared with ONNX Runtime's own before anything is measured. All load the same "
        f"classifier.onnx. {options.describe_rounds()} The ratio is the median of the ratios "
        f"within a round. {versions}. {options.remark}"
    ).strip()
