"""Coverage-guided fuzzing of all decoders of untrusted bytes with atheris: `make fuzz`.

Each target runs in a separate process with limits on time, memory and input length. A target may
raise only the errors of `service.errors`, and no input may take longer than a second. Requires the
extra `fuzz`.
"""

import argparse
import contextlib
import io
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness.dataset import SHIPPED
from benchmarks.harness.records import Bound, Cell, Record, conclude

_SEED = 1
_MODULE = "benchmarks.reliability.fuzz"
_MAX_BYTES = 1_048_576
_MAX_MB = 1024
_MAX_SECONDS = 1
_MAX_LOOP_SECONDS = 0.25
"""CPU time with the instrumentation for coverage, which makes Python code several times slower."""
_MAX_LOOP_MB = 32
_GRACE = 60
_OPTIONS = (
    f"-seed={_SEED}",
    f"-max_len={_MAX_BYTES}",
    f"-rss_limit_mb={_MAX_MB}",
    f"-timeout={_MAX_SECONDS}",
    "-print_final_stats=1",
    "-verbosity=0",
    "-use_value_profile=1",
)


def _write_npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def seed_image() -> list[bytes]:
    """Return small images in all accepted modes and formats."""
    from PIL import Image  # noqa: PLC0415 - each target imports only its decoder

    seeds = []
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"):
        for image_format in ("PNG", "JPEG"):
            stream = io.BytesIO()
            try:
                Image.new(mode, (9, 7), 1).save(stream, image_format)
            except OSError:
                continue  # the format does not support the mode
            seeds.append(stream.getvalue())
    return seeds


def seed_npy() -> list[bytes]:
    """Return small arrays of several types and memory orders."""
    types = ("<f4", "<f8", ">f4", "|u1", "<i8", "<c8")
    arrays = [np.zeros((2, 3), kind) for kind in types]
    return [_write_npy(array) for array in (*arrays, np.asfortranarray(arrays[0]))]


def seed_tensors() -> list[bytes]:
    """Return inference requests in JSON and with binary tensors."""
    shape = b'"shape":[1,1,28,28],"datatype":"FP32"'
    whole = b'{"inputs":[{"name":"images",%b,"data":[%b]}]}' % (shape, b",".join([b"0.5"] * 784))
    size = b'{"inputs":[{"name":"images",%b,"parameters":{"binary_data_size":3136}}]}' % shape
    outputs = b'{"id":"a","outputs":[{"name":"latents","parameters":{"binary_data":true}}],'
    return [whole, size + bytes(3136), outputs + size[1:] + bytes(3136)]


def seed_json() -> list[bytes]:
    """Return one JSON body for each kind of request."""
    return [
        b'{"images":[[[0.5,1e-3],[0,1]]],"top_k":2}',
        b'{"latents":[[1.5,-2],[3,4]],"space":"vae"}',
        b'{"images":["data:image/png;base64,iVBORw0KGgo="],"invert":"auto"}',
        b'{"a":null,"b":[true,false,"\\ud83d\\ude00"],"c":{"d":-1.5E+3}}',
    ]


def seed_manifest() -> list[bytes]:
    """Return the manifests of the shipped bundles."""
    return [file.read_bytes() for file in sorted(SHIPPED.glob("*/*/manifest.json"))]


def target_image() -> Callable[[bytes], object]:
    """Return the decoder from image files to pixels."""
    from service.artifact import ImageSpec  # noqa: PLC0415
    from service.codecs.request_body import IMAGES, decode_body  # noqa: PLC0415
    from service.http.limits import Limits  # noqa: PLC0415

    limits = Limits(1 << 25, 16, 1_000_000, 16, 1 << 23, 1_000_000)
    spec = ImageSpec(channels=1, height=8, width=6)

    def target(content: bytes) -> None:
        body = decode_body("image/png", content, IMAGES, limits)
        body.reduce_files(spec, limits)
        batch = body.to_images(spec, "auto")
        if not (batch.min() >= 0 and batch.max() <= 1):
            raise AssertionError("Pixels are outside [0, 1].")

    return target


