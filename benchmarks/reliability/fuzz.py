"""Coverage-guided fuzzing of every decoder of foreign bytes, with atheris: `make fuzz`.

Each target runs in a process of its own, bounded in time, memory and length of input; only errors
of `service.errors` may come out of it, and no input may take longer than a second. Needs the
extra `fuzz`.
"""

import argparse
import contextlib
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from records import Cell, Record, write_record

SHIPPED = Path(__file__).parents[1] / "models_store"
_SEED = 1
_MOST_BYTES = 65_536
_MOST_MB = 1024
_MOST_SECONDS = 1
_GRACE = 60
_OPTIONS = (
    f"-seed={_SEED}",
    f"-max_len={_MOST_BYTES}",
    f"-rss_limit_mb={_MOST_MB}",
    f"-timeout={_MOST_SECONDS}",
    "-print_final_stats=1",
    "-verbosity=0",
    "-use_value_profile=1",
)


def _write_npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def seed_picture() -> list[bytes]:
    """Return small pictures of every kind that is read."""
    from PIL import Image  # noqa: PLC0415 - each target imports what it tests

    seeds = []
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"):
        for form in ("PNG", "JPEG"):
            stream = io.BytesIO()
            try:
                Image.new(mode, (9, 7), 1).save(stream, form)
            except OSError:
                continue  # this form knows no such mode
            seeds.append(stream.getvalue())
    return seeds


def seed_npy() -> list[bytes]:
    """Return small arrays of every type and order."""
    types = ("<f4", "<f8", ">f4", "|u1", "<i8", "<c8")
    arrays = [np.zeros((2, 3), kind) for kind in types]
    return [_write_npy(array) for array in (*arrays, np.asfortranarray(arrays[0]))]


def seed_tensors() -> list[bytes]:
    """Return requests for inference, in JSON and with bytes."""
    shape = b'"shape":[1,1,28,28],"datatype":"FP32"'
    whole = b'{"inputs":[{"name":"images",%b,"data":[%b]}]}' % (shape, b",".join([b"0.5"] * 784))
    size = b'{"inputs":[{"name":"images",%b,"parameters":{"binary_data_size":3136}}]}' % shape
    outputs = b'{"id":"a","outputs":[{"name":"latents","parameters":{"binary_data":true}}],'
    return [whole, size + bytes(3136), outputs + size[1:] + bytes(3136)]


def seed_json() -> list[bytes]:
    """Return JSON bodies of every kind."""
    return [
        b'{"images":[[[0.5,1e-3],[0,1]]],"top_k":2}',
        b'{"latents":[[1.5,-2],[3,4]],"space":"vae"}',
        b'{"images":["data:image/png;base64,iVBORw0KGgo="],"invert":"auto"}',
        b'{"a":null,"b":[true,false,"\\ud83d\\ude00"],"c":{"d":-1.5E+3}}',
    ]


def seed_manifest() -> list[bytes]:
    """Return the manifests that are shipped."""
    return [file.read_bytes() for file in sorted(SHIPPED.glob("*/*/manifest.json"))]


def aim_picture() -> Callable[[bytes], object]:
    """Return the way of a picture from bytes to pixels."""
    from service.artifact import ImageSpec  # noqa: PLC0415
    from service.codecs.image_batches import to_batch  # noqa: PLC0415
    from service.codecs.image_files import check_pixels, open_picture  # noqa: PLC0415
    from service.http.limits import Limits  # noqa: PLC0415

    limits = Limits(1 << 25, 16, 1_000_000, 16, 1 << 23, 1_000_000)
    spec = ImageSpec(channels=1, height=8, width=6)

    def target(content: bytes) -> None:
        picture = open_picture(content)
        check_pixels([picture], limits)
        batch = to_batch([picture], spec, "auto")
        if not (batch.min() >= 0 and batch.max() <= 1):
            raise AssertionError("pixels outside [0, 1]")

    return target


def aim_npy() -> Callable[[bytes], object]:
    """Return the reader of arrays."""
    from service.codecs.npy import read_npy  # noqa: PLC0415

    return read_npy


