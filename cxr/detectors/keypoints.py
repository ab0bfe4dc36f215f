"""Is a picture a copy of a training picture, whole or in part? Key points are matched and one movement fitted.

SIFT (Lowe 2004, IJCV 60, 91) on a picture of even contrast (CLAHE), its descriptors compared as RootSIFT (Arandjelovic
and Zisserman 2012, CVPR); a match counts where the best is clearly nearer than the second (ratio test), and the score
is the number of matches that one shift, turn and scaling explains (RANSAC). So crops, halves, turned and pasted
pictures are found, of which the correlation of whole pictures knows nothing; what is blurred has few key points.

Inverting a picture, or mirroring it, only reorders the numbers of a descriptor, so both are looked for without being
drawn. Pictures to match in full are nominated by words: each descriptor stands for the nearest of a few thousand
examples, a query's for the three nearest, along their main axes, and pictures that share rare ones come first (Sivic
and Zisserman 2003, ICCV). Each example is there in all views, so that the words of a picture in another view are known
without a search.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import csr_array

from cxr.data.images import fit_square
from cxr.detectors.matches import Matches, in_parts, pool

SIDE = 192  # px that pictures are looked at with
KEY_POINTS = 200  # the strongest of a picture
FAINTEST = 0.02  # contrast of a key point, as SIFT counts it
EXAMPLES = 4096  # descriptors that are words, each in all views: words 4n to 4n + 3; with 2,048, turned crops lose 7 %
AXES = 32  # along which words are compared
NEAREST = 3  # words of each descriptor of a query, one of a training picture's: with one, some crops lose 4 %
NOMINATED = 16  # pictures, each in one view, that are matched in full
RATIO = 0.85
TOLERANCE = 3.0  # px that a match may lie off the movement
SCALES = 0.5, 2.0  # that a movement may have

PLACES = np.arange(128).reshape(4, 4, 8)  # of a descriptor: 4 x 4 cells with 8 directions each
TURNED = PLACES[::-1, ::-1].ravel()  # light and dark exchanged turn every direction, and so the cells, by 180 degrees
MIRRORED = PLACES[::-1, :, -np.arange(8) % 8].ravel()
VIEWS = {
    "as it is": np.arange(128),
    "inverted": TURNED,
    "mirrored": MIRRORED,
    "mirrored and inverted": MIRRORED[TURNED],
}
MIRROR = [number for number, name in enumerate(VIEWS) if name.startswith("mirrored")]
ORDERS = np.stack([*VIEWS.values()])  # view 3 is 1 after 2, and each undoes itself: a view of a view is their XOR


@dataclass(frozen=True)
class KeyPoints:
    """Of one picture."""

    places: np.ndarray  # float32 [K, 2], x and y
    descriptors: np.ndarray  # float32 [K, 128], RootSIFT, of length 1

    def seen(self, view: int) -> "KeyPoints":
        """The same key points in one of `VIEWS`."""
        return KeyPoints(in_view(self.places, view), self.descriptors[:, ORDERS[view]])


@dataclass(frozen=True)
class Fit:
    """What one movement explains of two pictures' matches."""

    query: np.ndarray  # float32 [M, 2], places in the query, of SIDE px
    original: np.ndarray  # float32 [M, 2], where these are in the other picture

    @property
    def score(self) -> int:
        """Distinct places in both: one place can have several key points."""
        return min(len({*map(tuple, places.tolist())}) for places in (self.query, self.original))


NOTHING = Fit(np.empty((0, 2), np.float32), np.empty((0, 2), np.float32))


