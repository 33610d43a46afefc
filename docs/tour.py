"""Draw docs/images/tour.png from a running service, with the public API.

usage: python docs/tour.py [URL]        (default http://127.0.0.1:8000)
"""

import io
import sys
from pathlib import Path

import httpx
import numpy as np
from PIL import Image, ImageDraw

SCALE = 3
GAP = 12
TARGET = Path(__file__).parent / "images" / "tour.png"


def fetch(client: httpx.Client, path: str, **options: object) -> Image.Image:
    """Send a POST request and return the enlarged image of its response."""
    response = client.post(path, headers={"Accept": "image/png"}, **options)
    response.raise_for_status()
    return enlarge(Image.open(io.BytesIO(response.content)))


def enlarge(image: Image.Image) -> Image.Image:
    """Scale an image by `SCALE` without smoothing."""
    return image.resize((SCALE * image.width, SCALE * image.height), Image.Resampling.NEAREST)


def draw_tour(client: httpx.Client) -> Image.Image:
    """Return one image: two grids of samples, and below them an interpolation."""
    grids = [
        fetch(client, f"/v1/sample?model={model}&count=49&seed=2")
        for model in ("fashion-mnist", "mnist")
    ]
    ends = [
        client.post(f"/v1/sample?model=fashion-mnist&source=kde&class={label}&seed={seed}").json()[
            "latents"
        ][0]
        for label, seed in (("Ankle boot", 1), ("Sneaker", 7))
    ]
    body = {"latents": ends, "steps": 14, "encoding": "array"}
    images = client.post("/v1/interpolate?model=fashion-mnist", json=body).json()["images"]
    strip = np.hstack([np.pad(image[0], ((0, 0), (0, 2))) for image in np.array(images)])
    return arrange(grids, enlarge(Image.fromarray(np.rint(255 * strip).astype(np.uint8))))


def arrange(grids: list[Image.Image], line: Image.Image) -> Image.Image:
    """Arrange two grids with captions, and a strip below them."""
    width = sum(grid.width for grid in grids) + 3 * GAP
    caption = 2 * GAP
    page = Image.new("L", (width, grids[0].height + line.height + 2 * caption + 2 * GAP), 255)
    pen = ImageDraw.Draw(page)
    left = GAP
    for grid, text in zip(grids, ("fashion-mnist: KDE samples", "mnist: KDE samples"), strict=True):
        pen.text((left, GAP // 2), text, fill=0, font_size=14)
        page.paste(grid, (left, caption))
        left += grid.width + GAP
    top = caption + grids[0].height + GAP
    pen.text((GAP, top), "interpolate: Ankle boot to Sneaker", fill=0, font_size=14)
    page.paste(line, (GAP, top + caption))
    return page


if __name__ == "__main__":
    base = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    with httpx.Client(base_url=base) as opened:
        TARGET.parent.mkdir(exist_ok=True)
        draw_tour(opened).save(TARGET, optimize=True)
    print(f"wrote {TARGET}")