def aim_tensors() -> Callable[[bytes], object]:
    """Return the reader of inference requests; the first two bytes are the JSON's length."""
    from service.artifact.manifest import parse_manifest  # noqa: PLC0415
    from service.http.limits import Limits  # noqa: PLC0415
    from service.oip.tensors import read_inference  # noqa: PLC0415

    spec = parse_manifest(seed_manifest()[0]).networks["encoder"]
    limits = Limits(1 << 25, 16, 1_000_000, 16, 1 << 23, 1_000_000)

    def target(content: bytes) -> None:
        end = content.rfind(b"}") + 1
        for length in (None, str(end), content[:3].decode("latin-1")):
            _try(lambda length=length: read_inference(content, length, spec, limits))

    return target


def aim_json() -> Callable[[bytes], object]:
    """Return the way of a JSON body to images and latents."""
    from service.artifact import ImageSpec  # noqa: PLC0415
    from service.codecs.request_body import ENDS, unpack  # noqa: PLC0415
    from service.http.limits import Limits  # noqa: PLC0415

    limits = Limits(1 << 25, 16, 1_000_000, 16, 1 << 23, 1_000_000)
    spec = ImageSpec(channels=1, height=8, width=6)

    def target(content: bytes) -> None:
        upload = unpack("application/json", content, ENDS, limits)
        if upload.holds_latents:
            upload.to_latents(2)
        else:
            upload.to_images(spec, "false")

    return target


def aim_manifest() -> Callable[[bytes], object]:
    """Return the parser of manifests."""
    from service.artifact.manifest import parse_manifest  # noqa: PLC0415

    return parse_manifest


TARGETS = {
    "picture": (seed_picture, aim_picture),
    "npy": (seed_npy, aim_npy),
    "tensors": (seed_tensors, aim_tensors),
    "json": (seed_json, aim_json),
    "manifest": (seed_manifest, aim_manifest),
}


def _try(decode: Callable[[], object]) -> None:
    from service.errors import LatentdError  # noqa: PLC0415

    with contextlib.suppress(LatentdError):
        decode()


def fuzz(name: str, options: Sequence[str]) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris  # noqa: PLC0415 - an extra

    with atheris.instrument_imports(include=["service", "PIL", "numpy.lib"]):
        target = TARGETS[name][1]()
    atheris.Setup([sys.argv[0], *options], lambda content: _try(lambda: target(content)))
    atheris.Fuzz()


def run(name: str, seconds: int, corpus: Path) -> list[Cell]:
    """Fuzz one target in a process of its own; return the table's row."""
    for number, content in enumerate(TARGETS[name][0]()):
        (corpus / f"seed-{number}").write_bytes(content)
    command = [sys.executable, __file__, "--target", name, str(corpus), *_OPTIONS]
    command += [f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/found-"]
    ended = subprocess.run(  # noqa: S603 - our own
        command, capture_output=True, text=True, timeout=seconds + _GRACE, check=False
    )
    found = re.findall(r"stat::(\w+):\s+(\d+)", ended.stderr)
    stats = {key: int(value) for key, value in found}
    executions = stats.get("number_of_executed_units", 0)
    problems = [*corpus.glob("found-*")]
    if ended.returncode or problems:
        print(ended.stderr[-4000:])
    return [
        name,
        seconds,
        executions,
        stats.get("average_exec_per_sec", 0),
        len([*corpus.iterdir()]) - len(problems),
        stats.get("peak_rss_mb", 0),
        len(problems) or int(ended.returncode != 0),
    ]


def main() -> int:
    """Run every target, write the record, and return 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120, help="for each target")
    parser.add_argument("--only", nargs="*", choices=TARGETS, help="some targets; no record")
    parser.add_argument("--remark", default="", help="what else ran, what was found and mended")
    given = parser.parse_args()
    rows = []
    for name in given.only or TARGETS:
        with tempfile.TemporaryDirectory() as corpus:
            rows.append(run(name, given.seconds, Path(corpus)))
        print(rows[-1], flush=True)
    if not given.only:
        write_record(
            Record(
                name="fuzz",
                title="Fuzzing of every decoder of foreign bytes",
                seed=_SEED,
                command="make fuzz",
                goal="no error but latentd's own comes out, no input takes over "
                f"{_MOST_SECONDS} s or {_MOST_MB} MB.",
                columns=("target", "s", "executions", "/s", "corpus", "peak MB", "findings"),
                rows=rows,
                remark=f"atheris (libFuzzer), inputs up to {_MOST_BYTES} bytes, guided by the "
                f"coverage of `service`, `PIL` and `numpy.lib`. {given.remark}".strip(),
            )
        )
    return int(any(row[-1] for row in rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--target"]:
        fuzz(sys.argv[2], sys.argv[3:])
    raise SystemExit(main())
