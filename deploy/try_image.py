"""Call every operation of a service that is starting, and report its start time.

usage: try_image.py URL [--sizes BASE_MB IMAGE_MB] [--write]
"""

import argparse
import json
import platform
import re
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "deploy.md"
_START_SECONDS = 60


def main() -> int:
    """Run the checks; return 1 if one fails."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--sizes", type=int, nargs=2, default=(0, 0))
    parser.add_argument("--write", action="store_true", help="write the table of docs/deploy.md")
    flags = parser.parse_args()
    seconds = wait_until_ready(flags.url)
    operations = call_operations(flags.url)
    print(f"Ready after {seconds:.2f} s; {operations} operations responded with 200")
    base_mb, image_mb = flags.sizes
    rows = {
        "base, Debian with Python": f"{base_mb} MB",
        "image, without layers that share it": f"{image_mb} MB",
        "of it latentd, its libraries and bundles": f"{image_mb - base_mb} MB",
        "start until ready": f"{seconds:.2f} s",
        "operations called": str(operations),
    }
    for name, value in rows.items():
        print(f"  {name}: {value}")
    if flags.write:
        write_table(rows)
    return 0


def wait_until_ready(url: str) -> float:
    """Return the seconds until the service is ready."""
    started = time.monotonic()
    while time.monotonic() - started < _START_SECONDS:
        try:
            request(f"{url}/readyz")
        except OSError:
            time.sleep(0.02)
        else:
            return time.monotonic() - started
    sys.exit(f"The service at {url} is not ready after {_START_SECONDS} s")


def call_operations(url: str) -> int:
    """Send the JSON example of each operation in OpenAPI; return their number."""
    paths = json.loads(request(f"{url}/openapi.json"))["paths"]
    called = 0
    for path, methods in paths.items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        example = content.get("application/json", {}).get("example")
        if path.startswith("/v1/") and example is not None:
            request(url + path, example)
            called += 1
    if not called:
        sys.exit("The OpenAPI document has no operation with an example")
    return called


def request(url: str, body: Any = None) -> bytes:  # noqa: ANN401 - any JSON
    """Return the body of a response with status 200."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as response:  # noqa: S310 - http
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        if not url.endswith("/readyz"):
            sys.exit(f"{url}: {error.code} {error.read().decode()[:300]}")
        raise


def write_table(rows: dict[str, str]) -> None:
    """Replace the table of the image in docs/deploy.md."""
    today = datetime.now(UTC).date().isoformat()
    lines = ["| image | |", "| --- | --- |", *(f"| {key} | {rows[key]} |" for key in rows)]
    table = (
        "\n".join(lines)
        + f"\n| measured | {today}, `make image ARGS=--write`, {platform.machine()} |\n"
    )
    page, count = re.subn(
        r"^\| image \|.*\n(?:\|.*\n)+", lambda _: table, PAGE.read_text(), flags=re.MULTILINE
    )
    if count != 1:
        sys.exit(f"Expected one table with the first column 'image' in {PAGE}, got {count}")
    PAGE.write_text(page)


if __name__ == "__main__":
    sys.exit(main())
