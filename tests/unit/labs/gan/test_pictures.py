"""Pictures of pictures: order, size, frames."""

import io

import numpy as np
from PIL import Image

from cxr.labs.gan import pictures

COUNT, SIDE = pictures.COLUMNS * pictures.ROWS, (28 + 2 * pictures.EDGE) * pictures.SCALE


def numbered(first: int = 0) -> np.ndarray:
    return np.stack([np.full((28, 28), first + n, np.uint8) for n in range(COUNT)])


def test_the_grid_is_filled_row_by_row() -> None:
    grid = pictures.grid(numbered())
    assert grid.shape == (pictures.ROWS * SIDE, pictures.COLUMNS * SIDE)
    centres = grid[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE]
    assert centres.ravel().tolist() == list(range(COUNT))


def test_the_animation_has_a_frame_for_each() -> None:
    image = Image.open(io.BytesIO(pictures.gif([numbered(n) for n in (0, 60, 120)])))
    assert (image.n_frames, image.format) == (3, "GIF")
    levels = []
    for frame in range(3):
        image.seek(frame)
        levels.append(np.array(image.convert("L"))[SIDE // 2, SIDE // 2])
    assert levels == [0, 60, 120] and image.info["duration"] == pictures.LAST_FRAME


def test_figures_are_drawn() -> None:
    history = [{"epoch": n, "discriminator_loss": 1.0, "generator_loss": 1.0 / n, "real_accuracy": 0.5,
                "fake_accuracy": 0.6} for n in (1, 2, 3)]  # fmt: skip
    drawn = [pictures.curves(history), pictures.curves(history[:2])]
    drawn += [pictures.histogram("ab", counts, [2, 2]) for counts in ([1, 2], [2, 1])]
    drawn.append(pictures.confusion("ab", np.array([[5, 0], [1, 4]])))
    assert len(set(drawn)) == 5 and all(Image.open(io.BytesIO(data)).format == "PNG" for data in drawn)
