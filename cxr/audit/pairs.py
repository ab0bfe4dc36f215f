"""Pictures of pairs: a synthetic picture, the training picture that it is most like, and lines between what matches."""

from collections.abc import Sequence

import cv2
import numpy as np

from cxr.audit.conduct import CopySearch
from cxr.audit.results import Pair
from cxr.audit.sets import RealPictures
from cxr.data.images import fit_square
from cxr.detectors.keypoints import SIDE, Fit, best_fit

SCALE, GAP = 2, 16  # px of the drawing for one px of a picture; px between the two
LINES = 40  # of a pair, at most
COLOURS = ((178, 114, 0), (0, 159, 230), (115, 158, 0), (167, 121, 204))  # Okabe and Ito's, blue, green, red


def choose_pairs(
    searches: Sequence[CopySearch], synthetic: np.ndarray, ids: Sequence[str], real: RealPictures, most: int
) -> tuple[list[Pair], dict[str, bytes]]:
    """The pairs that a page shows, and their pictures by key: of every detector the highest scores, flagged or not.

    Args:
        synthetic: uint8 [M, S, S]; ids: of these.
    """
    pairs: list[Pair] = []
    pictures: dict[str, bytes] = {}
    for search in searches:
        for row in np.argsort(-search.scores, kind="stable")[: most // len(searches)].tolist():
            original = int(search.rows[row])
            key = f"pairs/{len(pairs):03d}.png"
            pictures[key] = draw_pair(synthetic[row], real.pixels[original])
            pairs.append(
                Pair(
                    ids[row],
                    str(real.ids[original]),
                    str(real.patients[original]),
                    search.name,
                    float(search.scores[row]),
                    flagged=search.test is not None and bool(search.test.flagged[row]),
                    clear=search.test is not None and bool(search.test.clear[row]),
                    key=key,
                )
            )
    return pairs, pictures


def draw_pair(query: np.ndarray, original: np.ndarray) -> bytes:
    """A PNG of two pictures, uint8 [H, W], with lines between the key points that one movement explains."""
    found: Fit = best_fit(query, original)
    side = SCALE * SIDE
    canvas = np.full((side, 2 * side + GAP, 3), 255, np.uint8)
    for left, picture in ((0, query), (side + GAP, original)):
        square = fit_square(fit_square(picture, SIDE, "keep"), side, "keep")
        canvas[:, left : left + side] = square[:, :, None]
    lines = list(zip(found.query.tolist(), found.original.tolist(), strict=True))
    for number, ((x, y), (to_x, to_y)) in enumerate(lines[:: max(1, -(-len(lines) // LINES))]):
        ends = (round(SCALE * x), round(SCALE * y)), (round(SCALE * to_x) + side + GAP, round(SCALE * to_y))
        cv2.line(canvas, *ends, COLOURS[number % len(COLOURS)], 1, cv2.LINE_AA)
        for end in ends:
            cv2.circle(canvas, end, 3, COLOURS[number % len(COLOURS)], -1, cv2.LINE_AA)
    return cv2.imencode(".png", canvas)[1].tobytes()
