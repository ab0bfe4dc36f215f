"""Key points: views without drawing them, geometry, and pictures that have none."""

import numpy as np
import pytest

from cxr.detectors.keypoints import SIDE, VIEWS, KeyPointIndex, best_fit, find_key_points, fit


@pytest.mark.parametrize(
    ("view", "draw"),
    [
        ("inverted", lambda p: 255 - p),
        ("mirrored", lambda p: np.ascontiguousarray(p[:, ::-1])),
        ("mirrored and inverted", lambda p: np.ascontiguousarray(255 - p[:, ::-1])),
    ],
)
def test_a_view_is_what_drawing_it_gives(phantoms, view: str, draw):
    points, drawn = find_key_points(phantoms[0][0]), find_key_points(draw(phantoms[0][0]))
    seen = fit(drawn.seen(list(VIEWS).index(view)), points)
    assert seen.score > 0.6 * len(np.unique(points.places, axis=0)) > 2 * fit(drawn, points).score


def test_matched_points_of_a_mirrored_picture_are_its_own(phantoms):
    picture = phantoms[0][3]
    found = best_fit(np.ascontiguousarray(picture[:, ::-1]), picture)
    assert len(found.query) > 30
    assert np.median(np.abs(found.query + found.original * (1, -1) - (SIDE - 1, 0))) < 0.5


def test_matched_points_lie_where_the_picture_was_moved_to(phantoms):
    from cxr.audit.planted import moved

    picture = phantoms[0][3]
    found = best_fit(moved(0.05, -0.03)(picture, picture, np.random.default_rng(0)), picture)
    shift = np.median(found.query - found.original, axis=0) / SIDE
    assert np.allclose(shift, [0.05, -0.03], atol=0.005) and len(found.query) == len(found.original) > 30


def test_flat_pictures_match_nothing(phantoms):
    flat = np.full((3, 128, 128), 80, np.uint8)
    index = KeyPointIndex(np.concatenate([flat, phantoms[0][:5]]), np.random.default_rng(0))
    assert index.nearest(flat).scores.tolist() == [0, 0, 0]
    assert KeyPointIndex(flat, np.random.default_rng(0)).nearest(phantoms[0][:2]).scores.tolist() == [0, 0]


def test_the_batch_does_not_change_what_is_found(phantoms):
    index = KeyPointIndex(phantoms[0][:12], np.random.default_rng(0))
    whole = index.nearest(phantoms[1][:4])
    parts = [index.nearest(phantoms[1][row : row + 1]) for row in range(4)]
    assert whole.scores.tolist() == [part.scores[0] for part in parts]
    assert whole.rows.tolist() == [part.rows[0] for part in parts]