def target_npy() -> Callable[[bytes], object]:
    """Return the npy decoder."""
    from service.codecs.npy import read_npy  # noqa: PLC0415

    return read_npy


def target_tensors() -> Callable[[bytes], object]:
    """Return the decoder of inference requests, called with several lengths of the JSON part."""
    from service.artifact.manifest import parse_manifest  # noqa: PLC0415
    from service.http.limits import Limits  # noqa: PLC0415
    from service.oip.tensors import parse_inference  # noqa: PLC0415

    spec = parse_manifest(seed_manifest()[0]).networks["encoder"]
    limits = Limits(1 << 25, 16, 1_000_000, 16, 1 << 23, 1_000_000)

    def target(content: bytes) -> None:
        end = content.rfind(b"}") + 1
        for length in (None, str(end), content[:3].decode("latin-1")):
            _try(lambda length=length: parse_inference(content, length, spec, limits))

    return target


def target_json() -> Callable[[bytes], object]:
    """Return the decoder from JSON bodies to images and latents."""
    from service.artifact import ImageSpec  # noqa: PLC0415
    from service.codecs.request_body import IMAGES_OR_LATENTS, decode_body  # noqa: PLC0415
    from service.http.limits import Limits  # noqa: PLC0415

    limits = Limits(1 << 25, 16, 1_000_000, 16, 1 << 23, 1_000_000)
    spec = ImageSpec(channels=1, height=8, width=6)

    def target(content: bytes) -> None:
        body = decode_body("application/json", content, IMAGES_OR_LATENTS, limits)
        if body.has_latents:
            body.to_latents(2)
        else:
            body.to_images(spec, "false")

    return target


def target_manifest() -> Callable[[bytes], object]:
    """Return the manifest parser."""
    from service.artifact.manifest import parse_manifest  # noqa: PLC0415

    return parse_manifest


def seed_event_loop() -> list[bytes]:
    """Return bodies of several content types, each after the number of its type."""
    bodies = [seed_json(), seed_image(), seed_image(), seed_npy(), seed_parts()]
    return [bytes([number]) + body for number, each in enumerate(bodies) for body in each]


def seed_parts() -> list[bytes]:
    """Return a multipart body with each image."""
    head = b'--B\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    return [head + image + b"\r\n--B--" for image in seed_image()]


def target_event_loop() -> Callable[[bytes], object]:
    """Return the decoding that runs on the event loop, with a bound on its time and memory.

    A body whose predicted cost is higher is decoded by a thread, and is ignored here.
    """
    from service.artifact import ImageSpec  # noqa: PLC0415
    from service.codecs.request_body import IMAGES, decode_body, predict_decoding  # noqa: PLC0415
    from service.http.limits import Limits  # noqa: PLC0415
    from service.inference.scheduler import INLINE_SECONDS  # noqa: PLC0415

    limits = Limits(1 << 25, 16, 1_000_000, 16, 1 << 23, 1_000_000)
    spec = ImageSpec(channels=1, height=8, width=6)
    types = (*IMAGES.media_types[:1], "image/png", "image/jpeg", "application/x-npy")
    types = (*types, "multipart/form-data; boundary=B")

    def run(content_type: str, body: bytes) -> None:
        decoded = decode_body(content_type, body, IMAGES, limits)
        decoded.reduce_files(spec, limits)
        if decoded.decoding_cost <= INLINE_SECONDS:
            decoded.to_images(spec, "auto")

    def target(content: bytes) -> None:
        content_type, body = types[content[0] % len(types)] if content else types[0], content[1:]
        if predict_decoding(content_type, len(body)) > INLINE_SECONDS:
            return
        memory, start = _read_peak(), time.thread_time()
        _try(lambda: run(content_type, body))
        seconds, growth = time.thread_time() - start, _read_peak() - memory
        if seconds > _MAX_LOOP_SECONDS or growth > _MAX_LOOP_MB:
            raise AssertionError(f"It takes {seconds:.2f} s and {growth} MB on the event loop.")

    return target


