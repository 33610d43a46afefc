"""Peak memory of decoding, measured for each kind of file, against its estimate."""

import json
import subprocess
import sys

import pytest

MEASURE = """
import io, json, os, sys
from pathlib import Path
import numpy as np
from PIL import Image
from service.artifact import ImageSpec
from service.artifact.image_files import open_image
from service.artifact.pixels import to_pixels

SIDE = 1500
FORMATS = frozenset({"webp", "gif", "bmp", "tiff"})

def make_files():
    rng = np.random.default_rng(0)
    rows = np.cumsum(rng.integers(-2, 3, (SIDE, SIDE, 4)), axis=1).astype(np.uint8)
    color = Image.fromarray(rows, "RGBA")
    deep = Image.fromarray(rows[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    palette = color.convert("RGB").quantize(16)
    modes = {mode: color.convert(mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK")}
    modes |= {"P": palette, "I;16": deep}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield f"PNG {mode}", modes[mode], "PNG", {}
    yield "PNG P transparent", palette, "PNG", {"transparency": 0}
    yield "PNG RGBA turned", color, "PNG", {"exif": exif}
    for mode in ("L", "RGB", "CMYK"):
        yield f"JPEG {mode}", modes[mode], "JPEG", {}
        yield f"JPEG {mode} progressive", modes[mode], "JPEG", {"progressive": True}
    yield "JPEG RGB turned", modes["RGB"], "JPEG", {"exif": exif}
    yield "WEBP RGBA", color, "WEBP", {}
    yield "GIF P", palette, "GIF", {}
    yield "BMP RGB", modes["RGB"], "BMP", {}
    for mode in ("L", "RGB", "RGBA", "I;16"):
        yield f"TIFF {mode}", modes[mode], "TIFF", {}

def read(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))

def measure(content, channels):
    spec = ImageSpec(channels=channels, height=28, width=28, background=(0.0,) * channels)
    file = open_image(content, FORMATS)
    estimate = file.memory
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = read("VmRSS")
    to_pixels(file.decode_upright(), spec, "auto")
    return read("VmHWM") - before, estimate

for name, image, kind, options in make_files():
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    for channels in (1, 3):
        receiver, sender = os.pipe()
        if os.fork() == 0:
            os.write(sender, json.dumps(measure(stream.getvalue(), channels)).encode())
            os._exit(0)
        os.wait()
        print(json.dumps([f"{name} to {channels}", *json.loads(os.read(receiver, 99))]))
"""
ALLOWANCE = 4 * 1024 * 1024
"""Memory that does not grow with the pixels, such as the code of a codec."""


@pytest.mark.slow
def test_decoding_takes_at_most_its_estimate() -> None:
    """No kind of file takes more memory than the budget counts, for one and three channels."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE]
    completed = subprocess.run(command, check=True, capture_output=True, text=True)

    rows = [json.loads(line) for line in completed.stdout.splitlines()]

    assert len(rows) == 2 * 23
    assert [row for row in rows if row[1] > row[2] + ALLOWANCE] == []
