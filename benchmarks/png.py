"""Claim: a PNG is encoded at least 5 times as fast as by Pillow's default, at most 1.05 times its size, lossless.

On the same 512 x 512 gray pixels: real chest X-rays where ../shared/data/nih-cxr is there, else phantoms.
"""

import io
from pathlib import Path

import numpy as np
from _side_by_side import side_by_side, verdict
from PIL import Image

from cxr.data.images import decode_gray, encode_png
from cxr.embedded.phantoms import draw_phantom

GOAL, LARGEST = 5.0, 1.05
PICTURES, SIDE = 24, 512
REAL = Path(__file__).parents[2] / "shared" / "data" / "nih-cxr"


def main() -> None:
    kind, pictures = real_pictures() if REAL.is_dir() else phantoms()
    ours, theirs = [encode_png(p) for p in pictures], [pillow_png(p) for p in pictures]
    for pixels, *files in zip(pictures, ours, theirs, strict=True):
        assert all(np.array_equal(decode_gray(file, "png"), pixels) for file in files), "decodes to other pixels"
    size = sum(map(len, ours)) / sum(map(len, theirs))
    sides = side_by_side(lambda: [encode_png(p) for p in pictures], lambda: [pillow_png(p) for p in pictures])
    milliseconds = 1e3 / len(pictures)
    print(f"{len(pictures)} {kind} of {SIDE} x {SIDE} px")
    print(f"  ours {sides.our_median * milliseconds:.2f} ms, {sum(map(len, ours)) / len(pictures) / 1024:.1f} KiB")
    print(
        f"  Pillow {sides.their_median * milliseconds:.2f} ms, {sum(map(len, theirs)) / len(pictures) / 1024:.1f} KiB"
    )
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    verdict(
        sides.ratio >= GOAL and size <= LARGEST,
        f"{sides.ratio:.2f} times as fast (at least {GOAL}), {size:.3f} times the size (at most {LARGEST})",
    )


def pillow_png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def real_pictures() -> tuple[str, list[np.ndarray]]:
    files = sorted(REAL.glob("*/*.jpg"))
    chosen = files[:: len(files) // PICTURES][:PICTURES]
    resized = [Image.open(f).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS) for f in chosen]
    return "real X-rays (NIH ChestX-ray14)", [np.asarray(image) for image in resized]


def phantoms() -> tuple[str, list[np.ndarray]]:
    return "phantoms", [draw_phantom(0, number, size=SIDE).pixels for number in range(PICTURES)]


if __name__ == "__main__":
    main()