class KeyPointIndex:
    """Pictures ready to be searched, about 105 kB each. Never written to, so threads can share it."""

    def __init__(self, pixels: np.ndarray, rng: np.random.Generator) -> None:
        """Of uint8 [N, H, W], N at least 1; `rng` draws the descriptors that are words."""
        with pool() as threads:
            self.points = list(threads.map(find_key_points, pixels))
            every = np.concatenate([one.descriptors for one in self.points])
            drawn = every[np.sort(rng.permutation(len(every))[:EXAMPLES])]
            examples = drawn[:, ORDERS].reshape(-1, 128)
            self.axes = main_axes(examples)
            words = examples @ self.axes
            # The nearest word has the largest of these products: the last row is half of its squared length. Words are
            # columns, and rows lie together in memory: else the products take a third longer.
            self.words = np.ascontiguousarray(np.vstack([words.T, -(words**2).sum(axis=1) / 2]))
            counts = self.stack(list(threads.map(self.find_words, self.points)))
        rarity = np.log((1 + len(pixels)) / (1 + np.bincount(counts.indices, minlength=self.words.shape[1])))
        self.rarity = rarity.astype(np.float32)
        weighted = counts.multiply(self.rarity).tocsr()
        norms = np.sqrt(weighted.multiply(weighted).sum(axis=1)).clip(1e-6)
        self.bags = (weighted.multiply(1 / norms[:, None])).T.tocsr()

    def find_words(self, points: KeyPoints, nearest: int = 1) -> np.ndarray:
        """int [W]: of a picture as it is, so many of each descriptor, each word once."""
        if not self.words.size:
            return np.empty(0, int)
        places = points.descriptors @ self.axes
        alike = np.hstack([places, np.ones((len(places), 1), np.float32)]) @ self.words
        every, found = np.arange(len(alike)), []
        for _ in range(nearest):  # by numpy's argpartition the three largest take ten times as long
            found.append(alike.argmax(axis=1))
            alike[every, found[-1]] = -np.inf
        return np.unique(found)

    def stack(self, words: Sequence[np.ndarray]) -> csr_array:
        """float32 [Q, all words]: 1 for each word that a picture shows."""
        ends = np.cumsum([0, *map(len, words)])
        shown = np.concatenate(words)
        return csr_array((np.ones(len(shown), np.float32), shown, ends), shape=(len(words), self.words.shape[1]))

    def nearest(self, pixels: np.ndarray, *, advance: Callable[[int], object] = lambda count: None) -> Matches:
        """Of queries uint8 [Q, H, W], the picture with which each shares most; scores are matched key points."""
        found: list[tuple[int, int]] = []
        with pool() as threads:
            for part in threads.map(lambda part: self.search(pixels[part]), in_parts(len(pixels))):
                found += part
                advance(len(part))
        scores, rows = np.array(found).reshape(-1, 2).T
        return Matches(scores.astype(np.float32), rows)

    def search(self, pixels: np.ndarray) -> list[tuple[int, int]]:
        """Score and row of the best match of each query, uint8 [Q, H, W]."""
        points = [find_key_points(picture) for picture in pixels]
        nominated = self.nominate([self.find_words(one, NEAREST) for one in points])
        return [self.best(*both) for both in zip(points, nominated, strict=True)]

    def nominate(self, words: Sequence[np.ndarray]) -> np.ndarray:
        """int [Q, K, 2]: rows of the pictures that share the rarest words with queries, and each one's likest view."""
        views = (self.stack([shown ^ view for shown in words]) for view in range(len(VIEWS)))
        alike = np.stack([(seen.multiply(self.rarity).tocsr() @ self.bags).toarray() for seen in views])
        likest = alike.max(axis=0)
        most = min(NOMINATED, likest.shape[1])
        rows = np.argpartition(likest, -most, axis=1)[:, -most:]
        order = np.argsort(-np.take_along_axis(likest, rows, axis=1), axis=1, kind="stable")
        rows = np.take_along_axis(rows, order, axis=1)
        return np.stack([rows, np.take_along_axis(alike, rows[None], axis=2).argmax(axis=0)], axis=2)

    def best(self, points: KeyPoints, nominated: np.ndarray) -> tuple[int, int]:
        """Score and row of the best of the nominated, int [K, 2]."""
        score, best = 0, int(nominated[0, 0])
        seen = [points.seen(view) for view in range(len(VIEWS))]
        for row, view in nominated.tolist():
            found = fit(seen[view], self.points[row], more_than=score).score
            score, best = (found, row) if found > score else (score, best)
        return score, best


def main_axes(descriptors: np.ndarray) -> np.ndarray:
    """float32 [128, AXES]: along which they differ most."""
    if len(descriptors) < 2:
        return np.eye(128, AXES, dtype=np.float32)
    return np.linalg.eigh(np.cov(descriptors.T))[1][:, -AXES:].astype(np.float32)


def find_key_points(picture: np.ndarray) -> KeyPoints:
    """Of uint8 [H, W]."""
    even = cv2.createCLAHE(2.0, (8, 8)).apply(fit_square(np.ascontiguousarray(picture), SIDE, "keep"))
    points, descriptors = cv2.SIFT.create(KEY_POINTS, contrastThreshold=FAINTEST).detectAndCompute(even, None)
    if not points:
        return KeyPoints(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
    sums = descriptors.sum(axis=1, keepdims=True).clip(1e-6)
    return KeyPoints(np.array([point.pt for point in points], np.float32), np.sqrt(descriptors / sums))


def fit(query: KeyPoints, original: KeyPoints, more_than: int = 0) -> Fit:
    """What one movement explains of two pictures' matches; nothing where that cannot be `more_than` so many."""
    if len(query.descriptors) < 2 or len(original.descriptors) < 2:
        return NOTHING
    alike = query.descriptors @ original.descriptors.T
    best = alike.argmax(axis=1)
    every = np.arange(len(best))
    first = alike[every, best]
    alike[every, best] = -1
    second = alike.max(axis=1)
    clear = (1 - first) < RATIO**2 * (1 - second)  # of vectors of length 1, half the squared distances
    if clear.sum() <= max(more_than, 3):
        return NOTHING
    pair = query.places[clear], original.places[best[clear]]
    movement, explained = cv2.estimateAffinePartial2D(*pair, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE)
    if movement is None or not SCALES[0] <= np.linalg.norm(movement[:, 0]) <= SCALES[1]:
        return NOTHING
    kept = explained.ravel().astype(bool)
    return Fit(pair[0][kept], pair[1][kept])


def best_fit(query: np.ndarray, original: np.ndarray) -> Fit:
    """Of two pictures, uint8 [H, W], in the view that explains most."""
    points, others = find_key_points(query), find_key_points(original)
    fits = [fit(points.seen(view), others) for view in range(len(VIEWS))]
    view = max(range(len(VIEWS)), key=lambda view: fits[view].score)
    return Fit(in_view(fits[view].query, view), fits[view].original)


def in_view(places: np.ndarray, view: int) -> np.ndarray:
    """float32 [K, 2], of places in a picture as it is; and the other way round."""
    return np.array([SIDE - 1, 0], np.float32) + places * np.array([-1, 1], np.float32) if view in MIRROR else places
