"""Claim: the image loader takes in at least as many images a second and core as a bare Pillow decode, resize, encode.

Over the same files, to 512 x 512 gray PNG, one thread each. Ours also checks, and keeps the aspect ratio.
"""

import io
from pathlib import Path

import cv2
from _side_by_side import side_by_side, verdict
from PIL import Image

from cxr.data.images import encode_png, fit_square, read_gray
from cxr.embedded.phantoms import draw_phantom

GOAL = 1.0
PICTURES, SIDE = 24, 512
REAL = Path(__file__).parents[2] / "shared" / "data" / "nih-cxr"


def main() -> None:
    cv2.setNumThreads(1)
    kind, files = real_files() if REAL.is_dir() else phantoms()
    sides = side_by_side(lambda: [ours(f) for f in files], lambda: [theirs(f) for f in files])
    milliseconds = 1e3 / len(files)
    print(f"{len(files)} {kind} to {SIDE} x {SIDE} px")
    print(
        f"  ours {sides.our_median * milliseconds:.2f} ms, Pillow {sides.their_median * milliseconds:.2f} ms an image"
    )
    print(f"  ratio of each turn: {', '.join(f'{ratio:.2f}' for ratio in sides.ratios)}")
    verdict(sides.ratio >= GOAL, f"{sides.ratio:.2f} times as many images a second (at least {GOAL})")


def ours(file: bytes) -> bytes:
    return encode_png(fit_square(read_gray(file), SIDE, "keep"))


def theirs(file: bytes) -> bytes:
    data = io.BytesIO()
    image = Image.open(io.BytesIO(file)).convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    image.save(data, "PNG")
    return data.getvalue()


def real_files() -> tuple[str, list[bytes]]:
    files = sorted(REAL.glob("*/*.jpg"))
    return "real X-rays (NIH ChestX-ray8)", [f.read_bytes() for f in files[:: len(files) // PICTURES][:PICTURES]]


def phantoms() -> tuple[str, list[bytes]]:
    return "phantoms", [encode_png(draw_phantom(0, number, size=SIDE).pixels) for number in range(PICTURES)]


if __name__ == "__main__":
    main()
