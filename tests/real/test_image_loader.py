"""Real X-rays through the image loader: every file passes, and is the picture that Pillow sees."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr.data.images import encode_png, fit_square, pixels_to_image_id, read_gray

NIH = Path(__file__).parents[2].parent / "shared" / "data" / "nih-cxr"


def test_all_nih_files_pass() -> None:
    if not NIH.is_dir():
        pytest.skip(f"the NIH X-rays are not at {NIH}")
    files = sorted(NIH.glob("*/*.jpg"))
    assert len(files) == 773
    ids = set()
    for number, file in enumerate(files):
        pixels = read_gray(file.read_bytes())
        assert pixels.dtype == np.uint8 and pixels.ndim == 2 and max(pixels.shape) == 512, file.name
        ids.add(pixels_to_image_id(pixels))
        if number % 19 == 0:
            seen = np.asarray(Image.open(file).convert("L")).astype(int)
            assert np.abs(pixels - seen).max() <= 2, file.name
            square = fit_square(pixels, 512, "keep")
            np.testing.assert_array_equal(read_gray(encode_png(square)), square)
    assert len(ids) == 773, "two files hold the same picture"


def test_shrinking_real_x_rays_agrees_with_pillow() -> None:
    if not NIH.is_dir():
        pytest.skip(f"the NIH X-rays are not at {NIH}")
    for file in sorted(NIH.glob("*/*.jpg"))[::40]:
        pixels = read_gray(file.read_bytes())
        for method, mean, most in ((Image.Resampling.BOX, 0.5, 2), (Image.Resampling.LANCZOS, 1.5, 12)):  # gray levels
            reference = np.asarray(Image.fromarray(pixels).resize((128, 128), method)).astype(int)
            difference = np.abs(fit_square(pixels, 128, "square") - reference)
            assert difference.mean() <= mean and np.percentile(difference, 99) <= most, (file.name, method)
