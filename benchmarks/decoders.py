"""Compare the pixels that the service reads of image files with those of OpenCV.

    python -m venv opencv && opencv/bin/pip install opencv-python-headless
    python -m benchmarks.decoders FOLDER --python opencv/bin/python

OpenCV runs in a separate environment: it is not a dependency, and its crash counts as a rejection.
Every file that is PNG or JPEG by its first bytes is compared at its full size, on black and on
white where it is transparent. The exit status is 1 if a file differs without an explanation.

PyPI brings test pictures: the source distribution of Pillow and the wheel of scikit-image. That of
imageio contains none; its tests download theirs.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.artifact import ImageSpec
from service.artifact.image_files import open_image
from service.artifact.image_files.jpeg import SIGNATURE as JPEG
from service.artifact.image_files.png import SIGNATURE as PNG
from service.artifact.pixels import to_pixels
from service.errors import RequestError

MAX_PIXELS = 32_000_000
"""The default of the setting `max_pixels`."""
_PNG_TOLERANCE = (2, 1.0)
_JPEG_TOLERANCE = (48, 2.0)
"""Largest and mean difference of 255: JPEG decoders differ in the transform and in upsampling."""
_EXPLAINED = {
    "syntax_num_frames_zero_default.png": "OpenCV rejects its animation of 0 frames; the default "
    "image is intact",
    "i_trns.png": "OpenCV ignores the transparent level of 16-bit grey",
    "l_trns.png": "OpenCV ignores the transparent level of 8-bit grey",
    "truncated_jpeg.jpg": "it ends before its last rows, which OpenCV fills with grey",
    "ultrahdr.jpg": "it ends before its first row, and OpenCV returns a grey image",
}
"""Test pictures of Pillow that are read differently, with the reason."""
_SETTLED = frozenset({"equal", "both reject"})
_OTHER = """
import sys
import cv2
import numpy as np
image = cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED)
if image is None:
    sys.exit(3)
if image.ndim == 2:
    image = image[..., None]
if image.dtype == np.uint16:
    image = np.rint(image / 257)
image = image.astype(np.float64)
channels = image.shape[2]
alpha = image[..., -1:] / 255 if channels in (2, 4) else None
color = image[..., : channels - 1] if alpha is not None else image
if alpha is None and image.dtype is not None:
    upright = cv2.imread(sys.argv[1], cv2.IMREAD_COLOR)
    if upright.shape[:2] != image.shape[:2] or (channels == 3 and np.any(upright != image)):
        color = upright.astype(np.float64)
color = np.repeat(color, 3, axis=2) if color.shape[2] == 1 else color[..., ::-1]
pages = [color] if alpha is None else [color * alpha + level * (1 - alpha) for level in (0, 255)]
np.save(sys.argv[2], np.stack(pages))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """How the two decoders treat a file."""

    kind: str
    """`equal`, `both reject`, or a kind of difference."""
    detail: str = ""


def read_by_service(content: bytes) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3) that the service makes of a file at its full size.

    Raises:
        RequestError: the service rejects the file.
        Exception: errors of decoding, which the service turns into a rejection.
    """
    file = open_image(content)
    if file.width * file.height > MAX_PIXELS:
        raise RequestError("too many pixels")
    image = file.decode_upright()
    spec = ImageSpec(channels=3, height=image.height, width=image.width, background=(0, 0, 0))
    return to_pixels(image, spec).transpose(1, 2, 0)


def read_by_other(python: Path, path: Path, folder: Path) -> NDArray[np.float64] | None:
    """Return OpenCV's pixels (1 or 2 backgrounds, H, W, 3); None if it rejects the file."""
    target = folder / "pixels.npy"
    command = [str(python), "-c", _OTHER, str(path), str(target)]
    status = subprocess.run(  # noqa: S603 - the interpreter that the user names
        command, stderr=subprocess.DEVNULL, check=False
    ).returncode
    if status:
        return None
    pixels: NDArray[np.float64] = np.load(target)
    return pixels


def compare(path: Path, other: NDArray[np.float64] | None) -> Finding:
    """Compare the service's reading of a file with the other decoder's."""
    content = path.read_bytes()
    try:
        pixels = read_by_service(content)
    except Exception as error:  # noqa: BLE001 - Pillow raises whatever a broken file makes it
        kind = "both reject" if other is None else "only the service rejects"
        return Finding(kind, f"{type(error).__name__}: {error}")
    if other is None:
        return Finding("only OpenCV rejects", f"{pixels.shape[1]} x {pixels.shape[0]}")
    if other.shape[1:] != pixels.shape:
        return Finding("other size", f"{pixels.shape[:2]}, OpenCV {other.shape[1:3]}")
    largest, mean = _PNG_TOLERANCE if content.startswith(PNG) else _JPEG_TOLERANCE
    differences = [np.abs(page - pixels) for page in other]
    best = min(differences, key=lambda difference: float(difference.mean()))
    if best.max() <= largest and best.mean() <= mean:
        return Finding("equal")
    return Finding("other pixels", f"at most {best.max():.0f}, on average {best.mean():.2f}")


def explain(path: Path, finding: Finding) -> Finding:
    """Return a difference as explained if its reason is known."""
    if finding.kind in _SETTLED or path.name not in _EXPLAINED:
        return finding
    return Finding("explained", f"{finding.kind}: {_EXPLAINED[path.name]}")


def main() -> int:
    """Compare every file of a folder; return 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of image files, with subfolders")
    parser.add_argument("--python", type=Path, required=True, help="interpreter that has OpenCV")
    flags = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(path for path in flags.folder.rglob("*") if path.is_file()):
            with path.open("rb") as stream:
                if not stream.read(8).startswith((PNG, JPEG)):
                    continue
            finding = explain(path, compare(path, read_by_other(flags.python, path, Path(folder))))
            counts[finding.kind] += 1
            if finding.kind not in _SETTLED:
                name = path.relative_to(flags.folder)
                print(f"{name}: {finding.kind}: {finding.detail}", flush=True)
    print(", ".join(f"{kind}: {count}" for kind, count in counts.most_common()))
    return int(bool(counts.keys() - _SETTLED - {"explained"}))


if __name__ == "__main__":
    sys.exit(main())