def _read_peak() -> int:
    """Return the peak of this process's memory in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


TARGETS = {
    "event loop": (seed_event_loop, target_event_loop),
    "image": (seed_image, target_image),
    "npy": (seed_npy, target_npy),
    "tensors": (seed_tensors, target_tensors),
    "json": (seed_json, target_json),
    "manifest": (seed_manifest, target_manifest),
}


def _try(decode: Callable[[], object]) -> None:
    from service.errors import LatentdError  # noqa: PLC0415

    with contextlib.suppress(LatentdError):
        decode()


def fuzz(name: str, options: Sequence[str]) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris  # noqa: PLC0415 - an extra

    with atheris.instrument_imports(include=["service", "PIL", "numpy.lib"]):
        target = TARGETS[name][1]()
    atheris.Setup([sys.argv[0], *options], lambda content: _try(lambda: target(content)))
    atheris.Fuzz()


def run(name: str, seconds: int, corpus: Path) -> list[Cell]:
    """Fuzz one target in a separate process; return its row."""
    for number, content in enumerate(TARGETS[name][0]()):
        (corpus / f"seed-{number}").write_bytes(content)
    command = [sys.executable, "-m", _MODULE, "--target", name, str(corpus), *_OPTIONS]
    command += [f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/finding-"]
    completed = subprocess.run(  # noqa: S603 - our own
        command, capture_output=True, text=True, timeout=seconds + _GRACE, check=False
    )
    pairs = re.findall(r"stat::(\w+):\s+(\d+)", completed.stderr)
    stats = {key: int(value) for key, value in pairs}
    executions = stats.get("number_of_executed_units", 0)
    findings = [*corpus.glob("finding-*")]
    if completed.returncode or findings:
        print(completed.stderr[-4000:])
    return [
        name,
        seconds,
        executions,
        stats.get("average_exec_per_sec", 0),
        len([*corpus.iterdir()]) - len(findings),
        stats.get("peak_rss_mb", 0),
        len(findings) or int(completed.returncode != 0),
    ]


def make_record(rows: Sequence[Sequence[Cell]], remark: str) -> Record:
    """Return the record."""
    return Record(
        name="fuzz",
        title="Fuzzing of all decoders of untrusted bytes",
        seed=_SEED,
        command="make fuzz",
        goal="The decoders raise only latentd's errors; no input takes more than "
        f"{_MAX_SECONDS} s or {_MAX_MB} MB, and none that is decoded on the event loop more than "
        f"{_MAX_LOOP_SECONDS} s or {_MAX_LOOP_MB} MB.",
        columns=("target", "s", "executions", "/s", "corpus", "peak MB", "findings"),
        rows=rows,
        bounds=[(Bound("peak MB", _MAX_MB), Bound("findings", 0)) for _ in rows],
        remark=f"atheris (libFuzzer), inputs up to {_MAX_BYTES} bytes, guided by the coverage of "
        f"`service`, `PIL` and `numpy.lib`. {remark}".strip(),
    )


def main() -> int:
    """Fuzz the targets, write the record, and return 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--only", nargs="*", choices=TARGETS, help="some targets, without a record")
    parser.add_argument("--remark", default="", help="other load on the machine")
    parsed = parser.parse_args()
    rows = []
    for name in parsed.only or TARGETS:
        with tempfile.TemporaryDirectory() as corpus:
            rows.append(run(name, parsed.seconds, Path(corpus)))
        print(rows[-1], flush=True)
    if parsed.only:
        return int(any(row[-1] for row in rows))
    return conclude(make_record(rows, parsed.remark))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        fuzz(sys.argv[2], sys.argv[3:])
    raise SystemExit(main())
