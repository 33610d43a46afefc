"""Calls of every operation with curl, the page in Chromium, and the comparison with a reference."""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import sync_playwright

_CHROMIUM = ["--no-sandbox", "--disable-gpu"]
_SETTLE_MS = 1500


def check_row(base: str, name: str, folder: Path) -> dict[str, object]:
    """Call every operation of a model, open the page, and compare with the original.

    Args:
        base: The service's URL.
        name: The model.
        folder: Folder with reference.npz.

    Returns:
        The operations, the sample sources, the largest differences, and the page's errors.
    """
    reference = np.load(folder / "reference.npz")
    images, space = reference["images"], "autoencoder"
    info = json.loads(call(f"{base}/v1/models/{name}"))
    codes = call_array(f"{base}/v1/encode?model={name}", images)
    decoded = call_array(f"{base}/v1/decode?model={name}", reference["codes"])
    rebuilt = call_array(f"{base}/v1/reconstruct?model={name}", images)
    called = ["encode", "decode", "reconstruct"]
    for operation in ("denoise", "classify"):
        if operation in info["operations"]:
            call(f"{base}/v1/{operation}?model={name}", to_npy(images[:1]))
            called.append(operation)
    call_array(f"{base}/v1/interpolate?model={name}&steps=3", codes[:2])
    for source in info["sources"]:
        url = f"{base}/v1/sample?model={name}&source={source['name']}&count=2&seed=1"
        samples = call_array(url, None)
        if not np.isfinite(samples).all():
            raise RuntimeError(f"{url}: NaN or infinity")
    for path in (f"maps/{space}", "report"):
        call(f"{base}/v1/models/{name}/{path}")
    return {
        "image": "x".join(map(str, images.shape[1:])),
        "code": "x".join(map(str, info["spaces"][space]["shape"])),
        "operations": [*called, "interpolate", "sample"],
        "sources": len(info["sources"]),
        "codes": float(np.abs(codes - reference["codes"]).max()),
        "largest_code": float(np.abs(reference["codes"]).max()),
        "images": float(np.abs(decoded - reference["reconstructions"]).max()),
        "both": float(np.abs(rebuilt - reference["reconstructions"]).max()),
        "page_errors": open_page(base, name),
    }


def call(url: str, body: bytes | None = None, accept: str = "application/json") -> bytes:
    """Call the service with curl, and return the response.

    Raises:
        RuntimeError: the status is an error.
    """
    command = ["curl", "-s", "-f", "-H", f"Accept: {accept}", url]
    if "/report" in url or "/maps/" in url:
        command = ["curl", "-s", "-f", url]
    if body is not None:
        command += ["-H", "Content-Type: application/x-npy", "--data-binary", "@-"]
    elif "/v1/sample" in url:
        command += ["-X", "POST"]
    result = subprocess.run(command, input=body, capture_output=True, check=False)  # noqa: S603
    if result.returncode:
        raise RuntimeError(f"curl {url}: exit status {result.returncode}")
    return result.stdout


def call_array(url: str, array: NDArray[np.generic] | None) -> NDArray[np.float32]:
    """Send an array, and return the array of the response."""
    body = None if array is None else to_npy(array)
    received: NDArray[np.float32] = np.load(io.BytesIO(call(url, body, "application/x-npy")))
    return received


def to_npy(array: NDArray[np.generic]) -> bytes:
    """Return an array as a .npy file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def open_page(base: str, name: str) -> int:
    """Open the page, choose the model, generate, and return the number of errors."""
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_CHROMIUM)
        tab = browser.new_page()
        tab.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(base)
        tab.wait_for_load_state("networkidle")
        tab.select_option("#model", name)
        tab.wait_for_load_state("networkidle")
        tab.wait_for_timeout(_SETTLE_MS)
        browser.close()
    return len(errors)
